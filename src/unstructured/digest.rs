//! Tells what is managed apart from what was managed before, secrets included, without keeping any of it.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Tells configurations apart, secrets included, without telling anything about them to who does not hold the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A string that is no [`Digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a configuration digest is 64 hexadecimal digits")]
pub struct DigestError;

/// Takes in the parts of what is to be told apart: HMAC-SHA-256 over each, preceded by its length.
pub(super) struct Digester(Hmac<Sha256>);

// === impl Digester ===

impl Digester {
    /// `about`: what is taken in and in which form, so that two forms never have the same digest.
    pub fn new(key: &[u8], about: &str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        mac.update(about.as_bytes());
        Self(mac)
    }

    pub fn part(&mut self, part: &[u8]) {
        self.count(part.len());
        self.0.update(part);
    }

    /// A number, so that parts of one list are never taken for those of the next.
    pub fn count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_be_bytes());
    }

    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into_bytes().into())
    }
}

// === impl Digest ===

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestError)?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}
