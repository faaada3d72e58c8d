//! The tasks of the threads of a scan.
//!
//! Invariant: a thread gets a task or waits; all end once there is no task left and no thread is working that could add
//! one.

use std::sync::{Condvar, Mutex, MutexGuard};

/// A task.
pub(super) enum Task<F, B> {
    /// A folder to walk.
    Folder(F),
    /// Files to hash.
    Batch(B),
}

/// The waiting tasks.
pub(super) struct Tasks<F, B> {
    waiting: Mutex<Waiting<F, B>>,
    changed: Condvar,
    /// Limit on waiting batches: beyond it, the thread that made a batch hashes it itself.
    most_batches: usize,
}

struct Waiting<F, B> {
    /// Folders, last in, first out: depth first keeps the list short.
    folders: Vec<F>,
    batches: Vec<B>,
    /// Number of working threads.
    busy: usize,
    stopped: bool,
}

impl<F, B> Tasks<F, B> {
    /// No tasks yet; one thread is working already.
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

    /// Adds files to hash, or returns them if enough are waiting.
    pub(super) fn offer(&self, batch: B) -> Result<(), B> {
        let mut waiting = self.lock();
        if waiting.batches.len() >= self.most_batches {
            return Err(batch);
        }
        waiting.batches.push(batch);
        self.changed.notify_one();
        Ok(())
    }

    /// The next task, files first: they keep their folder open. The caller reports when it is
    /// [done](Self::done). `None` when there is nothing left.
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

    /// A thread has finished its task.
    pub(super) fn done(&self) {
        let mut waiting = self.lock();
        waiting.busy -= 1;
        if waiting.busy == 0 {
            self.changed.notify_all();
        }
    }

    /// Makes all threads end.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Were the threads stopped before everything was done?
    pub(super) fn stopped(&self) -> bool {
        self.lock().stopped
    }
}
