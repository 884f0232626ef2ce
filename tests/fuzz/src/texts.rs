//! Text that is to be shown, and text that is an option.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::SecretString;
use url::form_urlencoded::byte_serialize;

use crate::scrub::Scrubber;
use crate::values;

/// A secret that stands in a text, in one of five encodings, is not in what is shown of the text.
pub fn scrubbed(secret: &str, encoding: u8, before: &str, after: &str) {
    let encoded = match encoding % 5 {
        0 => secret.to_owned(),
        1 => byte_serialize(secret.as_bytes()).collect(),
        2 => serde_json::to_string(secret).expect("a string is JSON"),
        3 => STANDARD_NO_PAD.encode(secret),
        _ => URL_SAFE_NO_PAD.encode(format!("{before}{secret}{after}")),
    };
    let scrubber = Scrubber::new(&[SecretString::from(secret)]);
    let shown = scrubber.scrub(&format!("{before}{encoded}{after}"));
    assert!(shown.chars().count() <= 300, "{shown:?}");
    assert!(!shown.contains(char::is_control), "{shown:?}");
    // A shorter one is redacted only where it stands as a word, and the word that replaces it may hold it.
    if secret.len() >= 8 && !"[redacted]".contains(secret) {
        assert!(!shown.contains(secret), "{secret:?} is in {shown:?}");
        let is_whole = encoded.len() >= 8 && encoding % 5 != 4;
        assert!(
            !is_whole || !shown.contains(&encoded),
            "{encoded:?} is in {shown:?}"
        );
    }
}

/// A duration that is taken is one that can be added to another.
pub fn duration(text: &str) {
    if let Ok(duration) = values::duration(text) {
        assert!(
            duration > Duration::ZERO && duration <= Duration::from_hours(7 * 24),
            "{duration:?}"
        );
    }
}
