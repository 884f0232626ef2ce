//! How the operator is built: no circle of imports, none that runs upward, and files that can be read in one sitting.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Lines of a file that is read from top to bottom.
const LONGEST: usize = 400;

/// Tables, which are looked up rather than read, and the one protocol of the election.
const MAY_BE_LONGER: [&str; 3] = [
    "engine/outcome.rs",
    "runtime/metrics.rs",
    "runtime/leader.rs",
];

/// The imports of each file, by module path.
struct Sources {
    files: BTreeMap<Vec<String>, String>,
}

impl Sources {
    fn read() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = BTreeMap::new();
        collect(&root, &root, &mut files)?;
        ensure!(files.len() > 50, "only {} files", files.len());
        Ok(Self { files })
    }

    /// What a file imports of the others: the modules, each as the longest path that is a file.
    fn imports(&self, module: &[String]) -> BTreeSet<Vec<String>> {
        let text = &self.files[module];
        let text = text
            .split_once("#[cfg(test)]\nmod tests")
            .map_or(text.as_str(), |(code, _)| code);
        let mut imported = BTreeSet::new();
        for statement in uses(text) {
            for path in expand(&statement) {
                let Some(target) = resolve(module, &path) else {
                    continue;
                };
                let file = (1..=target.len())
                    .rev()
                    .map(|length| target[..length].to_vec())
                    .find(|prefix| self.files.contains_key(prefix));
                imported.extend(file.filter(|file| file != module));
            }
        }
        imported
    }
}

fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<Vec<String>, String>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .context("a name")?
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|end| end == "rs") && !name.ends_with("tests") {
            let inside = path.with_extension("");
            let inside = inside.strip_prefix(root)?;
            let mut module: Vec<String> = inside
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            files.insert(module, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The paths after `use`, without white space.
fn uses(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("use ") {
        let (before, after) = rest.split_at(start);
        rest = &after["use ".len()..];
        let line = before.rsplit('\n').next().unwrap_or_default().trim();
        let is_statement = line.is_empty() || line.starts_with("pub");
        if let (true, Some(end)) = (is_statement, rest.find(';')) {
            statements.push(rest[..end].split_whitespace().collect());
        }
    }
    statements
}

/// `a::{b,c::{d,e}}` as `a::b`, `a::c::d` and `a::c::e`.
fn expand(path: &str) -> Vec<String> {
    let Some((before, group)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    for char in group.chars() {
        match char {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if char == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(char);
        }
    }
    parts.retain(|part| !part.is_empty());
    let whole = parts.iter().flat_map(|part| expand(part));
    whole.map(|part| format!("{before}{part}")).collect()
}

/// The module that a path leads to from another; none outside of the crate, or below the module itself, whose children it may know.
fn resolve(module: &[String], path: &str) -> Option<Vec<String>> {
    let mut segments = path.split("::");
    let mut base = match segments.next()? {
        "crate" => Vec::new(),
        "super" => module.split_last()?.1.to_vec(),
        _ => return None,
    };
    for segment in segments {
        if segment == "super" {
            base.pop();
        } else {
            base.push(segment.to_owned());
        }
    }
    Some(base)
}

/// A circle in the graph, if there is one.
fn circle<N: Clone + Ord>(graph: &BTreeMap<N, BTreeSet<N>>) -> Option<BTreeSet<N>> {
    let mut left: BTreeMap<N, BTreeSet<N>> = graph.clone();
    loop {
        let free: Vec<N> = left
            .iter()
            .filter(|(_, needs)| needs.iter().all(|need| !left.contains_key(need)))
            .map(|(node, _)| node.clone())
            .collect();
        if free.is_empty() {
            return (!left.is_empty()).then(|| left.into_keys().collect());
        }
        for node in free {
            left.remove(&node);
        }
    }
}

#[test]
fn no_import_runs_upward_or_in_a_circle() -> Result<()> {
    let sources = Sources::read()?;
    let mut files = BTreeMap::new();
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in sources.files.keys() {
        let imports = sources.imports(module);
        let upward: Vec<_> = imports
            .iter()
            .filter(|other| module.starts_with(other))
            .collect();
        ensure!(
            upward.is_empty(),
            "{} imports from what it is a part of; move what it needs into a file of its own",
            module.join("::")
        );
        for other in &imports {
            if other[0] != module[0] {
                packages
                    .entry(module[0].clone())
                    .or_default()
                    .insert(other[0].clone());
            }
        }
        files.insert(
            module.join("::"),
            imports.iter().map(|other| other.join("::")).collect(),
        );
    }
    let in_circles = circle(&files);
    ensure!(
        in_circles.is_none(),
        "these files, or some of them, import each other: {in_circles:?}"
    );
    let in_circles = circle(&packages);
    ensure!(
        in_circles.is_none(),
        "these modules, or some of them, import each other: {in_circles:?}"
    );
    Ok(())
}

/// `kube` 5.0.0 knows no refusal in plain text by these.
#[test]
fn a_refusal_of_the_api_server_is_known_by_its_code() -> Result<()> {
    let blind = [
        "not_found",
        "conflict",
        "forbidden",
        "invalid",
        "already_exists",
    ];
    let blind = blind.map(|what| format!("status.is_{what}()"));
    for (module, text) in &Sources::read()?.files {
        let used = blind.iter().find(|blind| text.contains(blind.as_str()));
        ensure!(
            used.is_none(),
            "{module:?} uses {used:?}: see kube_error.rs"
        );
    }
    Ok(())
}

#[test]
fn every_file_can_be_read_in_one_sitting() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (module, text) in &Sources::read()?.files {
        let file: PathBuf = module.iter().collect();
        let code = text
            .split_once("#[cfg(test)]")
            .map_or(text.as_str(), |(code, _)| code);
        let lines = code.lines().count();
        let is_table = MAY_BE_LONGER
            .iter()
            .any(|table| root.join(table) == root.join(&file).with_extension("rs"));
        ensure!(
            lines <= LONGEST || is_table,
            "{} has {lines} lines: split it by what it is about",
            file.display()
        );
    }
    Ok(())
}

#[test]
fn a_circle_and_an_upward_import_are_found() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in edges {
            graph
                .entry((*from).to_owned())
                .or_default()
                .insert((*to).to_owned());
            graph.entry((*to).to_owned()).or_default();
        }
        graph
    };
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = circle(&graph(&[("a", "b"), ("b", "c"), ("c", "b"), ("x", "y")]));
    assert_eq!(found, Some(["a", "b", "c"].map(ToOwned::to_owned).into()));
    let module = ["kinds", "dropbox"].map(ToOwned::to_owned);
    assert_eq!(
        resolve(&module, "super::Kind"),
        Some(vec!["kinds".to_owned(), "Kind".to_owned()])
    );
    assert_eq!(resolve(&module, "serde_json::Value"), None);
    assert_eq!(
        expand("crate::a::{b,c::{d,e}}"),
        ["crate::a::b", "crate::a::c::d", "crate::a::c::e"]
    );
    let text = "pub use super::a;\n// use of this\nuse crate::{\n    b,\n    c,\n};\n";
    assert_eq!(uses(text), ["super::a", "crate::{b,c,}"]);
}
