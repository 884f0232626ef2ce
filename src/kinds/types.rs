//! What is known of the types of connectors: which parameters each has, which it needs, and which are secret.
//!
//! The service moves faster than this table: a type or a parameter that is not in it is sent all the same. Source: the service's
//! `OpenAPI` document 3.1.0 and its documentation, as of October 2026.

use crate::unstructured::Collection;

/// What is known of one type.
#[derive(Debug)]
pub struct ConnectorType {
    /// Its family.
    pub collection: Collection,
    /// Its name in the API.
    pub name: &'static str,
    /// Parameters without which the service refuses it.
    pub required: &'static [&'static str],
    /// Parameters that it can do without.
    pub optional: &'static [&'static str],
    /// Parameters, of either sort, that nobody may read.
    pub secret: &'static [&'static str],
}

impl ConnectorType {
    /// What is known of this type, if anything is.
    pub fn find(collection: Collection, name: &str) -> Option<&'static Self> {
        TYPES
            .iter()
            .find(|known| known.collection == collection && known.name == name)
    }

    /// Whether it has such a parameter.
    pub fn has(&self, parameter: &str) -> bool {
        self.required.contains(&parameter)
            || self.optional.contains(&parameter)
            || self.secret.contains(&parameter)
    }
}

const fn source(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    secret: &'static [&'static str],
) -> ConnectorType {
    ConnectorType {
        collection: Collection::Sources,
        name,
        required,
        optional,
        secret,
    }
}

const fn destination(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    secret: &'static [&'static str],
) -> ConnectorType {
    ConnectorType {
        collection: Collection::Destinations,
        ..source(name, required, optional, secret)
    }
}

