//! `unstructured-operator login dropbox`: from an app's key and secret to a Secret with a refresh token and a `DropboxSource`.
//!
//! The dialogue is on standard error and standard input. Without a terminal nothing is asked: all that is missing is named at once,
//! before the code, which is good only once, is used.

mod destination;
mod dialogue;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::dropbox::{BaseUrl, CallError, DropboxClient, Subfolder, authorize_url};
use crate::manifest::{SecretManifest, dns_name, source};
use crate::options::{Cluster, Dropbox, Exit, Network};
use crate::output::say;
use crate::terminal::{Mark, NoAnswer, Terminal, report};
use destination::Destination;
use dialogue::Inputs;

/// Holds the app secret itself. There is no flag for it: a command line is readable by every process of the host.
pub(crate) const APP_SECRET: &str = "DROPBOX_APP_SECRET";

/// Holds the code of the authorization page itself; no flag for the same reason.
pub(crate) const CODE: &str = "DROPBOX_CODE";

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  Answer the questions, and write two files into the current directory:
    unstructured-operator login dropbox --output .
  Straight to the cluster:
    unstructured-operator login dropbox --apply --namespace legal
    unstructured-operator login dropbox --namespace legal | kubectl apply -f -
  In a script:
    DROPBOX_APP_SECRET=... DROPBOX_CODE=... unstructured-operator login dropbox --app-key abc --folder contracts --output manifests
The environment also holds the secrets: DROPBOX_APP_SECRET the app secret, DROPBOX_CODE the code of the authorization page.";

/// How often a question is asked again after a bad answer.
const ATTEMPTS: usize = 3;

/// How to log in.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The app key of the Dropbox app, from the Settings tab of its page in the App Console
    #[arg(long, value_name = "KEY")]
    app_key: Option<String>,

    /// A file with the app secret; the secret itself goes into the environment variable `DROPBOX_APP_SECRET` instead
    #[arg(long, value_name = "PATH")]
    app_secret_file: Option<PathBuf>,

    #[arg(skip)]
    pub(crate) app_secret: Option<SecretString>,

    /// A file with the code of the authorization page; the code itself goes into the environment variable `DROPBOX_CODE` instead
    #[arg(long, value_name = "PATH")]
    code_file: Option<PathBuf>,

    #[arg(skip)]
    pub(crate) code: Option<SecretString>,

    /// Open the authorization page in a browser; it is printed in any case
    #[arg(long)]
    open: bool,

    /// The folder to read, such as contracts/2026, inside of what the app can see
    #[arg(long, value_name = "PATH")]
    folder: Option<String>,

    /// Read files in subfolders too
    #[arg(long)]
    recursive: bool,

    /// The name of the `DropboxSource` [default: made from the folder's name]
    #[arg(long, value_name = "NAME", value_parser = crate::options::object_name)]
    name: Option<String>,

    /// The name of the Secret [default: the name of the `DropboxSource` and -dropbox]
    #[arg(long, value_name = "NAME", value_parser = crate::options::object_name)]
    secret_name: Option<String>,

    /// Write <name>.yaml and <name>-secret.yaml (mode 0600) into this directory, over what is there; - for standard output
    #[arg(long, short, value_name = "DIRECTORY", conflicts_with = "apply")]
    output: Option<PathBuf>,

    /// Create or change both objects in the cluster
    #[arg(long)]
    apply: bool,

    #[command(flatten)]
    cluster: Cluster,

    #[command(flatten)]
    dropbox: Dropbox,

    /// Where the authorization page is
    #[arg(long, value_name = "URL", default_value = "https://www.dropbox.com")]
    dropbox_www_url: String,

    #[command(flatten)]
    network: Network,
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

    fn www(&self) -> Result<BaseUrl, Exit> {
        BaseUrl::parse(&self.dropbox_www_url, self.network.allow_insecure_http).map_err(|reason| {
            Exit::Refused(format!("--dropbox-www-url (DROPBOX_WWW_URL): {reason}"))
        })
    }
}

impl From<NoAnswer> for Exit {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Interrupted => Self::Interrupted,
            NoAnswer::Ended => Self::Failed(format!("{reason}; nothing was written")),
        }
    }
}

/// An app, and the permission that a user gave it.
struct Credentials {
    app_key: SecretString,
    app_secret: SecretString,
    refresh_token: SecretString,
}

/// Logs in and writes the manifests.
///
/// # Errors
///
/// [`Exit`], one line that says what to do next.
pub async fn run(options: &Options) -> Result<(), Exit> {
    let terminal = Terminal::attach();
    let inputs = Inputs::new(options, terminal.as_ref())?;
    let destination = Destination::choose(options).await?;
    let dropbox = options.dropbox.client(&options.network)?;

    let credentials = authorize(options, &inputs, &dropbox).await?;
    let access_token = dropbox
        .access_token(
            &credentials.app_key,
            &credentials.app_secret,
            &credentials.refresh_token,
        )
        .await
        .map_err(|error| failed(&error))?;
    report(Mark::Good, "Dropbox gave a refresh token, and accepts it");
    let folder = inputs.folder(&dropbox, &access_token).await?;
    drop(access_token);

    let name = match &options.name {
        Some(name) => name.clone(),
        None => dns_name(folder.name()),
    };
    let secret_name = match &options.secret_name {
        Some(name) => name.clone(),
        None => format!("{name}-dropbox"),
    };
    let namespace = destination.namespace(options);
    let secret = SecretManifest::new(
        &secret_name,
        namespace,
        &credentials.app_key,
        &credentials.app_secret,
        &credentials.refresh_token,
    );
    let recursive = Some(options.recursive);
    let source = source(&name, namespace, &folder, recursive, &secret_name, None);
    destination
        .write(terminal.as_ref(), &name, &secret_name, &secret, &source)
        .await
}

/// Shows the page, takes its code, and exchanges it.
async fn authorize(
    options: &Options,
    inputs: &Inputs<'_>,
    dropbox: &DropboxClient,
) -> Result<Credentials, Exit> {
    let www = options.www()?;
    for attempt in 1.. {
        let app_key = inputs.app_key()?;
        let app_secret = inputs.app_secret()?;
        let url = authorize_url(&www, app_key.expose_secret());
        if inputs.asks_for_code() {
            say(&format!(
                "Open this page, allow the app, and copy the code that it shows:\n\n  {url}\n"
            ));
            if options.open && !open(&url) {
                report(
                    Mark::Unknown,
                    "no browser could be started; open the page yourself",
                );
            }
        }
        let code = inputs.code()?;
        match dropbox.redeem(&app_key, &app_secret, &code).await {
            Ok(refresh_token) => {
                return Ok(Credentials {
                    app_key,
                    app_secret,
                    refresh_token,
                });
            }
            Err(error) if attempt < ATTEMPTS && inputs.may_ask_again(&error) => {
                report(Mark::Bad, &error.to_string());
            }
            Err(error @ CallError::InvalidCode) => {
                return Err(Exit::Failed(format!("{error}: {url}")));
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    unreachable!("the last attempt returns")
}

fn failed(error: &CallError) -> Exit {
    Exit::Failed(error.to_string())
}

/// Starts a browser. The URL holds the app key, which is no secret.
fn open(url: &Url) -> bool {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let browser = Command::new(program)
        .arg(url.as_str())
        .env_remove(APP_SECRET)
        .env_remove(CODE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    browser.is_ok()
}

/// The folder that a text names.
fn parse_folder(text: &str) -> Result<Subfolder, String> {
    text.parse()
        .map_err(|reason| format!("the folder: {reason}"))
}
