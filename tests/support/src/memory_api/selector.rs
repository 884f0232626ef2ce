//! Label selectors.

use serde_json::Value;

/// All of these have to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    /// `None`: any value, so it is about whether the label is there.
    values: Option<Vec<String>>,
    negated: bool,
}

impl Selector {
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let (mut depth, mut start) = (0_i32, 0);
        for (at, c) in text.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(&text[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(&text[start..]);
        let requirements = parts.into_iter().map(str::trim).filter(|p| !p.is_empty());
        Self(requirements.map(Requirement::parse).collect())
    }

    /// Whether an object with these labels is selected.
    pub fn selects(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

impl Requirement {
    fn parse(text: &str) -> Self {
        let list = |values: &str| {
            let values = values.trim().trim_matches(['(', ')']);
            Some(values.split(',').map(|v| v.trim().to_owned()).collect())
        };
        let of = |key: &str, values, negated| Self {
            key: key.trim().to_owned(),
            values,
            negated,
        };
        if let Some((key, values)) = text.split_once(" notin ") {
            of(key, list(values), true)
        } else if let Some((key, values)) = text.split_once(" in ") {
            of(key, list(values), false)
        } else if let Some((key, value)) = text.split_once("!=") {
            of(key, list(value), true)
        } else if let Some((key, value)) = text.split_once('=') {
            of(key, list(value.trim_start_matches('=')), false)
        } else if let Some(key) = text.strip_prefix('!') {
            of(key, None, true)
        } else {
            of(text, None, false)
        }
    }

    fn holds(&self, labels: &Value) -> bool {
        let value = labels[&self.key].as_str();
        let holds = match &self.values {
            None => value.is_some(),
            Some(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
        };
        holds != self.negated
    }
}
