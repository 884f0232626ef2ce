//! What a request carries, and how it is written without leaving a copy of a secret behind.

use std::io;

use secrecy::SecretString;
use serde::Serialize;
use zeroize::Zeroizing;

/// The body of a request that holds secrets.
pub(super) trait Carried<'a>: Serialize {
    /// Where the mask stands that the service shows in place of a secret: sent back, it might replace the secret that it stands for.
    fn masked(&self) -> Vec<String>;

    /// The secrets that it holds, which an answer may echo.
    fn secrets(&self) -> Vec<&'a SecretString>;
}

/// Writes a body into one buffer of exactly its size, so that no copy of a secret is left behind in one that was outgrown.
pub(super) fn to_json(body: &impl Serialize) -> Zeroizing<Vec<u8>> {
    const WRITABLE: &str = "maps with string keys are JSON, and memory takes all that is written";
    let mut size = Size(0);
    serde_json::to_writer(&mut size, body).expect(WRITABLE);
    let mut json = Zeroizing::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *json, body).expect(WRITABLE);
    json
}

struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
