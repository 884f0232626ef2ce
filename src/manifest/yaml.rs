//! YAML as `kubectl` reads it: by the rules of YAML 1.1, in which `no`, `0x1F`, `1e3`, `010` and `2026-01-01` are no text. Our own
//! library writes and reads 1.2, so whatever either version could take for something else is quoted here.

use std::fmt::Write as _;

use serde::Serialize;
use serde_yaml::Value;

/// What YAML 1.1 takes for a truth or for nothing, whatever its case.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// A document.
pub fn yaml(document: &impl Serialize) -> String {
    let document = serde_yaml::to_value(document).expect("a manifest can be written as YAML");
    let mut text = String::new();
    write(&mut text, &document, 0);
    text
}

/// A text, on the right of a colon.
pub fn push_text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            // Controls, and what some reader takes for a line break or a byte order mark.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// Whether no reader takes the text for anything but text: every number, date and sign begins with something else than a letter.
fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c))
        && !text.ends_with(':')
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// A value; what spans lines begins at the present one, indented so far.
fn write(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Mapping(entries) if !entries.is_empty() => {
            for (number, (key, value)) in entries.iter().enumerate() {
                if number > 0 {
                    out.push_str(&" ".repeat(indent));
                }
                push_text(out, key.as_str().unwrap_or_default());
                out.push(':');
                let inner = indent + 2;
                match value {
                    Value::Mapping(map) if !map.is_empty() => {
                        out.push('\n');
                        out.push_str(&" ".repeat(inner));
                        write(out, value, inner);
                    }
                    Value::Sequence(list) if !list.is_empty() => {
                        out.push('\n');
                        out.push_str(&" ".repeat(indent));
                        write(out, value, indent);
                    }
                    _ => {
                        out.push(' ');
                        write(out, value, inner);
                    }
                }
            }
        }
        Value::Sequence(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push_str(&" ".repeat(indent));
                }
                out.push_str("- ");
                write(out, item, indent + 2);
            }
        }
        Value::Mapping(_) => out.push_str("{}\n"),
        Value::Sequence(_) => out.push_str("[]\n"),
        Value::String(text) => {
            push_text(out, text);
            out.push('\n');
        }
        Value::Bool(truth) => {
            let _ = writeln!(out, "{truth}");
        }
        Value::Number(number) => {
            let _ = writeln!(out, "{number}");
        }
        Value::Null => out.push_str("null\n"),
        Value::Tagged(tagged) => write(out, &tagged.value, indent),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_yaml_1_1_takes_for_something_else_is_quoted() {
        for text in [
            "",
            "no",
            "No",
            "yes",
            "on",
            "OFF",
            "y",
            "N",
            "true",
            "False",
            "null",
            "NULL",
            "~",
            "0x1F",
            "0o17",
            "010",
            "1e3",
            "1_000",
            "12:30:45",
            "2026-01-01",
            ".inf",
            ".NaN",
            "=",
            "<<",
            "- a",
            "a: b",
            "a #b",
            " a",
            "a:",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "'a'",
            "\"a\"",
            "a\nb",
            "\u{85}",
            "\u{2028}",
            "\u{feff}a",
        ] {
            let mut written = String::new();
            push_text(&mut written, text);
            assert!(
                written.starts_with('"') && written.ends_with('"'),
                "{written}"
            );
        }
        for text in [
            "contracts",
            "nobody",
            "dropbox://a/b",
            "v1",
            "connectors.unstructured.io/v1alpha1",
        ] {
            let mut written = String::new();
            push_text(&mut written, text);
            assert_eq!(written, text);
        }
    }

    #[test]
    fn a_document_is_laid_out_as_people_write_it() {
        let document = json!({
            "a": { "b": "c", "d": [{ "e": 1, "f": true }, "g"], "h": {}, "i": [] }, "j": null,
        });
        assert_eq!(
            yaml(&document),
            "a:\n  b: c\n  d:\n  - e: 1\n    f: true\n  - g\n  h: {}\n  i: []\nj: null\n"
        );
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Into::into),
            "[a-z0-9:#. -]{0,6}".prop_map(Into::into),
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            Just(serde_json::Value::Null),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(document in value()) {
            let read: serde_json::Value = serde_yaml::from_str(&yaml(&document)).unwrap();
            prop_assert_eq!(read, document);
        }
    }
}
