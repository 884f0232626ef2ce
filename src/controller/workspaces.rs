//! The workspaces in use: one client and one flow control for each API key, and one inventory for each type of connector, shared by
//! all resources that use it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::mpsc;

use super::ailing::Ailing;
use super::key::Key;
use super::situation::WorkspaceFacts;
use serde_json::Value;

use crate::hosts::Reach;
use crate::unstructured::{
    ApiKey, Client, ClientError, Collection, Config, Connector, ConnectorId, Connectors, Endpoint,
    Fingerprint, Inventory, Kept, Options,
};

/// For each setting of a connector: what we sent, and how the API writes that.
type NormalForms = HashMap<ConnectorId, HashMap<String, (Value, Value)>>;

/// What has a client and limits of its own.
type Account = (Endpoint, Fingerprint);

/// What has an inventory of its own.
type Shelf = (Collection, String);

/// One workspace, as one API key sees it, as far as one type of connector goes.
pub struct Workspace {
    /// What all types have in common: the key, its limits and its pauses.
    pub client: Client,
    /// Makes the calls.
    pub connectors: Connectors,
    /// What the list said last, and our own writes since.
    pub inventory: Inventory,
    members: Mutex<BTreeSet<Key>>,
    normal_forms: Mutex<NormalForms>,
    /// Whether somebody waits for this API to work.
    pub(super) ailing: Arc<Ailing>,
    /// Whether the service refuses the keys of connectors, whatever their type.
    refuses_keys: Arc<AtomicBool>,
    /// Connectors that were told to belong to nobody.
    unclaimed: Mutex<BTreeSet<ConnectorId>>,
}

impl Workspace {
    /// Takes note that somebody waits for this API to work.
    pub fn ails(&self) {
        self.ailing.begin(self.client.answers());
    }

    /// Takes note that the service refuses the keys of connectors.
    pub fn found_keys_refused(&self) {
        self.refuses_keys.store(true, Ordering::Relaxed);
    }

    /// Whether the service is known to refuse the keys of connectors.
    pub fn refuses_keys(&self) -> bool {
        self.refuses_keys.load(Ordering::Relaxed)
    }

    /// Takes note of the connectors that belong to nobody, and says which of them are news.
    pub fn found_unclaimed(&self, found: BTreeSet<ConnectorId>) -> BTreeSet<ConnectorId> {
        let mut known = self
            .unclaimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let news = found.difference(&known).copied().collect();
        *known = found;
        news
    }

    /// How many connectors belong to nobody.
    pub fn unclaimed(&self) -> usize {
        let known = self.unclaimed.lock();
        known.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What decisions need to know of it.
    pub fn facts(&self) -> WorkspaceFacts {
        WorkspaceFacts {
            api_url: self.client.endpoint().to_string(),
            fingerprint: self.client.fingerprint().to_string(),
        }
    }

    /// Names of our settings of which the connector readably has another value.
    ///
    /// A value that the API put in place of ours in its very answer to our write is the API's way of writing ours, a trailing slash
    /// removed for example. It is no difference, or it would be corrected for ever.
    pub fn drift(&self, config: &Config, source: &Connector) -> BTreeSet<String> {
        let normal_forms = self
            .normal_forms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_normal = |name: &String| {
            let ours = config
                .plain()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value);
            let form = normal_forms
                .get(&source.id)
                .and_then(|forms| forms.get(name));
            form.is_some_and(|(sent, shown)| {
                Some(sent) == ours && Some(shown) == source.settings.get(name)
            })
        };
        config
            .drift(&source.settings)
            .into_iter()
            .filter(|name| !is_normal(name))
            .collect()
    }

    /// Takes note of how the API answered a write of ours.
    pub fn wrote(&self, config: &Config, source: Connector) {
        let differing = config.drift(&source.settings);
        if !differing.is_empty() {
            let mut normal_forms = self
                .normal_forms
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for (name, sent) in config
                .plain()
                .filter(|(name, _)| differing.iter().any(|known| known == name))
            {
                if let Some(shown) = source.settings.get(name) {
                    normal_forms
                        .entry(source.id)
                        .or_default()
                        .insert(name.to_owned(), (sent.clone(), shown.clone()));
                }
            }
        }
        self.inventory.put(source);
    }

