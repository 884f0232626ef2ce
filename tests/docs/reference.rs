//! The pages of the reference, as far as the code writes them.

use std::fmt::Write as _;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use serde_json::Value;
use unstructured_operator::crd::{self, ConditionType, EventReason, Reason};
use unstructured_operator::unstructured::Collection;
use unstructured_operator::{cli, kinds};

use super::{read, root, values};
use crate::chart;

#[test]
fn the_reference_is_what_the_code_says() -> Result<()> {
    let conditions = ConditionType::ALL.iter().map(|c| (c.as_str(), c.meaning()));
    let reasons = Reason::ALL.iter().map(|r| (r.as_str(), r.meaning()));
    let events = EventReason::ALL.iter().map(|e| (e.as_str(), e.meaning()));
    for (page, name, content) in [
        ("fields", "spec", specs()?),
        ("fields", "status", status()?),
        (
            "fields",
            "workflow-status",
            status_of("UnstructuredWorkflow")?,
        ),
        ("fields", "job-status", status_of("UnstructuredJob")?),
        ("types", "sources", types(Collection::Sources)),
        ("types", "destinations", types(Collection::Destinations)),
        ("conditions", "conditions", words("Condition", conditions)),
        ("conditions", "reasons", words("Reason", reasons)),
        ("events", "events", words("Event", events)),
        ("options", "options", options()?),
        ("commands", "commands", commands()),
        ("metrics", "metrics", metrics()),
        ("values", "values", values::table()?),
    ] {
        let path = format!("docs/reference/{page}.md");
        let text = read(&path)?;
        let fresh = with_section(&text, name, &content).with_context(|| path.clone())?;
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(root(&path), &fresh)?;
        } else {
            ensure!(
                text == fresh,
                "{path} is stale: UPDATE_DOCS=1 cargo test --test main docs"
            );
        }
    }
    Ok(())
}

#[test]
fn every_annotation_is_explained() -> Result<()> {
    let page = read("docs/reference/fields.md")?;
    let source = read("src/crd/mod.rs")?;
    let begin = format!("{}/", crd::GROUP);
    let words = source.split('"').filter(|word| word.starts_with(&begin));
    let annotations: Vec<_> = words.filter(|word| *word != crd::FINALIZER).collect();
    for known in [crd::RECONCILE_AT, crd::ACCEPT_WORKSPACE, crd::ACCEPT_RECORD] {
        ensure!(annotations.contains(&known), "{known} is not found");
    }
    for annotation in annotations {
        let cell = format!("| `{annotation}` |");
        ensure!(page.contains(&cell), "nothing explains {annotation}");
    }
    Ok(())
}

/// The text with what stands between a section's two markers replaced.
fn with_section(text: &str, name: &str, content: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- {name}: generated -->\n"),
        format!("<!-- {name}: end -->\n"),
    );
    let missing = || format!("there is no {begin} or no {end}");
    let (before, rest) = text.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{content}\n{end}{after}"))
}

/// A section for each kind: what it is, what `kubectl` calls it, and its spec.
fn specs() -> Result<String> {
    let mut sections = Vec::new();
    for kind in &crd::ALL {
        let definition = (kind.definition)();
        let names = &definition.spec.names;
        let short = names.short_names.iter().flatten();
        let calls = short.chain([&names.plural]).map(|name| format!("`{name}`"));
        let calls: Vec<_> = calls.collect();
        let spec = part(&definition, "spec")?;
        let about = spec.description.as_deref();
        let about = about.with_context(|| format!("{} has no description", kind.name))?;
        sections.push(format!(
            "### {}\n\n{} `kubectl` calls it {}.\n\n{}",
            kind.name,
            about.split_whitespace().collect::<Vec<_>>().join(" "),
            calls.join(" or "),
            fields(spec)?
        ));
    }
    Ok(sections.join("\n"))
}

/// The status, which all kinds share but for the name of the id.
fn status() -> Result<String> {
    let mut same: Option<String> = None;
    for kind in kinds::ALL {
        let id = format!("| `{}` |", kind.family().id_field);
        let table = fields(part(&(kind.definition)(), "status")?)?;
        ensure!(table.contains(&id), "{} shows no {id}", kind.name);
        let mut lines: Vec<_> = table.lines().collect();
        // The name of the id decides where its row stands.
        let row = lines
            .iter()
            .position(|line| line.starts_with(&id))
            .context("the id has no row")?;
        let row = lines.remove(row).replace(&id, ANY_ID);
        let place = lines.len()
            - lines
                .iter()
                .rev()
                .take_while(|line| **line > ANY_ID)
                .count();
        lines.insert(place, &row);
        let table = format!("{}\n", lines.join("\n"));
        ensure!(
            same.get_or_insert_with(|| table.clone()) == &table,
            "the status of {} is another",
            kind.name
        );
    }
    same.context("there is no kind")
}

