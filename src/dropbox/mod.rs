//! A client of Dropbox's authorisation server and file listing, as far as it tells whether credentials are good, gets new ones,
//! and shows which folders they open.

mod error;
mod folder;
mod login;
mod oauth;
mod refusal;
mod suspicion;
mod tokens;

pub use crate::http::{BaseUrl, Carrier, UrlError};
pub use error::CallError;
pub use folder::{Subfolder, SubfolderError};
pub use login::{Folders, authorize_url};
pub use oauth::{DropboxClient, DropboxClientError};
pub use suspicion::suspicions;
