//! The operations on source connectors and their checks, once the key and the path are known to be good.

use serde_json::Value;

use super::{
    StoredSource, answers,
    check::{Check, Poll},
    config::{self, Config, MASK},
    envelope::{self, Invalid},
    rules::{NoCheckYet, Permission, ReceivedMask, Rename, Rules, Validation},
    workspace::Workspace,
};
use crate::fake::{Answer, Recorded};

/// Where what a careful client would not have sent is told.
pub(super) type Violation<'a> = &'a mut dyn FnMut(&str);

/// One request of a workspace's key.
pub(super) struct Call<'a> {
    pub(super) rules: &'a Rules,
    pub(super) workspace: &'a mut Workspace,
    /// Of the source in the path, when there is one.
    pub(super) id: String,
}

impl Call<'_> {
    pub(super) fn list(&mut self, query: &str, violation: Violation<'_>) -> Result<Answer, Answer> {
        let mut wanted = None;
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if name != "source_type" {
                violation(&format!("an unknown query parameter {name}"));
                continue;
            }
            if config::secrets(&value).is_none() {
                let unknown = Invalid {
                    kind: "enum",
                    loc: &["query", "source_type"],
                    message: "Input should be a known source type",
                    input: value.into(),
                };
                return Err(unknown.refused(self.rules));
            }
            wanted = Some(value);
        }
        let listed = self.workspace.listed(self.rules.list_order);
        let bodies = listed
            .iter()
            .filter(|source| wanted.as_ref().is_none_or(|w| *w == source.source_type))
            .map(|source| source.body(self.rules));
        Ok(Answer::json(200, &bodies.collect()))
    }

    pub(super) fn create(
        &mut self,
        request: &Recorded,
        violation: Violation<'_>,
    ) -> Result<Answer, Answer> {
        let mut body = envelope::body(request, &["name", "type"], self.rules)?;
        let (name, source_type) = (text(&mut body, "name"), text(&mut body, "type"));
        let mut config = configuration(&mut body);
        for unknown in body.keys() {
            violation(&format!("an unknown member {unknown}"));
        }
        if config::secrets(&source_type).is_none() {
            let text = format!("Source Connector type {source_type} not supported");
            return Err(answers::detail(422, &text));
        }
        if name.contains(MASK) && self.rules.received_mask == ReceivedMask::Refused {
            return Err(mask_refused(["name".to_owned()]));
        }
        self.settle_masks(&mut config, &Config::new())?;
        self.validate(&source_type, &config)?;
        if let Permission::Refused(status) = self.rules.duplicate_names
            && self.workspace.sources.iter().any(|s| s.name == name)
        {
            let text = format!("Source with name {name} already exists");
            return Err(refused(status, "name", &text));
        }
        self.workspace.freeze_list(self.rules.list_lag);
        self.id = self.workspace.create(&source_type, &name, config);
        if !self.rules.updated_at_on_create {
            self.source()?.updated_at = None;
        }
        self.get()
    }

    pub(super) fn get(&mut self) -> Result<Answer, Answer> {
        let rules = self.rules;
        Ok(Answer::json(200, &self.source()?.body(rules)))
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
                "name" | "type" => format!("an attempt to change the {unknown}"),
                unknown => format!("an unknown member {unknown}"),
            });
        }
        let stored = self.source()?.clone();
        let secrets = config::secrets(&stored.source_type).unwrap_or_default();
        for secret in secrets {
            if stored.config.contains_key(*secret) && !config.contains_key(*secret) {
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
        self.validate(&stored.source_type, &config)?;
        self.workspace.freeze_list(self.rules.list_lag);
        let honoured = self.rules.rename == Rename::Honoured;
        let source = self.source()?;
        source.config = config;
        if let (true, Some(name)) = (honoured, name) {
            name.clone_into(&mut source.name);
        }
        source.touch();
        self.get()
    }

    pub(super) fn delete(&mut self) -> Result<Answer, Answer> {
        let in_use = self.source()?.in_use;
        if let (true, Permission::Refused(status)) = (in_use, self.rules.delete_in_use) {
            let text = format!("Source with id {} is used by a workflow", self.id);
            return Err(refused(status, "source_id", &text));
        }
        self.workspace.freeze_list(self.rules.list_lag);
        self.workspace.remove(&self.id);
        if self.rules.delete_answers_204 {
            return Ok(Answer::empty(204));
        }
        let text = format!("Source with id {} successfully deleted.", self.id);
        Ok(answers::detail(200, &text))
    }

    pub(super) fn start_check(&mut self) -> Result<Answer, Answer> {
        let moves = self.rules.check_moves_updated_at;
        let source = self.source()?;
        if moves {
            source.touch();
        }
        let source = source.clone();
        let check = Check::new((self.workspace.check_rule)(&source));
        let answer = Answer::json(202, &check.scheduled());
        let checks = self.workspace.checks.entry(source.id).or_default();
        checks.push(check);
        Ok(answer)
    }

    pub(super) fn latest_check(&mut self) -> Result<Answer, Answer> {
        self.source()?;
        let none = || match self.rules.no_check_yet {
            NoCheckYet::NotFound => {
                answers::detail(404, &format!("No connection check for source {}", self.id))
            }
            NoCheckYet::Null => Answer::json(200, &Value::Null),
        };
        let checks = self.workspace.checks.get_mut(&self.id);
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

    fn source(&mut self) -> Result<&mut StoredSource, Answer> {
        let missing = answers::no_such_source(&self.id);
        self.workspace.source(&self.id).ok_or(missing)
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

    fn validate(&self, source_type: &str, config: &Config) -> Result<(), Answer> {
        let faults = config::faults(source_type, config);
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
fn mask_refused(fields: impl IntoIterator<Item = String>) -> Answer {
    let message =
        "Field is sensitive and must be wrapped in as a secret reference or new secret value";
    let errors = fields.into_iter().map(|field| (field, message.to_owned()));
    answers::invalid_configuration(&errors.collect::<Vec<_>>())
}

/// A refusal for a reason of state, in the shape that its status usually has.
fn refused(status: u16, field: &str, text: &str) -> Answer {
    match status {
        412 => answers::invalid_configuration(&[(field.to_owned(), text.to_owned())]),
        status => answers::detail(status, text),
    }
}
