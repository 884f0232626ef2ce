//! What is written about the operator is true: the checked-in definition, the README with its manifests, and the book with its
//! reference, its links and its commands.
//!
//! `UPDATE_DOCS=1 cargo test --test main docs` writes anew what is generated.

mod commands;
mod manifests;
mod page;
mod recording;
mod reference;
mod values;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::OPERATOR;
use page::Page;

/// `UPDATE=1` writes them instead, and the copies in the chart.
#[test]
fn the_checked_in_definitions_are_those_that_the_operator_prints() -> Result<()> {
    let output = Command::new(OPERATOR).arg("crd").output()?;
    ensure!(output.status.success(), "crd ended with {}", output.status);
    let printed = String::from_utf8(output.stdout)?;
    let printed: Vec<_> = printed.split("---\n").collect();
    let kinds = &unstructured_operator::crd::ALL;
    ensure!(
        printed.len() == kinds.len(),
        "crd prints {} definitions",
        printed.len()
    );
    for kind in kinds {
        let definition = serde_yaml::to_string(&(kind.definition)())?;
        ensure!(
            printed.contains(&definition.as_str()),
            "crd does not print {}",
            kind.name
        );
        for directory in ["crds", "charts/unstructured-operator/files/crds"] {
            let path = format!("{directory}/{}.yaml", kind.plural);
            if std::env::var_os("UPDATE").is_some() {
                fs::write(root(&path), &definition)?;
            }
            ensure!(
                read(&path)? == definition,
                "{path} is stale: UPDATE=1 cargo test --test main docs::the_checked"
            );
        }
    }
    Ok(())
}

#[test]
fn the_readme_shows_the_example_manifests_to_the_letter() -> Result<()> {
    let readme = read("README.md")?;
    for path in [
        "examples/dropboxsource.yaml",
        "examples/pineconedestination.yaml",
        "examples/unstructuredworkflow.yaml",
        "examples/unstructuredjob.yaml",
        "examples/secret.yaml",
        "examples/pinecone-secret.yaml",
    ] {
        let block = format!("```yaml\n# {path}\n{}```\n", read(path)?);
        ensure!(
            readme.contains(&block),
            "README.md has to show {path} as:\n{block}"
        );
    }
    Ok(())
}

#[test]
fn the_page_on_types_shows_an_example_of_each_other_kind_to_the_letter() -> Result<()> {
    let pages =
        read("README.md")? + &read("docs/how-to/any-type.md")? + &read("docs/how-to/run.md")?;
    for kind in &unstructured_operator::crd::ALL {
        let path = format!("examples/{}.yaml", kind.name.to_lowercase());
        let block = format!("```yaml\n# {path}\n{}```\n", read(&path)?);
        ensure!(
            pages.contains(&block),
            "a page of how-to has to show {path} as:\n{block}"
        );
    }
    Ok(())
}

/// The list is under "Add a kind", and whoever adds one follows it.
#[test]
fn every_place_that_is_to_name_every_kind_does() -> Result<()> {
    let page = read("docs/contributing.md")?;
    let (_, section) = page.split_once("\n## Add a kind\n").context("no list")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let words = section.split('`').skip(1).step_by(2);
    let paths: Vec<_> = words.filter(|word| word.contains('/')).collect();
    assert!(paths.len() > 15, "{paths:?}");
    for path in &paths {
        ensure!(root(path).exists(), "there is no {path}");
    }
    let lines = section.lines().filter(|line| line.starts_with("   - `"));
    let places: Vec<_> = lines
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    assert!(places.len() > 10, "{places:?}");
    for place in places {
        let text = read(place)?;
        for kind in &unstructured_operator::crd::ALL {
            ensure!(
                text.contains(kind.name) || text.contains(kind.plural),
                "{place} does not name {}",
                kind.name
            );
        }
    }
    Ok(())
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    for page in pages()? {
        for (target, anchor) in page.links() {
            let path = if target.is_empty() {
                page.path.clone()
            } else {
                page.beside(&target)
            };
            ensure!(root(&path).exists(), "{} links to {target}", page.path);
            // A book has no way to the files around it.
            let leaves = page.path.starts_with("docs/") && !path.starts_with("docs/");
            ensure!(!leaves, "{} links out of the book: {target}", page.path);
            if let Some(anchor) = anchor {
                let there = Page::read(&path)?.anchors().contains(&anchor);
                ensure!(there, "{} links to {path}#{anchor}", page.path);
            }
        }
    }
    Ok(())
}

