//! What a pasted value has that no credential has. A flaw is named by its kind and its place, which tell nothing of the value.

use std::fmt;

use crate::unstructured::MASK;

/// What is wrong with a value. Its text continues "the value …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// There is nothing in it that could be a credential.
    Empty,
    /// As some editors and shells save text.
    Utf16,
    /// Not even text.
    NotText,
    /// What Unstructured shows in place of a secret.
    Mask,
    /// The word that stands before a token in a header.
    Bearer,
    /// As in a programming language.
    Quoted(Place),
    /// A character that is not printable ASCII, or a space.
    Odd(Odd, Place),
}

/// A kind of character that is in no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Odd {
    /// CR or LF.
    LineBreak,
    /// The plain one.
    Space,
    /// A tabulator.
    Tab,
    /// U+FEFF, which Windows editors begin a file with.
    ByteOrderMark,
    /// As web pages and text processors have it.
    NoBreakSpace,
    /// One that nobody can see.
    ZeroWidth,
    /// As text processors make of plain ones.
    TypographicQuote,
    /// Any other control character.
    Control,
    /// Any other character that is not ASCII.
    NonAscii,
}

/// Where in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// It begins with it.
    Start,
    /// Something else is on both of its sides.
    Inside,
    /// It ends with it.
    End,
    /// It begins and ends with it.
    Around,
}

/// The credential in these bytes, without the line breaks that editors and `echo` leave at its end.
pub fn credential(bytes: &[u8]) -> Result<&str, Flaw> {
    let value = trimmed(bytes)?;
    match flaw(value) {
        None => Ok(value),
        Some(flaw) => Err(flaw),
    }
}

/// The text in these bytes, without the line breaks at its end. A key file, a certificate, a connection string or a password may
/// well hold what no token has.
pub fn text(bytes: &[u8]) -> Result<&str, Flaw> {
    let value = trimmed(bytes)?;
    match value {
        _ if value.trim().is_empty() => Err(Flaw::Empty),
        MASK => Err(Flaw::Mask),
        _ if value.starts_with('\u{feff}') => Err(Flaw::Odd(Odd::ByteOrderMark, Place::Start)),
        _ => Ok(value),
    }
}

fn trimmed(bytes: &[u8]) -> Result<&str, Flaw> {
    let text = std::str::from_utf8(bytes).map_err(|_| match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Flaw::Utf16,
        _ => Flaw::NotText,
    })?;
    Ok(text.trim_end_matches(['\n', '\r']))
}

/// What is left of a value without all that may stand around a credential by mistake.
pub fn bare(bytes: &[u8]) -> &str {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let bare = text.trim_matches(is_wrapping);
    match without_bearer(bare) {
        Some(rest) => rest.trim_start_matches(is_wrapping),
        None => bare,
    }
}

fn flaw(value: &str) -> Option<Flaw> {
    let bare = value.trim_matches(is_wrapping);
    if bare.is_empty() {
        return Some(Flaw::Empty);
    }
    if value == MASK {
        return Some(Flaw::Mask);
    }
    if without_bearer(bare).is_some() {
        return Some(Flaw::Bearer);
    }
    if let Some((start, char)) = value.char_indices().find(|(_, char)| is_odd(*char)) {
        let place = match value[start..].trim_start_matches(is_odd) {
            "" => Place::End,
            _ if start == 0 => Place::Start,
            _ => Place::Inside,
        };
        return Some(Flaw::Odd(Odd::of(char), place));
    }
    match (value.starts_with(is_quote), value.ends_with(is_quote)) {
        (true, true) => Some(Flaw::Quoted(Place::Around)),
        (true, false) => Some(Flaw::Quoted(Place::Start)),
        (false, true) => Some(Flaw::Quoted(Place::End)),
        (false, false) => None,
    }
}

/// What follows the word, if a value begins with it.
fn without_bearer(value: &str) -> Option<&str> {
    const WORD: &str = "Bearer";
    let (word, rest) = value.split_at_checked(WORD.len())?;
    let is_word = word.eq_ignore_ascii_case(WORD) && rest.starts_with(is_odd);
    is_word.then_some(rest)
}

fn is_odd(char: char) -> bool {
    !char.is_ascii_graphic()
}

fn is_quote(char: char) -> bool {
    matches!(char, '"' | '\'' | '`')
}

fn is_wrapping(char: char) -> bool {
    is_odd(char) || is_quote(char)
}