/// The status of a kind that stands for no connector.
fn status_of(name: &str) -> Result<String> {
    let mut kinds = crd::ALL.iter();
    let kind = kinds
        .find(|kind| kind.name == name)
        .context("no such kind")?;
    fields(part(&(kind.definition)(), "status")?)
}

/// The row of the id of either family.
const ANY_ID: &str = "| `sourceId` or `destinationId` |";

fn part<'a>(definition: &'a CustomResourceDefinition, part: &str) -> Result<&'a JSONSchemaProps> {
    definition.spec.versions[0]
        .schema
        .as_ref()
        .and_then(|schema| schema.open_api_v3_schema.as_ref()?.properties.as_ref())
        .and_then(|properties| properties.get(part))
        .with_context(|| format!("the definition has no {part}"))
}

/// A row for each field, required ones first.
fn fields(parent: &JSONSchemaProps) -> Result<String> {
    let mut table = String::from("| Field | Default | Meaning |\n|---|---|---|\n");
    describe(parent, "", &mut table)?;
    Ok(table)
}

/// A row for each known type of one family.
fn types(collection: Collection) -> String {
    let mut table = String::from("| Type | Required | Optional | Secret |\n|---|---|---|---|\n");
    let names = |parameters: &[&str]| {
        let names: Vec<_> = parameters.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    for known in kinds::TYPES {
        if known.collection == collection {
            let _ = writeln!(
                table,
                "| `{}` | {} | {} | {} |",
                known.name,
                names(known.required),
                names(known.optional),
                names(known.secret)
            );
        }
    }
    table
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

/// A row for each word of a closed set.
fn words<'a>(heading: &str, words: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut table = format!("| {heading} | Meaning, and what to do |\n|---|---|\n");
    for (word, meaning) in words {
        let _ = writeln!(table, "| `{word}` | {} |", cell(meaning));
    }
    table
}

/// What `--help` says of every command but the operator itself, whose options have a page.
fn commands() -> String {
    let mut sections = Vec::new();
    let mut waiting = vec![cli::command()];
    while let Some(mut command) = waiting.pop() {
        let inner = command
            .get_subcommands()
            .filter(|inner| inner.get_name() != "run");
        waiting.extend(inner.cloned().map(|inner| {
            let name = format!(
                "{} {}",
                command.get_bin_name().unwrap_or(command.get_name()),
                inner.get_name()
            );
            inner.bin_name(name)
        }));
        let name = command
            .get_bin_name()
            .unwrap_or(command.get_name())
            .to_owned();
        if !command.has_subcommands() {
            let help = command.render_long_help().to_string();
            let lines: Vec<_> = help.trim().lines().map(str::trim_end).collect();
            sections.push(format!("## {name}\n\n```text\n{}\n```\n", lines.join("\n")));
        }
    }
    sections.sort();
    sections.join("\n")
}

/// A row for each metric, from what is exposed.
fn metrics() -> String {
    let exposition = chart::exposition();
    let of = |keyword: &str, name: &str| {
        let begin = format!("# {keyword} {name} ");
        let found = exposition
            .lines()
            .find_map(|line| line.strip_prefix(&begin));
        found.unwrap_or_default().trim_end_matches('.').to_owned()
    };
    let mut table = String::from("| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n");
    let types = exposition
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    for (name, kind) in types.filter_map(|line| line.split_once(' ')) {
        let sample = exposition.lines().find(|line| line.starts_with(name));
        let labels = sample.and_then(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
        let labels = labels.unwrap_or_default().split("\",");
        let labels = labels.filter_map(|label| Some(label.split_once('=')?.0));
        let labels: Vec<_> = labels
            .filter(|label| *label != "le")
            .map(|label| format!("`{label}`"))
            .collect();
        let (labels, help) = (labels.join(", "), of("HELP", name));
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {} |", cell(&help));
    }
    table
}

/// Text as it may stand in a cell of a table.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('|', "\\|")
}
