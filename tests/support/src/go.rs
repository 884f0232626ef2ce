//! Programs that are built from Go modules of this repository, once, under the target directory.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::{
    env,
    fmt::Arguments,
    fs::{self, File, TryLockError},
    io::{self, BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
    process::{self, ChildStderr, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

const REPORT_EVERY: Duration = Duration::from_secs(10);

/// What a Go module is built into.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// What people are told is being built: a few words.
    pub name: &'static str,
    /// The module's directory below `tests`, and where its programs go below the target directory.
    pub directory: &'static str,
    /// The module file, for a directory that has several.
    pub module_file: &'static str,
    /// Build tags.
    pub tags: &'static str,
    /// What to build: a pattern of packages, `tool` for those that the module file names.
    pub packages: &'static str,
    /// The programs that come out.
    pub programs: &'static [&'static str],
    /// Roughly how many packages are compiled and how long that takes: for the report of progress.
    pub effort: (usize, &'static str),
    /// Directories of required modules that the programs come with, as (module, path in it, name beside the programs).
    pub files: &'static [(&'static str, &'static str, &'static str)],
    /// Values of variables, as (variable, module whose version it gets).
    pub versions: &'static [(&'static str, &'static str)],
}

impl Recipe {
    /// One module file, no tags, one package, nothing else.
    pub const PLAIN: Self = Self {
        name: "",
        directory: "",
        module_file: "go.mod",
        tags: "",
        packages: ".",
        programs: &[],
        effort: (0, ""),
        files: &[],
        versions: &[],
    };
}

/// A Go module of this repository.
pub struct Module {
    recipe: Recipe,
    directory: PathBuf,
    manifest: String,
}

