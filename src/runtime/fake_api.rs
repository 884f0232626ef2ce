//! An API server in memory: a function from a request to its answer, behind kube's own client.

use axum::{
    body::to_bytes,
    http::{Method, Request, Response},
};
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use serde_json::{Value, json};

/// A request as the server sees it.
pub struct Call {
    pub method: Method,
    pub path: String,
    /// Null without a body.
    pub body: Value,
}

/// What becomes of a request.
pub enum Answer {
    /// This status and object.
    Object(u16, Value),
    /// This status, with the `Status` object that explains it.
    Refusal(u16, &'static str),
    /// Nothing, for ever.
    Silence,
}

/// A client whose every request `server` answers.
pub fn client(server: impl Fn(Call) -> Answer + Clone + Send + 'static) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = server.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(axum::body::Body::new(body), usize::MAX).await?;
            let call = Call {
                method: head.method,
                path: head.uri.path().to_owned(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let (code, object) = match server(call) {
                Answer::Object(code, object) => (code, object),
                Answer::Refusal(code, reason) => (
                    code,
                    json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": reason, "reason": reason, "code": code,
                    }),
                ),
                Answer::Silence => std::future::pending().await,
            };
            Response::builder()
                .status(code)
                .body(Body::from(object.to_string().into_bytes()))
                .map_err(axum::Error::new)
        }
    });
    ClientBuilder::new(service, "default").build()
}
