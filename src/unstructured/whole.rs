//! A connector with all that the service shows of it: for who writes it down, not for who compares.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer;
use super::kept::Kept;
use super::types::{Connector, heap};
use super::unreadable::Unreadable;

/// A connector of any type with its whole configuration, as the service shows it: nothing is cut, and what is masked shows the mask.
#[derive(Clone, PartialEq)]
pub struct Whole {
    /// Who it is, without its settings.
    pub connector: Connector,
    /// Its configuration; empty where none is shown.
    pub config: Map<String, Value>,
}

impl Whole {
    /// Reads it, whatever its type.
    pub(super) fn read(element: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Shown {
            #[serde(default)]
            config: Value,
        }
        let connector = answer::connector(element, &Kept::only([]))?;
        let shown: Shown = serde_json::from_slice(element).map_err(|_| Unreadable::SHAPE)?;
        let config = match shown.config {
            Value::Object(config) => config,
            _ => Map::new(),
        };
        Ok(Self { connector, config })
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        let members = self.config.iter();
        let config: usize = members
            .map(|(name, value)| name.capacity() + heap(value) + 64)
            .sum();
        self.connector.size() + config
    }
}

/// The names of the fields, never their values.
impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.config.keys().collect();
        f.debug_struct("Whole")
            .field("connector", &self.connector)
            .field("config", &names)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_is_shown_is_kept_and_no_value_is_in_its_debug() {
        let long = "x".repeat(10_000);
        let config = json!({ "text": long, "nested": { "a": [null] }, "key": "in clear" });
        let body = json!({
            "id": "7cf30ead-cf54-479f-a897-b5fbe8790b76", "name": "n", "type": "s3", "config": config,
        });
        let whole = Whole::read(body.to_string().as_bytes()).unwrap();
        assert_eq!(Value::Object(whole.config.clone()), config);
        assert_eq!(&*whole.connector.connector_type, "s3");
        assert!(whole.size() > 10_000);
        let shown = format!("{whole:?}");
        assert!(
            shown.contains("nested") && !shown.contains("in clear"),
            "{shown}"
        );
        for none in [json!(null), json!("text"), json!([1])] {
            let body =
                json!({ "id": whole.connector.id, "name": "n", "type": "s3", "config": none });
            let read = Whole::read(body.to_string().as_bytes()).unwrap();
            assert_eq!(read.config, Map::new());
        }
    }
}
