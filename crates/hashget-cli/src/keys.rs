//! What opens encrypted archives, and whoever sits at the terminal.
//!
//! Invariant: nothing secret comes from the command line, and none is shown.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use hashget::monitor::Monitor;
use hashget::storage::SharedSource;
use hashget_backup::encryption::{EncryptionError, Identities, Person, Recipients, decrypted};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::environment::Environment;
use crate::exit::UsageError;

/// Ctrl-C is noticed within this time.
const ATTENTION: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

impl Environment<'_> {
    /// Does anything say what opens encrypted archives?
    pub(crate) fn has_identity(&self) -> bool {
        !self.identity().is_empty()
    }

    /// The archive of this name itself, or what it decrypts to.
    pub(crate) fn decrypted<'s>(
        &'s self,
        source: Box<dyn SharedSource + 's>,
        name: &str,
    ) -> anyhow::Result<Box<dyn SharedSource + 's>> {
        let identities = || Identities::of(&self.identity(), &self.person);
        let opened = decrypted(source, name, identities, self.console).map_err(io::Error::from);
        // Nobody answered, if nobody wants an answer any more.
        (self.console as &dyn Monitor).check_interrupted()?;
        opened.with_context(|| format!("cannot read {name}"))
    }

    /// The recipients of these names.
    ///
    /// # Errors
    /// One of them is none.
    pub(crate) fn recipients(&self, given: &[String]) -> anyhow::Result<Recipients> {
        Recipients::of(given, &self.person).map_err(|error| match error {
            EncryptionError::Io(_) | EncryptionError::Unreadable { .. } => {
                anyhow::Error::from(io::Error::from(error)).context("--recipient")
            }
            error => UsageError(format!("--recipient: {error}")).into(),
        })
    }

    /// The identities that were given, or that of the environment.
    fn identity(&self) -> Vec<PathBuf> {
        match self.given_identity() {
            [] => {
                let named = self.text("HASHGET_IDENTITY").filter(|named| !named.is_empty());
                named.map(PathBuf::from).into_iter().collect()
            }
            given => given.to_vec(),
        }
    }
}

/// Whoever sits at the terminal, until `interrupted` is set. What was answered is not asked for again.
pub(crate) fn person(interrupted: Arc<AtomicBool>) -> Person {
    let tell = |message: &str| {
        if let Ok(mut terminal) = terminal() {
            // Where nobody reads it, nobody can do what it says.
            let _ = writeln!(terminal, "{}", hashget::model::escaped(message.as_bytes()));
        }
    };
    let answers: Mutex<BTreeMap<String, String>> = Mutex::default();
    let passphrase = move |purpose: &str| {
        let mut answers = answers.lock().ok()?;
        if let Some(answer) = answers.get(purpose) {
            return Some(answer.clone());
        }
        let answer = ask(purpose, &interrupted).ok().filter(|answer| !answer.is_empty())?;
        answers.insert(purpose.to_owned(), answer.clone());
        Some(answer)
    };
    Person { tell: Arc::new(tell), passphrase: Arc::new(passphrase) }
}

fn terminal() -> io::Result<File> {
    Ok(fs_err::OpenOptions::new().read(true).write(true).open("/dev/tty")?.into_parts().0)
}

/// Asks for a passphrase, which the terminal does not show.
fn ask(purpose: &str, interrupted: &AtomicBool) -> anyhow::Result<String> {
    let mut terminal = terminal().context("there is no terminal to ask for a passphrase")?;
    write!(terminal, "{}: ", hashget::model::escaped(purpose.as_bytes()))?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let mut answer = String::new();
    let read = wait_for_line(&terminal, interrupted)
        .and_then(|()| BufReader::new(&terminal).read_line(&mut answer));
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    writeln!(terminal)?;
    read?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

/// Waits until somebody has typed a line. The terminal must be as it was before, whatever happens: only this returns when
/// somebody presses Ctrl-C.
fn wait_for_line(terminal: &File, interrupted: &AtomicBool) -> io::Result<()> {
    loop {
        if interrupted.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&ATTENTION)) {
            Ok(0) | Err(Errno::INTR) => {}
            // Whatever is wrong with it, reading says.
            Ok(_) | Err(_) => return Ok(()),
        }
    }
}
