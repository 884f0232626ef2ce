//! The one place where foreign text (an answer's words, a transport's complaint) becomes text that may be shown: without secrets,
//! without control characters, on one line, and bounded.

// Its place is named: the fuzzers take this file in from elsewhere.
#[path = "scrub/members.rs"]
mod members;

use std::collections::HashSet;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

const REDACTED: &str = "[redacted]";

/// Characters of a text that is shown.
const LONGEST_LINE: usize = 300;

/// Bytes of a text that are looked at, many times what is shown.
const LONGEST_TEXT: usize = 16 * 1024;

/// As many bytes of a secret in a row give it away, so that a shortened echo (`abcdefgh...wxyz`) is caught too.
const WINDOW: usize = 8;

/// A secret shorter than this is redacted only where it stands as a word: anywhere else it would tear the text apart and tell,
/// by where, what it is.
const SHORTEST_INSIDE_WORDS: usize = 4;

/// Rounds of unescaping: JSON in JSON, percent signs that are escaped themselves.
const ROUNDS: usize = 3;

/// Knows the secrets that are in play and keeps them out of foreign text.
///
/// It finds each as it is, URL-encoded, with JSON or Python escapes, and in base64 at any alignment (as within `key:secret`), whole
/// or in part. Beyond those, whatever looks like a credential, or stands where one does, is redacted: nobody knows all that a
/// service may echo.
pub(crate) struct Scrubber {
    needles: Vec<Zeroizing<Vec<u8>>>,
}

/// A text's bytes after some rounds of unescaping, each with the place in the original that it came from.
struct View {
    bytes: Zeroizing<Vec<u8>>,
    origins: Vec<Range<usize>>,
}

/// A text made one line of at most 300 characters, without control and invisible characters.
pub(crate) fn one_line(text: &str) -> String {
    cut(&flatten(text))
}

// === impl Scrubber ===

impl Scrubber {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            let secret = secret.expose_secret().as_bytes();
            if secret.is_empty() {
                continue;
            }
            needles.push(Zeroizing::new(secret.to_vec()));
            if secret.contains(&b' ') {
                // How a form writes a space.
                needles.push(Zeroizing::new(
                    secret
                        .iter()
                        .map(|&byte| if byte == b' ' { b'+' } else { byte })
                        .collect(),
                ));
            }
            if secret.len() >= SHORTEST_INSIDE_WORDS {
                // As it is written where an escape that is cut off before it would swallow its beginning.
                let escaped: String = byte_serialize(secret).collect();
                if escaped.as_bytes() != secret {
                    needles.push(Zeroizing::new(escaped.into_bytes()));
                }
                for alignment in 0..3 {
                    needles.push(base64(&STANDARD_NO_PAD, secret, alignment));
                    needles.push(base64(&URL_SAFE_NO_PAD, secret, alignment));
                }
            }
        }
        Self { needles }
    }

    /// The text, fit to be shown.
    pub fn scrub(&self, text: &str) -> String {
        // Twice: flattening may bring together what stood on two lines.
        let text = self.redact(&text[..text.floor_char_boundary(LONGEST_TEXT)]);
        cut(&self.redact(&flatten(&text)))
    }

    fn redact(&self, text: &str) -> String {
        let mut secret = vec![false; text.len()];
        // What is an escape in one notation can be part of the secret in another.
        for notation in [Notation::Both, Notation::Percent, Notation::Backslash] {
            let mut view = View::new(text);
            for _ in 0..ROUNDS {
                self.mark(&view, &mut secret);
                match view.unescaped(notation) {
                    Some(next) => view = next,
                    None => break,
                }
            }
        }
        for word in words(text) {
            if looks_like_a_credential(&text[word.clone()]) {
                secret[word].fill(true);
            }
        }

        for value in members::values(text) {
            secret[value].fill(true);
        }

        let mut shown = String::with_capacity(text.len());
        let mut inside = false;
        for (at, char) in text.char_indices() {
            let was_inside = inside;
            inside = secret[at..at + char.len_utf8()].contains(&true);
            match (was_inside, inside) {
                (_, false) => shown.push(char),
                (false, true) => shown.push_str(REDACTED),
                (true, true) => {}
            }
        }
        shown
    }

    fn mark(&self, view: &View, secret: &mut [bool]) {
        let long = self.needles.iter().filter(|needle| needle.len() >= WINDOW);
        view.mark_windows(
            WINDOW,
            &long.flat_map(|needle| needle.windows(WINDOW)).collect(),
            secret,
        );
        for needle in self.needles.iter().filter(|needle| needle.len() < WINDOW) {
            view.mark_windows(needle.len(), &HashSet::from([needle.as_slice()]), secret);
        }
    }
}

