//! What commands do with an archive: `rclone rcat`, a tape, anything that a shell can say.
//!
//! Invariant: a command that gets less than the whole file is killed before it can take the end of its input for the end of
//! the file.

mod running;

use std::io::{self, Read};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;

use hashget::model::escaped;
use hashget::monitor::{Monitor, Silent};
use hashget::storage::{ArchiveSource, SharedSource};
use serde::Deserialize;

use self::running::{Running, wait_for_output};
use super::name::{check_name, is_listed};
use super::outgoing::{Outgoing, digest_of};
use super::{Address, Compared, Sending, Store, StoreError, Stored};
use crate::shell::{quoted, shell};

/// The commands of a store, for `sh`; `{name}` in them is the file's name, quoted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commands {
    /// Takes a file on its standard input.
    pub send: String,
    /// Prints a file.
    pub read: Option<String>,
    /// Prints a line for each file: its size in bytes, a space, and its name.
    pub list: Option<String>,
    /// Removes a file; one that is not there is no error.
    pub remove: Option<String>,
}

/// Keeps files by commands.
pub struct CommandStore {
    shown: String,
    commands: Commands,
}

impl CommandStore {
    /// The store of these commands.
    pub fn new(commands: Commands) -> Self {
        let shown = Address::Commands(commands.clone()).shown();
        Self { shown, commands }
    }

    /// The command of a kind, with the name in it.
    fn command(
        &self,
        what: &str,
        command: Option<&String>,
        name: &str,
    ) -> Result<Command, StoreError> {
        let Some(command) = command else {
            let problem = format!(
                "it has no command to {what}: give it in the form {{ send = \"...\", {what} = \"...\" }}"
            );
            return Err(StoreError::Unsupported { store: self.shown.clone(), problem });
        };
        let mut shell = shell(&command.replace("{name}", &quoted(name)));
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(shell)
    }

    fn failed(&self, what: &str, status: ExitStatus, words: &str) -> StoreError {
        let words = words.lines().last().unwrap_or_default();
        let problem = match words {
            "" => format!("its command to {what} ended with {status}"),
            words => format!("its command to {what} ended with {status}: {words}"),
        };
        StoreError::Refused { store: self.shown.clone(), problem }
    }

