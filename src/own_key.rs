//! The API key of the operator's own workspace.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, RwLock};

use secrecy::SecretString;
use zeroize::Zeroize;

use crate::unstructured::{ApiKey, Endpoint};

/// Where the operator's own API key comes from.
pub enum OwnKey {
    /// There is none: each resource has to name its workspace.
    None,
    /// Given at the start.
    Fixed(ApiKey),
    /// A file, read again when it changes.
    File {
        /// The file.
        path: PathBuf,
        /// The key as it was read last.
        key: RwLock<ApiKey>,
        /// What was wrong with the file when it was read last.
        complaint: Mutex<Option<String>>,
    },
}

impl OwnKey {
    /// A key from a file.
    ///
    /// # Errors
    /// One sentence when the file cannot be read or holds no key.
    pub fn from_file(path: PathBuf) -> Result<Self, String> {
        let key = read(&path)?;
        Ok(Self::File {
            path,
            key: RwLock::new(key),
            complaint: Mutex::default(),
        })
    }

    /// The key, if there is one.
    pub fn get(&self) -> Option<ApiKey> {
        match self {
            Self::None => None,
            Self::Fixed(key) => Some(key.clone()),
            Self::File { key, .. } => {
                Some(key.read().unwrap_or_else(PoisonError::into_inner).clone())
            }
        }
    }

    /// Reads the file again; true when it holds another key. A file that cannot be read leaves the key as it was, and is an error
    /// once, not each time.
    pub fn refresh(&self, endpoint: &Endpoint) -> Result<bool, String> {
        let Self::File {
            path,
            key,
            complaint,
        } = self
        else {
            return Ok(false);
        };
        let mut told = complaint.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = match read(path) {
            Ok(fresh) => fresh,
            Err(wrong) if told.as_ref() == Some(&wrong) => return Ok(false),
            Err(wrong) => return Err(told.insert(wrong).clone()),
        };
        *told = None;
        let mut key = key.write().unwrap_or_else(PoisonError::into_inner);
        let changed = key.fingerprint(endpoint) != fresh.fingerprint(endpoint);
        *key = fresh;
        Ok(changed)
    }
}

fn read(path: &PathBuf) -> Result<ApiKey, String> {
    let mut text = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "the API key file {} cannot be read: {error}",
            path.display()
        )
    })?;
    let key = ApiKey::new(SecretString::from(text.as_str()));
    text.zeroize();
    key.map_err(|error| {
        format!(
            "the API key file {} holds no usable key: {error}",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_that_is_gone_is_told_once_until_it_is_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let endpoint = Endpoint::parse("https://api.example", false).unwrap();
        std::fs::write(&path, "wk-1").unwrap();
        let key = OwnKey::from_file(path.clone()).unwrap();
        let refresh = || key.refresh(&endpoint);
        assert_eq!(refresh(), Ok(false));
        for _ in 0..2 {
            std::fs::remove_file(&path).unwrap();
            refresh().unwrap_err();
            assert_eq!(refresh(), Ok(false));
            std::fs::write(&path, "").unwrap();
            refresh().unwrap_err();
            assert_eq!(refresh(), Ok(false));
            std::fs::write(&path, "wk-1").unwrap();
            assert_eq!(refresh(), Ok(false));
        }
        std::fs::write(&path, "wk-2").unwrap();
        assert_eq!(refresh(), Ok(true));
    }
}
