//! A limit on the size of files (`ulimit -f`): it makes a write fail, and does not end the process.
//!
//! Invariant: a file that cannot get larger is an error of the writer that meets it, which cleans up like after any other.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;

/// From now on, a write beyond the limit fails with an error that says so, instead of the signal that ends a process.
pub(crate) fn make_it_an_error() {
    // The flag is not read: that the signal has a handler is enough. Programs that are started do not inherit
    // the handler. If it cannot be registered, the signal ends the process, as by default.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}
