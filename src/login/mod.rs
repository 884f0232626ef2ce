//! `unstructured-operator login dropbox`: from an app's key and secret to a Secret with a refresh token and a `DropboxSource`.
//!
//! The dialogue is on standard error and standard input. Without a terminal nothing is asked: all that is missing is named at once,
//! before the code, which is good only once, is used.

mod cluster;
mod destination;
mod dialogue;
mod files;
mod folder;
mod options;
mod request;

use std::process::{Command, Stdio};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::crd::DropboxSource;
use crate::dropbox::{CallError, DropboxClient, Subfolder, authorize_url};
use crate::manifest::{SecretManifest, dns_name};
use crate::options::Exit;
use crate::output::say;
use crate::terminal::{Mark, NoAnswer, Terminal, report};
pub use options::Options;
pub(crate) use options::{APP_SECRET, CODE};

use destination::Destination;
use dialogue::Inputs;
use folder::{failed, look_into};
use options::ATTEMPTS;
use request::{Request, repoints};

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  Answer the questions, and write two files into the current directory:
    unstructured-operator login dropbox --output .
  Write straight to the cluster:
    unstructured-operator login dropbox --apply --namespace legal
  Write new credentials for an existing resource, and leave it as it is:
    unstructured-operator login dropbox --apply --namespace legal \\
      --name contracts --secret-only
  Run it in a script:
    unstructured-operator login dropbox --app-key abc --folder contracts \\
      --app-secret-file secret --code-file code --output manifests

In the environment, DROPBOX_APP_SECRET may hold the app secret, and DROPBOX_CODE
may hold the code of the authorization page.";

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
    let destination = Destination::choose(options, terminal.is_some()).await?;
    let dropbox = options.dropbox.client(&options.network)?;

    // A code is good only once: what can be found out before it is used is found out before.
    let given = inputs.given_folder();
    let is_known = (options.name.is_some() || given.is_some()) && !destination.is_open();
    let known = if is_known {
        Some(Target::find(&destination, options, &inputs, given).await?)
    } else {
        None
    };
    let existing = known.as_ref().and_then(|target| target.existing.as_ref());
    inputs.need_folder(options, existing.is_some())?;
    let is_all_known = existing.is_some() || given.is_some() || options.secret_only;
    match known.as_ref().filter(|_| is_all_known) {
        Some(target) => {
            let request = target.request(options, &destination, given.cloned());
            destination.rehearse(Some(&request), existing).await?;
        }
        None => destination.rehearse(None, None).await?,
    }

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
    let read_already = known.as_ref().and_then(Target::folder);
    let folder = match (&read_already, given) {
        (Some(folder), None) => {
            look_into(&dropbox, &access_token, folder).await?;
            None
        }
        (None, None) if options.secret_only => None,
        _ => Some(inputs.folder(&dropbox, &access_token).await?),
    };
    drop(access_token);

    let destination = destination.settle(terminal.as_ref())?;
    let target = match known {
        Some(target) => target,
        None => Target::find(&destination, options, &inputs, folder.as_ref()).await?,
    };
    let request = target.request(options, &destination, folder);
    let existing = target.existing.as_ref();
    let secret = SecretManifest::new(
        &request.secret_name(existing),
        request.namespace,
        request::keys(existing),
        &credentials.app_key,
        &credentials.app_secret,
        &credentials.refresh_token,
    );
    if !is_all_known {
        destination.rehearse(Some(&request), existing).await?;
    }
    destination.write(&request, existing, &secret).await
}

/// The resource that is meant, as it is now.
struct Target {
    name: String,
    existing: Option<DropboxSource>,
}

impl Target {
    /// Finds it. One that reads another folder is left alone unless that was said.
    async fn find(
        destination: &Destination,
        options: &Options,
        inputs: &Inputs<'_>,
        folder: Option<&Subfolder>,
    ) -> Result<Self, Exit> {
        let name = options.name.clone();
        let mut name = name.unwrap_or_else(|| dns_name(folder.map_or("", Subfolder::name)));
        loop {
            let existing = destination.find(&name).await?;
            if let (Some(source), Some(folder)) = (&existing, folder)
                && !options.force
                && repoints(source, folder)
                && let Some(other) = inputs.other_name(&name, &source.spec.remote_url, folder)?
            {
                name = other;
                continue;
            }
            let is_nobodys = existing.is_none() && options.secret_name.is_none();
            if options.apply && options.secret_only && is_nobodys {
                return Err(Exit::Failed(format!(
                    "there is no DropboxSource {name}: list them with kubectl get dropboxsources, or leave out --secret-only to create one"
                )));
            }
            return Ok(Self { name, existing });
        }
    }

    /// What it reads already.
    fn folder(&self) -> Option<Subfolder> {
        self.existing.as_ref()?.spec.remote_url.parse().ok()
    }

    fn request<'a>(
        &self,
        options: &'a Options,
        destination: &'a Destination,
        folder: Option<Subfolder>,
    ) -> Request<'a> {
        Request {
            name: self.name.clone(),
            namespace: destination.namespace(options),
            folder,
            recursive: options.recursive,
            secret_name: options.secret_name.as_deref(),
            secret_only: options.secret_only,
        }
    }
}

/// Shows the page, takes its code, and exchanges it.
async fn authorize(
    options: &Options,
    inputs: &Inputs<'_>,
    dropbox: &DropboxClient,
) -> Result<Credentials, Exit> {
    let www = options.www()?;
    let (mut app_key, mut app_secret) = (inputs.app_key()?, inputs.app_secret()?);
    for attempt in 1.. {
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
                // A code that is refused says nothing against the app.
                if error == CallError::InvalidClient {
                    (app_key, app_secret) = (inputs.app_key()?, inputs.app_secret()?);
                }
            }
            Err(error @ CallError::InvalidCode) => {
                return Err(Exit::Failed(format!("{error}: {url}")));
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    unreachable!("the last attempt returns")
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
