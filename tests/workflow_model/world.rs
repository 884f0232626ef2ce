//! What there is: the resources, what is on record of them, the service, and what processes have in mind.

use unstructured_operator::controller::connector::situation as connector;
use unstructured_operator::engine::debut::Debut;
use unstructured_operator::unstructured::Digest;

use super::operator::Pass;

/// What the service makes of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keys {
    Shown,
    Ignored,
}

/// An object in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    pub there: bool,
    pub finalized: bool,
    pub going: bool,
}

/// The workflow as its user wants it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Which of the connectors it refers to.
    pub to: usize,
    /// What else it says.
    pub edit: u8,
}

/// All that is sent of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// The id of the connector.
    pub source: u8,
    pub edit: u8,
}

/// Where the service shows what it has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shown {
    Nowhere,
    InLists,
    Everywhere,
}

/// A workflow as the service has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    pub there: bool,
    pub shown: Shown,
    pub content: Content,
}

/// A connector, with its resource. What the operator does to keep it is not what is looked at here: it is made anew under another id
/// when it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connector {
    pub object: Object,
    pub id: u8,
    pub remote: bool,
    pub pass: Option<Box<connector::Situation>>,
}

/// What is on record of the workflow, as far as decisions rest on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    pub intent: bool,
    pub bound: Option<usize>,
    pub named: bool,
    pub applied: Option<Digest>,
    pub source: Option<u8>,
    /// Creates that were given up.
    pub lost: u32,
    /// An update that was lost may replace what was accepted since.
    pub resend: bool,
}

/// A request whose answer was lost and that may still be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Late {
    Create(Content),
    Update(usize, Content),
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, any combination of which can be true"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub keys: Keys,
    /// The workflow has its default name.
    pub reserved: bool,
    /// The service takes no id of a connector that it does not have.
    pub strict: bool,
    /// What a user edits is a secret, which the service does not show.
    pub masked: bool,
    pub namespace_going: bool,
    pub flow: Object,
    pub wanted: Wanted,
    /// Moves with every write to the object.
    pub version: u8,
    pub record: Record,
    pub connectors: [Connector; 2],
    /// How many ids were given to connectors.
    pub ids: u8,
    pub remote: Vec<Remote>,
    pub late: Option<Late>,
    /// In the process's mind: what was asked for by the intent on record, or by an update that was lost, has been carried out by now, or never will be.
    pub settled: bool,
    /// In the process's mind: how far a 404 on this workflow is believed.
    pub debut: Option<(usize, Debut)>,
    /// In the process's mind: what the service refused.
    pub refused: Option<Digest>,
    pub pass: Option<Box<Pass>>,
    pub crashes: u8,
    pub faults: u8,
    pub wishes: u8,
    /// A connector was deleted before a workflow of ours that ran through it.
    pub pulled_away: bool,
}

impl World {
    /// Both connectors work, and the workflow was just applied.
    pub fn new(keys: Keys, reserved: bool, strict: bool, masked: bool) -> Self {
        let object = |finalized| Object {
            there: true,
            finalized,
            going: false,
        };
        let connector = |id| Connector {
            object: object(true),
            id,
            remote: true,
            pass: None,
        };
        Self {
            keys,
            reserved,
            strict,
            masked,
            namespace_going: false,
            flow: object(false),
            wanted: Wanted { to: 0, edit: 0 },
            version: 0,
            record: Record::default(),
            connectors: [connector(0), connector(1)],
            ids: 2,
            remote: Vec::new(),
            late: None,
            settled: false,
            debut: None,
            refused: None,
            pass: None,
            crashes: 0,
            faults: 0,
            wishes: 0,
            pulled_away: false,
        }
    }

    /// The workflows that were made for the resource.
    pub fn ours(&self) -> impl Iterator<Item = (usize, &Remote)> {
        let remote = self.remote.iter().enumerate();
        remote.filter(|(_, workflow)| workflow.there)
    }

    pub fn has_late_create(&self) -> bool {
        matches!(self.late, Some(Late::Create(_)))
    }

    /// The id of the connector that the workflow refers to, once it works.
    pub fn referred(&self) -> Option<u8> {
        let connector = &self.connectors[self.wanted.to];
        (connector.object.there && !connector.object.going).then_some(connector.id)
    }

    /// What the resource asks for, while there is a connector.
    pub fn desired(&self) -> Option<Content> {
        Some(Content {
            source: self.referred()?,
            edit: self.wanted.edit,
        })
    }

    pub fn knows(&self, id: u8) -> bool {
        self.connectors.iter().any(|c| c.id == id && c.remote)
    }

    // === Users ===

    pub fn edit(&mut self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted);
        self.version += 1;
    }

    pub fn delete_workflow(&mut self) {
        if !self.flow.going {
            self.flow.delete();
            self.version += 1;
        }
    }

    // === The service ===

    pub fn make(&mut self, content: Content) -> usize {
        self.remote.push(Remote {
            there: true,
            shown: Shown::Everywhere,
            content,
        });
        self.remote.len() - 1
    }

    pub fn change(&mut self, number: usize, content: Content) {
        if self.remote[number].there {
            self.remote[number].content = content;
        }
    }

    /// The service shows what it has made in one more place.
    pub fn show(&mut self) {
        for workflow in &mut self.remote {
            workflow.shown = match workflow.shown {
                Shown::Nowhere => Shown::InLists,
                Shown::InLists | Shown::Everywhere => Shown::Everywhere,
            };
        }
    }

    /// Whether the service hides anything that is there.
    pub fn hides(&self) -> bool {
        let mut ours = self.ours();
        ours.any(|(_, workflow)| workflow.shown != Shown::Everywhere)
    }

    /// The settle time is over: by then the service shows all that it has made.
    pub fn settle(&mut self) {
        self.settled = true;
        for workflow in &mut self.remote {
            workflow.shown = Shown::Everywhere;
        }
    }

    pub fn carry_out_late(&mut self) {
        match self.late.take() {
            Some(Late::Create(content)) => {
                self.make(content);
            }
            Some(Late::Update(number, content)) => self.change(number, content),
            None => {}
        }
    }

    // === The process ===

    /// It was killed: memory goes with it.
    pub fn forget(&mut self) {
        self.settled = false;
        self.debut = None;
        self.refused = None;
        self.pass = None;
        for connector in &mut self.connectors {
            connector.pass = None;
        }
    }
}

impl Object {
    /// Without a finalizer it is gone at once.
    pub fn delete(&mut self) {
        self.going = true;
        self.there &= self.finalized;
    }

    pub fn release(&mut self) {
        self.finalized = false;
        self.there &= !self.going;
    }
}
