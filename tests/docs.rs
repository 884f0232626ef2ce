//! What is written about the operator is what the code says: the checked-in definition, and the README with its manifests and
//! tables.
//!
//! `UPDATE_README=1 cargo test --test main docs` writes the tables anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::Value;
use unstructured_operator::cli;
use unstructured_operator::crd::{self, ConditionType, Reason};

use crate::OPERATOR;

#[test]
fn the_checked_in_definition_is_the_one_that_the_operator_prints() -> Result<()> {
    let output = Command::new(OPERATOR).arg("crd").output()?;
    ensure!(output.status.success(), "crd ended with {}", output.status);
    let printed = String::from_utf8(output.stdout)?;
    ensure!(
        read("crds/dropboxsources.yaml")? == printed,
        "crds/dropboxsources.yaml is stale: cargo run -- crd > crds/dropboxsources.yaml"
    );
    Ok(())
}

#[test]
fn the_readme_shows_the_example_manifests_to_the_letter() -> Result<()> {
    let readme = read("README.md")?;
    for path in ["examples/secret.yaml", "examples/dropboxsource.yaml"] {
        let block = format!("```yaml\n# {path}\n{}```\n", read(path)?);
        ensure!(
            readme.contains(&block),
            "README.md has to show {path} as:\n{block}"
        );
    }
    Ok(())
}

#[test]
fn every_file_that_the_readme_links_to_exists() -> Result<()> {
    let readme = read("README.md")?;
    let targets = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|target| !target.is_empty() && !target.contains("://"));
    for target in targets {
        ensure!(root(target).exists(), "README.md links to {target}");
    }
    Ok(())
}

#[test]
fn the_readme_explains_every_condition_and_annotation() -> Result<()> {
    let readme = read("README.md")?;
    for annotation in [crd::RECONCILE_AT, crd::ACCEPT_WORKSPACE] {
        ensure!(readme.contains(annotation), "README.md lacks {annotation}");
    }
    for condition in ConditionType::ALL {
        let row = format!("| `{}` |", condition.as_str());
        ensure!(readme.contains(&row), "README.md has no row {row}");
    }
    Ok(())
}

#[test]
fn the_tables_of_the_readme_are_those_of_the_code() -> Result<()> {
    let readme = read("README.md")?;
    let mut fresh = readme.clone();
    for (name, table) in [
        ("fields", fields()?),
        ("options", options()?),
        ("reasons", reasons()),
    ] {
        fresh = with_section(&fresh, name, &table)?;
    }
    if env::var_os("UPDATE_README").is_some() {
        fs::write(root("README.md"), &fresh)?;
        return Ok(());
    }
    ensure!(
        readme == fresh,
        "the tables of README.md are stale: UPDATE_README=1 cargo test --test main docs"
    );
    Ok(())
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root(path)).with_context(|| format!("cannot read {path}"))
}

/// The text with what stands between a section's two markers replaced.
fn with_section(text: &str, name: &str, content: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- {name}: generated -->\n"),
        format!("<!-- {name}: end -->\n"),
    );
    let missing = || format!("README.md has no {begin} or no {end}");
    let (before, rest) = text.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{content}\n{end}{after}"))
}

/// A row for each field of the spec, required ones first.
fn fields() -> Result<String> {
    let definition = crd::definition();
    let spec = definition.spec.versions[0]
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref()?.properties.as_ref())
        .and_then(|properties| properties.get("spec"))
        .context("the definition has no spec")?;
    let mut table = String::from("| Field of `spec` | Default | Meaning |\n|---|---|---|\n");
    describe(spec, "", &mut table)?;
    Ok(table)
}

fn describe(parent: &JSONSchemaProps, prefix: &str, table: &mut String) -> Result<()> {
    let is_required = |name: &String| {
        let required = parent.required.as_ref();
        required.is_some_and(|names| names.contains(name))
    };
    let (required, optional): (Vec<_>, Vec<_>) = parent
        .properties
        .iter()
        .flatten()
        .partition(|(name, _)| is_required(name));
    for (name, field) in required.into_iter().chain(optional) {
        let path = format!("{prefix}{name}");
        let default = match &field.default {
            _ if is_required(name) => "required".to_owned(),
            Some(default) if field.properties.is_none() => match &default.0 {
                Value::String(text) => format!("`{text}`"),
                other => format!("`{other}`"),
            },
            _ => String::new(),
        };
        let meaning = field
            .description
            .as_deref()
            .with_context(|| format!("{path} has no description"))?;
        writeln!(table, "| `{path}` | {default} | {} |", cell(meaning))?;
        describe(field, &format!("{path}."), table)?;
    }
    Ok(())
}

/// A row for each option of `run`.
fn options() -> Result<String> {
    let command = cli::command();
    let run = command
        .find_subcommand("run")
        .context("there is no command run")?;
    let mut table = String::from("| Flag | Environment | Default | Meaning |\n|---|---|---|---|\n");
    let options = run
        .get_arguments()
        .filter_map(|argument| Some((argument, argument.get_long()?)))
        .filter(|(_, long)| *long != "help");
    for (argument, long) in options {
        let help = argument.get_help().map(ToString::to_string);
        let help = help.with_context(|| format!("--{long} has no help"))?;
        let (help, variable) = noted(&help, "env");
        let (help, mut default) = noted(&help, "default");
        let variable = variable.with_context(|| format!("--{long} has no variable"))?;
        if let [value] = argument.get_default_values()
            && !argument.is_hide_default_value_set()
        {
            default = Some(format!("`{}`", value.to_string_lossy()));
        }
        let default = default.unwrap_or_default();
        writeln!(
            table,
            "| `--{long}` | `{variable}` | {} | {} |",
            cell(&default),
            cell(&help)
        )?;
    }
    Ok(table)
}

/// Takes `[what: …]` out of a help text: the text without it, and what it says.
fn noted(help: &str, what: &str) -> (String, Option<String>) {
    let found = help
        .split_once(&format!("[{what}: "))
        .and_then(|(before, rest)| Some((before, rest.split_once(']')?)));
    match found {
        None => (help.to_owned(), None),
        Some((before, (note, after))) => {
            let rest = format!("{}{}", before.trim_end(), after);
            (rest.trim_end().to_owned(), Some(note.to_owned()))
        }
    }
}

/// A row for each reason.
fn reasons() -> String {
    let mut table = String::from("| Reason | Meaning, and what to do |\n|---|---|\n");
    for reason in Reason::ALL {
        let _ = writeln!(table, "| `{reason}` | {} |", cell(reason.meaning()));
    }
    table
}

/// Text as it may stand in a cell of a table.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('|', "\\|")
}
