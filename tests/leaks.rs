//! Canaries: secrets that occur nowhere else, driven through every failure, are found in nothing that the operator writes. What is
//! printed, what the statuses say and what is traced is searched by every stage when it is dropped; here are the failures that try hardest.

use anyhow::Result;
use base64::Engine as _;
use serde_json::json;
use support::canary::canary;
use support::fake::unstructured::{CheckScript, Route, answers};
use support::fake::{Answer, Fault, On, dropbox};
use support::stage::{API_KEY, APP_KEY, APP_SECRET, REFRESH_TOKEN, Stage, condition};

use crate::stage;

async fn until_settled(stage: &Stage, name: &str) -> Result<()> {
    stage
        .until(name, |object| {
            condition(object, "Ready").is_some_and(|ready| {
                ready["reason"] != "Progressing" && ready["reason"] != "Checking"
            })
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn no_answer_of_the_api_brings_a_secret_to_light() -> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "2s");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    let base64 =
        base64::engine::general_purpose::STANDARD.encode(format!("{APP_KEY}:{APP_SECRET}"));
    let url = REFRESH_TOKEN
        .bytes()
        .fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
    let field = (REFRESH_TOKEN.to_owned(), format!("{APP_SECRET} is wrong"));
    let item = json!({ "type": APP_KEY, "loc": ["body", "config", APP_SECRET], "msg": REFRESH_TOKEN, "input": APP_SECRET, "ctx": { "key": API_KEY } });
    let echoes = [
        Fault::echo(),
        Fault::answer(answers::unprocessable(&[item])),
        Fault::answer(answers::invalid_configuration(&[field])),
        Fault::answer(answers::detail(400, &format!("bad: {base64}"))),
        Fault::answer(answers::detail(409, &format!("exists: {url}"))),
        Fault::answer(Answer::text(
            500,
            &format!("Traceback: {{'app_secret': '{APP_SECRET}'}}"),
        )),
        Fault::answer(Answer::html(502, &format!("<p>{REFRESH_TOKEN}</p>"))),
        Fault::answer(Answer::text(401, &format!("key {API_KEY} unknown"))),
        Fault::answer(Answer::json(
            200,
            &json!({ "id": APP_SECRET, "name": APP_KEY }),
        )),
        Fault::redirect(&format!("http://127.0.0.1:1/?token={REFRESH_TOKEN}")),
        Fault::answer(Answer::typed(
            200,
            "application/json",
            format!("{{\"id\": \"{APP_SECRET}"),
        )),
        Fault::answer(answers::detail(403, "no").with_header("x-echo", APP_SECRET)),
        Fault::cut(),
    ];
    for (n, echo) in echoes.into_iter().enumerate() {
        let name = format!("echo-{n}");
        stage.api.inject(Route::Create, echo);
        stage.create(&name, json!({})).await?;
        until_settled(&stage, &name).await?;
    }
    stage.api.clear_faults();
    let canary = canary(&[API_KEY, APP_KEY, APP_SECRET, REFRESH_TOKEN]);
    for n in 0..13 {
        let events = stage.events(&format!("echo-{n}")).await?;
        canary.assert_absent("an event", &format!("{events:?}"));
    }
    canary.assert_absent("the metrics", &operator.get("/metrics").await?.1);
    canary.assert_absent("the log", &operator.output());
    let acting = operator.output().contains("\"level\":\"DEBUG\"");
    assert!(acting, "the log is as talkative as can be");
    Ok(())
}

#[tokio::test]
async fn neither_dropbox_nor_a_connection_check_brings_a_secret_to_light() -> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    stage.workspace.set_checks(|source| {
        let config = serde_json::Value::Object(source.config.clone());
        CheckScript::failure(format!("could not log in with {config}"))
    });
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("checked", json!({})).await?;
    stage.until_reason("checked", "VerificationFailed").await?;

    let echo = format!("invalid: {APP_KEY} {APP_SECRET} {REFRESH_TOKEN}");
    let answers = [
        dropbox::invalid_grant(&echo),
        Answer::text(400, &echo),
        Answer::json(400, &json!({ "error": echo })),
        Answer::json(200, &json!({ "access_token": 7, "echo": echo })),
        Answer::text(500, &echo),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        stage.dropbox.inject(On::Every, Fault::answer(answer));
        let (name, folder) = (format!("asked-{n}"), format!("dropbox://{n}"));
        stage.create(&name, json!({ "remoteUrl": folder })).await?;
        until_settled(&stage, &name).await?;
    }
    let canary = canary(&[API_KEY, APP_KEY, APP_SECRET, REFRESH_TOKEN]);
    for name in [
        "checked", "asked-0", "asked-1", "asked-2", "asked-3", "asked-4",
    ] {
        let events = stage.events(name).await?;
        canary.assert_absent("an event", &format!("{events:?}"));
    }
    canary.assert_absent("the metrics", &operator.get("/metrics").await?.1);
    Ok(())
}

