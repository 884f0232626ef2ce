//! What can be said on the command line.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::dropbox::BaseUrl;
use crate::options::{Cluster, Dropbox, Exit, Network};

/// Holds the app secret itself. There is no flag for it: a command line is readable by every process of the host.
pub(crate) const APP_SECRET: &str = "DROPBOX_APP_SECRET";

/// Holds the code of the authorization page itself; no flag for the same reason.
pub(crate) const CODE: &str = "DROPBOX_CODE";

/// How often a question is asked again after a bad answer.
pub(super) const ATTEMPTS: usize = 3;

/// How to log in.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Use this app key, from the Settings tab of the app's page in the Dropbox App Console
    #[arg(long, value_name = "KEY")]
    pub(super) app_key: Option<String>,

    /// Read the app secret from this file. To pass the secret itself, set `DROPBOX_APP_SECRET`
    #[arg(long, value_name = "PATH")]
    pub(super) app_secret_file: Option<PathBuf>,

    #[arg(skip)]
    pub(crate) app_secret: Option<SecretString>,

    /// Read the code of the authorization page from this file. To pass the code itself, set `DROPBOX_CODE`
    #[arg(long, value_name = "PATH")]
    pub(super) code_file: Option<PathBuf>,

    #[arg(skip)]
    pub(crate) code: Option<SecretString>,

    /// Open the authorization page in a browser, and also print its URL
    #[arg(long)]
    pub(super) open: bool,

    /// Read this folder, such as contracts/2026, relative to what the app can see
    #[arg(long, value_name = "PATH")]
    pub(super) folder: Option<String>,

    /// Read files in subfolders too [default: unchanged; false for a new resource]
    #[arg(long, value_name = "BOOL", default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    pub(super) recursive: Option<bool>,

    /// Write the `DropboxSource` with this name [default: derived from the folder's name]. If it exists and you pass no folder, only its
    /// credentials change
    #[arg(long, value_name = "NAME", value_parser = crate::options::object_name)]
    pub(super) name: Option<String>,

    /// Write the Secret with this name [default: the one that the `DropboxSource` reads; for a new one, its name and -dropbox]
    #[arg(long, value_name = "NAME", value_parser = crate::options::object_name)]
    pub(super) secret_name: Option<String>,

    /// Write only the Secret of the `DropboxSource` called --name: new credentials for the same folder
    #[arg(long, requires = "name", conflicts_with_all = ["folder", "recursive"])]
    pub(super) secret_only: bool,

    /// Point a `DropboxSource` that reads another folder at this one, without asking
    #[arg(long)]
    pub(super) force: bool,

    /// Write <name>.yaml and <name>-secret.yaml (mode 0600) into this directory, or to standard output for -. An existing manifest keeps
    /// the fields that you do not pass
    #[arg(long, short, value_name = "DIRECTORY", conflicts_with = "apply")]
    pub(super) output: Option<PathBuf>,

    /// Create both objects in the cluster, or change only the fields that you pass
    #[arg(long)]
    pub(super) apply: bool,

    #[command(flatten)]
    pub(super) cluster: Cluster,

    #[command(flatten)]
    pub(super) dropbox: Dropbox,

    /// Use the authorization page at this URL
    #[arg(long, value_name = "URL", default_value = "https://www.dropbox.com")]
    pub(super) dropbox_www_url: String,

    #[command(flatten)]
    pub(super) network: Network,
}

impl Options {
    /// Refuses values that are wrong by themselves or together.
    pub(crate) fn check(&self) -> Result<(), Exit> {
        self.www()?;
        self.dropbox.endpoint(&self.network)?;
        let refused = |line: &str| Err(Exit::Refused(line.to_owned()));
        if self.app_secret.is_some() && self.app_secret_file.is_some() {
            return refused(
                "DROPBOX_APP_SECRET and --app-secret-file (DROPBOX_APP_SECRET_FILE) are both set: keep one",
            );
        }
        if self.code.is_some() && self.code_file.is_some() {
            return refused(
                "DROPBOX_CODE and --code-file (DROPBOX_CODE_FILE) are both set: keep one",
            );
        }
        Ok(())
    }

    pub(super) fn www(&self) -> Result<BaseUrl, Exit> {
        BaseUrl::parse(&self.dropbox_www_url, self.network.allow_insecure_http).map_err(|reason| {
            Exit::Refused(format!("--dropbox-www-url (DROPBOX_WWW_URL): {reason}"))
        })
    }
}
