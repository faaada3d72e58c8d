//! What happens if hashget itself fails, by a panic that nothing in it has caught.
//!
//! Invariant: it is told as what it is, with a report for whoever mends it. The report has no contents of files and no secrets.

use std::any::Any;
use std::backtrace::Backtrace;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::output::{journal, safe, without_secrets};
use crate::version::program_and_system;

/// The exit code: that of Rust's own programs that panic.
pub(crate) const EXIT_CODE: u8 = 101;

/// Panics that are remembered: the last ones.
const REMEMBERED: usize = 4;

/// Panics, each with where it happened; those that something has caught are among them.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn panics() -> MutexGuard<'static, Vec<String>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers a panic. Whether it is a failure is known only when nothing has caught it.
fn remember(panic: &PanicHookInfo<'_>) {
    let mut panics = panics();
    if panics.len() == REMEMBERED {
        panics.remove(0);
    }
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("without a name");
    panics.push(format!("thread {name}: {panic}\n{}", Backtrace::force_capture()));
}

/// Does the work. If it panics, a report is written.
///
/// # Errors
/// It panicked; what is to be told.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Crash> {
    std::panic::set_hook(Box::new(remember));
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Crash {
        problem: problem(&*panic),
        report: write_report().map_err(|error| error.to_string()),
    })
}

/// hashget itself has failed.
#[derive(Debug)]
pub(crate) struct Crash {
    /// What was wrong.
    pub(crate) problem: String,
    /// Where the report is, or why there is none.
    pub(crate) report: Result<PathBuf, String>,
}

impl Crash {
    /// What is told.
    pub(crate) fn messages(&self) -> Vec<String> {
        vec![
            "hashget itself has failed; nothing is claimed of what it did".to_owned(),
            self.problem.clone(),
        ]
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> String {
        match &self.report {
            Ok(report) => format!(
                "send {} to the developers, with what you did: it has the version, the command line, where it failed and what was said last, and no contents of files",
                report.display()
            ),
            Err(problem) => format!(
                "tell the developers, with what you did; a report could not be written ({problem})"
            ),
        }
    }
}

/// Tells it when nothing else can.
pub(crate) fn tell_plainly(crash: &Crash) {
    let lines = [crash.messages().join(": "), crash.hint()].join("\nhint: ");
    let _ = writeln!(io::stderr(), "error: {}", shown(&lines.replace('\n', " ")));
}

fn problem(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a text".to_owned())
}

/// A line for others to read.
fn shown(line: &str) -> String {
    safe(&without_secrets(line))
}

/// Writes what is known to a new file.
fn write_report() -> io::Result<PathBuf> {
    let mut file = tempfile::Builder::new().prefix("hashget-failed-").suffix(".txt").tempfile()?;
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    writeln!(file, "{}", program_and_system())?;
    writeln!(file, "{}", shown(&words.join(" ")))?;
    for panic in &*panics() {
        writeln!(file)?;
        panic.lines().try_for_each(|line| writeln!(file, "{}", shown(line)))?;
    }
    writeln!(file, "\nSaid last:")?;
    for line in journal::last_lines() {
        writeln!(file, "{line}")?;
    }
    file.keep().map(|(_, path)| path).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_a_report_that_says_where_it_was() {
        let crash = guarded(|| {
            let caught = catch_unwind(|| panic!("this one is caught"));
            assert!(caught.is_err());
            std::thread::scope(|scope| {
                scope.spawn(|| panic!("the sum is wrong"));
            });
        });
        let crash = crash.expect_err("it panics");
        let report = crash.report.clone().expect("the disk has room");
        let text = fs_err::read_to_string(&report).expect("it is there");
        fs_err::remove_file(&report).expect("it is ours");
        assert!(text.contains("the sum is wrong") && text.contains("crash.rs:"), "{text}");
        assert!(crash.hint().contains(&report.display().to_string()));
        assert_eq!(guarded(|| 7).ok(), Some(7));
        drop(std::panic::take_hook());
    }
}