/// The part of a secret's base64 that is the same whatever surrounds it, when it starts `alignment` bytes after a multiple of three.
fn base64(engine: &impl Engine, secret: &[u8], alignment: usize) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(vec![0; alignment]);
    padded.extend_from_slice(secret);
    let encoded = Zeroizing::new(engine.encode(&*padded));
    let first = (alignment * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    Zeroizing::new(encoded.as_bytes()[first..last].to_vec())
}

// === impl View ===

impl View {
    fn new(text: &str) -> Self {
        Self {
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
            origins: (0..text.len()).map(|at| at..at + 1).collect(),
        }
    }

    /// The view with one layer of escapes taken off; `None` without any.
    fn unescaped(&self, notation: Notation) -> Option<Self> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.bytes.len()));
        let mut origins = Vec::with_capacity(self.bytes.len());
        let mut at = 0;
        while at < self.bytes.len() {
            let (char, length) =
                escape(&self.bytes[at..], notation).unwrap_or((Unescaped::Byte(self.bytes[at]), 1));
            let origin = self.origins[at].start..self.origins[at + length - 1].end;
            let mut buffer = [0; 4];
            let unescaped = match char {
                Unescaped::Byte(byte) => {
                    buffer[0] = byte;
                    &buffer[..1]
                }
                Unescaped::Char(char) => char.encode_utf8(&mut buffer).as_bytes(),
            };
            for &byte in unescaped {
                bytes.push(byte);
                origins.push(origin.clone());
            }
            at += length;
        }
        (bytes != self.bytes).then_some(Self { bytes, origins })
    }

    /// Marks where any of `needles`, each of `length` bytes, comes from.
    fn mark_windows(&self, length: usize, needles: &HashSet<&[u8]>, secret: &mut [bool]) {
        for (at, window) in self.bytes.windows(length).enumerate() {
            if needles.contains(window)
                && (length >= SHORTEST_INSIDE_WORDS || self.is_word(at..at + length))
            {
                let origin = self.origins[at].start..self.origins[at + length - 1].end;
                secret[origin].fill(true);
            }
        }
    }

    fn is_word(&self, range: Range<usize>) -> bool {
        let joins = |at: Option<usize>| {
            at.and_then(|at| self.bytes.get(at))
                .is_some_and(u8::is_ascii_alphanumeric)
        };
        !joins(range.start.checked_sub(1)) && !joins(Some(range.end))
    }
}

/// Which escapes are taken off: `%2F`, those that begin with a backslash, or both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notation {
    Percent,
    Backslash,
    Both,
}

enum Unescaped {
    Byte(u8),
    Char(char),
}

