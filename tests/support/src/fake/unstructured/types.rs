//! Every type of connector that the service knows, as data.
//!
//! A row is a type, its fields, and which fields can stand in for each other. A field is its name, then in this order
//! `?` for a boolean, `#` for an integer, `[]` for a list or `@` for a text or the reference to a stored secret, `*` when it is required, `!` when it is secret, `^` with
//! the schemes that its URL may have (or `\w` for a word), and `=` with the default that answers hold. Fields without
//! any of it are left out: what is not named is stored as it comes.
//!
//! Alternatives are separated by `|`; of the fields joined by `+` all are needed. When none is complete, what the last
//! one lacks is what the service complains about.

use serde_json::Value;

use super::{Family, nodes};

type Row = (&'static str, &'static str, &'static str);

#[rustfmt::skip]
const SOURCES: &[Row] = &[
    ("azure", "remote_url*^az|abfs account_name! account_key! connection_string! sas_token! recursive?=true", ""),
    ("box", "box_app_config*! remote_url*^box recursive?=true", ""),
    ("confluence", "url* username* password! api_token! token! oauth_token! refresh_token! cloud?=false extract_images?=false extract_files?=false max_num_of_spaces#=500 max_num_of_docs_from_each_space#=150 spaces[]", ""),
    ("couchbase", "bucket* connection_string* batch_size#* username* password*! collection_id*", ""),
    ("databricks_volumes", "host* catalog* volume* volume_path* client_id! client_secret! token! schema=default", "token|client_id+client_secret"),
    ("dropbox", "remote_url*^dropbox recursive?=true token! refresh_token! app_key! app_secret!", "token|refresh_token+app_key+app_secret"),
    ("elasticsearch", "hosts[]* index_name* es_api_key*!", ""),
    ("gcs", "remote_url*^gs|gcs service_account_key*! oauth_token! refresh_token! recursive?=true", ""),
    ("google_drive", "drive_id* service_account_key@*! extensions[] recursive?=true", ""),
    ("jira", "url* username* password! token! oauth_token! refresh_token! cloud?=false projects[] boards[] issues[] status_filters[] download_attachments?=false", ""),
    ("kafka-cloud", "bootstrap_server bootstrap_servers topic* kafka_api_key*! secret*! port#=9092 num_messages_to_consume#=100", "bootstrap_servers|bootstrap_server"),
    ("mongodb", "database* collection* uri*!^mongodb|mongodb+srv", ""),
    ("onedrive", "client_id* user_pname* tenant* authority_url* client_cred*! password! path* recursive?=false", ""),
    ("opensearch", "hosts[]* index_name* password! aws_access_key_id! aws_secret_access_key! aws_session_token! use_ssl?=true fields[]", ""),
    ("outlook", "client_id* client_cred*! password! user_email* outlook_folders[] recursive?=false", ""),
    ("postgres", "host* database* port#* username* password*! table_name* batch_size#* id_column=id fields[]", ""),
    ("s3", "remote_url*^s3 anonymous?=false ambient_credentials? key! secret! token! recursive?=true", ""),
    ("salesforce", "username* consumer_key*! private_key*! categories[]*", ""),
    ("sharepoint", "site*^https tenant* user_pname* client_id* client_cred*! password! authority_url=https://login.microsoftonline.com recursive?=false", ""),
    ("slack", "channels[]* token*!", ""),
    ("snowflake", "account* role* user* password*! host* database* schema* table_name* id_column* port#=443 batch_size#=100 fields[]", ""),
    ("teradata", "host* table_name* id_column* user* password*! dbs_port#=1025 batch_size#=100 fields[]", ""),
    ("zendesk", "subdomain* email* api_token*! item_type=tickets batch_size#=2", ""),
];

#[rustfmt::skip]
const DESTINATIONS: &[Row] = &[
    ("astradb", "collection_name*^\\w api_endpoint*! token*! keyspace=default_keyspace batch_size#=20 binary_encode_vectors?=true flatten_metadata?=false", ""),
    ("azure", "remote_url*^az|abfs account_name! account_key! connection_string! sas_token!", ""),
    ("azure_ai_search", "endpoint* index* key*!", ""),
    ("couchbase", "bucket* connection_string* username* password*! batch_size#*", ""),
    ("databricks_volumes", "host* catalog* volume* volume_path* client_id! client_secret! token! schema=default", "token|client_id+client_secret"),
    ("databricks_volume_delta_tables", "server_hostname* http_path* catalog* volume* token! client_id! client_secret! database=default schema=default", "token|client_id+client_secret"),
    ("delta_table", "aws_access_key_id*! aws_secret_access_key*! aws_region* table_uri*^s3", ""),
    ("elasticsearch", "hosts[]* index_name* es_api_key*!", ""),
    ("gcs", "remote_url*^gs|gcs service_account_key*!", ""),
    ("ibm_watsonx_s3", "iam_api_key*! access_key_id*! secret_access_key*! iceberg_endpoint* object_storage_endpoint* object_storage_region* catalog* namespace* table* max_retries#=50 max_retries_connection#=10 record_id_key=record_id", ""),
    ("kafka-cloud", "bootstrap_server bootstrap_servers topic* kafka_api_key*! secret*! port#=9092 batch_size#=100", "bootstrap_servers|bootstrap_server"),
    ("milvus", "uri*^http|https collection_name* record_id_key* password! token! flatten_metadata?=true", ""),
    ("mongodb", "database* collection* uri*!^mongodb|mongodb+srv", ""),
    ("motherduck", "database* db_schema* table=elements md_token*!", ""),
    ("neo4j", "uri* database* username* password*! batch_size#=100", ""),
    ("onedrive", "user_pname* tenant* remote_url*^onedrive client_cred! oauth_token! refresh_token! password! authority_url=https://login.microsoftonline.com", ""),
    ("opensearch", "hosts[]* index_name* password! aws_access_key_id! aws_secret_access_key! aws_session_token! use_ssl?", ""),
    ("pinecone", "index_name* api_key*! namespace* batch_size#=50", ""),
    ("postgres", "host* database* port#* username* password*! table_name* batch_size#*", ""),
    ("qdrant-cloud", "url* api_key*! collection_name* batch_size#=50", ""),
    ("redis", "host* port#=6379 password! uri! database#=0 ssl?=true batch_size#=100", ""),
    ("s3", "remote_url*^s3 anonymous?=false ambient_credentials?=false key! secret! token!", ""),
    ("snowflake", "account* role* user* password*! host* database* schema* port#=443 table_name=elements batch_size#=50 record_id_key=record_id", ""),
    ("teradata", "host* user* password*! dbs_port#=1025 table_name=elements batch_size#=50 record_id_key=record_id", ""),
    ("weaviate-cloud", "cluster_url* api_key*! collection", ""),
];

/// A type of connector.
pub(super) struct Type {
    pub(super) fields: Vec<Field>,
    /// Of each list, all are needed; of the lists, one. Empty when there is nothing to choose.
    pub(super) alternatives: Vec<Vec<&'static str>>,
}

/// A member of a configuration.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    /// One of the connector's `AccessConfig` class in `unstructured-ingest`, which the service masks.
    pub(super) secret: bool,
    pub(super) pattern: Option<Pattern>,
    pub(super) default: Option<Value>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Boolean,
    Integer,
    List,
    /// A text, or an object that refers to a secret which the service has already.
    Reference,
}

