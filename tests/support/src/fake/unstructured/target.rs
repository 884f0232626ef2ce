//! What the path of a request names.

use super::Family;

/// What a path names.
pub(super) enum Target<'a> {
    Collection(Family),
    Item(Family, &'a str),
    Check(Family, &'a str),
    Workflows,
    Workflow(&'a str),
    Run(&'a str),
    Jobs,
    Job(&'a str),
    CancelJob(&'a str),
    JobDetails(&'a str),
    FailedFiles(&'a str),
    /// One slash too many or too few: the path it should have been.
    Elsewhere(String),
    Unknown,
}

impl Target<'_> {
    pub(super) fn of(path: &str) -> Target<'_> {
        let Some(below) = path.strip_prefix("/api/v1/") else {
            return Target::Unknown;
        };
        let (first, rest) = below.split_once('/').unwrap_or((below, ""));
        let family = Family::ALL.into_iter().find(|f| f.path() == first);
        if family.is_none() && !["workflows", "jobs"].contains(&first) {
            return Target::Unknown;
        }
        if below == first {
            return Target::Elsewhere(format!("{path}/"));
        }
        let (rest, slashed) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let segments: Vec<_> = rest.split('/').collect();
        let target = match (family, segments.as_slice()) {
            (Some(family), [""]) => Target::Collection(family),
            (None, [""]) if first == "jobs" => Target::Jobs,
            (None, [""]) => Target::Workflows,
            (_, ["", ..]) => Target::Unknown,
            (Some(family), [id]) => Target::Item(family, id),
            (Some(family), [id, "connection-check"]) => Target::Check(family, id),
            (None, [id]) if first == "jobs" => Target::Job(id),
            (None, [id]) => Target::Workflow(id),
            (None, [id, "run"]) if first == "workflows" => Target::Run(id),
            (None, [id, "cancel"]) if first == "jobs" => Target::CancelJob(id),
            (None, [id, "details"]) if first == "jobs" => Target::JobDetails(id),
            (None, [id, "failed-files"]) if first == "jobs" => Target::FailedFiles(id),
            _ => Target::Unknown,
        };
        match target {
            Target::Unknown => Target::Unknown,
            // `/sources//` is no collection.
            _ if slashed && rest.is_empty() => Target::Unknown,
            _ if slashed => Target::Elsewhere(path.trim_end_matches('/').to_owned()),
            target => target,
        }
    }
}
