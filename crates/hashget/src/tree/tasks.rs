//! What the threads of a scan have yet to do.
//!
//! Invariant: a thread that asks gets something to do or waits; all are told to end once there is nothing
//! left and nobody at work who could add something.

use std::sync::{Condvar, Mutex, MutexGuard};

/// Something to do.
pub(super) enum Task<F, B> {
    /// A folder to walk.
    Folder(F),
    /// Files to hash.
    Batch(B),
}

/// The list of what is to be done.
pub(super) struct Tasks<F, B> {
    waiting: Mutex<Waiting<F, B>>,
    changed: Condvar,
    /// More batches than this need not wait: who made one can as well hash it.
    most_batches: usize,
}

struct Waiting<F, B> {
    /// The last one is the next: going down before going on keeps the list short.
    folders: Vec<F>,
    batches: Vec<B>,
    /// Threads that are at work.
    busy: usize,
    stopped: bool,
}

impl<F, B> Tasks<F, B> {
    /// Nothing to do yet; one thread is at work already.
    pub(super) fn new(jobs: usize) -> Self {
        let waiting = Waiting { folders: Vec::new(), batches: Vec::new(), busy: 1, stopped: false };
        Self { waiting: Mutex::new(waiting), changed: Condvar::new(), most_batches: 2 * jobs }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<F, B>> {
        self.waiting.lock().expect("no thread panics")
    }

    /// Adds a folder.
    pub(super) fn add(&self, folder: F) {
        self.lock().folders.push(folder);
        self.changed.notify_one();
    }

    /// Adds files to hash, or gives them back when enough are waiting.
    pub(super) fn offer(&self, batch: B) -> Result<(), B> {
        let mut waiting = self.lock();
        if waiting.batches.len() >= self.most_batches {
            return Err(batch);
        }
        waiting.batches.push(batch);
        self.changed.notify_one();
        Ok(())
    }

    /// The next thing to do, files first: they keep their folder open. Whoever takes it says when it is
    /// [done](Self::done). `None` when all is done.
    pub(super) fn next(&self) -> Option<Task<F, B>> {
        let mut waiting = self.lock();
        loop {
            if waiting.stopped {
                return None;
            }
            let batch = waiting.batches.pop().map(Task::Batch);
            if let Some(task) = batch.or_else(|| waiting.folders.pop().map(Task::Folder)) {
                waiting.busy += 1;
                return Some(task);
            }
            if waiting.busy == 0 {
                return None;
            }
            waiting = self.changed.wait(waiting).expect("no thread panics");
        }
    }

    /// A thread is no longer at work.
    pub(super) fn done(&self) {
        let mut waiting = self.lock();
        waiting.busy -= 1;
        if waiting.busy == 0 {
            self.changed.notify_all();
        }
    }

    /// Lets all threads end.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Was something left undone?
    pub(super) fn stopped(&self) -> bool {
        self.lock().stopped
    }
}