/// What a text has to look like.
pub(super) enum Pattern {
    /// Letters, digits and underscores.
    Word,
    /// A URL of one of these schemes.
    Schemes(Vec<&'static str>),
}

impl Pattern {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Word => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                !text.is_empty() && text.chars().all(word)
            }
            Self::Schemes(schemes) => text
                .split_once("://")
                .is_some_and(|(scheme, _)| schemes.contains(&scheme)),
        }
    }

    /// As the service would write it.
    pub(super) fn expression(&self) -> String {
        match self {
            Self::Word => r"^\w+$".into(),
            Self::Schemes(schemes) => match &schemes.join("|").replace('+', r"\+")[..] {
                one if schemes.len() == 1 => format!("^{one}://"),
                several => format!("^({several})://"),
            },
        }
    }
}

impl Family {
    fn rows(self) -> &'static [Row] {
        match self {
            Self::Sources => SOURCES,
            Self::Destinations => DESTINATIONS,
        }
    }

    /// The type of this name, when the service knows it.
    pub(super) fn known(self, name: &str) -> Option<Type> {
        let (_, fields, alternatives) = self.rows().iter().find(|row| row.0 == name)?;
        Some(Type {
            fields: fields.split(' ').map(Field::parse).collect(),
            alternatives: match *alternatives {
                "" => Vec::new(),
                some => some
                    .split('|')
                    .map(|all| all.split('+').collect())
                    .collect(),
            },
        })
    }
}

