//! The work behind a mount: archives are opened and contents are read, each request in a thread of its own unless it can be answered
//! at once.
//!
//! Invariant: a request that waits for the network or a large archive never keeps another one waiting that does not need the
//! same. When the mount ends, by whomever, nothing goes on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Scope};
use std::time::Duration;

use anyhow::Context as _;
use fuser::{Errno, ReplyData};
use hashget::archive::{ArchiveTree, Contents, ContentsAccess, NodeId, open_archive};
use hashget::classify::class_of;
use hashget::error::ErrorClass;
use hashget::fetch::Source;
use hashget::monitor::{Event, Interrupted, Monitor, ProblemKind};
use hashget::wording::one_line;
use hashget_backup::store::Store;
use serde_json::json;

use super::file_system::ArchiveFileSystem;
use super::mount_point::MountPoint;
use super::shown::Shown;
use crate::archive::Knowledge;
use crate::environment::Environment;
use crate::fallback::with_fallbacks;
use crate::output::{Console, safe};

/// As often as this it is looked whether the program is to stop.
const TICK: Duration = Duration::from_millis(100);

/// What is unpacked of packages and archives is kept up to so many bytes.
const KEPT_BYTES: u64 = 4 << 30;

/// Goes on with the tree of an archive, if that could be opened.
pub(super) type Opened = Box<dyn FnOnce(Option<&Arc<ArchiveTree>>) + Send>;

/// What the file system asks for; it does not wait for the answer.
pub(super) enum Request {
    /// Open the archive with this index, then go on.
    Open(usize, Opened),
    /// Read a part of a file.
    Read(Reading),
}

/// A part of a file of an archive, and who wants it.
pub(super) struct Reading {
    pub(super) archive: usize,
    pub(super) file: NodeId,
    /// Position of the first byte.
    pub(super) first: u64,
    /// Number of bytes; fewer at the end.
    pub(super) count: usize,
    pub(super) reply: ReplyData,
}

/// What opening and reading archives depends on.
pub(super) struct Access<'s> {
    /// The store in which the archives are, if they are in none of this machine's folders.
    store: Option<&'s dyn Store>,
    knowledge: Knowledge,
    source: Box<dyn Source>,
    /// Where contents are unpacked, without names.
    folder: PathBuf,
}

impl<'s> Access<'s> {
    /// With `fetch`, packages are fetched for the names of their files alone.
    pub(super) fn new(
        environment: &Environment<'_>,
        store: Option<&'s dyn Store>,
        fetch: bool,
    ) -> anyhow::Result<Self> {
        let knowledge = Knowledge::new(environment, fetch)?;
        // Single files have no place of their own here: a package is read as a whole.
        let source = with_fallbacks(environment.sources()?.source, environment)?.source;
        // The cache is where there is room for packages.
        let cache =
            environment.cache_folder().filter(|cache| fs_err::create_dir_all(cache).is_ok());
        let folder = cache.unwrap_or_else(std::env::temp_dir);
        Ok(Self { store, knowledge, source, folder })
    }
}

/// The console until the mount has ended; after that, everything is to stop.
struct WhileMounted<'c> {
    console: &'c Console,
    is_over: &'c AtomicBool,
}

impl Monitor for WhileMounted<'_> {
    fn event(&self, event: Event<'_>) {
        self.console.event(event);
    }

    fn interrupted(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.console.interrupted()
    }
}

/// An archive that is opened when it is entered.
#[derive(Default)]
struct Opening<'e> {
    contents: OnceLock<Contents<'e>>,
    /// Held while it is opened.
    lock: Mutex<()>,
}

/// Opens archives and reads from them.
struct Service<'e> {
    shown: &'e Shown,
    store: Option<&'e dyn Store>,
    knowledge: &'e Knowledge,
    environment: &'e Environment<'e>,
    access: ContentsAccess<'e>,
    opened: Vec<Opening<'e>>,
}

