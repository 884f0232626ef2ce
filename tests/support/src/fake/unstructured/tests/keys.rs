//! The key of an object, and each switch of it once.

use super::*;

fn keyed(key: impl Into<Value>) -> Value {
    let mut body = body("A Näme, at most", &config("data"));
    body["key"] = key.into();
    body
}

fn keys(ground: &Ground, change: fn(&mut Keys)) {
    ground.workspace.configure_keys(|keys| {
        *keys = Keys::default();
        change(keys);
    });
}

#[tokio::test]
async fn a_key_is_taken_shown_and_kept() {
    let ground = ground(|_| {});
    let caller = &ground.caller;
    let (status, created) = caller.send(POST, "/sources/", &keyed("legal-c1")).await;
    assert_eq!((status, &created["key"]), (200, &json!("legal-c1")));
    let without = caller.send(POST, "/sources/", &keyed(Value::Null)).await;
    assert_eq!((without.0, &without.1["key"]), (200, &Value::Null));
    assert_eq!(ground.api.take_violations(), [""; 0]);

    let path = path(&created);
    let change = json!({ "config": config("other"), "key": "another" });
    let (status, updated) = caller.send(PUT, &path, &change).await;
    assert_eq!((status, &updated["key"]), (200, &json!("legal-c1")));
    let violations = ground.api.take_violations();
    assert!(
        violations[0].ends_with("an attempt to change the key"),
        "{violations:?}"
    );

    let (_, listed) = caller.call(GET, "/sources/").await;
    assert_eq!(listed[0]["key"], "legal-c1");
    let stored = ground.workspace.sources();
    assert_eq!(stored[0].key.as_deref(), Some("legal-c1"));
    // Nothing says that keys are unique.
    assert_eq!(
        caller.send(POST, "/sources/", &keyed("legal-c1")).await.0,
        200
    );
}

#[tokio::test]
async fn a_key_that_is_no_slug_is_refused_where_a_client_finds_it() {
    let ground = ground(|rules| rules.echo_input = true);
    let longest = "a".repeat(63);
    for good in ["a", "0", "a-b", "1-2-c", &longest] {
        let (status, answer) = ground.caller.send(POST, "/sources/", &keyed(good)).await;
        assert_eq!((status, &answer["key"]), (200, &json!(good)));
    }
    let table = [
        (json!(""), "string_too_short"),
        (json!("a".repeat(64)), "string_too_long"),
        (json!("-a"), "string_pattern_mismatch"),
        (json!("a-"), "string_pattern_mismatch"),
        (json!("a--b"), "string_pattern_mismatch"),
        (json!("A"), "string_pattern_mismatch"),
        (json!("a_b"), "string_pattern_mismatch"),
        (json!("ä"), "string_pattern_mismatch"),
        (json!(1), "string_type"),
    ];
    let before = ground.workspace.sources().len();
    for (bad, kind) in table {
        let (status, answer) = ground
            .caller
            .send(POST, "/sources/", &keyed(bad.clone()))
            .await;
        let item = &answer["detail"][0];
        assert_eq!((status, &item["type"]), (422, &json!(kind)), "{bad}");
        assert_eq!(
            (&item["loc"], &item["input"]),
            (&json!(["body", "key"]), &bad)
        );
    }
    assert_eq!(ground.workspace.sources().len(), before);
}

#[tokio::test]
async fn a_server_without_keys_ignores_or_refuses_them() {
    let ground = ground(|_| {});
    let create = async |key: &str| ground.caller.send(POST, "/sources/", &keyed(key)).await;
    keys(&ground, |keys| keys.given = GivenKey::Ignored);
    let (status, answer) = create("Not even one").await;
    assert_eq!((status, answer.get("key")), (200, None));
    assert_eq!(ground.workspace.sources()[0].key, None);

    keys(&ground, |keys| keys.given = GivenKey::Refused(422));
    let (status, answer) = create("k").await;
    assert_eq!(
        (status, &answer["detail"][0]["loc"]),
        (422, &json!(["body", "key"]))
    );
    keys(&ground, |keys| keys.given = GivenKey::Refused(412));
    let (status, answer) = create("k").await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (412, &json!("key"))
    );
    let (status, answer) = ground
        .caller
        .send(POST, "/sources/", &keyed(Value::Null))
        .await;
    assert_eq!((status, answer.get("key")), (200, None));

    // Another workspace has its own switches.
    ground.api.workspace("other");
    let other = Caller::new(ground.api.url(), "other");
    assert_eq!(
        other.send(POST, "/sources/", &keyed("k")).await.1["key"],
        "k"
    );
}