impl Field {
    fn parse(text: &'static str) -> Self {
        let (rest, default) = match text.split_once('=') {
            Some((rest, default)) => (rest, Some(default)),
            None => (text, None),
        };
        let (rest, pattern) = match rest.split_once('^') {
            Some((rest, r"\w")) => (rest, Some(Pattern::Word)),
            Some((rest, schemes)) => (rest, Some(Pattern::Schemes(schemes.split('|').collect()))),
            None => (rest, None),
        };
        let end = rest
            .find(['?', '#', '[', '@', '*', '!'])
            .unwrap_or(rest.len());
        let (name, flags) = rest.split_at(end);
        let kind = match flags.trim_end_matches(['*', '!']) {
            "" => Kind::Text,
            "?" => Kind::Boolean,
            "#" => Kind::Integer,
            "[]" => Kind::List,
            "@" => Kind::Reference,
            strange => panic!("{strange} is no kind of field: {text}"),
        };
        let default = default.map(|default| match kind {
            Kind::Text => default.into(),
            _ => serde_json::from_str(default).expect("a default of its kind"),
        });
        Self {
            name,
            kind,
            required: flags.contains('*'),
            secret: flags.contains('!'),
            pattern,
            default,
        }
    }
}

/// Whether any type keeps a secret under this name, so that no printed line shows one.
pub(in crate::fake) fn is_secret(name: &str) -> bool {
    let rows = SOURCES.iter().chain(DESTINATIONS);
    let mut fields = rows.flat_map(|row| row.1.split(' ')).map(Field::parse);
    nodes::SECRETS.contains(&name) || fields.any(|field| field.secret && field.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_reads_as_it_is_meant() {
        for family in Family::ALL {
            let names: Vec<_> = family.rows().iter().map(|row| row.0).collect();
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(names.len(), sorted.len(), "a type is there once");
            for name in names {
                let known = family.known(name).expect("a row");
                for Field {
                    name: field,
                    kind,
                    pattern,
                    default,
                    ..
                } in &known.fields
                {
                    let simple = |c: char| c.is_ascii_lowercase() || c == '_';
                    assert!(
                        field.chars().all(simple) && !field.is_empty(),
                        "{name} {field}"
                    );
                    assert!(pattern.is_none() || *kind == Kind::Text, "{name} {field}");
                    let fits = match default {
                        None | Some(Value::String(_)) => true,
                        Some(Value::Bool(_)) => *kind == Kind::Boolean,
                        Some(other) => *kind == Kind::Integer && other.is_u64(),
                    };
                    assert!(fits, "{name} {field}");
                }
                for field in known.alternatives.concat() {
                    assert!(
                        known.fields.iter().any(|f| f.name == field && !f.required),
                        "{name} {field}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_field_has_what_its_row_says() {
        let mongodb = Family::Destinations.known("mongodb").expect("it");
        let uri = &mongodb.fields[2];
        assert!(uri.required && uri.secret && uri.name == "uri");
        let pattern = uri.pattern.as_ref().expect("one");
        assert_eq!(pattern.expression(), r"^(mongodb|mongodb\+srv)://");
        assert!(pattern.matches("mongodb+srv://host") && !pattern.matches("https://host"));
        assert!(!Pattern::Word.matches("a-b") && Pattern::Word.matches("a_1"));
        assert!(Family::Destinations.known("dropbox").is_none());
        assert!(is_secret("es_api_key") && !is_secret("index_name"));
    }
}
