//! Reads a list as it comes in. Of each of its objects, what somebody may ask for is kept, in memory that a budget has room for.

use std::sync::Arc;

use super::budget::Share;
use super::elements::Elements;
use super::taking::{Rejected, Taking};
use super::unreadable::Unreadable;

/// Bytes of one object as it is written.
const LONGEST: usize = 1024 * 1024;

/// Bytes that are asked for at a time: the budget is everybody's.
const INSTALMENT: usize = 64 * 1024;

/// The objects that are wanted, as far as they have come in. `R` reads one, tells how many bytes it takes, and passes over what is
/// not wanted.
pub(super) struct Listing<T, R> {
    read: R,
    share: Arc<Share>,
    elements: Elements,
    made: Vec<T>,
    /// Bytes that were taken and not asked for yet.
    owed: usize,
}

impl<T, R: FnMut(&[u8]) -> Result<Option<(T, usize)>, Unreadable>> Listing<T, R> {
    pub fn new(share: Arc<Share>, read: R) -> Self {
        Self {
            read,
            share,
            elements: Elements::new(LONGEST),
            made: Vec::new(),
            owed: 0,
        }
    }
}

impl<T: Send, R: FnMut(&[u8]) -> Result<Option<(T, usize)>, Unreadable> + Send> Taking
    for Listing<T, R>
{
    type Made = Vec<T>;

    fn take(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        self.elements.take(bytes, |element| {
            let Some((object, size)) = (self.read)(element)? else {
                return Ok(());
            };
            // A vector that grows has room for as many again.
            self.owed += size + size_of::<T>();
            self.made.push(object);
            if self.owed >= INSTALMENT {
                self.share.grow(std::mem::take(&mut self.owed))?;
            }
            Ok(())
        })
    }

    fn make(self) -> Result<Vec<T>, Rejected> {
        self.elements.end()?;
        self.share.grow(self.owed)?;
        Ok(self.made)
    }

    fn share(&self) -> Option<Arc<Share>> {
        Some(Arc::clone(&self.share))
    }
}
