//! The identities that the service gives: UUIDs, written in lower case with hyphens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Defines an identity and the error of a string that is none.
macro_rules! identity {
    ($(#[$about:meta])* $name:ident, $(#[$about_error:meta])* $error:ident, $text:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        $(#[$about_error])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error($text)]
        pub struct $error;

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                hyphenated(text).map(Self).ok_or($error)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

identity!(
    /// A connector's identity, given by the service: a UUID, written in lower case with hyphens.
    ConnectorId,
    /// A string that is no [`ConnectorId`].
    ConnectorIdError,
    "a source id is a UUID such as 7cf30ead-cf54-479f-a897-b5fbe8790b76; copy it from the connector's page or from the API"
);

identity!(
    /// A workflow's identity, given by the service: a UUID, written in lower case with hyphens.
    WorkflowId,
    /// A string that is no [`WorkflowId`].
    WorkflowIdError,
    "a workflow id is a UUID such as 4d894467-6a0c-4c36-8a0f-2a5b1c0f7e11; copy it from the workflow's page or from the API"
);

identity!(
    /// A job's identity, given by the service: a UUID, written in lower case with hyphens.
    JobId,
    /// A string that is no [`JobId`].
    JobIdError,
    "a job id is a UUID such as 667e4fb9-2c1d-4b6a-9f7e-0d3c5a8b1e22; copy it from the job's page or from the API"
);

/// Whether a text is an identity of anything.
pub(super) fn is_identity(text: &str) -> bool {
    hyphenated(text).is_some()
}

/// The hyphenated form only: the others that the parser takes (braces, urn:) are not what the service calls an id.
fn hyphenated(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BAD: [&str; 5] = [
        "",
        "x",
        "7cf30eadcf54479fa897b5fbe8790b76",
        "{7cf30ead-cf54-479f-a897-b5fbe8790b}",
        "../../workflows/7cf30ead-cf54-479f",
    ];

    #[test]
    fn an_id_is_a_hyphenated_uuid_in_lower_case() {
        let id: ConnectorId = "7CF30EAD-cf54-479f-a897-b5fbe8790b76".parse().unwrap();
        assert_eq!(id.to_string(), "7cf30ead-cf54-479f-a897-b5fbe8790b76");
        assert_eq!(json!(id), json!("7cf30ead-cf54-479f-a897-b5fbe8790b76"));
        for bad in BAD {
            assert_eq!(bad.parse::<ConnectorId>(), Err(ConnectorIdError), "{bad}");
            assert_eq!(bad.parse::<WorkflowId>(), Err(WorkflowIdError), "{bad}");
            assert_eq!(bad.parse::<JobId>(), Err(JobIdError), "{bad}");
            assert!(!is_identity(bad), "{bad}");
        }
    }
}