impl Module {
    /// Finds the module of a recipe.
    pub fn locate(recipe: Recipe) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let directory = workspace
            .canonicalize()?
            .join("tests")
            .join(recipe.directory);
        let file = directory.join(recipe.module_file);
        let manifest =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self {
            recipe,
            directory,
            manifest,
        })
    }

    /// The directory with the programs for the sources as they are now, built unless that was done before.
    pub fn programs(&self) -> Result<PathBuf> {
        let target = crate::target().join(self.recipe.directory);
        let home = target.join(self.fingerprint()?);
        let complete = || {
            let mut programs = self.recipe.programs.iter();
            programs.all(|program| home.join(program).exists())
        };
        if complete() {
            return Ok(home);
        }
        fs::create_dir_all(&target)
            .with_context(|| format!("cannot create {}", target.display()))?;
        let _lock = self.lock(&home.with_extension("lock"))?;
        if !complete() {
            // A build that is cut short must not leave what looks like one that was not.
            let unfinished = home.with_extension(format!("unfinished-{}", process::id()));
            fs::create_dir_all(&unfinished)?;
            self.build(&unfinished)?;
            self.collect(&unfinished)?;
            if home.exists() {
                fs::remove_dir_all(&home)?;
            }
            fs::rename(&unfinished, &home)?;
        }
        Ok(home)
    }

    /// The version of a module that this one requires.
    pub fn version_of(&self, module: &str) -> Result<&str> {
        self.manifest
            .lines()
            .map(|line| line.trim().trim_start_matches("require "))
            .find_map(|line| line.strip_prefix(module)?.strip_prefix(' '))
            .and_then(|rest| rest.split_whitespace().next())
            .with_context(|| {
                format!(
                    "tests/{}/{} does not require {module}",
                    self.recipe.directory, self.recipe.module_file
                )
            })
    }

    /// Names a build by all that goes into it.
    fn fingerprint(&self) -> Result<String> {
        let mut sources: Vec<_> = fs::read_dir(&self.directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        let sums = Path::new(self.recipe.module_file).with_extension("sum");
        sources.retain(|path| {
            path.ends_with(self.recipe.module_file)
                || path.ends_with(&sums)
                || path.extension().is_some_and(|kind| kind == "go")
        });
        sources.sort();

        let mut hash = Sha256::new();
        for path in sources {
            let content = fs::read(&path)?;
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update(content.len().to_le_bytes());
            hash.update(content);
        }
        for flag in self.flags()? {
            hash.update(flag);
        }
        Ok(hex::encode(&hash.finalize()[..8]))
    }

    fn flags(&self) -> Result<Vec<String>> {
        let mut link = "-s -w".to_owned();
        for (variable, module) in self.recipe.versions {
            let version = self.version_of(module)?;
            let (major, minor) = major_and_minor(version)
                .with_context(|| format!("{version} is no version of {module}"))?;
            let value = match variable.rsplit_once('.') {
                Some((_, "gitMajor")) => major,
                Some((_, "gitMinor")) => minor,
                _ => version,
            };
            link.push_str(" -X ");
            link.push_str(variable);
            link.push('=');
            link.push_str(value);
        }
        let mut flags = vec![
            "-trimpath".into(),
            "-buildvcs=false".into(),
            "-mod=readonly".into(),
            format!("-ldflags={link}"),
        ];
        if self.recipe.module_file != Recipe::PLAIN.module_file {
            flags.push(format!("-modfile={}", self.recipe.module_file));
        }
        if !self.recipe.tags.is_empty() {
            flags.push(format!("-tags={}", self.recipe.tags));
        }
        Ok(flags)
    }

    fn go(&self) -> Command {
        let mut go = Command::new("go");
        go.current_dir(&self.directory)
            .env("CGO_ENABLED", "0")
            // A workspace file above this checkout would change the versions.
            .env("GOWORK", "off")
            .stdin(Stdio::null());
        go
    }

    fn build(&self, output: &Path) -> Result<()> {
        let started = Instant::now();
        // The slash says that it is a directory.
        let mut go = self
            .go()
            .args(["build", "-v", "-o"])
            .arg(output.join(""))
            .args(self.flags()?)
            .arg(self.recipe.packages)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.cannot_run_go(error))?;
        let (_, time) = self.recipe.effort;
        self.say(format_args!(
            "building from source, once; with two cores and an empty Go cache this takes about {time}"
        ));
        let complaints = go.stderr.take().map(|stderr| self.report(stderr, started));
        let status = go.wait()?;
        if !status.success() {
            bail!(
                "`go build` in {} ended with {status}:\n{}",
                self.directory.display(),
                complaints.unwrap_or_default().join("\n")
            );
        }
        self.say(format_args!("built in {}", minutes(started)));
        Ok(())
    }

    /// Copies what the programs come with.
    fn collect(&self, output: &Path) -> Result<()> {
        for (module, path, name) in self.recipe.files {
            let listed = self
                .go()
                .args(["list", "-m", "-f", "{{.Dir}}", module])
                .output()?;
            let source = Path::new(String::from_utf8(listed.stdout)?.trim()).join(path);
            let copy = output.join(name);
            fs::create_dir_all(&copy)?;
            let entries = fs::read_dir(&source)
                .with_context(|| format!("cannot read {}", source.display()))?;
            for entry in entries {
                let entry = entry?;
                // Not `fs::copy`: files of Go's module cache are read-only.
                fs::write(copy.join(entry.file_name()), fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }

    fn cannot_run_go(&self, error: io::Error) -> anyhow::Error {
        if error.kind() != ErrorKind::NotFound {
            return anyhow::Error::new(error).context("cannot run `go`");
        }
        let version = self.version_of("go").unwrap_or("1.26.0");
        let system = match env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let architecture = match env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        anyhow::anyhow!(
            "these tests build {} and need Go {version} or newer, and `go` is not in PATH. Install it:\n\n  \
             curl -fsSL https://go.dev/dl/go{version}.{system}-{architecture}.tar.gz | sudo tar -C /usr/local -xz\n  \
             export PATH=$PATH:/usr/local/go/bin",
            self.recipe.name,
        )
    }

    /// Waits for the lock: two processes that build at once would both take twice as
    /// long. The system releases it with the process that holds it.
    fn lock(&self, path: &Path) -> Result<File> {
        let file =
            File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                self.say(format_args!("another process is building it; waiting"));
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        Ok(file)
    }

    /// Condenses what `go build -v` prints to a line now and then, and returns the
    /// lines that are no progress.
    fn report(&self, stderr: ChildStderr, started: Instant) -> Vec<String> {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });

        let (packages, _) = self.recipe.effort;
        let (mut downloaded, mut compiled, mut complaints) = (0, 0, Vec::new());
        let mut next = started + REPORT_EVERY;
        loop {
            match lines.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with("go: downloading ") => downloaded += 1,
                // A package is named by its path alone; messages have spaces.
                Ok(line) if !line.contains(' ') => compiled += 1,
                Ok(line) => complaints.push(line),
                Err(RecvTimeoutError::Timeout) => {
                    self.say(format_args!(
                        "{}: {downloaded} modules downloaded, {compiled} packages of about {packages} compiled",
                        minutes(started)
                    ));
                    next += REPORT_EVERY;
                }
                Err(RecvTimeoutError::Disconnected) => return complaints,
            }
        }
    }

    /// Writes to the process's own standard error: the test harness would swallow
    /// what `eprintln!` prints, and leave people before a silent build.
    fn say(&self, line: Arguments<'_>) {
        // A closed standard error is no reason to fail.
        let _ = writeln!(io::stderr().lock(), "{}: {line}", self.recipe.name);
    }
}

fn major_and_minor(version: &str) -> Option<(&str, &str)> {
    let (major, rest) = version.trim_start_matches('v').split_once('.')?;
    Some((major, rest.split_once('.')?.0))
}

fn minutes(since: Instant) -> String {
    let seconds = since.elapsed().as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}
