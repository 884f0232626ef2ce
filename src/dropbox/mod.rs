//! A client of Dropbox's authorisation server, as far as it tells whether credentials are good.

mod oauth;

pub use crate::http::{BaseUrl, UrlError};
pub use oauth::{DropboxClient, DropboxClientError, Grant, Rejection};
