//! The questions, and where else their answers come from.

use std::fs;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::folder::{failed, look_into, parse_folder};
use super::options::{APP_SECRET, ATTEMPTS, CODE, Options};
use crate::dropbox::{CallError, DropboxClient, Folders, Subfolder, authorize_url};
use crate::flaw::{self, Flaw};
use crate::manifest::dns_name;
use crate::options::{Exit, object_name};
use crate::output::say;
use crate::scrub::one_line;
use crate::terminal::{Mark, Terminal, report};

/// Folders shown to pick from.
const SHOWN: usize = 50;

/// What the user gave, and the terminal to ask for the rest.
pub(super) struct Inputs<'a> {
    terminal: Option<&'a Terminal>,
    app_key: Option<SecretString>,
    app_secret: Option<SecretString>,
    code: Option<SecretString>,
    folder: Option<Subfolder>,
}

impl<'a> Inputs<'a> {
    /// Takes what the options give. Without a terminal that has to be everything.
    pub fn new(options: &Options, terminal: Option<&'a Terminal>) -> Result<Self, Exit> {
        let given = |value: &Option<SecretString>, file: Option<&Path>| match (value, file) {
            (Some(value), _) => Ok(Some(value.clone())),
            (None, Some(path)) => read(path).map(Some),
            (None, None) => Ok(None),
        };
        let checked = |wanted: Wanted, value: Option<SecretString>, from: &str| {
            let checked = value.map(|value| wanted.check(value)).transpose();
            checked.map_err(|reason| Exit::Refused(format!("{from}: {reason}")))
        };
        let app_key = options.app_key.as_deref().map(str::trim);
        let app_key = app_key.map(SecretString::from);
        let app_key = checked(Wanted::APP_KEY, app_key, "--app-key (DROPBOX_APP_KEY)")?;
        let app_secret = given(&options.app_secret, options.app_secret_file.as_deref())?;
        let from = format!("{APP_SECRET} or --app-secret-file");
        let app_secret = checked(Wanted::APP_SECRET, app_secret, &from)?;
        let code = given(&options.code, options.code_file.as_deref())?;
        let code = checked(Wanted::CODE, code, &format!("{CODE} or --code-file"))?;
        let folder = options.folder.as_deref().map(parse_folder).transpose();
        let inputs = Self {
            terminal,
            app_key,
            app_secret,
            code,
            folder: folder.map_err(|reason| Exit::Refused(format!("--folder: {reason}")))?,
        };
        if terminal.is_none() {
            inputs.need_everything(options)?;
        }
        Ok(inputs)
    }

    fn need_everything(&self, options: &Options) -> Result<(), Exit> {
        let needs = [
            (self.app_key.is_none(), "--app-key (DROPBOX_APP_KEY)"),
            (
                self.app_secret.is_none(),
                "DROPBOX_APP_SECRET or --app-secret-file",
            ),
            (self.code.is_none(), "DROPBOX_CODE or --code-file"),
            (
                self.folder.is_none() && options.name.is_none(),
                "--folder, or --name of a DropboxSource that exists",
            ),
        ];
        let missing: Vec<_> = needs
            .iter()
            .filter_map(|(missing, name)| missing.then_some(*name))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut line = format!(
            "there is no terminal to ask at, so these are needed: {}",
            missing.join(", ")
        );
        if let (Some(app_key), None) = (&self.app_key, &self.code) {
            let url = authorize_url(&options.www()?, app_key.expose_secret());
            line = format!("{line}; the code is shown by {url}");
        }
        Err(Exit::Refused(line))
    }

    /// The folder that an option names.
    pub fn given_folder(&self) -> Option<&Subfolder> {
        self.folder.as_ref()
    }

    /// Without a terminal, a resource that does not exist yet needs its folder.
    pub fn need_folder(&self, options: &Options, exists: bool) -> Result<(), Exit> {
        if self.terminal.is_none() && self.folder.is_none() && !exists && !options.secret_only {
            return Err(Exit::Refused(format!(
                "there is no DropboxSource {} yet, and no terminal to ask at: give --folder",
                options.name.as_deref().unwrap_or_default()
            )));
        }
        Ok(())
    }

