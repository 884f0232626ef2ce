//! Why a call to Dropbox did not do what it should.

/// A call that did not do what it should. Each text says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The code of the authorization page is not good.
    #[error(
        "Dropbox refuses the code: it has expired, was used before, or belongs to another app. Open the URL again, allow the app, \
         and copy the new code at once"
    )]
    InvalidCode,
    /// The refresh token is not good.
    #[error(
        "Dropbox refuses the refresh token (invalid_grant): it is revoked, malformed or of another app. Get a new one with \
         unstructured-operator login dropbox"
    )]
    InvalidGrant,
    /// The app key or the app secret is not good.
    #[error(
        "Dropbox refuses the app key and secret (invalid_client): copy both again from the Settings tab of the app in the Dropbox \
         App Console; they and the code must be of the same app"
    )]
    InvalidClient,
    /// The code was exchanged for an access token alone.
    #[error(
        "Dropbox gave no refresh token, because the page was not opened with token_access_type=offline: open exactly the URL that \
         is shown"
    )]
    NoRefreshToken,
    /// The token may not do this. Holds the scope's name.
    #[error(
        "the app lacks the permission {0} (missing_scope): tick files.content.read (it brings files.metadata.read) on the Permissions tab of the \
         app in the Dropbox App Console, press Submit, then get a new refresh token with unstructured-operator login \
         dropbox, because a token keeps the permissions it was created with"
    )]
    MissingScope(String),
    /// The token is known, and Dropbox does not let it be used for this. Holds Dropbox's word for it, and what to do.
    #[error("Dropbox denies access ({tag}): {advice}")]
    AccessDenied {
        /// Dropbox's word for it.
        tag: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// There is no such folder.
    #[error(
        "there is no such folder (not_found) in what the app can see: create it in Dropbox, inside of the app's own folder, or give the path \
         of one that exists"
    )]
    FolderNotFound,
    /// It is a file.
    #[error("this is a file, not a folder: give the path of a folder")]
    NotAFolder,
    /// Dropbox does not let it be read. Holds Dropbox's word for it, and what to do.
    #[error("Dropbox does not let this folder be read ({tag}): {advice}")]
    FolderUnreadable {
        /// Dropbox's word for it.
        tag: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// Too many requests.
    #[error("Dropbox asks to slow down (too_many_requests): try again in a minute")]
    RateLimited,
    /// A web page, or the way to one, with this status.
    #[error(
        "something other than Dropbox answered {0} with a web page: see which proxy or sign-in page stands before Dropbox, and check \
         --dropbox-api-url"
    )]
    NotDropbox(u16),
    /// Dropbox was not reached, was not heard to the end in time, or answered that it does not work (5xx). Holds a sentence without
    /// any secret.
    #[error(
        "{0}; try again, and check {status}",
        status = "https://status.dropbox.com"
    )]
    Unavailable(String),
    /// Any other answer that says nothing of credentials or folders. Holds a sentence without any secret.
    #[error(
        "{0}; try again, and check {status}",
        status = "https://status.dropbox.com"
    )]
    Unclear(String),
}

impl CallError {
    /// Whether Dropbox does not work now, for this caller at least.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable(_))
    }

    /// Whether it says nothing of credentials or folders: another time, the answer may be another.
    pub fn is_inconclusive(&self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::NotDropbox(_) | Self::Unavailable(_) | Self::Unclear(_)
        )
    }
}