#[tokio::test]
async fn neither_an_id_nor_a_name_brings_a_secret_to_light_or_fills_a_status() -> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    let long = "x".repeat(1_000_000);
    let id = stage.workspace.insert("dropbox", "adopted", json!({}));
    for (n, hostile) in [&long, APP_SECRET, REFRESH_TOKEN, API_KEY]
        .into_iter()
        .enumerate()
    {
        let check = json!({ "id": hostile, "status": "SCHEDULED" });
        let answer = Fault::answer(Answer::json(202, &check)).always();
        stage.api.inject(Route::StartCheck, answer.clone());
        stage.api.inject(Route::LatestCheck, answer);
        let name = format!("checked-{n}");
        stage.create(&name, json!({})).await?;
        stage.until_reason(&name, "UnexpectedResponse").await?;
        stage.api.clear_faults();
    }
    for (n, hostile) in [&long, APP_SECRET, REFRESH_TOKEN, API_KEY]
        .into_iter()
        .enumerate()
    {
        stage
            .workspace
            .edit(&id, |source| source.name.clone_from(&hostile.to_owned()));
        let name = format!("adopted-{n}");
        let spec = json!({ "existingSourceId": id, "verify": false, "deletionPolicy": "Retain" });
        stage.create(&name, spec).await?;
        stage.until_ready(&name).await?;
        stage.delete(&name).await?;
        stage.gone(&name).await?;
    }
    for version in stage.versions().await? {
        let status = version.data["status"].to_string();
        assert!(status.len() < 10_000, "{} bytes", status.len());
    }
    assert!(
        operator.output().len() < 1_000_000,
        "the log is not filled either"
    );
    Ok(())
}

#[tokio::test]
async fn a_defect_of_a_secret_is_told_without_its_value() -> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    let _operator = stage.operator().await?;
    let odd = "odd\u{0}value-that-is-a-secret";
    stage
        .secret(
            "dropbox",
            &[
                ("app_key", odd),
                ("app_secret", APP_SECRET),
                ("refresh_token", "sl.access-token-0123456789"),
            ],
        )
        .await?;
    stage.create("contracts", json!({})).await?;
    stage.until_reason("contracts", "SecretInvalid").await?;
    stage.rotate("dropbox", "app_key", APP_KEY).await?;
    stage
        .until_reason("contracts", "AccessTokenInsteadOfRefreshToken")
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_secret_is_sent_to_the_configured_hosts_only() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let key = canary(&[API_KEY]);
    for request in stage.dropbox.requests() {
        let text = format!(
            "{:?} {}",
            request.headers,
            String::from_utf8_lossy(&request.body)
        );
        key.assert_absent("a request to Dropbox", &text);
    }
    let credentials = canary(&[APP_KEY, APP_SECRET, REFRESH_TOKEN]);
    for request in stage.api.requests() {
        credentials.assert_absent("a URL", &format!("{}?{}", request.path, request.query));
        if !matches!(request.method.as_str(), "POST" | "PUT") {
            credentials.assert_absent("a body", &String::from_utf8_lossy(&request.body));
        }
    }
    Ok(())
}
