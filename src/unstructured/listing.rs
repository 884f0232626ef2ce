//! Reads a list of connectors as it comes in. Of each, what somebody may ask for is kept, in memory that a budget has room for.

use std::sync::Arc;

use super::answer;
use super::budget::Share;
use super::elements::Elements;
use super::kept::Kept;
use super::taking::{Rejected, Taking};
use super::types::Connector;

/// Bytes of one connector as it is written.
const LONGEST_CONNECTOR: usize = 1024 * 1024;

/// Bytes that are asked for at a time: the budget is everybody's.
const INSTALMENT: usize = 64 * 1024;

/// The connectors of one type, as far as they have come in.
pub(super) struct Listing<'a> {
    connector_type: &'a str,
    kept: &'a Kept,
    share: Arc<Share>,
    elements: Elements,
    sources: Vec<Connector>,
    /// Bytes that were taken and not asked for yet.
    owed: usize,
}

impl<'a> Listing<'a> {
    pub fn new(connector_type: &'a str, kept: &'a Kept, share: Arc<Share>) -> Self {
        Self {
            connector_type,
            kept,
            share,
            elements: Elements::new(LONGEST_CONNECTOR),
            sources: Vec::new(),
            owed: 0,
        }
    }
}

impl Taking for Listing<'_> {
    type Made = Vec<Connector>;

    fn take(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        self.elements.take(bytes, |element| {
            let Some(source) = answer::listed(element, self.connector_type, self.kept)? else {
                return Ok(());
            };
            // A vector that grows has room for as many again.
            self.owed += source.size() + size_of::<Connector>();
            self.sources.push(source);
            if self.owed >= INSTALMENT {
                self.share.grow(std::mem::take(&mut self.owed))?;
            }
            Ok(())
        })
    }

    fn make(self) -> Result<Vec<Connector>, Rejected> {
        self.elements.end()?;
        self.share.grow(self.owed)?;
        Ok(self.sources)
    }

    fn share(&self) -> Option<Arc<Share>> {
        Some(Arc::clone(&self.share))
    }
}
