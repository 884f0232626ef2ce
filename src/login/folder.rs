//! The folder that is to be read.

use secrecy::SecretString;

use crate::dropbox::{CallError, DropboxClient, Subfolder, SubfolderError};
use crate::options::Exit;
use crate::terminal::{Mark, report};

/// Whether the app can read a folder that was named.
pub(super) async fn look_into(
    dropbox: &DropboxClient,
    access_token: &SecretString,
    folder: &Subfolder,
) -> Result<(), Exit> {
    match dropbox.look_into(access_token, folder).await {
        Ok(()) => Ok(()),
        // What says nothing of the folder is no reason to lose the refresh token.
        Err(error) if error.is_inconclusive() => {
            report(Mark::Unknown, &format!("the folder {folder}: {error}"));
            Ok(())
        }
        Err(error) => Err(Exit::Failed(format!(
            "the folder {folder}: {error}; nothing was written"
        ))),
    }
}

/// What ends the command when a call to Dropbox failed.
pub(super) fn failed(error: &CallError) -> Exit {
    Exit::Failed(error.to_string())
}

/// The folder that a text names.
pub(super) fn parse_folder(text: &str) -> Result<Subfolder, String> {
    text.parse()
        .map_err(|reason: SubfolderError| reason.to_string())
}