#[tokio::test]
async fn a_taken_key_is_refused_for_a_while_or_for_ever() {
    let destination = json!({
        "name": "d", "type": "mongodb", "key": "k",
        "config": { "database": "d", "collection": "c", "uri": "mongodb://h" },
    });
    for (taken, status, free_again) in [
        (TakenKey::Refused(409), 409, true),
        (TakenKey::Refused(412), 412, true),
        (TakenKey::Refused(422), 422, true),
        (TakenKey::RefusedForEver(409), 409, false),
    ] {
        let ground = ground(|_| {});
        let caller = &ground.caller;
        ground.workspace.configure_keys(|keys| keys.taken = taken);
        let (_, source) = caller.send(POST, "/sources/", &keyed("k")).await;
        for (path, body) in [("/sources/", &keyed("k")), ("/destinations/", &destination)] {
            let (found, answer) = caller.send(POST, path, body).await;
            let named = match status {
                409 => answer["detail"] == "Key k already exists",
                412 => answer["errors"][0]["field"] == "key",
                _ => answer["detail"][0]["loc"][1] == "key",
            };
            assert!(found == status && named, "{taken:?} {path}: {answer}");
        }
        assert_eq!(caller.send(POST, "/sources/", &keyed("k-2")).await.0, 200);
        caller.call(DELETE, &path(&source)).await;
        let (found, _) = caller.send(POST, "/destinations/", &destination).await;
        assert_eq!(found, if free_again { 200 } else { status }, "{taken:?}");
    }
}

#[tokio::test]
async fn a_key_can_be_derived_from_the_name() {
    let ground = ground(|_| {});
    keys(&ground, |keys| keys.absent = AbsentKey::Derived);
    let long = "x".repeat(80);
    for (name, slug) in [
        ("A Näme, at most", "a-n-me-at-most-"),
        ("legal.contracts.c1", "legal-contracts-c1-"),
        ("…", ""),
        (&long, &format!("{}-", &long[..56])),
    ] {
        let created = ground.create(name).await;
        let key = created["key"].as_str().expect("a key");
        let digits = key.strip_prefix(slug).expect("a slug of the name");
        assert!(
            created["id"]
                .as_str()
                .is_some_and(|id| id.ends_with(digits)),
            "{key}"
        );
        assert!(digits.len() == 6 && key.len() <= 63, "{key}");
    }
    let (_, given) = ground.caller.send(POST, "/sources/", &keyed("given")).await;
    assert_eq!(given["key"], "given");
}

#[tokio::test]
async fn an_object_can_be_addressed_by_its_key() {
    let ground = ground(|_| {});
    let caller = &ground.caller;
    let (_, created) = caller.send(POST, "/sources/", &keyed("k")).await;
    assert_eq!(caller.call(GET, "/sources/k").await.0, 422);
    keys(&ground, |keys| keys.in_paths = true);
    assert_eq!(caller.call(GET, "/sources/k").await, (200, created.clone()));
    assert_eq!(
        caller.call(GET, &path(&created)).await,
        (200, created.clone())
    );
    assert_eq!(
        caller.call(POST, "/sources/k/connection-check").await.0,
        202
    );
    let change = json!({ "config": config("other") });
    assert_eq!(
        caller.send(PUT, "/sources/k", &change).await.1["id"],
        created["id"]
    );
    for strange in ["/sources/other", "/destinations/k"] {
        assert_eq!(caller.call(GET, strange).await.0, 404, "{strange}");
    }
    assert_eq!(caller.call(DELETE, "/sources/k").await.0, 200);
    assert_eq!(ground.workspace.sources(), []);
}
