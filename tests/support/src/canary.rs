//! Finds secrets in text, whatever form they took on the way there.
//!
//! A test gives the operator secrets that occur nowhere else, drives it through a failure, and searches everything that
//! it wrote.

use std::{collections::BTreeSet, fmt};

use base64::{Engine as _, engine::general_purpose as alphabets};
use percent_encoding::percent_decode_str;

/// Shorter secrets would be found where they are not.
const SHORTEST: usize = 8;

/// Secrets to look for, each in every form that it could leak in.
pub struct Canary {
    forms: Vec<Needle>,
}

struct Needle {
    secret: usize,
    form: Form,
    text: String,
}

/// What a secret looked like where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Itself.
    Plain,
    /// The first or the last half of a secret of 16 bytes or more.
    Half,
    /// With JSON's or Rust's escapes.
    Escaped,
    /// Standard or URL-safe base64, at any alignment, so inside a Basic header too.
    Base64,
    /// Percent-encoded, wholly or in part, spaces as `%20` or `+`.
    UrlEncoded,
    /// Hexadecimal digits, any case.
    Hex,
}

/// A secret that got out. Says which one by its position, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// Position in the list that the canary was made of.
    pub secret: usize,
    /// Its form.
    pub form: Form,
    /// Line of its first occurrence, from 1.
    pub line: usize,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret, form, line } = self;
        write!(f, "secret {secret} as {form:?} in line {line}")
    }
}

/// Prepares the search; panics for a secret of less than 8 bytes.
pub fn canary(secrets: &[&str]) -> Canary {
    let forms = secrets.iter().enumerate().flat_map(|(secret, value)| {
        assert!(value.len() >= SHORTEST, "secret {secret} is too short");
        let needle = move |(form, text)| Needle { secret, form, text };
        forms(value).into_iter().map(needle)
    });
    Canary {
        forms: forms.collect(),
    }
}

impl Canary {
    /// Every secret in every form that occurs in the text, at its first occurrence.
    pub fn find(&self, text: &str) -> Vec<Leak> {
        let lower = text.to_ascii_lowercase();
        let decoded = percent_decode_str(text).decode_utf8_lossy();
        let spaced = text.replace('+', " ");
        let form_decoded = percent_decode_str(&spaced).decode_utf8_lossy();
        let leak = |needle: &Needle| {
            let found = |haystack: &str| Some(haystack[..haystack.find(&needle.text)?].to_owned());
            let before = match needle.form {
                Form::Hex => found(&lower),
                // Undecoded, it is the plain form.
                Form::UrlEncoded if text.contains(&needle.text) => None,
                Form::UrlEncoded => found(&decoded).or_else(|| found(&form_decoded)),
                _ => found(text),
            }?;
            Some(Leak {
                secret: needle.secret,
                form: needle.form,
                line: before.matches('\n').count() + 1,
            })
        };
        self.forms.iter().filter_map(leak).collect()
    }

    /// Panics when a secret occurs in the text, with what it was found in and where, but not the text.
    pub fn assert_absent(&self, what: &str, text: &str) {
        let leaks: Vec<_> = self.find(text).iter().map(Leak::to_string).collect();
        assert!(leaks.is_empty(), "{what} leaks {}", leaks.join(", "));
    }
}

/// What to look for, none twice; the URL-encoded form is looked for in the decoded text.
fn forms(secret: &str) -> BTreeSet<(Form, String)> {
    let mut forms = BTreeSet::from([(Form::Plain, secret.to_owned())]);
    let bytes = secret.as_bytes();
    if let Some((first, last)) = secret.split_at_checked(secret.len() / 2)
        && first.len() >= SHORTEST
    {
        forms.extend([first, last].map(|half| (Form::Half, half.to_owned())));
    }
    let json = serde_json::Value::from(secret).to_string();
    for escaped in [json, format!("{secret:?}")] {
        let inner = &escaped[1..escaped.len() - 1];
        if inner != secret {
            forms.insert((Form::Escaped, inner.to_owned()));
        }
    }
    for engine in [alphabets::STANDARD_NO_PAD, alphabets::URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            // Digits that also hold bits of the neighbours depend on them, so they are left out.
            let encoded = engine.encode([&[0; 2][..shift], bytes].concat());
            let first = (shift * 8).div_ceil(6);
            let last = (shift + bytes.len()) * 8 / 6;
            forms.insert((Form::Base64, encoded[first..last].to_owned()));
        }
    }
    forms.insert((Form::UrlEncoded, secret.to_owned()));
    forms.insert((Form::Hex, hex::encode(bytes)));
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr/t+\"va lue\"~with ünicode";

    #[test]
    fn a_secret_is_found_in_every_form_it_can_leak_in() {
        let canary = canary(&["another-secret", SECRET]);
        let basic = alphabets::STANDARD.encode(format!("key:{SECRET}:x"));
        let table = [
            (Form::Plain, format!("error: {SECRET}!")),
            (Form::Half, format!("cut: {}…", &SECRET[..17])),
            (
                Form::Escaped,
                serde_json::json!({ "k": SECRET }).to_string(),
            ),
            (Form::Escaped, format!("{:?}", Some(SECRET))),
            (Form::Base64, basic),
            (
                Form::Base64,
                alphabets::URL_SAFE.encode(format!("1{SECRET}")),
            ),
            (Form::Hex, hex::encode_upper(SECRET)),
            (
                Form::UrlEncoded,
                url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect(),
            ),
        ];
        for (form, text) in table {
            let leaks = canary.find(&text);
            let found = leaks
                .iter()
                .any(|leak| leak.form == form && leak.secret == 1);
            assert!(found, "{form:?} in {text}: {leaks:?}");
        }
    }

    #[test]
    fn a_clean_text_has_no_leak() {
        let canary = canary(&[SECRET]);
        assert_eq!(canary.find("Ready: the connector is up to date"), []);
        canary.assert_absent("the log", "s3cr/t and nothing of the rest");
    }

    #[test]
    #[should_panic(expected = "the log leaks secret 0 as Plain in line 2")]
    fn a_leak_is_told_without_the_secret() {
        canary(&["super-secret"]).assert_absent("the log", "one\na super-secret thing");
    }
}