/// All that are known: name, required, optional, secret.
#[rustfmt::skip]
pub const TYPES: &[ConnectorType] = &[
    source("azure", &["remote_url"], &["recursive"], &["account_name", "account_key", "connection_string", "sas_token"]),
    source("box", &["box_app_config", "remote_url"], &["recursive"], &["box_app_config"]),
    source("confluence", &["url"],
        &["username", "cloud", "cloud_id", "extract_images", "extract_files", "max_num_of_spaces", "max_num_of_docs_from_each_space", "spaces"],
        &["password", "api_token", "token", "oauth_token", "refresh_token"]),
    source("couchbase", &["bucket", "connection_string", "batch_size", "username", "password", "collection_id"], &["scope", "collection"], &["password"]),
    source("databricks_volumes", &["host", "catalog", "volume"], &["volume_path", "schema"], &["client_id", "client_secret", "token"]),
    source("dropbox", &["remote_url"], &["recursive"], &["token", "refresh_token", "app_key", "app_secret"]),
    source("elasticsearch", &["hosts", "index_name", "es_api_key"], &[], &["es_api_key"]),
    source("gcs", &["remote_url"], &["recursive"], &["service_account_key", "oauth_token", "oauth_refresh_token"]),
    source("google_drive", &["drive_id"], &["extensions", "recursive"], &["service_account_key", "oauth_token", "refresh_token"]),
    source("jira", &["url"],
        &["username", "cloud", "cloud_id", "projects", "boards", "issues", "status_filters", "download_attachments"],
        &["password", "token", "oauth_token", "refresh_token"]),
    source("kafka-cloud", &["topic", "kafka_api_key", "secret"],
        &["bootstrap_server", "bootstrap_servers", "port", "group_id", "num_messages_to_consume"], &["kafka_api_key", "secret"]),
    source("mongodb", &["database", "collection", "uri"], &[], &["uri"]),
    source("onedrive", &["user_pname", "tenant"], &["client_id", "authority_url", "path", "recursive"],
        &["client_cred", "password", "oauth_token", "refresh_token"]),
    source("opensearch", &["hosts", "index_name"], &["username", "use_ssl", "fields"],
        &["password", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"]),
    source("outlook", &["client_id", "client_cred", "user_email"], &["authority_url", "tenant", "outlook_folders", "recursive"],
        &["client_cred", "oauth_token", "refresh_token"]),
    source("postgres", &["host", "database", "port", "username", "password", "table_name", "batch_size"], &["id_column", "fields"], &["password"]),
    source("s3", &["remote_url"], &["anonymous", "ambient_credentials", "endpoint_url", "recursive", "role_arn", "external_id"],
        &["key", "secret", "token"]),
    source("salesforce", &["username", "consumer_key", "private_key", "categories"], &[], &["consumer_key", "private_key"]),
    source("sharepoint", &["site", "tenant"], &["user_pname", "client_id", "authority_url", "path", "library", "recursive"],
        &["client_cred", "password", "oauth_token", "refresh_token"]),
    source("slack", &["channels", "token"], &["start_date", "end_date"], &["token", "oauth_token", "refresh_token"]),
    source("snowflake", &["account", "role", "user", "password", "host", "database", "schema", "table_name", "id_column"],
        &["port", "batch_size", "fields"], &["password"]),
    source("teradata", &["host", "table_name", "id_column", "user", "password"], &["database", "dbs_port", "batch_size", "fields"], &["password"]),
    source("zendesk", &["subdomain", "email", "api_token"], &["item_type", "batch_size"], &["api_token"]),

    destination("astradb", &["collection_name", "api_endpoint", "token"],
        &["keyspace", "batch_size", "binary_encode_vectors", "flatten_metadata", "enable_lexical_search", "astra_generated_embeddings"],
        &["api_endpoint", "token"]),
    destination("azure", &["remote_url"], &[], &["account_name", "account_key", "connection_string", "sas_token"]),
    destination("azure_ai_search", &["endpoint", "index", "key"], &[], &["key"]),
    destination("couchbase", &["bucket", "connection_string", "username", "password", "batch_size"], &["scope", "collection"], &["password"]),
    destination("databricks_volumes", &["host", "catalog", "volume", "volume_path"], &["schema"], &["client_id", "client_secret", "token"]),
    destination("databricks_volume_delta_tables", &["server_hostname", "http_path", "catalog", "volume"],
        &["database", "schema", "table_name", "volume_path"], &["token", "client_id", "client_secret"]),
    destination("delta_table", &["aws_access_key_id", "aws_secret_access_key", "aws_region", "table_uri"], &[],
        &["aws_access_key_id", "aws_secret_access_key"]),
    destination("elasticsearch", &["hosts", "index_name", "es_api_key"], &[], &["es_api_key"]),
    destination("gcs", &["remote_url", "service_account_key"], &[], &["service_account_key"]),
    destination("ibm_watsonx_s3",
        &["iam_api_key", "access_key_id", "secret_access_key", "iceberg_endpoint", "object_storage_endpoint", "object_storage_region",
          "catalog", "namespace", "table"],
        &["max_retries", "max_retries_connection", "record_id_key", "account_id"], &["iam_api_key", "access_key_id", "secret_access_key"]),
    destination("kafka-cloud", &["topic", "kafka_api_key", "secret"], &["bootstrap_server", "bootstrap_servers", "port", "group_id", "batch_size"],
        &["kafka_api_key", "secret"]),
    destination("milvus", &["uri", "collection_name", "record_id_key"], &["user", "db_name", "flatten_metadata", "fields_to_include"],
        &["password", "token"]),
    destination("mongodb", &["database", "collection", "uri"], &[], &["uri"]),
    destination("motherduck", &["database", "db_schema", "md_token"], &["table"], &["md_token"]),
    destination("neo4j", &["uri", "database", "username", "password"], &["batch_size"], &["password"]),
    destination("onedrive", &["user_pname", "tenant", "remote_url"], &["client_id", "authority_url"],
        &["client_cred", "oauth_token", "refresh_token", "password"]),
    destination("opensearch", &["hosts", "index_name"], &["username", "use_ssl"],
        &["password", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"]),
    destination("pinecone", &["index_name", "api_key", "namespace"], &["batch_size"], &["api_key"]),
    destination("postgres", &["host", "database", "port", "username", "password", "table_name", "batch_size"], &[], &["password"]),
    destination("qdrant-cloud", &["url", "api_key", "collection_name"], &["batch_size"], &["api_key"]),
    destination("redis", &["host"], &["port", "username", "database", "ssl", "batch_size", "key_prefix"], &["password", "uri"]),
    destination("s3", &["remote_url"], &["anonymous", "ambient_credentials", "endpoint_url", "role_arn", "external_id"],
        &["key", "secret", "token"]),
    destination("snowflake", &["account", "role", "user", "password", "host", "database", "schema"],
        &["port", "table_name", "batch_size", "record_id_key"], &["password"]),
    destination("teradata", &["host", "user", "password"], &["database", "dbs_port", "table_name", "batch_size", "record_id_key"], &["password"]),
    destination("weaviate-cloud", &["cluster_url", "api_key"], &["collection"], &["api_key"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_type_is_there_once_and_no_parameter_is_both_required_and_optional() {
        let mut names = BTreeSet::new();
        for known in TYPES {
            assert!(
                names.insert((known.collection, known.name)),
                "{}",
                known.name
            );
            let twice = known
                .optional
                .iter()
                .find(|name| known.required.contains(*name) || known.secret.contains(*name));
            assert_eq!(twice, None, "{}", known.name);
        }
    }
}
