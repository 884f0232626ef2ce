//! How the body of an answer is taken in: piece by piece, to its end or until something speaks against it.

use std::sync::Arc;

use reqwest::Response;
use zeroize::Zeroizing;

use super::budget::{Exceeded, Share};
use super::unreadable::Unreadable;
use crate::http::{self, BodyError};

/// What is made of the body of a success, piece by piece as it comes in.
pub(super) trait Taking: Send {
    /// What it is in the end.
    type Made;

    /// So many bytes are announced.
    fn expect(&mut self, _bytes: usize) {}

    /// Takes in the next piece.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Rejected>;

    /// The body has come to its end.
    fn make(self) -> Result<Self::Made, Rejected>;

    /// Whose loss means that the rest is not wanted any more.
    fn share(&self) -> Option<Arc<Share>> {
        None
    }
}

/// Why a body is not taken in.
pub(super) enum Rejected {
    /// It did not come to its end.
    Incomplete(BodyError),
    /// It is not what is documented.
    Unreadable(Unreadable),
    /// The inventories take all that they may.
    NoRoom(Exceeded),
}

/// A body that is read as a whole.
pub(super) struct Whole<F> {
    body: Zeroizing<Vec<u8>>,
    read: F,
}

/// Takes in an answer to its end.
pub(super) async fn taken<B: Taking>(
    response: Response,
    max_bytes: usize,
    mut body: B,
) -> Result<B::Made, Rejected> {
    let share = body.share();
    let revoked = async {
        match share {
            Some(share) => share.revoked().await,
            None => std::future::pending().await,
        }
    };
    if let Some(announced) = http::announced(&response, max_bytes)? {
        body.expect(announced);
    }
    tokio::select! {
        read = http::read_pieces(response, max_bytes, |bytes| body.take(bytes)) => read?,
        exceeded = revoked => return Err(exceeded.into()),
    }
    body.make()
}

// === impl Whole ===

impl<F> Whole<F> {
    /// What this makes of it.
    pub fn new(read: F) -> Self {
        Self {
            body: Zeroizing::default(),
            read,
        }
    }
}

impl<T, F: FnOnce(&[u8]) -> Result<T, Unreadable> + Send> Taking for Whole<F> {
    type Made = T;

    /// So that no copy of what it holds is left behind in a buffer that was outgrown.
    fn expect(&mut self, bytes: usize) {
        self.body.reserve_exact(bytes);
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Rejected> {
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn make(self) -> Result<T, Rejected> {
        Ok((self.read)(&self.body)?)
    }
}

// === impl Rejected ===

impl From<BodyError> for Rejected {
    fn from(error: BodyError) -> Self {
        Self::Incomplete(error)
    }
}

impl From<Unreadable> for Rejected {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error)
    }
}

impl From<Exceeded> for Rejected {
    fn from(error: Exceeded) -> Self {
        Self::NoRoom(error)
    }
}
