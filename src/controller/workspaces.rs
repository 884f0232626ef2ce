//! The workspaces in use: one client and one flow control for each API key, and one inventory for each type of connector, shared by
//! all resources that use it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::mpsc;

use super::pipeline::board::Board;
use crate::engine::key::Key;
use crate::engine::session::Session;
use crate::engine::workspace_facts::WorkspaceFacts;
use serde_json::Value;

use crate::hosts::Reach;
use crate::unstructured::{
    ApiKey, Client, ClientError, Collection, Config, Connector, ConnectorId, Connectors, Endpoint,
    Fingerprint, Inventory, Kept, Options,
};

/// For each setting of a connector: what we sent, and how the API writes that.
type NormalForms = HashMap<ConnectorId, HashMap<String, (Value, Value)>>;

/// An API key, where it is used, and how far that endpoint may reach.
pub struct Account {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The key.
    pub key: ApiKey,
    /// How far.
    pub reach: Reach,
}

/// What has a client and limits of its own.
type AccountName = (Endpoint, Fingerprint);

/// What of an account is in use.
#[derive(Default)]
struct Opened {
    session: Weak<Session>,
    shelves: BTreeMap<Shelf, Weak<Workspace>>,
    board: Weak<Board>,
}

impl Opened {
    fn is_in_use(&mut self) -> bool {
        self.shelves
            .retain(|_, workspace| workspace.strong_count() > 0);
        self.session.strong_count() > 0
    }
}

/// What was opened, and has to be attended to for as long as anybody uses it.
pub enum Lists {
    /// Of connectors.
    Connectors(Weak<Workspace>),
    /// Of workflows and jobs.
    Pipelines(Weak<Board>),
}

/// What has an inventory of its own.
type Shelf = (Collection, String);

/// One workspace, as one API key sees it, as far as one type of connector goes.
pub struct Workspace {
    /// What all types have in common.
    pub session: Arc<Session>,
    /// Makes the calls.
    pub connectors: Connectors,
    /// What the list said last, and our own writes since.
    pub inventory: Inventory,
    members: Mutex<BTreeSet<Key>>,
    normal_forms: Mutex<NormalForms>,
    /// Connectors that were told to belong to nobody.
    unclaimed: Mutex<BTreeSet<ConnectorId>>,
}

impl Workspace {
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
            api_url: self.session.client.endpoint().to_string(),
            fingerprint: self.session.client.fingerprint().to_string(),
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

impl Account {
    fn name(&self) -> AccountName {
        (self.endpoint.clone(), self.key.fingerprint(&self.endpoint))
    }
}

/// Opens workspaces and hands out the ones that are open.
pub struct Workspaces {
    options: Options,
    open: Mutex<HashMap<AccountName, Opened>>,
    opened: mpsc::UnboundedSender<Lists>,
}

impl Workspaces {
    /// None yet; each that is opened is announced on the channel.
    pub fn new(options: Options, opened: mpsc::UnboundedSender<Lists>) -> Self {
        Self {
            options,
            open: Mutex::default(),
            opened,
        }
    }

    /// The workspace of this account, for connectors of one type.
    ///
    /// # Errors
    /// When no client can be made, for example because the system has no CA certificates.
    pub fn open(
        &self,
        account: Account,
        collection: Collection,
        connector_type: &str,
    ) -> Result<Arc<Workspace>, ClientError> {
        let place = (collection, connector_type.to_owned());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = open.entry(account.name()).or_default();
        if let Some(workspace) = opened.shelves.get(&place).and_then(Weak::upgrade) {
            return Ok(workspace);
        }
        let session = self.session(opened, account)?;
        let client = &session.client;
        let connectors = client.connectors(collection, connector_type, Kept::only([]));
        let workspace = Arc::new(Workspace {
            session,
            inventory: Inventory::new(connectors.clone()),
            connectors,
            members: Mutex::default(),
            normal_forms: Mutex::default(),
            unclaimed: Mutex::default(),
        });
        opened.shelves.insert(place, Arc::downgrade(&workspace));
        open.retain(|_, opened| opened.is_in_use());
        self.announce(Lists::Connectors(Arc::downgrade(&workspace)));
        Ok(workspace)
    }

    /// The lists of this account's workflows and jobs.
    ///
    /// # Errors
    /// The same.
    pub fn board(&self, account: Account) -> Result<Arc<Board>, ClientError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = open.entry(account.name()).or_default();
        if let Some(board) = opened.board.upgrade() {
            return Ok(board);
        }
        let board = Arc::new(Board::new(self.session(opened, account)?));
        opened.board = Arc::downgrade(&board);
        open.retain(|_, opened| opened.is_in_use());
        self.announce(Lists::Pipelines(Arc::downgrade(&board)));
        Ok(board)
    }

    /// The one session of an account.
    fn session(&self, opened: &mut Opened, account: Account) -> Result<Arc<Session>, ClientError> {
        if let Some(session) = opened.session.upgrade() {
            return Ok(session);
        }
        let options = Options {
            reach: account.reach,
            ..self.options.clone()
        };
        let client = Client::new(account.endpoint, account.key, &options)?;
        let session = Arc::new(Session::new(client));
        opened.session = Arc::downgrade(&session);
        Ok(session)
    }

    fn announce(&self, lists: Lists) {
        // Nobody listens any more only while the process ends.
        let _ = self.opened.send(lists);
    }

    /// How many connectors in the open workspaces carry a default name of this cluster and belong to nobody.
    pub fn unclaimed(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let shelves = open.values().flat_map(|opened| opened.shelves.values());
        let open = shelves.filter_map(Weak::upgrade);
        open.map(|workspace| workspace.unclaimed()).sum()
    }

    /// How many of the open workspaces accept no requests at the moment.
    pub fn paused(&self) -> usize {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values()
            .filter_map(|opened| opened.session.upgrade())
            .filter(|session| session.client.paused_until().is_some())
            .count()
    }
}