    /// Another name for the resource that is to read `folder`, where the one of this name reads something else already. None: that
    /// one shall read it.
    pub fn other_name(
        &self,
        name: &str,
        reads: &str,
        folder: &Subfolder,
    ) -> Result<Option<String>, Exit> {
        let (reads, new) = (one_line(reads), folder.remote_url());
        let Some(terminal) = self.terminal else {
            return Err(Exit::Refused(format!(
                "the DropboxSource {name} exists and reads {reads}: give another --name for one that reads {new}, or --force to have \
                 {name} read it, unless another tool manages it; leave out --folder to change the credentials alone"
            )));
        };
        report(
            Mark::Unknown,
            &format!("the DropboxSource {name} exists and reads {reads}"),
        );
        let question = format!("Have it read {new} instead? (yes or no)");
        if terminal.ask(&question, Some("no"))? == "yes" {
            return Ok(None);
        }
        for _ in 0..ATTEMPTS {
            let suggested = dns_name(folder.path());
            let typed = terminal.ask("Name of a new DropboxSource", Some(&suggested))?;
            match object_name(&typed) {
                Ok(name) => return Ok(Some(name)),
                Err(reason) => report(Mark::Bad, &format!("the name {reason}")),
            }
        }
        Err(Exit::Refused(
            "no usable name; nothing was written".to_owned(),
        ))
    }

    pub fn app_key(&self) -> Result<SecretString, Exit> {
        self.given_or(self.app_key.as_ref(), |terminal| {
            let typed = SecretString::from(terminal.ask("App key", None)?);
            Ok(Wanted::APP_KEY.check(typed))
        })
    }

    pub fn app_secret(&self) -> Result<SecretString, Exit> {
        self.given_or(self.app_secret.as_ref(), |terminal| {
            let typed = terminal.ask_hidden("App secret")?;
            Ok(Wanted::APP_SECRET.check(typed))
        })
    }

    pub fn code(&self) -> Result<SecretString, Exit> {
        self.given_or(self.code.as_ref(), |terminal| {
            let typed = terminal.ask_hidden("Code")?;
            Ok(Wanted::CODE.check(typed))
        })
    }

    /// Whether the code will be asked for, and the page has to be shown.
    pub fn asks_for_code(&self) -> bool {
        self.code.is_none()
    }

    /// Whether other answers than those that led to this error can be had.
    pub fn may_ask_again(&self, error: &CallError) -> bool {
        self.terminal.is_some()
            && self.code.is_none()
            && match error {
                CallError::InvalidCode | CallError::NoRefreshToken => true,
                CallError::InvalidClient => self.app_secret.is_none() || self.app_key.is_none(),
                _ => false,
            }
    }

