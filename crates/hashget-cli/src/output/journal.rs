//! What is written down for whoever looks for the cause of something: each request on standard error with `-vv`, and
//! everything that is said and asked in a log file.
//!
//! Invariant: nothing secret is written down: no login, no query of a URL. A log that cannot be written any more is told once and
//! ends no command.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use anstream::stderr;
use hashget::fetch::REQUESTS;
use log::{LevelFilter, Metadata, Record};

use super::text::{safe, without_secrets};

/// The target of what is said to the user.
const SAID: &str = "hashget::said";

/// Lines that a report of a failure of hashget itself ends with.
const REMEMBERED: usize = 100;

/// Where it is written.
#[derive(Debug, Default)]
struct Journal {
    file: Option<Mutex<File>>,
    shows_requests: bool,
    last: Mutex<VecDeque<String>>,
}

static JOURNAL: OnceLock<Journal> = OnceLock::new();

/// Writes down from now on: in `file`, at its end, and requests on standard error if `shows_requests`.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn begin(file: Option<&Path>, shows_requests: bool) -> io::Result<()> {
    let open = |path: &Path| {
        let mut options = fs_err::OpenOptions::new();
        options.append(true).create(true).options_mut().mode(0o600);
        options.open(path).map(|file| Mutex::new(file.into_parts().0))
    };
    let journal =
        Journal { file: file.map(open).transpose()?, shows_requests, last: Mutex::default() };
    let level = match journal.file.is_some() || shows_requests {
        true => LevelFilter::Debug,
        false => LevelFilter::Info,
    };
    let journal = JOURNAL.get_or_init(|| journal);
    // Another logger is set in no program but tests.
    if log::set_logger(journal).is_ok() {
        log::set_max_level(level);
    }
    Ok(())
}

/// Something is said to the user, or would be with `--verbose`.
pub(super) fn said(text: &str) {
    log::info!(target: SAID, "{text}");
}

/// What was written down last, oldest first.
pub(crate) fn last_lines() -> Vec<String> {
    let last = JOURNAL.get().map(|journal| &journal.last);
    last.map(|last| lines_of(last).iter().cloned().collect()).unwrap_or_default()
}

/// The lines; a thread that panicked while it added one has left them as they are.
fn lines_of(last: &Mutex<VecDeque<String>>) -> std::sync::MutexGuard<'_, VecDeque<String>> {
    last.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Journal {
    fn write(&self, line: &str) {
        let Some(file) = &self.file else { return };
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        static TOLD: std::sync::Once = std::sync::Once::new();
        if let Err(error) = writeln!(file, "{now} {line}") {
            TOLD.call_once(|| {
                let _ = writeln!(stderr(), "warning: the log file cannot be written: {error}");
            });
        }
    }
}

impl log::Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries write may have secrets in it.
        [REQUESTS, SAID].contains(&metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = safe(&without_secrets(&record.args().to_string()));
        if self.shows_requests && record.target() == REQUESTS {
            let _ = writeln!(stderr(), "{line}");
        }
        self.write(&line);
        let mut last = lines_of(&self.last);
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(line);
    }

    fn flush(&self) {}
}