    /// Takes note that the API took a configuration, and of what its answer shows of it, if it does.
    pub fn configured(&self, id: &ConnectorId, config: &Config, shown: Option<Connector>) {
        match shown {
            Some(source) => self.wrote(config, source),
            None => self.inventory.configured(id, config),
        }
    }

    /// Takes note that a connector does not exist any more.
    pub fn removed(&self, id: &ConnectorId) {
        self.inventory.removed(id);
        let mut normal_forms = self
            .normal_forms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        normal_forms.remove(id);
    }

    /// The resources whose connector lives here.
    pub fn members(&self) -> BTreeSet<Key> {
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn join(&self, key: &Key) {
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone());
    }

    pub(super) fn leave(&self, key: &Key) {
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

/// Opens workspaces and hands out the ones that are open.
pub struct Workspaces {
    options: Options,
    open: Mutex<HashMap<Account, BTreeMap<Shelf, Weak<Workspace>>>>,
    opened: mpsc::UnboundedSender<Weak<Workspace>>,
}

impl Workspaces {
    /// None yet; each that is opened is announced on the channel.
    pub fn new(options: Options, opened: mpsc::UnboundedSender<Weak<Workspace>>) -> Self {
        Self {
            options,
            open: Mutex::default(),
            opened,
        }
    }

    /// The workspace of this key, at an endpoint that may reach so far, for connectors of one type.
    ///
    /// # Errors
    /// When no client can be made, for example because the system has no CA certificates.
    pub fn open(
        &self,
        endpoint: &Endpoint,
        key: ApiKey,
        reach: Reach,
        collection: Collection,
        connector_type: &str,
    ) -> Result<Arc<Workspace>, ClientError> {
        let account = (endpoint.clone(), key.fingerprint(endpoint));
        let place = (collection, connector_type.to_owned());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let siblings = open.entry(account).or_default();
        if let Some(workspace) = siblings.get(&place).and_then(Weak::upgrade) {
            return Ok(workspace);
        }
        let sibling = siblings.values().find_map(Weak::upgrade);
        let refuses_keys = sibling.as_ref().map(|sibling| sibling.refuses_keys.clone());
        let client = if let Some(sibling) = sibling {
            sibling.client.clone()
        } else {
            let options = Options {
                reach,
                ..self.options.clone()
            };
            Client::new(endpoint.clone(), key, &options)?
        };
        let connectors = client.connectors(collection, connector_type, Kept::only([]));
        let workspace = Arc::new(Workspace {
            client,
            inventory: Inventory::new(connectors.clone()),
            connectors,
            members: Mutex::default(),
            normal_forms: Mutex::default(),
            ailing: Arc::default(),
            refuses_keys: refuses_keys.unwrap_or_default(),
            unclaimed: Mutex::default(),
        });
        siblings.insert(place, Arc::downgrade(&workspace));
        open.retain(|_, shelves| {
            shelves.retain(|_, workspace| workspace.strong_count() > 0);
            !shelves.is_empty()
        });
        // Nobody listens any more only while the process ends.
        let _ = self.opened.send(Arc::downgrade(&workspace));
        Ok(workspace)
    }

    /// How many connectors in the open workspaces carry a default name of this cluster and belong to nobody.
    pub fn unclaimed(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let shelves = open.values().flat_map(BTreeMap::values);
        let open = shelves.filter_map(Weak::upgrade);
        open.map(|workspace| workspace.unclaimed()).sum()
    }

    /// How many of the open workspaces accept no requests at the moment.
    pub fn paused(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values()
            .filter_map(|shelves| shelves.values().find_map(Weak::upgrade))
            .filter(|workspace| workspace.client.paused_until().is_some())
            .count()
    }
}