    /// The folder to read, which exists.
    pub async fn folder(
        &self,
        dropbox: &DropboxClient,
        access_token: &SecretString,
    ) -> Result<Subfolder, Exit> {
        if let Some(folder) = &self.folder {
            look_into(dropbox, access_token, folder).await?;
            return Ok(folder.clone());
        }
        let terminal = self.terminal.ok_or_else(|| {
            Exit::Refused("there is no terminal to ask at: give --folder".to_owned())
        })?;
        loop {
            let found = dropbox
                .folders(access_token)
                .await
                .map_err(|error| failed(&error))?;
            list(&found);
            let question = if found.folders.is_empty() {
                "Enter to look again, or the path of a folder"
            } else {
                "Folder to read (number or path)"
            };
            let typed = terminal.ask(question, None)?;
            if typed.is_empty() {
                continue;
            }
            let folder = match pick(&found, &typed) {
                Ok(folder) => folder,
                Err(reason) => {
                    report(Mark::Bad, &reason);
                    continue;
                }
            };
            match dropbox.look_into(access_token, &folder).await {
                Ok(()) => return Ok(folder),
                Err(
                    error @ (CallError::FolderNotFound
                    | CallError::NotAFolder
                    | CallError::FolderUnreadable { .. }),
                ) => {
                    report(Mark::Bad, &format!("{folder}: {error}"));
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    /// What was given, or what is typed, asked for again when it cannot be right.
    fn given_or(
        &self,
        given: Option<&SecretString>,
        ask: impl Fn(&Terminal) -> Result<Result<SecretString, String>, Exit>,
    ) -> Result<SecretString, Exit> {
        if let Some(given) = given {
            return Ok(given.clone());
        }
        let terminal = self
            .terminal
            .ok_or_else(|| Exit::Refused("there is no terminal to ask at".to_owned()))?;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match ask(terminal)? {
                Ok(answer) => return Ok(answer),
                Err(reason) => {
                    report(Mark::Bad, &reason);
                    last = reason;
                }
            }
        }
        Err(Exit::Refused(format!("no usable answer: {last}")))
    }
}

fn list(found: &Folders) {
    if found.folders.is_empty() {
        say(
            "The app sees no folder. Unstructured cannot read the root, so create a folder in Dropbox inside of the app's own \
             (Apps/<app folder name>), and put the documents there.",
        );
        return;
    }
    say("The app sees these folders:");
    for (number, folder) in (1..).zip(found.folders.iter().take(SHOWN)) {
        say(&format!("  {number:>2}  {folder}"));
    }
    if found.truncated || found.folders.len() > SHOWN {
        say("  and more, to be given by path");
    }
}

/// The folder that the answer names: a number of the list, or a path. A folder called `7` is `/7`.
fn pick(found: &Folders, typed: &str) -> Result<Subfolder, String> {
    match typed.parse::<usize>() {
        Ok(number) => (1..=SHOWN)
            .contains(&number)
            .then(|| found.folders.get(number - 1).cloned())
            .flatten()
            .ok_or_else(|| {
                "there is no such number; write a path like /7 for a folder called 7".to_owned()
            }),
        Err(_) => parse_folder(typed),
    }
}

/// A value that is copied from Dropbox, and what it is checked for.
struct Wanted {
    name: &'static str,
    /// Where it is copied from.
    source: &'static str,
    /// What else it cannot be, as far as its characters tell.
    also: fn(&str) -> Option<&'static str>,
}

impl Wanted {
    const APP_KEY: Self = Self {
        name: "app key",
        source: "copy it from the Settings tab of the app in the Dropbox App Console",
        also: |text| {
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (!text.chars().all(is_word))
                .then_some("has a character that is neither a letter nor a digit")
        },
    };
    const APP_SECRET: Self = Self {
        name: "app secret",
        source: "on the Settings tab of the app in the Dropbox App Console, press Show and copy it",
        also: |_| None,
    };
    const CODE: Self = Self {
        name: "code",
        source: "open the page, press Allow, and copy what it shows",
        also: |_| None,
    };

    /// The value, if it can be right: what the operator would refuse in a Secret is refused here in the same words.
    fn check(&self, value: SecretString) -> Result<SecretString, String> {
        let Self { name, source, also } = self;
        let text = value.expose_secret();
        if flaw::bare(text.as_bytes()).starts_with("sl.") {
            return Err(format!(
                "this is an access token, which expires after four hours, not the {name}; {source}"
            ));
        }
        let flaw = match flaw::credential(text.as_bytes()) {
            Err(flaw) => Some(flaw.to_string()),
            Ok(text) => also(text).map(ToOwned::to_owned),
        };
        match flaw {
            Some(flaw) => Err(format!("the {name} {flaw}; {source}")),
            None => Ok(value),
        }
    }
}

fn read(path: &Path) -> Result<SecretString, Exit> {
    let file = path.display();
    let bytes = fs::read(path)
        .map_err(|error| Exit::Refused(format!("the file {file} cannot be read: {error}")))?;
    let bytes = Zeroizing::new(bytes);
    let Ok(text) = std::str::from_utf8(&bytes) else {
        let flaw = flaw::credential(&bytes).err().unwrap_or(Flaw::NotText);
        return Err(Exit::Refused(format!("the file {file} {flaw}")));
    };
    Ok(SecretString::from(text.trim()))
}