    /// Runs a command that takes nothing; what it prints.
    fn run(
        &self,
        what: &str,
        command: Option<&String>,
        name: &str,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, StoreError> {
        let mut command = self.command(what, command, name)?;
        let mut running = Running::start(command.stdout(Stdio::piped()))?;
        let printed = running.printed();
        let status = running.wait(monitor, || ())?;
        let printed = printed.and_then(|printed| printed.join().ok()).unwrap_or_default();
        if status.success() {
            Ok(printed)
        } else {
            Err(self.failed(what, status, &running.words()))
        }
    }

    /// Is a file of this name there? `None` if nobody can say.
    fn has(&self, name: &str, monitor: &dyn Monitor) -> Result<Option<bool>, StoreError> {
        if self.commands.list.is_none() {
            return Ok(None);
        }
        Ok(Some(self.list(monitor)?.iter().any(|stored| stored.name == name)))
    }

    /// Compares what the store has with what was sent, if it can be read.
    fn compare(
        &self,
        name: &str,
        sending: &Sending<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Compared, StoreError> {
        if self.commands.read.is_none() {
            return Ok(Compared::Nothing);
        }
        let mut source = self.read(name, monitor)?;
        let found = digest_of(|buffer| source.read(buffer))?;
        if found == (sending.sha256.to_owned(), sending.bytes) {
            return Ok(Compared::Checksum);
        }
        let told = |digest: &str, bytes| format!("{bytes} bytes of SHA-256 {digest}");
        let (store, name) = (self.shown.clone(), name.to_owned());
        let expected = told(sending.sha256, sending.bytes);
        Err(StoreError::Different { store, name, expected, found: told(&found.0, found.1) })
    }

    /// Removes what was sent, which was not there before, after all. What cannot be removed is what the error is about.
    fn take_back(&self, name: &str) {
        if self.commands.list.is_some() && self.commands.remove.is_some() {
            let _ = self.remove(name, &Silent);
        }
    }

    fn read<'a>(&'a self, name: &str, monitor: &'a dyn Monitor) -> Result<Printed<'a>, StoreError> {
        let mut command = self.command("read", self.commands.read.as_ref(), name)?;
        let mut running = Running::start(command.stdout(Stdio::piped()))?;
        let pipe = running.pipe();
        Ok(Printed { store: self, running, pipe, monitor })
    }
}

impl Store for CommandStore {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn list(&self, monitor: &dyn Monitor) -> Result<Vec<Stored>, StoreError> {
        let printed = self.run("list", self.commands.list.as_ref(), "", monitor)?;
        let wrong = |line: &str| StoreError::Refused {
            store: self.shown.clone(),
            problem: format!(
                "its command to list printed \"{}\", expected a size in bytes, a space and a name",
                escaped(line.as_bytes())
            ),
        };
        let printed = String::from_utf8_lossy(&printed);
        let mut found = Vec::new();
        for line in printed.lines().filter(|line| !line.trim().is_empty()) {
            let (bytes, name) = line.trim_start().split_once(' ').ok_or_else(|| wrong(line))?;
            let bytes = bytes.parse().map_err(|_| wrong(line))?;
            if is_listed(name) {
                found.push(Stored::of_size(name.to_owned(), bytes));
            }
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn open<'a>(
        &'a self,
        name: &str,
        monitor: &'a dyn Monitor,
    ) -> Result<Box<dyn SharedSource + 'a>, StoreError> {
        check_name(name)?;
        if self.commands.read.is_some() && self.has(name, monitor)? == Some(false) {
            return Err(StoreError::not_there(&self.shown, name));
        }
        Ok(Box::new(self.read(name, monitor)?))
    }

    fn reads_at_random(&self) -> bool {
        false
    }

    fn send(
        &self,
        name: &str,
        sending: &Sending<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Compared, StoreError> {
        check_name(name)?;
        if self.has(name, monitor)? == Some(true) {
            return Err(StoreError::taken(&self.shown, name));
        }
        let outgoing = Outgoing::new(name, sending, monitor);
        let mut command = self.command("send", Some(&self.commands.send), name)?;
        let mut running = Running::start(command.stdin(Stdio::piped()))?;
        let went = running.feed(sending)?;
        let ended = running.wait(monitor, || outgoing.reached(went.load(Ordering::Relaxed)));
        if running.was_stopped() {
            self.take_back(name);
        }
        let status = ended?;
        if !status.success() {
            return Err(self.failed("send", status, &running.words()));
        }
        if went.load(Ordering::Relaxed) != sending.bytes {
            let problem =
                "its command to send ended before it had taken all of the file".to_owned();
            return Err(StoreError::Refused { store: self.shown.clone(), problem });
        }
        let compared = self.compare(name, sending, monitor);
        if compared.is_err() {
            self.take_back(name);
        }
        compared
    }

    fn remove(&self, name: &str, monitor: &dyn Monitor) -> Result<(), StoreError> {
        check_name(name)?;
        if self.commands.remove.is_some() && self.has(name, monitor)? == Some(false) {
            return Ok(());
        }
        self.run("remove", self.commands.remove.as_ref(), name, monitor).map(drop)
    }

    fn clean(&self, _monitor: &dyn Monitor) -> Result<Vec<String>, StoreError> {
        // What a command leaves, nobody else knows.
        Ok(Vec::new())
    }
}

/// What a command prints: a file, in order.
struct Printed<'a> {
    store: &'a CommandStore,
    running: Running,
    pipe: Option<ChildStdout>,
    monitor: &'a dyn Monitor,
}

impl Read for Printed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(pipe) = &mut self.pipe else { return Ok(0) };
        wait_for_output(pipe, self.monitor)?;
        let count = pipe.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.pipe = None;
            let status = self.running.wait(self.monitor, || ())?;
            if !status.success() {
                let words = self.running.words();
                return Err(self.store.failed("read", status, &words).into());
            }
        }
        Ok(count)
    }
}

impl ArchiveSource for Printed<'_> {}