/// What the escape sequence at the start of `bytes` stands for, and its length: `%2F`, `\x2f`, `\u002f`, `\/`, `\n`.
fn escape(bytes: &[u8], notation: Notation) -> Option<(Unescaped, usize)> {
    let hex = |digits: Range<usize>| {
        let digits = std::str::from_utf8(bytes.get(digits)?).ok()?;
        digits
            .bytes()
            .all(|digit| digit.is_ascii_hexdigit())
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten()
    };
    let byte = |code: Option<u32>| u8::try_from(code?).ok().map(Unescaped::Byte);
    match bytes {
        [b'%', ..] if notation == Notation::Backslash => None,
        [b'\\', ..] if notation == Notation::Percent => None,
        [b'%', ..] => Some((byte(hex(1..3))?, 3)),
        [b'\\', b'x', ..] => Some((byte(hex(2..4))?, 4)),
        [b'\\', b'u', ..] => {
            // Characters beyond the first 65,536 take two.
            let unit = |at| u16::try_from(hex(at..at + 4)?).ok();
            let second = unit(8).filter(|_| bytes[6..].starts_with(b"\\u"));
            let units = [Some(unit(2)?), second].into_iter().flatten();
            let char = char::decode_utf16(units).next()?.ok()?;
            Some((Unescaped::Char(char), 6 * char.len_utf16()))
        }
        [b'\\', b'b', ..] => Some((Unescaped::Byte(8), 2)),
        [b'\\', b'f', ..] => Some((Unescaped::Byte(12), 2)),
        [b'\\', b'n', ..] => Some((Unescaped::Byte(b'\n'), 2)),
        [b'\\', b'r', ..] => Some((Unescaped::Byte(b'\r'), 2)),
        [b'\\', b't', ..] => Some((Unescaped::Byte(b'\t'), 2)),
        [b'\\', char @ (b'"' | b'\'' | b'\\' | b'/'), ..] => Some((Unescaped::Byte(*char), 2)),
        _ => None,
    }
}

// === what looks like a credential ===

/// Runs of the characters that tokens and identifiers are made of.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut start = 0;
    text.as_bytes()
        .chunk_by(move |a, b| part(a) == part(b))
        .map(move |run| {
            let range = start..start + run.len();
            start = range.end;
            range
        })
}

