//! What only looks wrong with an app's credentials: worth saying once Dropbox refuses them, and no reason not to ask.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::DecodePaddingMode::Indifferent;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// App keys and app secrets have 15 characters, refresh tokens and access tokens at least 60.
const BETWEEN: usize = 40;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(Indifferent),
);

/// A value, and how its place is called.
pub type Named<'a> = (&'a str, &'a SecretString);

/// Sentences about what looks wrong, each with a space before it, without any value.
pub fn suspicions(app_key: Named<'_>, app_secret: Named<'_>, refresh_token: Named<'_>) -> String {
    let all = [app_key, app_secret, refresh_token];
    let mut text = String::new();
    for (place, value) in all {
        let value = value.expose_secret();
        let layers = base64_layers(value.as_bytes());
        if layers > 0 {
            let times = if layers == 1 { "" } else { " more than once" };
            let _ = write!(
                text,
                " The value of {place} looks like base64 of the value{times}: encode it once under data, and not at all under \
                 stringData."
            );
        }
    }
    for (n, (place, value)) in all.iter().enumerate() {
        for (other, earlier) in &all[..n] {
            if value.expose_secret() == earlier.expose_secret() {
                let _ = write!(text, " {other} and {place} hold the same value.");
            }
        }
    }
    for (place, value) in [app_key, app_secret] {
        if value.expose_secret().len() > BETWEEN {
            let _ = write!(
                text,
                " The value of {place} is as long as a token; an app key or app secret is short."
            );
        }
    }
    let (place, value) = refresh_token;
    if value.expose_secret().len() == 15 {
        let _ = write!(
            text,
            " The value of {place} is as short as an app key or app secret; a refresh token is long."
        );
    }
    text
}

/// How often a value that is printable text was encoded.
fn base64_layers(value: &[u8]) -> usize {
    // Shorter text is base64 of something printable by chance.
    if value.len() < 12 {
        return 0;
    }
    let Ok(decoded) = BASE64.decode(value).map(Zeroizing::new) else {
        return 0;
    };
    let inner = decoded.trim_ascii_end();
    if inner.is_empty() || !inner.iter().all(u8::is_ascii_graphic) {
        return 0;
    }
    1 + base64_layers(inner)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const KEY: &str = "abcdefghij12345";
    const SECRET: &str = "zyxwvutsrq54321";
    const TOKEN: &str = "AbCdEf_hIjKlMnOpQrStUvWxYz0123456789-bCdEfGhIjKlMnOpQrStUvWxYz01";

    fn suspicions_of(key: &str, secret: &str, token: &str) -> String {
        let [key, secret, token] = [key, secret, token].map(SecretString::from);
        let text = suspicions(
            ("app_key", &key),
            ("app_secret", &secret),
            ("refresh_token", &token),
        );
        for value in [key, secret, token] {
            assert!(!text.contains(value.expose_secret()), "{text}");
        }
        text
    }

    #[test]
    fn what_looks_right_is_not_suspected() {
        assert_eq!(suspicions_of(KEY, SECRET, TOKEN), "");
        assert_eq!(suspicions_of(SECRET, KEY, TOKEN), "", "they look alike");
    }

    #[test]
    fn what_looks_wrong_is_told_by_its_place() {
        let once = STANDARD.encode(format!("{SECRET}\n"));
        let twice = STANDARD.encode(STANDARD.encode(TOKEN));
        for (found, expected) in [
            (
                suspicions_of(KEY, &once, TOKEN),
                " The value of app_secret looks like base64 of the value: encode",
            ),
            (
                suspicions_of(KEY, SECRET, &twice),
                " The value of refresh_token looks like base64 of the value more than once: encode",
            ),
            (
                suspicions_of(KEY, once.trim_end_matches('='), TOKEN),
                " The value of app_secret looks like base64",
            ),
            (
                suspicions_of(KEY, KEY, TOKEN),
                " app_key and app_secret hold the same value.",
            ),
            (
                suspicions_of(TOKEN, SECRET, KEY),
                " The value of app_key is as long as a token",
            ),
            (
                suspicions_of(KEY, SECRET, SECRET),
                " app_secret and refresh_token hold the same value. The value of refresh_token is as short",
            ),
        ] {
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
