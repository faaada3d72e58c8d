//! The supplements that a restore may use: those that the user names, and those that lie beside the archive.
//!
//! Invariant: a supplement is read to its end only when something that it says it has is needed.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Mutex, MutexGuard};

use super::{ArchiveOf, Contents, Has, Supplement, SupplementError};
use crate::archive::KnowsMembers;
use crate::fetch::{FetchError, Fetched, FileSource, Source, Wanted, WantedFile, shown};
use crate::limits::Limits;
use crate::model::{Digest, Member};
use crate::monitor::{Interrupted, Monitor, ProblemKind};
use crate::wording::one_line;

/// Supplements.
#[derive(Default)]
pub struct Supplements {
    all: Vec<Offered>,
    limits: Limits,
}

/// One of them.
struct Offered {
    name: String,
    contents: Contents,
    state: Mutex<State>,
}

enum State {
    Unread(File),
    Read(Box<Supplement>),
    /// It cannot be read, which was reported.
    Useless,
}

impl Supplements {
    /// None yet.
    pub fn new(limits: Limits) -> Self {
        Self { all: Vec::new(), limits }
    }

    /// Adds a supplement, which was not encrypted or has been decrypted.
    ///
    /// # Errors
    /// It is none.
    pub fn add(
        &mut self,
        file: File,
        name: String,
        monitor: &dyn Monitor,
    ) -> Result<(), SupplementError> {
        let contents = Supplement::read_contents(&file, &name, &self.limits, monitor)?;
        self.all.push(Offered { name, contents, state: Mutex::new(State::Unread(file)) });
        Ok(())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The packages of which a supplement says that it has all that this archive needs, each with its name.
    pub fn complete(&self, archive: &ArchiveOf) -> BTreeMap<Digest, String> {
        let of = |one: &Offered| {
            one.contents
                .complete(archive)
                .map(|sha256| (sha256, one.name.clone()))
                .collect::<Vec<_>>()
        };
        self.all.iter().flat_map(of).collect()
    }

    /// What each of them says that it has, with its name.
    pub fn contents(&self) -> impl Iterator<Item = (&str, &Contents)> {
        self.all.iter().map(|offered| (&*offered.name, &offered.contents))
    }

    /// The names of those that nothing was taken from, because nothing that they have was needed.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        let unread = |one: &&Offered| matches!(*one.state(), State::Unread(_));
        self.all.iter().filter(unread).map(|offered| &*offered.name)
    }

    /// Asks the supplements, in order, that say they have something of `package`.
    fn with<R>(
        &self,
        package: &Digest,
        monitor: &dyn Monitor,
        mut ask: impl FnMut(&Supplement, Has) -> Result<Option<R>, Interrupted>,
    ) -> Result<Option<R>, Interrupted> {
        for offered in &self.all {
            let of = offered.contents.packages.iter().find(|one| one.sha256 == *package);
            let Some(has) = of.map(|one| one.has) else { continue };
            let mut state = offered.state();
            offered.read(&mut state, &self.limits, monitor)?;
            if let State::Read(supplement) = &*state
                && let Some(found) = ask(supplement, has)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl Offered {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn read(
        &self,
        state: &mut State,
        limits: &Limits,
        monitor: &dyn Monitor,
    ) -> Result<(), Interrupted> {
        let State::Unread(file) = &*state else { return Ok(()) };
        *state = match Supplement::read(file, &self.name, limits, monitor) {
            Ok(supplement) => State::Read(Box::new(supplement)),
            Err(SupplementError::Interrupted(interrupted)) => return Err(interrupted),
            Err(error) => {
                monitor.problem(ProblemKind::Verification, &self.name, one_line(&error));
                State::Useless
            }
        };
        Ok(())
    }
}

impl Source for Supplements {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        monitor.check_interrupted()?;
        let found = wanted.sha256.map(|sha256| {
            self.with(&sha256, monitor, |supplement, has| {
                let whole = (has == Has::Whole).then(|| supplement.fetch(wanted, monitor).ok());
                Ok(whole.flatten())
            })
        });
        match found.transpose()?.flatten() {
            Some(fetched) => Ok(fetched),
            None => {
                let (from, url) = ("a supplement".to_owned(), shown(&wanted.url));
                Err(FetchError::NotFound { from, url })
            }
        }
    }
}

impl FileSource for Supplements {
    fn file(
        &self,
        sha256: Digest,
        size: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted> {
        for offered in &self.all {
            if let State::Read(supplement) = &*offered.state()
                && let Some(file) = supplement.file(sha256, size, monitor)?
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    fn gather(
        &self,
        package: Digest,
        _files: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), Interrupted> {
        // Whichever says that it has something of the package is read.
        self.with(&package, monitor, |_, _| Ok(None::<()>)).map(drop)
    }
}

impl KnowsMembers for Supplements {
    fn members_of(
        &self,
        package: &Digest,
        monitor: &dyn Monitor,
    ) -> Result<Option<Vec<Member>>, Interrupted> {
        self.with(package, monitor, |supplement, _| Ok(supplement.members().get(package).cloned()))
    }
}
