//! What a 404 says of the connectors that a create or an update of something else names: one of them is not in the workspace.

/// The connector that the workspace does not know, as far as the service says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnknownConnector {
    /// The source.
    Source,
    /// The destination.
    Destination,
    /// One of the two.
    Either,
}

/// What these words speak of: `source_id not found`, `Source not found`, `Destination with id … not found`.
pub(super) fn in_words(text: &str) -> Option<UnknownConnector> {
    let text = text.to_lowercase();
    let words: Vec<_> = text.split(|char: char| !char.is_alphabetic()).collect();
    let says = |one: &str, many: &str| words.iter().position(|word| *word == one || *word == many);
    let workflow = says("workflow", "workflows");
    let (source, destination) = (
        says("source", "sources"),
        says("destination", "destinations"),
    );
    let first = [source, destination, says("connector", "connectors")]
        .into_iter()
        .flatten()
        .min()?;
    if workflow.is_some_and(|workflow| workflow < first) {
        return None;
    }
    Some(match (source, destination) {
        (Some(_), None) => UnknownConnector::Source,
        (None, Some(_)) => UnknownConnector::Destination,
        _ => UnknownConnector::Either,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connector_is_the_one_that_the_service_speaks_of() {
        use UnknownConnector::{Destination, Either, Source};
        for (text, expected) in [
            ("source_id not found", Some(Source)),
            ("Source not found", Some(Source)),
            ("Source connector 7cf30ead does not exist", Some(Source)),
            ("Destination with id 7cf30ead not found", Some(Destination)),
            ("No such connector (destination)", Some(Destination)),
            ("Connector not found", Some(Either)),
            ("Source or destination not found", Some(Either)),
            ("Workflow not found", None),
            ("Workflow with this source not found", None),
            ("Not Found", None),
            ("Resource not found", None),
        ] {
            assert_eq!(in_words(text), expected, "{text}");
        }
    }
}
