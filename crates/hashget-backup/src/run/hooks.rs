//! Commands of the user around a run.
//!
//! Invariant: nothing that a hook started in its process group outlives its time, an interruption, or the run.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hashget::monitor::{Interrupted, Monitor};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often a hook that runs is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long a hook may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes of what a hook printed that are kept: the last ones.
const TAIL_BYTES: u64 = 4096;

/// Why a hook did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It ended with another code than 0.
    #[error("the hook \"{command}\" failed: {status}{printed}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed, after a colon; or nothing.
        printed: String,
    },
    /// It took too long, and was ended.
    #[error("the hook \"{command}\" was ended after {} seconds: raise hook_time if it needs longer", time.as_secs())]
    TooLong {
        /// The command.
        command: String,
        /// How long it was given.
        time: Duration,
    },
    /// It could not be started, or not be waited for.
    #[error("the hook \"{command}\" could not be run")]
    NotRun {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// The user wants to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What a hook is told in its environment.
pub type Told<'a> = &'a [(&'a str, String)];

/// Runs a command in a shell and waits for its end. With a monitor, an interruption ends it.
///
/// # Errors
/// See [`HookError`].
pub fn run_hook(
    command: &str,
    told: Told<'_>,
    time: Duration,
    monitor: Option<&dyn Monitor>,
) -> Result<(), HookError> {
    let not_run = |source| HookError::NotRun { command: command.to_owned(), source };
    let mut printed = tempfile::tempfile().map_err(not_run)?;
    let (out, errors) =
        (printed.try_clone().map_err(not_run)?, printed.try_clone().map_err(not_run)?);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(out).stderr(errors).process_group(0);
    shell.envs(told.iter().map(|(name, value)| (name, value)));
    let mut child = shell.spawn().map_err(not_run)?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(not_run)? {
            break status;
        }
        if began.elapsed() >= time {
            end(&mut child);
            return Err(HookError::TooLong { command: command.to_owned(), time });
        }
        if let Some(Err(interrupted)) = monitor.map(<dyn Monitor>::check_interrupted) {
            end(&mut child);
            return Err(interrupted.into());
        }
        std::thread::sleep(LOOK);
    };
    if status.success() {
        return Ok(());
    }
    let printed = tail(&mut printed);
    Err(HookError::Failed { command: command.to_owned(), status, printed })
}

/// Ends a hook and whatever it started: first it is asked to, then it is made to.
fn end(child: &mut Child) {
    let group = Pid::from_child(child);
    // A group that is gone is what is wanted.
    let _ = kill_process_group(group, Signal::TERM);
    let began = Instant::now();
    while began.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(LOOK);
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

/// The end of what was printed, in one line that begins with a colon.
fn tail(printed: &mut std::fs::File) -> String {
    let mut bytes = Vec::new();
    let read = printed.seek(SeekFrom::End(0)).and_then(|length| {
        printed.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        printed.read_to_end(&mut bytes)
    });
    // Whatever it printed only explains how it ended.
    let text =
        read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned());
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join("; ");
    if last.is_empty() { last } else { format!(": {last}") }
}

#[cfg(test)]
mod tests {
    use hashget::monitor::{Event, Silent};

    use super::*;

    struct Stopped;

    impl Monitor for Stopped {
        fn event(&self, _event: Event<'_>) {}

        fn interrupted(&self) -> bool {
            true
        }
    }

    const LONG: Duration = Duration::from_secs(100);

    #[test]
    fn a_hook_is_told_what_is_run_and_says_why_it_failed() {
        let told = [("HASHGET_JOB", "system".to_owned())];
        run_hook("test \"$HASHGET_JOB\" = system", &told, LONG, Some(&Silent)).unwrap();
        let error = run_hook("echo one; echo two >&2; exit 7", &[], LONG, None).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("exit status: 7: one; two"), "{error}");
    }

    #[test]
    fn one_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let command = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let error = run_hook(&command, &[], Duration::from_millis(500), Some(&Silent)).unwrap_err();
        assert!(matches!(error, HookError::TooLong { .. }), "{error}");
        let started = fs_err::read_to_string(pid).unwrap();
        let status = fs_err::read_to_string(format!("/proc/{}/status", started.trim()));
        // It is gone, or nobody has collected it yet.
        assert!(status.is_err() || status.unwrap().contains("State:\tZ"));
    }

    #[test]
    fn an_interruption_ends_it_unless_it_must_run() {
        let error = run_hook("sleep 1000", &[], LONG, Some(&Stopped)).unwrap_err();
        assert!(matches!(error, HookError::Interrupted(_)), "{error}");
        run_hook("sleep 0.1", &[], LONG, None).unwrap();
    }
}
