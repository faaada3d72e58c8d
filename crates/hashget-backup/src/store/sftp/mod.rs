//! A folder of another machine, through `ssh` and its SFTP server.
//!
//! Invariant: a file is written under a temporary name that nobody else writes to, and gets its own by a renaming that
//! replaces nothing.

mod protocol;
mod requests;
mod session;
mod upload;

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;

use hashget::monitor::Monitor;
use hashget::storage::SharedSource;

use self::protocol::{Attributes, code, open};
use self::requests::Handle;
use self::session::{Broken, Session};
use self::upload::{Upload, stem_of};
use super::name::{check_name, is_listed};
use super::outgoing::Outgoing;
use super::patience::Tries;
use super::ranged::{Ranged, Ranges};
use super::{Compared, Patience, Sending, Store, StoreError, Stored};

/// What broke off so many seconds ago is not being sent any more.
const ABANDONED: i64 = 24 * 60 * 60;

/// A place that `ssh` leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SftpPlace {
    /// The user's name there; that of `ssh`'s configuration if absent.
    pub user: Option<String>,
    /// The host, which may be one that `ssh`'s configuration names.
    pub host: String,
    /// The port; that of `ssh`'s configuration if absent.
    pub port: Option<u16>,
    /// The folder, from the home folder on if it does not begin with `/`.
    pub folder: String,
}

impl SftpPlace {
    /// The words of the command that leads there. `ssh` are the first ones.
    fn command(&self, ssh: &[String]) -> Vec<String> {
        // It asks nothing, and notices within a minute that the other side is gone.
        const OPTIONS: [&str; 4] = [
            "BatchMode=yes",
            "ConnectTimeout=30",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=3",
        ];
        let mut words = ssh.to_vec();
        words.extend(OPTIONS.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
        words.extend(self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
        words.extend(self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]));
        words.extend(["-s".to_owned(), "--".to_owned(), self.host.clone(), "sftp".to_owned()]);
        words
    }
}

/// Keeps files in a folder of another machine.
pub struct SftpStore {
    shown: String,
    folder: String,
    command: Vec<String>,
    patience: Patience,
    /// Conversations that nobody has at the moment.
    idle: Mutex<Vec<Session>>,
}

impl SftpStore {
    /// The store at `place`. `ssh` is the command for `ssh` with its first arguments; its configuration and agent are used.
    pub fn new(shown: &str, place: &SftpPlace, ssh: &[String], patience: Patience) -> Self {
        Self::through(shown, &place.folder, place.command(ssh), patience)
    }

    /// The store in `folder` of the SFTP server that speaks through the pipes of `command`.
    pub fn through(shown: &str, folder: &str, command: Vec<String>, patience: Patience) -> Self {
        let (shown, folder, idle) = (shown.to_owned(), folder.to_owned(), Mutex::default());
        Self { shown, folder, command, patience, idle }
    }

    fn path(&self, name: &str) -> Vec<u8> {
        let folder = self.folder.trim_end_matches('/');
        match (folder, self.folder.as_str()) {
            ("", "/") => format!("/{name}").into_bytes(),
            ("", _) => name.as_bytes().to_vec(),
            (folder, _) => format!("{folder}/{name}").into_bytes(),
        }
    }

    fn folder(&self) -> &[u8] {
        if self.folder.is_empty() { b"." } else { self.folder.as_bytes() }
    }

    /// A conversation, for a while.
    fn session(&self, monitor: &dyn Monitor) -> Result<Session, Broken> {
        let idle = self.idle.lock().expect("nothing panics while it looks").pop();
        idle.map_or_else(|| Session::start(&self.command, monitor), Ok)
    }

    fn keep(&self, session: Session) {
        self.idle.lock().expect("nothing panics while it looks").push(session);
    }

    /// Does something in one conversation, again in another one if it breaks.
    fn talk<T>(
        &self,
        monitor: &dyn Monitor,
        mut work: impl FnMut(&mut Session, &mut Tries<'_>) -> Result<T, Broken>,
    ) -> Result<T, StoreError> {
        let mut tries = self.patience.tries();
        loop {
            let done = self.session(monitor).and_then(|mut session| {
                let done = work(&mut session, &mut tries);
                // After anything else, answers may still be on their way.
                if done.is_ok() {
                    self.keep(session);
                }
                done
            });
            let problem = match done {
                Ok(done) => return Ok(done),
                Err(Broken::Passing(problem)) => problem,
                Err(broken) => return Err(self.failed(broken, monitor)),
            };
            if !tries.again((&self.shown, &problem), monitor)? {
                return Err(StoreError::Unreachable { store: self.shown.clone(), problem });
            }
        }
    }

    /// The error of a conversation that failed for good.
    fn failed(&self, broken: Broken, monitor: &dyn Monitor) -> StoreError {
        let store = self.shown.clone();
        match broken {
            Broken::Interrupted(interrupted) => interrupted.into(),
            Broken::Local(error) => error.into(),
            Broken::Passing(problem) => StoreError::Unreachable { store, problem },
            Broken::Lasting(problem) => StoreError::Refused { store, problem },
            Broken::Refused(code::NO_SUCH_FILE, text) if !self.is_there(monitor) => {
                let problem = format!("{text}: make the folder, or correct its name");
                StoreError::Missing { store, problem }
            }
            Broken::Refused(code::PERMISSION_DENIED, text) => StoreError::Refused {
                store,
                problem: format!("{text}: that user has no right to do this in the folder"),
            },
            // Servers say no more than `Failure` of a disk that is full.
            Broken::Refused(_, text) => StoreError::Refused {
                store,
                problem: format!("it answers {text:?}: is its disk full, or a quota reached?"),
            },
        }
    }

    fn is_there(&self, monitor: &dyn Monitor) -> bool {
        let looked = self.session(monitor).and_then(|mut session| {
            let found = session.look(self.folder(), monitor)?;
            self.keep(session);
            Ok(found)
        });
        !matches!(looked, Ok(None))
    }

    fn entries(&self, monitor: &dyn Monitor) -> Result<Vec<(String, Attributes)>, StoreError> {
        let entries = self.talk(monitor, |session, _| session.entries(self.folder(), monitor))?;
        let named = |(name, found)| Some((String::from_utf8(name).ok()?, found));
        Ok(entries.into_iter().filter_map(named).collect())
    }
}

impl Store for SftpStore {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn list(&self, monitor: &dyn Monitor) -> Result<Vec<Stored>, StoreError> {
        let mut entries = self.entries(monitor)?;
        entries.retain(|(name, found)| found.is_file() && is_listed(name));
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let stored = entries.into_iter();
        Ok(stored.map(|(name, found)| Stored::of_size(name, found.size.unwrap_or(0))).collect())
    }

