//! A person at a terminal: sees what a command writes to it, types, and keeps standard output apart where a pipe would.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::stage::PATIENCE;

/// How long the rest of what a command has written is waited for once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A command whose standard input and error are a pseudo-terminal. Dropping it kills the command.
pub struct Typist {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    /// Fills the screen for as long as somebody may write on it.
    reader: JoinHandle<()>,
    /// How much of the screen was waited for already.
    read: usize,
    stdout: Option<JoinHandle<String>>,
}

/// What a command left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything that the terminal showed.
    pub screen: String,
    /// Whether the terminal echoes what is typed.
    pub echoes: bool,
    /// Everything on standard output, if that was not the terminal.
    pub stdout: String,
}

impl Typist {
    /// Starts the command with standard output in a pipe.
    pub fn start(command: Command) -> Result<Self> {
        Self::start_with(command, false)
    }

    /// Starts the command with standard output on the terminal too.
    pub fn start_on_screen(command: Command) -> Result<Self> {
        Self::start_with(command, true)
    }

    fn start_with(mut command: Command, on_screen: bool) -> Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).context("there is no pseudo-terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = File::from(ioctl_tiocgptpeer(&master, flags)?);
        command.stdin(slave.try_clone()?).stderr(slave.try_clone()?);
        command.stdout(if on_screen {
            Stdio::from(slave)
        } else {
            Stdio::piped()
        });
        let mut child = command.spawn().context("the command cannot be started")?;
        // It holds the terminal's other end, which would otherwise never close.
        drop(command);
        let stdout = child.stdout.take().map(|mut stdout| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stdout.read_to_end(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            })
        });
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut shown, seen) = (keyboard.try_clone()?, Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            // Fails once nobody holds the other end.
            while let Ok(length @ 1..) = shown.read(&mut chunk) {
                let text = String::from_utf8_lossy(&chunk[..length]);
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&text);
            }
        });
        Ok(Self {
            child,
            keyboard,
            screen,
            reader,
            read: 0,
            stdout,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything on the screen so far.
    pub fn screen(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.clone()
    }

    /// Waits until the terminal shows this, after what was waited for before.
    pub async fn sees(&mut self, text: &str) -> Result<()> {
        let end = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < end {
            let screen = self.screen();
            if let Some(at) = screen[self.read..].find(text) {
                self.read += at + text.len();
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!(
            "the terminal never shows {text:?}; it shows:\n{}",
            self.screen()
        )
    }

    /// What Ctrl-C sends to a command whose terminal it is.
    pub fn interrupts(&self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.id())?).context("process id 0")?;
        kill_process(pid, Signal::INT).context("the command cannot be interrupted")
    }

    /// Types these keys.
    pub fn keys(&mut self, keys: &str) -> Result<()> {
        self.keyboard.write_all(keys.as_bytes())?;
        Ok(())
    }

    /// Waits for a question, and answers it.
    pub async fn answers(&mut self, question: &str, answer: &str) -> Result<()> {
        self.sees(question).await?;
        self.keys(answer)?;
        self.keys("\n")
    }

    /// Waits until the command ends.
    pub async fn finishes(self) -> Result<Finished> {
        self.finishes_answering(&[], PATIENCE).await
    }

    /// Waits until the command ends, and answers each of these questions whenever it is asked.
    pub async fn finishes_answering(
        mut self,
        answers: &[(&str, &str)],
        patience: Duration,
    ) -> Result<Finished> {
        let end = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                // Its last words may still be on their way. A process that it left behind may hold the terminal for ever.
                let late = tokio::time::Instant::now() + LAST_WORDS;
                while !self.reader.is_finished() && tokio::time::Instant::now() < late {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let stdout = self.stdout.take().map(JoinHandle::join);
                return Ok(Finished {
                    status,
                    screen: self.screen(),
                    echoes: tcgetattr(&self.keyboard)?
                        .local_modes
                        .contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG),
                    stdout: stdout.and_then(Result::ok).unwrap_or_default(),
                });
            }
            let screen = self.screen();
            let asked = answers.iter().filter_map(|(question, answer)| {
                let at = screen[self.read..].find(question)?;
                Some((at + question.len(), answer))
            });
            if let Some((read, answer)) = asked.min() {
                self.read += read;
                self.keys(answer)?;
                self.keys("\n")?;
                continue;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the command does not end; it shows:\n{}", self.screen())
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
