//! The table of the chart's values, from the comments in `values.yaml`: `# --` and what follows it describe the key below.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::read;

const FILE: &str = "charts/unstructured-operator/values.yaml";

/// A row for each value, in the order of the file. A value without a description, or a description of nothing, is an error.
pub fn table() -> Result<String> {
    let text = read(FILE)?;
    let values: Value = serde_yaml::from_str(&text)?;
    let mut table = String::from("| Value | Default | Meaning |\n|---|---|---|\n");
    let (mut group, mut meaning) = (Vec::<&str>::new(), None::<String>);
    let mut described = None;
    for line in text.lines() {
        let content = line.trim_start();
        let depth = (line.len() - content.len()) / 2;
        if described.is_some_and(|above| depth > above) {
            continue;
        }
        match content.strip_prefix('#').map(str::trim) {
            Some(comment) => match (comment.strip_prefix("-- "), &mut meaning) {
                (Some(begin), _) => meaning = Some(begin.to_owned()),
                (None, Some(meaning)) => {
                    let _ = write!(meaning, " {comment}");
                }
                (None, None) => {}
            },
            None if content.is_empty() => meaning = None,
            None => {
                let (key, rest) = content.split_once(':').with_context(|| line.to_owned())?;
                group.truncate(depth);
                group.push(key);
                described = meaning.is_some().then_some(depth);
                match meaning.take() {
                    Some(meaning) => {
                        let path = group.join(".");
                        let value = group.iter().fold(&values, |value, key| &value[key]);
                        writeln!(
                            table,
                            "| `{path}` | {} | {} |",
                            default(value),
                            cell(&meaning)
                        )?;
                    }
                    None if rest.is_empty() => {}
                    None => bail!("{FILE}: {} has no description", group.join(".")),
                }
            }
        }
    }
    Ok(table)
}

fn default(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn cell(meaning: &str) -> String {
    meaning.replace('|', "\\|")
}
