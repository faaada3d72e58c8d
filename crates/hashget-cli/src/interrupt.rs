//! Ctrl-C and similar signals: the first one asks the stage to end cleanly, the second one ends the process
//! immediately.
//!
//! Invariant: the flag only changes from false to true. A signal that was ignored when the program started (by `nohup`,
//! or in a background job) stays ignored.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Code;

/// A flag that the first signal sets. Any further signal ends the process.
pub(crate) fn listen() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let ignored = ignored();
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if ignored >> (signal - 1) & 1 == 1 {
            continue;
        }
        // The order matters: the shutdown must see the flag in its state before the current signal. If no
        // handler can be registered, the signal ends the process, as by default.
        let code = i32::from(Code::Interrupted.as_u8());
        let _ = flag::register_conditional_shutdown(signal, code, Arc::clone(&flag))
            .and_then(|_| flag::register(signal, Arc::clone(&flag)));
    }
    flag
}

/// The signals that this process ignores, one bit each. Without `/proc`, none are known.
fn ignored() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
