//! What the API answers.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::SecretString;

use crate::answer::{self, Place};
use crate::elements::Elements;
use crate::error::{Commit, ErrorKind};
use crate::ids::ConnectorId;
use crate::kept::Kept;
use crate::pipelines;
use crate::scrub::Scrubber;
use crate::unreadable::Unreadable;

/// Stands in some seeds, as an API would echo it.
pub const SECRET: &str = "fuzz-secret-8c1d";

const LONGEST_PAUSE: Duration = Duration::from_mins(15);

/// Any body can be read as any success, and shows no secret.
pub fn success(body: &[u8]) {
    let scrubber = Scrubber::new(&[SecretString::from(SECRET)]);
    let mut elements = Elements::new(1 << 20);
    for piece in body.chunks(7) {
        let taken = elements.take(piece, |element| {
            let listed = answer::listed(element, "dropbox", &Kept::All)?;
            assert!(listed.is_none_or(|source| &*source.connector_type == "dropbox"));
            Ok::<_, Unreadable>(())
        });
        if taken.is_err() {
            break;
        }
    }
    if let Ok(source) = answer::connector(body, &Kept::All) {
        assert!(answer::connector_with_id(body, &source.id, &Kept::All).is_ok());
        let other: ConnectorId = "00000000-0000-4000-8000-000000000000"
            .parse()
            .expect("an id");
        assert!(source.id == other || answer::connector_with_id(body, &other, &Kept::All).is_err());
    }
    let checks = [
        answer::check(body, &scrubber).ok(),
        answer::latest_check(body, &scrubber).ok().flatten(),
    ];
    for check in checks.into_iter().flatten() {
        let shown = format!("{:?} {:?}", check.status, check.reason);
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let _ = answer::done(body);
    pipelines::answer(body, &scrubber);
}

/// Any refusal has one kind, says honestly whether the request may have been carried out, and is one bounded line without a secret.
pub fn refusal(status: u16, object: bool, retry_after: &[u8], body: &[u8]) {
    let Ok(status) = StatusCode::from_u16(status) else {
        return;
    };
    if status.is_success() {
        return;
    }
    let headers = headers(retry_after, b"");
    let place = if object {
        Place::Object
    } else {
        Place::Collection
    };
    let scrubber = Scrubber::new(&[SecretString::from(SECRET)]);
    let error = answer::refusal(status, &headers, body, place, LONGEST_PAUSE, &scrubber);

    let code = status.as_u16();
    let is_certain = (300..500).contains(&code) && !matches!(code, 408 | 499);
    assert_eq!(error.commit() == Commit::Never, is_certain, "{error:?}");
    match &error.kind {
        ErrorKind::NotFound => assert!(code == 404 && object, "{error:?}"),
        ErrorKind::RateLimited { retry_after } => {
            assert!(
                retry_after.is_none_or(|pause| pause <= LONGEST_PAUSE),
                "{error:?}"
            );
        }
        ErrorKind::Invalid { fields } => {
            assert!(
                fields.iter().all(|field| !field.contains(SECRET)),
                "{fields:?}"
            );
        }
        _ => {}
    }
    let message = error.message();
    assert!(!message.contains(SECRET), "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.chars().count() <= 300, "{message}");
}

/// Whatever a `Retry-After` says, beside whatever `Date`, nobody waits for longer than the cap.
pub fn retry_after(value: &[u8], date: &[u8]) {
    let pause = crate::retry_after::retry_after(&headers(value, date), LONGEST_PAUSE);
    assert!(
        pause.is_none_or(|pause| pause <= LONGEST_PAUSE),
        "{pause:?}"
    );
}

fn headers(retry_after: &[u8], date: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [(RETRY_AFTER, retry_after), (DATE, date)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    headers
}
