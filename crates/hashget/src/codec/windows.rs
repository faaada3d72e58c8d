//! Memory for the windows of decoders that run at the same time.
//!
//! Invariant: it influences speed and memory only. Nothing waits for memory that its own thread holds, nor longer than
//! [`PATIENCE`], and what does not fit in at all is decoded alone.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The window of xz's highest level.
const HIGHEST_LEVEL: u64 = 64 << 20;
/// The window of xz's default level.
const DEFAULT_LEVEL: u64 = 8 << 20;
/// How long one waits for others to end.
const PATIENCE: Duration = Duration::from_secs(30);

static USED: Mutex<u64> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

thread_local! {
    /// Number of windows of this thread.
    static OWN: Cell<usize> = const { Cell::new(0) };
}

/// Memory for a window, until it is dropped.
#[derive(Debug)]
pub(super) struct Window(u64);

impl Window {
    /// Waits until there is room for a window of so many bytes beside those of other threads.
    pub(super) fn wait_for(bytes: u64) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        Self::within(bytes, all_bytes(processors))
    }

    fn within(bytes: u64, all: u64) -> Self {
        let mut used = lock();
        // A package within a package: its own thread would wait for itself.
        if OWN.get() == 0 {
            let is_full = |used: &mut u64| *used > 0 && used.saturating_add(bytes) > all;
            used = match FREED.wait_timeout_while(used, PATIENCE, is_full) {
                Ok((used, _)) => used,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        *used = used.saturating_add(bytes);
        OWN.set(OWN.get() + 1);
        Self(bytes)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let mut used = lock();
        *used = used.saturating_sub(self.0);
        OWN.set(OWN.get().saturating_sub(1));
        drop(used);
        FREED.notify_all();
    }
}

/// Bytes that all windows have together: enough for a window of the highest level, while every other processor has one of the
/// default level; with many processors, two of these for each.
fn all_bytes(processors: u64) -> u64 {
    let others = processors.saturating_sub(1);
    (HIGHEST_LEVEL + DEFAULT_LEVEL * others).max(2 * DEFAULT_LEVEL * processors)
}

fn lock() -> MutexGuard<'static, u64> {
    USED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn no_processor_is_idle_for_want_of_windows_of_the_default_level() {
        for (processors, mebibytes) in [(1, 64), (2, 72), (4, 88), (8, 128), (64, 1024)] {
            assert_eq!(all_bytes(processors), mebibytes << 20, "{processors} processors");
        }
    }

    #[test]
    fn what_does_not_fit_waits_for_other_threads_and_not_for_its_own() {
        const ALL: u64 = 1 << 40;
        let first = Window::within(ALL, ALL);
        // A second one of the same thread, although there is no room.
        let second = Window::within(ALL, ALL);
        let (sender, receiver) = mpsc::channel();
        let other = std::thread::spawn(move || {
            let window = Window::within(ALL, ALL);
            sender.send(()).unwrap();
            drop(window);
        });
        assert!(receiver.recv_timeout(Duration::from_millis(200)).is_err(), "it did not wait");
        drop((first, second));
        receiver.recv().unwrap();
        other.join().unwrap();
    }
}
