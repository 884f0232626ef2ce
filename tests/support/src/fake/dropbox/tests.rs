//! What each call answers, and when.

use hyper::Method;

use super::*;
use crate::fake::tests::{Caller, read};

const TOKEN: &str = "/oauth2/token";

fn ground() -> (FakeDropbox, Caller) {
    let api = FakeDropbox::start();
    api.accept("key", "secret", "refresh");
    let caller = Caller::new(api.url(), "");
    (api, caller)
}

fn refresh<'a>(key: &'a str, secret: &'a str, token: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", key),
        ("client_secret", secret),
    ]
}

async fn access_token(caller: &Caller) -> String {
    let form = refresh("key", "secret", "refresh");
    let (_, body) = read(caller.request(Method::POST, TOKEN).form(&form)).await;
    body["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_refresh_says_exactly_what_is_wrong() {
    let (api, caller) = ground();
    let table = [
        (
            refresh("key", "wrong", "refresh"),
            "invalid_client: Invalid client_id or client_secret",
            "",
        ),
        (
            refresh("key", "secret", "sl.access"),
            "invalid_grant",
            "refresh token is malformed",
        ),
        (
            refresh("key", "secret", "other"),
            "invalid_grant",
            "refresh token is invalid or revoked",
        ),
    ];
    for (form, error, description) in table {
        let (status, body) = read(caller.request(Method::POST, TOKEN).form(&form)).await;
        assert_eq!((status, &body["error"]), (400, &json!(error)));
        assert_eq!(
            body["error_description"].as_str().unwrap_or(""),
            description
        );
    }
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "refresh"),
    ];
    let request = caller.request(Method::POST, TOKEN).form(&form);
    let (status, body) = read(request.basic_auth("key", Some("secret"))).await;
    assert_eq!((status, &body["expires_in"]), (200, &json!(14400)));
    assert!(body.get("refresh_token").is_none());
    api.revoke("refresh");
    let form = refresh("key", "secret", "refresh");
    assert_eq!(
        read(caller.request(Method::POST, TOKEN).form(&form))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn a_code_is_good_once_for_a_refresh_token_that_works() {
    let (api, caller) = ground();
    api.offer_code("app", "its-secret", "code-1", "new-refresh");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", "code-1"),
        ("client_id", "app"),
        ("client_secret", "its-secret"),
    ];
    let (status, body) = read(caller.request(Method::POST, TOKEN).form(&form)).await;
    assert_eq!(
        (status, &body["refresh_token"]),
        (200, &json!("new-refresh"))
    );
    let (status, body) = read(caller.request(Method::POST, TOKEN).form(&form)).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    let form = refresh("app", "its-secret", "new-refresh");
    assert_eq!(
        read(caller.request(Method::POST, TOKEN).form(&form))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn an_access_token_opens_what_its_state_allows() {
    let (api, caller) = ground();
    let token = access_token(&caller).await;
    let call = |path: &'static str, token: &str, body: Value| {
        let request = caller.request(Method::POST, path).bearer_auth(token);
        read(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
    };
    let list = "/2/files/list_folder";
    api.remove_folder("/gone");
    let table = [
        (
            "/2/check/user",
            &token[..],
            json!({"query": "foo"}),
            200,
            "foo",
        ),
        (
            "/2/users/get_current_account",
            &token,
            Value::Null,
            200,
            "franz@example.com",
        ),
        (list, &token, json!({"path": "/data"}), 200, "has_more"),
        (list, &token, json!({"path": ""}), 200, "has_more"),
        (
            list,
            &token,
            json!({"path": "data"}),
            400,
            "did not match pattern",
        ),
        (
            list,
            &token,
            json!({"path": "/gone"}),
            409,
            "path/not_found/..",
        ),
        (
            list,
            "sl.unknown",
            json!({"path": ""}),
            401,
            "invalid_access_token",
        ),
        (list, "garbage", json!({"path": ""}), 400, "malformed"),
    ];
    for (path, token, body, status, text) in table {
        let (found, answer) = call(path, token, body).await;
        assert_eq!(found, status, "{answer}");
        assert!(answer.to_string().contains(text), "{answer}");
    }
    api.remove_scope("files.metadata.read");
    let (status, answer) = call(list, &token, json!({"path": ""})).await;
    assert_eq!(
        (status, &answer["error"]["required_scope"]),
        (401, &json!("files.metadata.read"))
    );
    api.expire_access_tokens();
    assert_eq!(
        call("/2/check/user", &token, json!({"query": "x"})).await.0,
        401
    );

    let check = caller
        .request(Method::POST, "/2/check/app")
        .body("{\"query\":\"foo\"}");
    let answer = read(check.basic_auth("key", Some("secret"))).await;
    assert_eq!(answer, (200, json!({"result": "foo"})));
}

#[tokio::test]
async fn a_revocation_is_a_violation_and_disables_the_refresh_token() {
    let (api, caller) = ground();
    let token = access_token(&caller).await;
    let revoke = caller.request(Method::POST, "/2/auth/token/revoke");
    assert_eq!(read(revoke.bearer_auth(token)).await.0, 200);
    assert!(api.take_violations()[0].contains("a revocation"));
    let form = refresh("key", "secret", "refresh");
    assert_eq!(
        read(caller.request(Method::POST, TOKEN).form(&form))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn a_limit_is_told_in_header_and_body() {
    let (api, caller) = ground();
    api.inject(
        Route::Token,
        crate::fake::Fault::answer(too_many_requests(7)),
    );
    let form = refresh("key", "secret", "refresh");
    let answer = caller.request(Method::POST, TOKEN).form(&form).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["retry-after"].as_bytes()
        ),
        (429, &b"7"[..])
    );
}