    fn open<'a>(
        &'a self,
        name: &str,
        monitor: &'a dyn Monitor,
    ) -> Result<Box<dyn SharedSource + 'a>, StoreError> {
        check_name(name)?;
        let path = self.path(name);
        let found = self.talk(monitor, |session, _| session.look(&path, monitor))?;
        let Some(found) = found.filter(Attributes::is_file) else {
            if !self.is_there(monitor) {
                return Err(self.failed(
                    Broken::Refused(code::NO_SUCH_FILE, "no such folder".to_owned()),
                    monitor,
                ));
            }
            return Err(StoreError::not_there(&self.shown, name));
        };
        let size = found.size.unwrap_or(0);
        let remote = Remote { store: self, path, found, monitor, opened: Mutex::new(None) };
        Ok(Box::new(Ranged::new(remote, size)))
    }

    fn send(
        &self,
        name: &str,
        sending: &Sending<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Compared, StoreError> {
        check_name(name)?;
        let outgoing = Outgoing::new(name, sending, monitor);
        Upload::new(self, name, sending, &outgoing, monitor).send()
    }

    fn remove(&self, name: &str, monitor: &dyn Monitor) -> Result<(), StoreError> {
        check_name(name)?;
        let path = self.path(name);
        let removed = self.talk(monitor, |session, _| match session.remove(&path, monitor) {
            Err(Broken::Refused(code::NO_SUCH_FILE, _)) => Ok(false),
            removed => removed.map(|()| true),
        })?;
        if !removed && !self.is_there(monitor) {
            return Err(self.failed(
                Broken::Refused(code::NO_SUCH_FILE, "no such folder".to_owned()),
                monitor,
            ));
        }
        Ok(())
    }

    fn clean(&self, monitor: &dyn Monitor) -> Result<Vec<String>, StoreError> {
        let now = jiff::Timestamp::now().as_second();
        let mut removed = Vec::new();
        let entries = self.entries(monitor)?;
        let names: BTreeSet<String> = entries.iter().map(|(name, _)| name.clone()).collect();
        for (name, found) in entries {
            let Some(stem) = stem_of(&name).filter(|_| found.is_file()) else { continue };
            let is_old =
                found.modified.is_some_and(|modified| now - i64::from(modified) > ABANDONED);
            if is_old || names.contains(stem) {
                self.talk(monitor, |session, _| session.remove(&self.path(&name), monitor))?;
                removed.push(name);
            }
        }
        removed.sort_unstable();
        Ok(removed)
    }
}

/// A file that is read.
struct Remote<'a> {
    store: &'a SftpStore,
    path: Vec<u8>,
    /// What it was when it was opened.
    found: Attributes,
    monitor: &'a dyn Monitor,
    /// The conversation in which it is open.
    opened: Mutex<Option<(Session, Handle)>>,
}

impl Remote<'_> {
    fn open(&self) -> Result<(Session, Handle), Broken> {
        let mut session = self.store.session(self.monitor)?;
        let handle = session.open(&self.path, open::READ, self.monitor)?;
        let found = session.look_at(&handle, self.monitor)?;
        if (found.size, found.modified) != (self.found.size, self.found.modified) {
            return Err(Broken::Lasting("it has another file there than before".to_owned()));
        }
        Ok((session, handle))
    }

    fn read(&self, first: u64, count: u64) -> Result<Vec<u8>, Broken> {
        let mut opened = self.opened.lock().expect("nothing panics while it reads");
        let (mut session, handle) = match opened.take() {
            Some(opened) => opened,
            None => self.open()?,
        };
        let bytes = session.read(&handle, first, count, self.monitor)?;
        *opened = Some((session, handle));
        Ok(bytes)
    }
}

impl Ranges for Remote<'_> {
    fn range(&self, first: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut tries = self.store.patience.tries();
        loop {
            match self.read(first, count) {
                Ok(bytes) => return Ok(bytes),
                Err(Broken::Passing(problem)) => {
                    let store = self.store.shown.clone();
                    let again = tries.again((&store, &problem), self.monitor);
                    if !again.map_err(io::Error::other)? {
                        return Err(StoreError::Unreachable { store, problem }.into());
                    }
                }
                Err(broken) => {
                    return Err(self.store.failed(broken, self.monitor).into());
                }
            }
        }
    }
}

impl Drop for Remote<'_> {
    fn drop(&mut self) {
        let opened = self.opened.get_mut().ok().and_then(Option::take);
        if let Some((mut session, handle)) = opened
            && session.close(&handle, self.monitor).is_ok()
        {
            self.store.keep(session);
        }
    }
}
