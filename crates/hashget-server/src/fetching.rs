//! Submissions are fetched and read, twice, with days between.
//!
//! Invariant: a place counts as published only after its URL gave the same bytes both times. A server that is killed fetches again what it
//! had not settled, once its time for that is over: each step may be done twice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hashget::error::ErrorClass;
use hashget::fetch::{BadOption, FetchError, FetchOptions, Reach, Sources, standard_sources};
use hashget::hashdb::Checks as _;
use hashget::hashdb::{
    Check, CheckOutcome, HashDb as _, HashDbError, HashDbWriter as _, Key, LocalHashDb, PackageId,
};
use hashget::index::{IndexError, Indexed, Indexer, Request};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence};
use hashget::monitor::{Event, Monitor};
use hashget::wording::one_line;

use crate::clock::Clock;
use crate::server_db::{ServerDb, Submission, Verdict};
use crate::settings::Submissions;

/// How long a worker waits before it looks again for what is due.
const PAUSE: Duration = Duration::from_secs(1);
/// Seconds until a fetch that failed is tried again; four times as long after each further failure.
const FIRST_RETRY: i64 = 60;
/// Seconds until a fetch is tried again that failed for a reason of this machine.
const OWN_RETRY: i64 = 300;
/// Seconds after which a fetch that was begun is begun again: the server was killed meanwhile.
const LONGEST: i64 = 4 * 3600;

/// Stops the workers, and tells them that something may be due.
#[derive(Default)]
struct Signal {
    stopping: AtomicBool,
    waiting: Mutex<()>,
    changed: Condvar,
}

