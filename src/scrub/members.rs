//! The values of members that are called what credentials are called: where the service quotes a stored configuration in an answer to a
//! request that carried none, nobody knows the values, and a short password looks like any word.

use std::ops::Range;

/// Whoever is called so, or has it as a part of the name, holds a secret.
const NAMES: [&str; 12] = [
    "auth",
    "conn",
    "credential",
    "credentials",
    "key",
    "passphrase",
    "passwd",
    "password",
    "sas",
    "secret",
    "token",
    "uri",
];

/// Where these values stand in the text: `"password": "x"` as JSON, Python and JSON in a string write it, and `password=x`.
pub(super) fn values(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    (0..bytes.len()).filter_map(move |at| match bytes[at] {
        b'"' | b'\'' => quoted(bytes, at),
        b'=' => assigned(bytes, at),
        _ => None,
    })
}

/// The value after the quotation mark at the end of a name.
fn quoted(bytes: &[u8], end: usize) -> Option<Range<usize>> {
    let name = name_before(bytes, end - escapes_before(bytes, end))?;
    let opens = name.start.checked_sub(1)?;
    if bytes[opens] != bytes[end] || !is_secret(&bytes[name]) {
        return None;
    }
    let colon = skip_blanks(bytes, end + 1);
    if bytes.get(colon) != Some(&b':') {
        return None;
    }
    let start = skip_blanks(bytes, colon + 1);
    let escapes = bytes[start..].iter().take_while(|&&byte| byte == b'\\');
    let escapes = escapes.count();
    let start = start + escapes;
    match bytes.get(start)? {
        quote @ (b'"' | b'\'') => {
            let value = start + 1;
            let closes = |&at: &usize| bytes[at] == *quote && escapes_before(bytes, at) <= escapes;
            let end = (value..bytes.len()).find(closes).unwrap_or(bytes.len());
            Some(value..end - escapes_before(bytes, end).min(end - value))
        }
        b'0'..=b'9' => Some(word(bytes, start)),
        _ => None,
    }
}

/// The value after an equals sign.
fn assigned(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let name = name_before(bytes, at)?;
    let value = word(bytes, at + 1);
    (is_secret(&bytes[name]) && !value.is_empty()).then_some(value)
}

fn word(bytes: &[u8], start: usize) -> Range<usize> {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"&,;\"'{}[]()".contains(byte);
    let length = bytes[start..].iter().position(ends);
    start..length.map_or(bytes.len(), |length| start + length)
}

fn name_before(bytes: &[u8], end: usize) -> Option<Range<usize>> {
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let length = bytes[..end].iter().rev().take_while(is_part).count();
    (length > 0).then_some(end - length..end)
}

fn escapes_before(bytes: &[u8], at: usize) -> usize {
    let escapes = bytes[..at].iter().rev();
    escapes.take_while(|&&byte| byte == b'\\').count()
}

fn skip_blanks(bytes: &[u8], at: usize) -> usize {
    let blanks = bytes[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace());
    at + blanks.count()
}

fn is_secret(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let mut parts = name.split(['_', '-', '.']);
    parts.any(|part| NAMES.contains(&part) || part.ends_with("key") || part.ends_with("token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        values(text).map(|range| &text[range]).collect()
    }

    #[test]
    fn the_value_of_a_password_is_found_however_it_is_quoted() {
        for text in [
            r#"in use: {"host": "db", "password": "hunter2 horse"}"#,
            r"in use: {'host': 'db', 'password': 'hunter2 horse'}",
            r#"{\"host\": \"db\", \"app_key\":\"hunter2 horse\"}"#,
            r#"{\\\"accessToken\\\": \\\"hunter2 horse\\\", \\\"a\\\": 1}"#,
            r#"{"connection_conn": "hunter2 horse"#,
        ] {
            assert_eq!(found(text), ["hunter2 horse"], "{text}");
        }
        assert_eq!(found(r#"{"password": "a\"b", "c": 1}"#), [r#"a\"b"#]);
        assert_eq!(found("password=hunter2&user=x"), ["hunter2"]);
        assert_eq!(found(r#"{"api_key": 12345}"#), ["12345"]);
    }

    #[test]
    fn what_is_said_about_a_field_is_left() {
        for text in [
            "body.config.app_key: Field required",
            r#"the key "legal-contracts" is taken"#,
            r#"{"password": null, "keyboard": "qwertz", "remote_url": "x"}"#,
            "token: it is not valid",
            "='",
            "'",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