impl Odd {
    fn of(char: char) -> Self {
        match char {
            '\n' | '\r' => Self::LineBreak,
            ' ' => Self::Space,
            '\t' => Self::Tab,
            '\u{feff}' => Self::ByteOrderMark,
            '\u{a0}' | '\u{2007}' | '\u{202f}' => Self::NoBreakSpace,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' => Self::ZeroWidth,
            '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' => Self::TypographicQuote,
            _ if char.is_control() => Self::Control,
            _ => Self::NonAscii,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Utf16 => f.write_str("is text in UTF-16, not in UTF-8"),
            Self::NotText => f.write_str("is not text"),
            Self::Mask => f.write_str(
                "holds the mask that Unstructured shows in place of a secret, not the secret",
            ),
            Self::Bearer => {
                f.write_str("begins with the word Bearer, which belongs to a header only")
            }
            Self::Quoted(Place::Around) => f.write_str("has quotation marks around it"),
            Self::Quoted(place) => write!(f, "has a quotation mark {place}"),
            Self::Odd(odd, place) => write!(f, "has {odd} {place}"),
        }
    }
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineBreak => "a line break",
            Self::Space => "a space",
            Self::Tab => "a tab",
            Self::ByteOrderMark => "a byte order mark",
            Self::NoBreakSpace => "a no-break space",
            Self::ZeroWidth => "an invisible character",
            Self::TypographicQuote => "a typographic quotation mark",
            Self::Control => "a control character",
            Self::NonAscii => "a character that is not ASCII",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "at its start",
            Self::Inside => "inside it",
            Self::End => "at its end",
            Self::Around => "around it",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_may_hold_what_no_token_has_and_is_neither_empty_nor_a_mask() {
        let key = "{\n  \"type\": \"service_account\"\n}\n";
        assert_eq!(text(key.as_bytes()), Ok(key.trim_end()));
        assert_eq!(text("pass word \u{e4}".as_bytes()), Ok("pass word \u{e4}"));
        assert_eq!(text(b" \n"), Err(Flaw::Empty));
        assert_eq!(text(MASK.as_bytes()), Err(Flaw::Mask));
        assert_eq!(text(&[0xff, 0xfe, b'a', 0]), Err(Flaw::Utf16));
        let marked = Flaw::Odd(Odd::ByteOrderMark, Place::Start);
        assert_eq!(text("\u{feff}a".as_bytes()), Err(marked));
    }

    #[test]
    fn what_no_credential_has_is_named_by_kind_and_place() {
        for (value, expected) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("\"\"", "is empty"),
            (
                "**********",
                "holds the mask that Unstructured shows in place of a secret, not the secret",
            ),
            (" abc", "has a space at its start"),
            ("abc ", "has a space at its end"),
            ("abc \n", "has a space at its end"),
            ("abc\n ", "has a line break at its end"),
            ("a b", "has a space inside it"),
            ("\nabc", "has a line break at its start"),
            ("a\r\nb", "has a line break inside it"),
            ("abc\t", "has a tab at its end"),
            ("\u{feff}abc", "has a byte order mark at its start"),
            ("abc\u{a0}", "has a no-break space at its end"),
            ("a\u{202f}bc", "has a no-break space inside it"),
            ("abc\u{200b}", "has an invisible character at its end"),
            ("a\u{2060}bc", "has an invisible character inside it"),
            (
                "\u{201c}abc\u{201d}",
                "has a typographic quotation mark at its start",
            ),
            ("a\u{0}bc", "has a control character inside it"),
            (
                "abc\u{2003}",
                "has a character that is not ASCII at its end",
            ),
            ("äbc", "has a character that is not ASCII at its start"),
            ("\"abc\"", "has quotation marks around it"),
            ("'abc'\n", "has quotation marks around it"),
            ("`abc", "has a quotation mark at its start"),
            ("abc\"", "has a quotation mark at its end"),
            (
                "Bearer abc",
                "begins with the word Bearer, which belongs to a header only",
            ),
            (
                " \"bearer\u{a0}abc\"",
                "begins with the word Bearer, which belongs to a header only",
            ),
        ] {
            let found = credential(value.as_bytes()).map_err(|flaw| flaw.to_string());
            assert_eq!(found, Err(expected.to_owned()), "{value:?}");
        }
        assert_eq!(credential(b"\xff\xfea\0"), Err(Flaw::Utf16));
        assert_eq!(credential(b"\xc3\x28"), Err(Flaw::NotText));
    }

    #[test]
    fn a_credential_is_what_it_is_but_for_line_breaks_at_its_end() {
        for value in ["abc", "a\"b", "sl.u.A_b-C", "Bearer", "bearerabc", "~!%"] {
            for end in ["", "\n", "\r\n", "\n\n"] {
                let text = format!("{value}{end}");
                assert_eq!(credential(text.as_bytes()), Ok(value));
            }
        }
    }

    #[test]
    fn what_stands_around_a_value_does_not_hide_how_it_begins() {
        for value in [
            "sl.abc",
            " sl.abc",
            "\u{feff}sl.abc\n",
            "\u{a0}sl.abc",
            "\u{200b}sl.abc",
            "\"sl.abc\"",
            "Bearer sl.abc",
            " 'Bearer  \"sl.abc\"' ",
        ] {
            assert_eq!(bare(value.as_bytes()), "sl.abc", "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_printable_ascii_passes_and_no_message_tells_the_value(value in ".{0,24}", salt in "[A-Z]{12}") {
            let text = format!("{salt}{value}");
            match credential(text.as_bytes()) {
                Ok(value) => prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic())),
                Err(flaw) => prop_assert!(!flaw.to_string().contains(&salt)),
            }
        }
    }
}