#[test]
fn every_page_is_in_the_summary() -> Result<()> {
    let listed: BTreeSet<_> = chapters()?.into_iter().collect();
    let written: BTreeSet<_> = pages()?
        .into_iter()
        .map(|page| page.path)
        .filter(|path| path.starts_with("docs/") && path != "docs/SUMMARY.md")
        .collect();
    assert_eq!(listed, written);
    Ok(())
}

#[test]
fn every_test_that_the_security_page_names_is_there() -> Result<()> {
    let page = read("docs/security.md")?;
    let named: Vec<_> = page
        .split('`')
        .filter_map(|word| word.split_once("::"))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for (module, test) in named {
        let source = read(&format!("tests/{module}.rs"))?;
        ensure!(
            source.contains(&format!("fn {test}(")),
            "{module}::{test} is gone"
        );
    }
    Ok(())
}

#[test]
fn the_versions_that_are_said_to_be_tested_are_the_ones_that_are_built() -> Result<()> {
    let page = read("docs/versions.md")?;
    let newest = read("tests/controlplane/go.mod")?
        + &read("tests/engines/flux/go.mod")?
        + &read("tests/engines/argocd/go.mod")?;
    let oldest = read("tests/controlplane/oldest.mod")?;
    let (kubernetes, etcd) = ("k8s.io/kubernetes", "go.etcd.io/etcd/server/v3");
    for (modules, module, said) in [
        (&newest, kubernetes, "| Kubernetes |"),
        (&newest, etcd, "etcd"),
        (&oldest, kubernetes, "| the oldest Kubernetes |"),
        (&oldest, etcd, "etcd"),
        (&newest, "helm.sh/helm/v4", "| Helm |"),
        (
            &newest,
            "github.com/fluxcd/source-controller",
            "source-controller",
        ),
        (
            &newest,
            "github.com/fluxcd/kustomize-controller",
            "kustomize-controller",
        ),
        (
            &newest,
            "github.com/fluxcd/helm-controller",
            "helm-controller",
        ),
        (&newest, "github.com/argoproj/argo-cd/v3", "| Argo CD |"),
    ] {
        let built = modules
            .lines()
            .map(|line| line.trim().trim_end_matches(" // indirect"))
            .find_map(|line| line.strip_prefix(module)?.strip_prefix(" v"))
            .with_context(|| format!("{module} is not built"))?;
        let line = format!("{said} {built}");
        ensure!(page.contains(&line), "docs/versions.md does not say {line}");
    }
    Ok(())
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root(path)).with_context(|| format!("cannot read {path}"))
}

/// The chapters of the book, in its order.
fn chapters() -> Result<Vec<String>> {
    let summary = Page::read("docs/SUMMARY.md")?;
    let chapters = summary.links().into_iter();
    Ok(chapters
        .map(|(target, _)| summary.beside(&target))
        .collect())
}

/// The pages that a forge shows beside the README.
const BESIDE: [&str; 4] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];

/// The README with those beside it, and every page below `docs`.
fn pages() -> Result<Vec<Page>> {
    let mut paths: Vec<_> = BESIDE.map(str::to_owned).into();
    let mut directories = vec!["docs".to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root(&directory))? {
            let entry = entry?;
            let path = format!("{directory}/{}", entry.file_name().display());
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else if Path::new(&path).extension() == Some("md".as_ref()) {
                paths.push(path);
            }
        }
    }
    paths.iter().map(|path| Page::read(path)).collect()
}
