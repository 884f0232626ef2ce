//! The query of a list of workflows: filters and the page.

use super::{
    Family, StoredWorkflow, envelope, envelope::Invalid, operations::Violation, rules::Rules,
    workspace::Workspace,
};
use crate::fake::Answer;

/// What a list is to show.
pub(super) struct Wanted {
    source: Option<String>,
    destination: Option<String>,
    status: Option<String>,
    name: Option<String>,
    name_is_part: bool,
    descending: bool,
    page: usize,
    page_size: usize,
}

/// Reads a query.
pub(super) fn read(
    query: &str,
    workspace: &mut Workspace,
    rules: &Rules,
    violation: Violation<'_>,
) -> Result<Wanted, Answer> {
    let mut wanted = Wanted {
        source: None,
        destination: None,
        status: None,
        name: None,
        name_is_part: rules.pipelines.name_is_part,
        descending: false,
        page: 1,
        page_size: 20,
    };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let among = |choices: &[&str]| {
            if choices.contains(&&*value) {
                return Ok(value.to_string());
            }
            let message = format!("Input should be one of {}", choices.join(", "));
            Err(invalid("enum", &["query", &name], &message, &value).refused(rules))
        };
        let keyed = workspace.keys.in_paths;
        let mut connector = |family: Family| {
            let collection = workspace.of(family);
            match collection.with_key(&value) {
                Some(connector) => Ok(connector.id.clone()),
                // A key that nothing has is the name of nothing.
                None if keyed => Ok(value.to_string()),
                None => envelope::uuid(&value, &["query", &name], rules),
            }
        };
        match &*name {
            "source_id" => wanted.source = Some(connector(Family::Sources)?),
            "destination_id" => wanted.destination = Some(connector(Family::Destinations)?),
            "status" => wanted.status = Some(among(&["active", "inactive"])?),
            "name" => wanted.name = Some(value.to_string()),
            "page" => wanted.page = number(&name, &value, usize::MAX, rules)?,
            "page_size" => wanted.page_size = number(&name, &value, 100, rules)?,
            // The only order that is documented.
            "sort_by" => drop(among(&["id"])?),
            "sort_direction" => wanted.descending = among(&["asc", "desc"])? == "desc",
            unknown => violation(&format!("an unknown query parameter {unknown}")),
        }
    }
    Ok(wanted)
}

fn invalid<'a>(kind: &'a str, loc: &'a [&'a str], message: &'a str, input: &str) -> Invalid<'a> {
    let input = input.into();
    Invalid {
        kind,
        loc,
        message,
        input,
    }
}

fn number(name: &str, value: &str, most: usize, rules: &Rules) -> Result<usize, Answer> {
    let (kind, message) = match value.parse() {
        Ok(number) if (1..=most).contains(&number) => return Ok(number),
        Ok(0) => (
            "greater_than_equal",
            "Input should be greater than or equal to 1".to_owned(),
        ),
        Ok(_) => (
            "less_than_equal",
            format!("Input should be less than or equal to {most}"),
        ),
        Err(_) => (
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer".to_owned(),
        ),
    };
    Err(invalid(kind, &["query", name], &message, value).refused(rules))
}

impl Wanted {
    /// What of the workflows is on the page. Its length is all that tells whether another one follows.
    pub(super) fn page_of(&self, mut workflows: Vec<StoredWorkflow>) -> Vec<StoredWorkflow> {
        workflows.retain(|workflow| self.wants(workflow));
        workflows.sort_by(|a, b| a.id.cmp(&b.id));
        if self.descending {
            workflows.reverse();
        }
        let before = (self.page - 1).saturating_mul(self.page_size);
        let page = workflows.into_iter().skip(before).take(self.page_size);
        page.collect()
    }

    fn wants(&self, workflow: &StoredWorkflow) -> bool {
        let name = |name: &String| {
            workflow.name == *name || (self.name_is_part && workflow.name.contains(name))
        };
        let source = |id| workflow.sources.contains(id);
        let destination = |id| workflow.destinations.contains(id);
        self.name.as_ref().is_none_or(name)
            && self.source.as_ref().is_none_or(source)
            && self.destination.as_ref().is_none_or(destination)
            && self.status.as_ref().is_none_or(|s| *s == workflow.status)
    }
}
