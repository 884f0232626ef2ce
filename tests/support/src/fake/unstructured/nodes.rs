//! The nodes of a workflow: which settings the service knows of each kind of node, and what it fills in.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::config::MASK;

/// The kinds of node.
pub(super) const TYPES: &[&str] = &[
    "partition",
    "prompter",
    "chunk",
    "embed",
    "structured_data_extractor",
];

/// The settings that hold keys of others' services.
pub(super) const SECRETS: &[&str] = &["provider_api_key", "unstructured_api_key"];

/// A type, a subtype or the end of one, and its settings: each with the default that answers hold, in JSON, if there is one.
type Row = (&'static str, &'static str, &'static str);

const CHUNK: &str = "unstructured_api_url=null unstructured_api_key=null include_orig_elements=false new_after_n_chars max_characters overlap overlap_all=false contextual_chunking_strategy=null";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("partition", "vlm", r#"provider="anthropic" provider_api_key=null model="claude-sonnet-4-20250514" output_format="text/html" prompt=null format_html=true unique_element_ids=true is_dynamic allow_fast=true custom_host_config=null"#),
    ("partition", "unstructured_api", r#"strategy include_page_breaks=false pdf_infer_table_structure=false exclude_elements=null xml_keep_tags=false encoding="utf-8" ocr_languages extract_image_block_types infer_table_structure coordinates"#),
    ("prompter", "_image_description", "provider_type model"),
    ("prompter", "_table_description", "provider_type model"),
    ("prompter", "_table2html", "provider_type model"),
    ("prompter", "_ner", "provider_type model prompt_interface_overrides"),
    ("prompter", "_ocr", "provider_type model"),
    ("chunk", "chunk_by_character", CHUNK),
    ("chunk", "chunk_by_title", CHUNK),
    ("chunk", "chunk_by_title", "multipage_sections=false combine_text_under_n_chars=null"),
    ("chunk", "chunk_by_page", CHUNK),
    ("chunk", "chunk_by_similarity", CHUNK),
    ("chunk", "chunk_by_similarity", "similarity_threshold"),
    ("embed", "azure_openai", "model_name"),
    ("embed", "openai", "model_name"),
    ("embed", "bedrock", "model_name"),
    ("embed", "ibm", "model_name"),
    ("embed", "togetherai", "model_name"),
    ("embed", "voyageai", "model_name"),
    ("structured_data_extractor", "llm", "schema_to_extract provider model"),
];

/// Defaults that are others than they were, by subtype and setting.
pub(super) type Drift = HashMap<(String, String), Value>;

/// A node as the service stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredNode {
    /// Assigned by the service, anew with every write.
    pub id: String,
    /// Any text.
    pub name: String,
    /// `partition`, `chunk`…
    pub node_type: String,
    /// `vlm`, `chunk_by_title`…
    pub subtype: String,
    /// What was sent, without what the service does not know.
    pub settings: Map<String, Value>,
}

impl StoredNode {
    pub(super) fn new(name: String, node_type: String, subtype: String) -> Self {
        Self {
            id: crate::wall::uuid().to_string(),
            name,
            node_type,
            subtype,
            settings: Map::new(),
        }
    }

    /// Takes the settings that the service knows; of a subtype that it does not know, all.
    pub(super) fn with_settings(mut self, sent: Map<String, Value>) -> Self {
        let known: Vec<_> = self.known().map(|(setting, _)| setting).collect();
        self.settings = sent;
        if !known.is_empty() {
            self.settings
                .retain(|name, _| known.contains(&name.as_str()));
        }
        self
    }

    /// What an answer shows: the defaults of the day where nothing was sent.
    pub(super) fn body(&self, drift: &Drift, masked: bool) -> Value {
        let mut settings = self.settings.clone();
        for (setting, default) in self.known() {
            let drifted = drift.get(&(self.subtype.clone(), setting.to_owned()));
            if let Some(default) = drifted.cloned().or(default) {
                settings.entry(setting).or_insert(default);
            }
        }
        let sent = self.settings.iter().filter(|(_, value)| !value.is_null());
        for (name, _) in sent.filter(|(name, _)| masked && SECRETS.contains(&name.as_str())) {
            settings.insert(name.clone(), MASK.into());
        }
        json!({
            "id": self.id,
            "name": self.name,
            "type": self.node_type,
            "subtype": self.subtype,
            "settings": settings,
        })
    }

    fn known(&self) -> impl Iterator<Item = (&'static str, Option<Value>)> {
        let ours = ROWS.iter().filter(|(node_type, subtype, _)| {
            let same = match subtype.strip_prefix('_') {
                Some(_) => self.subtype.ends_with(subtype),
                None => self.subtype == *subtype,
            };
            *node_type == self.node_type && same
        });
        ours.flat_map(|(_, _, settings)| settings.split(' '))
            .map(|setting| match setting.split_once('=') {
                Some((name, default)) => {
                    let default = serde_json::from_str(default);
                    (name, Some(default.expect("a default of the table is JSON")))
                }
                None => (setting, None),
            })
    }
}