/// Long, and mixing letters and digits as no word, date or name of a field does. A UUID names something and is no secret.
fn looks_like_a_credential(word: &str) -> bool {
    let mixed = |part: &str| {
        part.len() >= 6
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    word.len() >= 15 && word.split(['-', '_']).any(mixed) && Uuid::try_parse(word).is_err()
}

// === one line ===

fn flatten(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|char| if is_invisible(char) { ' ' } else { char })
        .collect();
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Controls, and the Unicode characters that hide, join or reverse what stands next to them.
fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LONGEST_LINE) {
        None => line.to_owned(),
        Some(_) => line.chars().take(LONGEST_LINE - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::form_urlencoded::byte_serialize;

    use super::*;

    fn scrubber(secrets: &[&str]) -> Scrubber {
        let secrets: Vec<_> = secrets
            .iter()
            .map(|secret| SecretString::from(*secret))
            .collect();
        Scrubber::new(&secrets)
    }

    fn scrubbed(secret: &str, text: &str) -> String {
        scrubber(&[secret]).scrub(text)
    }

    #[test]
    fn half_an_escape_before_an_escaped_secret_does_not_hide_it() {
        let scrubber = Scrubber::new(&[SecretString::from("co\0a221a")]);
        let shown = scrubber.scrub("%2co%00a221a");
        assert!(!shown.contains("co%00a221a"), "{shown}");
    }

    #[test]
    fn a_secret_is_redacted_in_every_encoding() {
        let secret = "p\u{e4}ss/w+rd=\"x\" y";
        let form: String = byte_serialize(secret.as_bytes()).collect();
        let json = serde_json::to_string(secret).unwrap();
        let encodings = [
            secret.to_owned(),
            form.clone(),
            form.to_lowercase(),
            form.replace('+', "%20"),
            form.replace('%', "%25"),
            json.replace('\u{e4}', "\\u00e4"),
            serde_json::to_string(&json).unwrap(),
            STANDARD_NO_PAD.encode(secret),
            STANDARD_NO_PAD.encode(format!("a:{secret}")),
            URL_SAFE_NO_PAD.encode(format!("ab:{secret}:c")),
            json,
        ];
        for encoding in encodings {
            let shown = scrubbed(secret, &format!("bad value {encoding} given"));
            assert!(
                shown.starts_with("bad value ") && shown.ends_with(" given"),
                "{shown}"
            );
            assert!(
                shown.contains(REDACTED) && shown.len() < 50,
                "{encoding} is shown as {shown}"
            );
        }
    }

    #[test]
    fn a_secret_is_redacted_behind_the_rarer_escapes_too() {
        for (secret, escaped) in [
            ("p@ss/\u{c}=+d", r"p@ss/\f=+d"),
            ("p@ss/\u{8}=+d", r"p@ss/\b=+d"),
            ("ab\u{1f511}cd", r"ab\ud83d\udd11cd"),
            ("r\r1er%ea2", r"r\r1er%ea2"),
            (r"a\n1%", r"a\n1%25"),
        ] {
            assert_eq!(
                scrubbed(secret, &format!("bad value {escaped} given")),
                "bad value [redacted] given"
            );
        }
        assert_eq!(scrubbed("secret", r"\ud83d\u0041"), r"\ud83d\u0041");
    }

    #[test]
    fn a_shortened_echo_is_redacted() {
        let shown = scrubbed(
            "abcdefghijklmnopqrstuvwxyz",
            "input_value='abcdefghij...rstuvwxyz', type=str",
        );
        assert_eq!(shown, "input_value='[redacted]...[redacted]', type=str");
    }

    #[test]
    fn a_very_short_secret_is_redacted_as_a_word_only() {
        assert_eq!(
            scrubbed("a", "a bad key: a."),
            "[redacted] bad key: [redacted]."
        );
        assert_eq!(scrubbed("data", "metadata"), "meta[redacted]");
        assert_eq!(scrubbed("", "nothing"), "nothing");
    }

    #[test]
    fn what_looks_like_a_credential_is_redacted_although_nobody_knows_it() {
        assert_eq!(
            scrubbed("", "token sl.u4K9dd0Qm2ZkT7w1 expired"),
            "token sl.[redacted] expired"
        );
        for readable in [
            "Source 7cf30ead-cf54-479f-a897-b5fbe8790b76 not found",
            "dropbox-source-2025-09-10-21-32-51 at dropbox://contracts/2026-archive",
            "access_config.service_account_key: Field is required",
        ] {
            assert_eq!(scrubbed("", readable), readable);
        }
    }

    #[test]
    fn a_secret_that_flattening_brings_together_is_redacted() {
        assert_eq!(
            scrubbed("correct horse", "it is correct\r\n  horse"),
            "it is [redacted]"
        );
        assert_eq!(
            scrubbed("correct\nhorse", "it is correct\nhorse"),
            "it is [redacted]"
        );
    }

    #[test]
    fn text_becomes_one_bounded_line_without_invisible_characters() {
        assert_eq!(
            one_line(" a\u{1b}[31m\n\tb\u{202e}c\u{200b} "),
            "a [31m b c"
        );
        let long = one_line(&"\u{e4}".repeat(1_000));
        assert_eq!(long.chars().count(), LONGEST_LINE);
        assert!(long.ends_with('…'));
    }

    proptest! {
        #[test]
        fn no_secret_survives_in_any_encoding(
            secret in "[!-Z^-~]{4,80}",
            before in "[a-z {}\"]{0,40}",
            after in "\\PC{0,40}",
            encoding in 0..5_usize,
        ) {
            prop_assume!(!REDACTED.contains(&secret));
            let encoded = match encoding {
                0 => secret.clone(),
                1 => byte_serialize(secret.as_bytes()).collect(),
                2 => serde_json::to_string(&secret).unwrap(),
                3 => STANDARD_NO_PAD.encode(&secret),
                _ => URL_SAFE_NO_PAD.encode(format!("{before}{secret}{after}")),
            };
            let shown = scrubbed(&secret, &format!("{before}{encoded}{after}"));
            prop_assert!(!shown.contains(&secret), "{}", shown);
            prop_assert!(encoded.len() < WINDOW || !shown.contains(&encoded), "{}", shown);
            prop_assert!(shown.chars().count() <= LONGEST_LINE);
        }

        #[test]
        fn any_text_can_be_scrubbed(secret in "\\PC{0,20}", text in "(\\PC|[%\\\\ux0-9a-f]){0,200}") {
            let shown = scrubbed(&secret, &text);
            prop_assert!(!shown.contains(char::is_control));
        }
    }
}