impl<'e> Service<'e> {
    /// The contents of an archive, which is opened if it is not open.
    fn open(&self, index: usize) -> anyhow::Result<&Contents<'e>> {
        let Opening { contents, lock } = &self.opened[index];
        let _held = lock.lock().expect("no holder of this lock panics");
        if let Some(contents) = contents.get() {
            return Ok(contents);
        }
        let archive = &self.shown.archives()[index];
        let name = archive.file.display().to_string();
        let file = match self.store {
            Some(store) => {
                let in_store = archive.file.file_name().unwrap_or_default().to_string_lossy();
                crate::archive::open_of(store, &in_store, self.environment)?
            }
            None => crate::archive::open(&archive.file, "", self.environment)?,
        };
        let members = self.knowledge.members(self.environment);
        let opened = open_archive(file, &name, &members, self.access)?;
        let _ = archive.tree.set(Arc::clone(opened.tree()));
        Ok(contents.get_or_init(|| opened))
    }

    /// The same; that it cannot be opened is reported.
    fn entered(&self, index: usize) -> Option<&Contents<'e>> {
        let report = |error: &anyhow::Error| {
            let class = class_of(error.as_ref());
            let kind = class.map_or(ProblemKind::Incomplete, ErrorClass::problem_kind);
            let file = self.shown.archives()[index].file.display().to_string();
            if !self.access.monitor.interrupted() {
                self.access.monitor.problem(kind, safe(&file), one_line(error.as_ref()));
            }
        };
        self.open(index).inspect_err(report).ok()
    }

    /// Answers a request, at once or in a thread of its own.
    fn answer<'s, 'o>(&'o self, request: Request, scope: &'s Scope<'s, 'o>)
    where
        'e: 'o,
    {
        match request {
            Request::Open(archive, then) => {
                scope.spawn(move || then(self.entered(archive).map(Contents::tree)));
            }
            Request::Read(Reading { archive, file, first, count, reply }) => {
                let contents = self.opened[archive].contents.get();
                if let Some(bytes) = contents.and_then(|found| found.at_hand(file, first, count)) {
                    return reply.data(&bytes);
                }
                scope.spawn(move || {
                    let contents = self.entered(archive);
                    match contents.and_then(|found| found.read(file, first, count).ok()) {
                        Some(bytes) => reply.data(&bytes),
                        None => reply.error(Errno::EIO),
                    }
                });
            }
        }
    }
}

/// Mounts and serves until it is unmounted, or the program is to stop.
pub(super) fn serve(
    shown: Shown,
    at: MountPoint,
    allow_other: bool,
    access: &Access<'_>,
    environment: &Environment<'_>,
    what: &str,
) -> anyhow::Result<()> {
    let (console, is_over) = (environment.console, AtomicBool::new(false));
    let monitor = WhileMounted { console, is_over: &is_over };
    let shown = Arc::new(shown);
    let service = Service {
        shown: &shown,
        store: access.store,
        knowledge: &access.knowledge,
        environment,
        access: ContentsAccess {
            source: &*access.source,
            folder: &access.folder,
            kept_bytes: KEPT_BYTES,
            limits: &environment.limits,
            monitor: &monitor,
        },
        opened: shown.archives().iter().map(|_| Opening::default()).collect(),
    };
    if !shown.is_folder() {
        service.open(0).with_context(|| format!("cannot mount {what}"))?;
    }
    let (ask, requests) = mpsc::channel();
    let mounted =
        at.mount(ArchiveFileSystem::new(Arc::clone(&shown), ask, allow_other), allow_other)?;
    announce(console, what, mounted.at())?;
    thread::scope(|scope| {
        let outcome = loop {
            match requests.recv_timeout(TICK) {
                Ok(request) => service.answer(request, scope),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            }
            if console.interrupted() {
                break Err(Interrupted);
            }
        };
        match outcome {
            Ok(()) => mounted.leave(),
            Err(Interrupted) => mounted.unmount(),
        }
        is_over.store(true, Ordering::Relaxed);
        Ok(outcome?)
    })
}

fn announce(console: &Console, what: &str, at: &str) -> anyhow::Result<()> {
    console.say(&format!("Mounted {} at {}, until Ctrl-C or umount", safe(what), safe(at)));
    Ok(console.record("mounted", json!({ "archive": what, "at": at }))?)
}
