//! The operations on connectors and their checks, once the key and the path are known to be good.

use serde_json::Value;

use super::{
    Family, StoredConnector, answers,
    check::{Check, Poll},
    config::{self, Config, MASK},
    envelope::{self, Invalid},
    keys,
    lag::hides,
    rules::{NoCheckYet, Permission, ReceivedMask, Rename, Rules, Validation},
    types::Type,
    workspace::{Collection, Workspace},
};
use crate::fake::{Answer, Recorded};

/// Where what a careful client would not have sent is told.
pub(super) type Violation<'a> = &'a mut dyn FnMut(&str);

/// One request of a workspace's key.
pub(super) struct Call<'a> {
    pub(super) rules: &'a Rules,
    pub(super) workspace: &'a mut Workspace,
    pub(super) family: Family,
    /// Of the connector in the path, when there is one.
    pub(super) id: String,
}

impl Call<'_> {
    pub(super) fn list(&mut self, query: &str, violation: Violation<'_>) -> Result<Answer, Answer> {
        let parameter = self.family.type_parameter();
        let mut wanted = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name != parameter {
                violation(&format!("an unknown query parameter {name}"));
                continue;
            }
            if self.known(&value).is_err() {
                let kind = self.family.title().to_lowercase();
                let unknown = Invalid {
                    kind: "enum",
                    loc: &["query", parameter],
                    message: &format!("Input should be a known {kind} type"),
                    input: value.into(),
                };
                return Err(unknown.refused(self.rules));
            }
            wanted = Some(value);
        }
        let order = self.rules.list_order;
        let listed = self.collection().listed(order);
        let bodies = listed
            .iter()
            .filter(|connector| {
                wanted
                    .as_ref()
                    .is_none_or(|w| *w == connector.connector_type)
            })
            .filter(|connector| !hides(connector.created_at, self.rules.listed_after))
            .map(|connector| connector.body(self.rules, &self.workspace.keys));
        Ok(Answer::json(200, &bodies.collect()))
    }

    pub(super) fn create(
        &mut self,
        request: &Recorded,
        violation: Violation<'_>,
    ) -> Result<Answer, Answer> {
        let mut body = envelope::body(request, &["name", "type"], self.rules)?;
        let (name, connector_type) = (text(&mut body, "name"), text(&mut body, "type"));
        let mut config = configuration(&mut body);
        let key = body.remove("key");
        for unknown in body.keys() {
            violation(&format!("an unknown member {unknown}"));
        }
        let known = self.known(&connector_type)?;
        let key = keys::admit(key, self.rules, self.workspace)?;
        if name.contains(MASK) && self.rules.received_mask == ReceivedMask::Refused {
            return Err(mask_refused(["name".to_owned()]));
        }
        self.settle_masks(&mut config, &Config::new())?;
        self.validate(known.as_ref(), &config)?;
        if let Permission::Refused(status) = self.rules.duplicate_names
            && self.collection().connectors.iter().any(|c| c.name == name)
        {
            let text = format!("{} with name {name} already exists", self.family.title());
            return Err(refused(status, "name", &text));
        }
        let lag = self.rules.list_lag;
        self.collection().freeze_list(lag);
        self.id = self
            .workspace
            .create(self.family, &connector_type, &name, key, config);
        if !self.rules.updated_at_on_create {
            self.connector()?.updated_at = None;
        }
        self.get()
    }

    pub(super) fn get(&mut self) -> Result<Answer, Answer> {
        let (rules, keys) = (self.rules, self.workspace.keys);
        Ok(Answer::json(200, &self.connector()?.body(rules, &keys)))
    }

    pub(super) fn update(
        &mut self,
        request: &Recorded,
        violation: Violation<'_>,
    ) -> Result<Answer, Answer> {
        let mut body = envelope::body(request, &[], self.rules)?;
        let mut config = configuration(&mut body);
        for unknown in body.keys() {
            violation(&match unknown.as_str() {
                "name" | "type" | "key" => format!("an attempt to change the {unknown}"),
                unknown => format!("an unknown member {unknown}"),
            });
        }
        let stored = self.connector()?.clone();
        let known = self.family.known(&stored.connector_type);
        let fields = known.iter().flat_map(|known| &known.fields);
        for secret in fields.filter(|field| field.secret).map(|field| field.name) {
            if stored.config.contains_key(secret) && !config.contains_key(secret) {
                violation(&format!("an update without the stored secret {secret}"));
            }
        }
        let name = body.get("name").and_then(Value::as_str);
        if name.is_some() && self.rules.rename == Rename::Refused {
            let extra = Invalid {
                kind: "extra_forbidden",
                loc: &["body", "name"],
                message: "Extra inputs are not permitted",
                input: name.into(),
            };
            return Err(extra.refused(self.rules));
        }
        self.settle_masks(&mut config, &stored.config)?;
        if self.rules.put_merges {
            let mut merged = stored.config;
            merged.append(&mut config);
            config = merged;
        }
        self.validate(known.as_ref(), &config)?;
        let lag = self.rules.list_lag;
        self.collection().freeze_list(lag);
        let honoured = self.rules.rename == Rename::Honoured;
        let connector = self.connector()?;
        connector.config = config;
        if let (true, Some(name)) = (honoured, name) {
            name.clone_into(&mut connector.name);
        }
        connector.touch();
        self.get()
    }

    pub(super) fn delete(&mut self) -> Result<Answer, Answer> {
        let in_use = self.connector()?.in_use || self.workspace.pipelines.uses(&self.id);
        let title = self.family.title();
        if let (true, Permission::Refused(status)) = (in_use, self.rules.delete_in_use) {
            let text = format!("{title} with id {} is used by a workflow", self.id);
            return Err(refused(status, self.family.id_parameter(), &text));
        }
        let lag = self.rules.list_lag;
        self.collection().freeze_list(lag);
        self.workspace.remove(self.family, &self.id);
        if self.rules.delete_answers_204 {
            return Ok(Answer::empty(204));
        }
        let text = format!("{title} with id {} successfully deleted.", self.id);
        Ok(answers::detail(200, &text))
    }

    pub(super) fn start_check(&mut self) -> Result<Answer, Answer> {
        let moves = self.rules.check_moves_updated_at;
        let connector = self.connector()?;
        if moves {
            connector.touch();
        }
        let connector = connector.clone();
        let collection = self.collection();
        let check = Check::new((collection.check_rule)(&connector));
        let answer = Answer::json(202, &check.scheduled());
        let checks = collection.checks.entry(connector.id).or_default();
        checks.push(check);
        Ok(answer)
    }

    pub(super) fn latest_check(&mut self) -> Result<Answer, Answer> {
        self.connector()?;
        let (title, id) = (self.family.title().to_lowercase(), &self.id);
        let none = || match self.rules.no_check_yet {
            NoCheckYet::NotFound => {
                answers::detail(404, &format!("No connection check for {title} {id}"))
            }
            NoCheckYet::Null => Answer::json(200, &Value::Null),
        };
        let checks = self.workspace.of(self.family).checks.get_mut(id);
        let Some((latest, before)) = checks.and_then(|checks| checks.split_last_mut()) else {
            return Ok(none());
        };
        let body = match (latest.poll(), before.last()) {
            (Poll::Previous, Some(previous)) => previous.body(previous.ended()),
            (Poll::Previous | Poll::NotFound, _) => return Ok(none()),
            (poll, _) => latest.body(&poll),
        };
        Ok(Answer::json(200, &body))
    }

    fn collection(&mut self) -> &mut Collection {
        self.workspace.of(self.family)
    }

    fn connector(&mut self) -> Result<&mut StoredConnector, Answer> {
        let missing = answers::no_such(self.family, &self.id);
        let collection = self.workspace.of(self.family);
        collection.connector(&self.id).ok_or(missing)
    }

    /// The type of this name; none when it is unknown and taken all the same.
    fn known(&self, name: &str) -> Result<Option<Type>, Answer> {
        match (self.family.known(name), self.rules.unknown_types) {
            (None, Permission::Refused(status)) => {
                let family = self.family.title();
                let text = format!("{family} Connector type {name} not supported");
                Err(refused(status, "type", &text))
            }
            (known, _) => Ok(known),
        }
    }

    /// Refuses masks, or puts in their place what the rules say.
    fn settle_masks(&self, config: &mut Config, stored: &Config) -> Result<(), Answer> {
        let masked = config::masked(config);
        match self.rules.received_mask {
            _ if masked.is_empty() => {}
            ReceivedMask::Refused => return Err(mask_refused(masked)),
            ReceivedMask::Stored => {}
            ReceivedMask::KeepsOld => {
                for name in masked {
                    match stored.get(&name) {
                        Some(old) => config.insert(name, old.clone()),
                        None => config.remove(&name),
                    };
                }
            }
        }
        Ok(())
    }

    fn validate(&self, known: Option<&Type>, config: &Config) -> Result<(), Answer> {
        let faults = known.map_or_else(Vec::new, |known| config::faults(known, config));
        match self.rules.validation {
            Validation::Refused if !faults.is_empty() => {
                Err(answers::invalid_configuration(&faults))
            }
            Validation::Crashes if !faults.is_empty() => Err(answers::internal_server_error()),
            Validation::Refused | Validation::Crashes | Validation::Off => Ok(()),
        }
    }
}

/// A member that the envelope's validation let through as a string.
fn text(body: &mut Config, name: &str) -> String {
    match body.remove(name) {
        Some(Value::String(text)) => text,
        _ => unreachable!("{name} is a string by now"),
    }
}

/// The member `config`, which the envelope's validation let through as an object.
fn configuration(body: &mut Config) -> Config {
    match body.remove("config") {
        Some(Value::Object(config)) => config,
        _ => unreachable!("config is an object by now"),
    }
}

/// 412 in the words that the service has for a secret it cannot take.
pub(super) fn mask_refused(fields: impl IntoIterator<Item = String>) -> Answer {
    let message =
        "Field is sensitive and must be wrapped in as a secret reference or new secret value";
    let errors = fields.into_iter().map(|field| (field, message.to_owned()));
    answers::invalid_configuration(&errors.collect::<Vec<_>>())
}

/// A refusal for a reason of state, in the shape that its status usually has.
pub(super) fn refused(status: u16, field: &str, text: &str) -> Answer {
    match status {
        412 => answers::invalid_configuration(&[(field.to_owned(), text.to_owned())]),
        status => answers::detail(status, text),
    }
}
