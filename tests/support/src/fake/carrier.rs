//! Requests that reach a fake without a connection, so that nothing about them depends on the machine.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::aside::Aside;

use super::server::{Api, Fake, respond};

/// Carries a request and brings its answer.
pub type Carrier = Arc<
    dyn Fn(reqwest::Request) -> BoxFuture<'static, reqwest::Result<reqwest::Response>>
        + Send
        + Sync,
>;

impl<A: Api> Fake<A> {
    /// Carries requests to this fake, by way of the very handlers that serve its connections.
    pub fn carrier(self: &Arc<Self>) -> Carrier {
        let fake = Arc::clone(self);
        Arc::new(move |request| {
            let fake = Arc::clone(&fake);
            Box::pin(Aside::future(async move {
                if !fake.is_up() {
                    return Err(refused_connection().await);
                }
                match respond(Arc::clone(&fake.shared), arrived(&request)).await {
                    Ok(answer) => Ok(answer.map(reqwest::Body::wrap).into()),
                    Err(error) => Err(broken_connection(error).await),
                }
            }))
        })
    }
}

/// The request as the fake sees it.
fn arrived(request: &reqwest::Request) -> hyper::Request<Full<Bytes>> {
    let body = request.body().and_then(reqwest::Body::as_bytes);
    let body = Bytes::copy_from_slice(body.unwrap_or_default());
    let mut arrived = hyper::Request::new(Full::new(body));
    *arrived.method_mut() = request.method().clone();
    *arrived.uri_mut() = request.url().as_str().parse().expect("a URL is a URI");
    *arrived.headers_mut() = request.headers().clone();
    arrived
}

/// What a client says when a connection fails that it had. Only a client can make this error, so one does.
async fn broken_connection(error: io::Error) -> reqwest::Error {
    let failure = stream::iter([Err::<Frame<Bytes>, _>(error)]);
    let answer = hyper::Response::new(reqwest::Body::wrap(StreamBody::new(failure)));
    let broken = reqwest::Response::from(answer).bytes().await;
    broken.expect_err("the body fails at once")
}

/// What a client says when there is no connection.
async fn refused_connection() -> reqwest::Error {
    struct Nowhere;
    impl Resolve for Nowhere {
        fn resolve(&self, _: Name) -> Resolving {
            let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
            Box::pin(async move { Err::<Addrs, _>(refused.into()) })
        }
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .dns_resolver(Arc::new(Nowhere))
        .build()
        .expect("a client without TLS");
    let answer = client.get("http://nowhere.invalid/").send().await;
    answer.expect_err("nothing has this name")
}
