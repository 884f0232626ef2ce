//! Folders as people write them.

use std::sync::LazyLock;

use regex::Regex;
use serde_yaml::Value;

use crate::folder::Subfolder;

/// What the definition demands of `remoteUrl`: patterns, and whether each has to match.
static RULES: LazyLock<Vec<(bool, Regex)>> = LazyLock::new(|| {
    let text = include_str!("../../../crds/dropboxsources.yaml");
    let definition: Value = serde_yaml::from_str(text).expect("it is YAML");
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let url = &schema["properties"]["spec"]["properties"]["remoteUrl"];
    let rules = url["x-kubernetes-validations"]
        .as_sequence()
        .expect("it has rules")
        .iter();
    let rules = rules.flat_map(|rule| rule["rule"].as_str().expect("a rule").split(" && "));
    rules.map(rule).collect()
});

fn rule(rule: &str) -> (bool, Regex) {
    let (wanted, matches) = match rule.strip_prefix('!') {
        Some(rest) => (false, rest),
        None => (true, rule),
    };
    let pattern = matches
        .strip_prefix("self.matches('")
        .and_then(|rest| rest.strip_suffix("')"));
    let pattern = pattern.expect("a rule is self.matches('…')");
    // Both speak RE2's language.
    (wanted, Regex::new(pattern).expect("a pattern"))
}

fn is_admitted(url: &str) -> bool {
    url.chars().count() <= 1024
        && RULES
            .iter()
            .all(|(wanted, rule)| rule.is_match(url) == *wanted)
}

/// What the operator's commands write into a resource, the definition admits; what it admits, they understand.
pub fn admitted(text: &str) {
    if let Ok(folder) = text.parse::<Subfolder>() {
        let url = folder.remote_url();
        assert!(is_admitted(&url), "{url:?} is written and not admitted");
        assert_eq!(url.parse(), Ok(folder), "{url:?} is another folder");
    }
    if is_admitted(text) {
        assert!(
            text.parse::<Subfolder>().is_ok(),
            "{text:?} is admitted and not understood"
        );
    }
}
