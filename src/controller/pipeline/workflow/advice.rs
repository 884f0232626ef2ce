//! What is likely to make the runs of a workflow fail or write nothing. It is sent all the same: the service moves faster than we do.

use crate::crd::{DestinationKind, UnstructuredWorkflowSpec, WorkflowNode};

/// Everything that there is to say, in the order of the nodes.
pub fn advice(spec: &UnstructuredWorkflowSpec) -> Vec<String> {
    let mut advice = Vec::new();
    let place = |kind: &str| spec.nodes.iter().position(|node| node.node_type == kind);
    let count = |kind: &str| spec.nodes.iter().filter(|n| n.node_type == kind).count();
    let first = place("partition") == Some(0);
    match count("partition") {
        0 => {
            let note = "No node is of the type partition: nothing reads the documents.";
            advice.push(note.to_owned());
        }
        1 if first => {}
        1 => advice.push("The partitioner is not the first node.".to_owned()),
        several => {
            let note = format!("{several} nodes are of the type partition; a workflow has one.");
            advice.push(note);
        }
    }
    if let (Some(embed), Some(chunk)) = (place("embed"), place("chunk"))
        && embed < chunk
    {
        advice.push(
            "The embedder comes before the chunker, so that it embeds whole documents.".to_owned(),
        );
    }
    let to_vectors = spec
        .destination_ref
        .as_ref()
        .is_some_and(|to| to.kind == DestinationKind::PineconeDestination);
    if to_vectors && count("embed") == 0 {
        advice.push(
            "No node is of the type embed: a vector store takes nothing without vectors, and the run would succeed and write nothing."
                .to_owned(),
        );
    }
    for node in &spec.nodes {
        if SUBTYPES.contains(&node.node_type.as_str()) {
            advice.push(format!(
                "Node {:?} has the type {:?}, which is a subtype: type and subtype seem to be swapped.",
                node.name, node.node_type
            ));
        }
    }
    advice.extend(too_long(&spec.nodes));
    advice
}

/// Subtypes that are never types.
const SUBTYPES: [&str; 8] = [
    "vlm",
    "unstructured_api",
    "chunk_by_title",
    "chunk_by_character",
    "chunk_by_page",
    "chunk_by_similarity",
    "azure_openai",
    "voyageai",
];

/// The longest chunks that an embedding model takes, in characters, as the vendor documents them.
const LONGEST_CHUNKS: [(&str, u64); 6] = [
    ("text-embedding-3-small", 28_672),
    ("text-embedding-3-large", 28_672),
    ("text-embedding-ada-002", 28_672),
    ("amazon.titan-embed-image-v1", 896),
    ("cohere.embed-english-v3", 1_792),
    ("cohere.embed-multilingual-v3", 1_792),
];

fn too_long(nodes: &[WorkflowNode]) -> Option<String> {
    let of = |kind: &str| nodes.iter().find(|node| node.node_type == kind);
    let model = of("embed")?.settings.get("model_name")?.as_str()?;
    let (_, limit) = LONGEST_CHUNKS.iter().find(|(known, _)| *known == model)?;
    let asked = of("chunk")?.settings.get("max_characters")?.as_u64()?;
    (asked > *limit).then(|| {
        format!("Chunks may have {asked} characters, and the model {model:?} takes {limit}: such a run fails.")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(nodes: &serde_json::Value) -> UnstructuredWorkflowSpec {
        serde_json::from_value(json!({
            "sourceRef": { "kind": "DropboxSource", "name": "s" },
            "destinationRef": { "kind": "PineconeDestination", "name": "d" },
            "nodes": nodes,
        }))
        .unwrap()
    }

    #[test]
    fn a_sound_pipeline_needs_no_advice() {
        let nodes = json!([
            { "name": "P", "type": "partition", "subtype": "vlm" },
            { "name": "C", "type": "chunk", "subtype": "chunk_by_title", "settings": { "max_characters": 2048 } },
            { "name": "E", "type": "embed", "subtype": "azure_openai", "settings": { "model_name": "text-embedding-3-small" } },
        ]);
        assert_eq!(advice(&spec(&nodes)), Vec::<String>::new());
    }

    #[test]
    fn what_writes_nothing_or_fails_is_said() {
        let nodes = json!([
            { "name": "E", "type": "embed", "subtype": "azure_openai", "settings": { "model_name": "text-embedding-3-small" } },
            { "name": "P", "type": "vlm", "subtype": "partition" },
            { "name": "C", "type": "chunk", "subtype": "chunk_by_title", "settings": { "max_characters": 99999 } },
        ]);
        let said = advice(&spec(&nodes)).join("\n");
        for word in ["nothing reads", "before the chunker", "swapped", "99999"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        let bare = json!([{ "name": "P", "type": "partition", "subtype": "vlm" }]);
        assert!(advice(&spec(&bare))[0].contains("write nothing"));
    }
}