impl Monitor for Signal {
    fn event(&self, _: Event<'_>) {}

    fn interrupted(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

/// The threads that fetch what was submitted. They end when this is dropped.
pub(crate) struct Fetching {
    signal: Arc<Signal>,
    workers: Vec<JoinHandle<()>>,
}

impl Fetching {
    /// Starts the workers.
    pub(crate) fn start(
        settings: &Submissions,
        hashdb: &Arc<LocalHashDb>,
        server_db: &Arc<ServerDb>,
        clock: &Clock,
    ) -> Result<Self, BadOption> {
        let signal = Arc::new(Signal::default());
        let limits = Limits { download_bytes: settings.package_bytes, ..Limits::default() };
        // No cache: the second fetch must come from the server again.
        let sources = standard_sources(&FetchOptions {
            public_hosts: settings.public_hosts.clone(),
            limits: limits.clone(),
            ..FetchOptions::default()
        })?;
        let sources = Arc::new(sources);
        let workers = (0..settings.workers.get()).map(|_| {
            let worker = Worker {
                signal: Arc::clone(&signal),
                sources: Arc::clone(&sources),
                limits: limits.clone(),
                settings: settings.clone(),
                hashdb: Arc::clone(hashdb),
                server_db: Arc::clone(server_db),
                clock: clock.clone(),
            };
            std::thread::spawn(move || worker.run())
        });
        let workers = workers.collect();
        Ok(Self { signal, workers })
    }

    /// Something may be due.
    pub(crate) fn wake(&self) {
        self.signal.changed.notify_all();
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.signal.stopping.store(true, Ordering::SeqCst);
        self.signal.changed.notify_all();
        for worker in self.workers.drain(..) {
            // One that panicked has said so.
            drop(worker.join());
        }
    }
}

struct Worker {
    signal: Arc<Signal>,
    sources: Arc<Sources>,
    limits: Limits,
    settings: Submissions,
    hashdb: Arc<LocalHashDb>,
    server_db: Arc<ServerDb>,
    clock: Clock,
}

impl Worker {
    fn run(&self) {
        while !self.signal.interrupted() {
            let Some(submission) = self.take() else {
                let waiting = self.signal.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                // What it waits for is looked at again in any case.
                drop(self.signal.changed.wait_timeout(waiting, PAUSE));
                continue;
            };
            let verdict = self.verdict(&submission);
            tracing::info!(id = submission.id, url = submission.url, ?verdict, "fetched");
            if let Err(error) = self.server_db.settle(submission.id, &verdict, self.clock.now()) {
                tracing::error!(error = one_line(&error), "what a fetch showed was not kept");
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// The next submission that is due and that no other worker has.
    fn take(&self) -> Option<Submission> {
        let now = self.clock.now();
        let next = self.server_db.take_due(now, now.saturating_add(LONGEST));
        next.unwrap_or_else(|error| {
            tracing::error!(error = one_line(&error), "submissions cannot be read");
            None
        })
    }

    fn verdict(&self, submission: &Submission) -> Verdict {
        // A reader that panics does so each time, and must not end the worker.
        let verdict = catch_unwind(AssertUnwindSafe(|| self.fetch(submission)));
        if self.signal.interrupted() {
            let problem = "the server was stopped during the fetch".to_owned();
            return Verdict::Postponed { at: self.clock.now(), problem };
        }
        verdict.unwrap_or_else(|_| {
            let problem = "the package could not be read: reading it failed inside".to_owned();
            Verdict::Failed { problem }
        })
    }

    fn fetch(&self, submission: &Submission) -> Verdict {
        let indexer = Indexer {
            hashdb: &*self.hashdb,
            source: &*self.sources.source,
            web: &*self.sources.web,
            shared: None,
            mirrors: &[],
            limits: &self.limits,
            jobs: 1,
            evidence: Evidence::Downloaded,
        };
        let request = Request {
            url: submission.url.clone(),
            sha256: submission.sha256,
            again: true,
            reach: Reach::PublicOnly,
            ..Request::default()
        };
        let indexed = indexer.index(&request, &*self.signal);
        let indexed = indexed.map(|(Indexed::Known(id) | Indexed::New { id, .. })| id);
        match (indexed, submission.sha256) {
            (Ok(id), None) => self.seen(id),
            (Ok(id), Some(sha256)) => self.published(id, &submission.url, sha256),
            (Err(IndexError::Fetch(FetchError::Mismatch { .. })), Some(first)) => {
                self.moves(&submission.url, first)
            }
            (Err(error), _) => self.failed(submission, &error),
        }
    }

    fn seen(&self, id: PackageId) -> Verdict {
        let again_at = self.clock.now() + i64::from(self.settings.again_after_hours) * 3600;
        match self.hashdb.record(id) {
            Ok(Some(record)) => Verdict::Seen { sha256: record.sha256, again_at },
            Ok(None) => self.own_problem("the package was removed meanwhile".to_owned()),
            Err(error) => self.own_problem(one_line(&error)),
        }
    }

    /// The URL gave `sha256` twice. It may still have given other bytes at another time.
    fn published(&self, id: PackageId, url: &str, sha256: Digest) -> Verdict {
        let vouch = || -> Result<bool, HashDbError> {
            let checks = self.hashdb.checks(&[sha256])?.concat();
            let moves = |check: &Check| check.url == url && check.outcome == CheckOutcome::Moves;
            if checks.iter().any(moves) {
                return Ok(false);
            }
            self.hashdb.amend(id, &|record| record.vouched = true)?;
            Ok(true)
        };
        match vouch() {
            Ok(true) => Verdict::Published,
            Ok(false) => self.moves(url, sha256),
            Err(error) => self.own_problem(one_line(&error)),
        }
    }

    /// The URL gave `first`, and now something else: nobody can rely on it.
    fn moves(&self, url: &str, first: Digest) -> Verdict {
        let forget = || -> Result<(), HashDbError> {
            self.hashdb.put_check(&Check::now(first, url, true, CheckOutcome::Moves))?;
            for id in self.hashdb.find_one(Key::Url(url))? {
                if self.hashdb.record(id)?.is_some_and(|record| record.url == url) {
                    self.hashdb.remove(id)?;
                }
            }
            Ok(())
        };
        forget().map_or_else(|error| self.own_problem(one_line(&error)), |()| Verdict::Moves)
    }

    fn failed(&self, submission: &Submission, error: &IndexError) -> Verdict {
        let problem = one_line(error);
        match error.class() {
            ErrorClass::Refused
            | ErrorClass::DamagedPackage
            | ErrorClass::LimitExceeded
            | ErrorClass::UnsupportedPackage => Verdict::Failed { problem },
            ErrorClass::NotFound
            | ErrorClass::Denied
            | ErrorClass::Unreachable
            | ErrorClass::WrongBytes
            | ErrorClass::BadAnswer => {
                let tries = submission.tries + 1;
                if tries >= self.settings.tries.get() {
                    return Verdict::Failed { problem };
                }
                let pause = FIRST_RETRY.saturating_mul(4i64.saturating_pow(tries - 1));
                Verdict::Again { at: self.clock.now().saturating_add(pause), problem }
            }
            // A full disk, and what else is not the URL's.
            _ => self.own_problem(problem),
        }
    }

    /// Nothing was learnt of the URL.
    fn own_problem(&self, problem: String) -> Verdict {
        Verdict::Postponed { at: self.clock.now().saturating_add(OWN_RETRY), problem }
    }
}
