//! Commands of the user around a run, and those whose output is packed.
//!
//! Invariant: nothing that a command started in its process group outlives its time, an interruption, or the run.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hashget::error::ErrorClass;
use hashget::monitor::{Interrupted, Monitor};
use rustix::process::Signal;

use crate::shell::{group_of, shell, signal};

/// How often a command that runs is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes of what a command printed that are kept: the last ones.
const TAIL_BYTES: u64 = 4096;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It ended with another code than 0.
    #[error("the {role} \"{command}\" failed: {status}{printed}")]
    Failed {
        /// What it is for.
        role: Role,
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed, after a colon; or nothing.
        printed: String,
    },
    /// It took too long, and was ended.
    #[error("the {role} \"{command}\" was ended after {} seconds: raise hook_time if it needs longer", time.as_secs())]
    TooLong {
        /// What it is for.
        role: Role,
        /// The command.
        command: String,
        /// How long it was given.
        time: Duration,
    },
    /// It could not be started, or not be waited for.
    #[error("the {role} \"{command}\" could not be run")]
    NotRun {
        /// What it is for.
        role: Role,
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// The user wants to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl HookError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Failed { .. } | Self::TooLong { .. } | Self::NotRun { .. } => ErrorClass::Io,
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To be run around packing.
    Hook,
    /// To give a file of the archive on its standard output.
    Stream,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hook => "hook",
            Self::Stream => "stream",
        })
    }
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
    let not_run = not_run(Role::Hook, command);
    let printed = tempfile::tempfile().map_err(&not_run)?;
    let out = printed.try_clone().map_err(&not_run)?;
    run(Role::Hook, command, told, Some(time), monitor, (out, printed))
}

/// Runs a command in a shell that writes its standard output into a file. Without a time, it may take as long as it does.
///
/// # Errors
/// See [`HookError`]. What is in the file then is not all that the command would have given.
pub fn run_stream(
    command: &str,
    into: &File,
    time: Option<Duration>,
    monitor: &dyn Monitor,
) -> Result<(), HookError> {
    let not_run = not_run(Role::Stream, command);
    let printed = tempfile::tempfile().map_err(&not_run)?;
    let out = into.try_clone().map_err(&not_run)?;
    run(Role::Stream, command, &[], time, Some(monitor), (out, printed))
}

/// The error for a command that cannot be run.
fn not_run(role: Role, command: &str) -> impl Fn(io::Error) -> HookError {
    move |source| HookError::NotRun { role, command: command.to_owned(), source }
}

/// Runs a command. `outputs` are what it writes to as its standard output, and as its standard error.
fn run(
    role: Role,
    command: &str,
    told: Told<'_>,
    time: Option<Duration>,
    monitor: Option<&dyn Monitor>,
    outputs: (File, File),
) -> Result<(), HookError> {
    let not_run = not_run(role, command);
    let (out, mut printed) = outputs;
    let errors = printed.try_clone().map_err(&not_run)?;
    let mut shell = shell(command);
    shell.stdin(Stdio::null()).stdout(out).stderr(errors);
    shell.envs(told.iter().map(|(name, value)| (name, value)));
    let mut child = shell.spawn().map_err(&not_run)?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(&not_run)? {
            break status;
        }
        if let Some(time) = time.filter(|time| began.elapsed() >= *time) {
            end(&mut child);
            return Err(HookError::TooLong { role, command: command.to_owned(), time });
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
    Err(HookError::Failed { role, command: command.to_owned(), status, printed })
}

/// Ends a command and whatever it started: first it is asked to, then it is made to.
fn end(child: &mut Child) {
    let group = group_of(child);
    signal(group, Signal::TERM);
    let began = Instant::now();
    while began.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(LOOK);
    }
    signal(group, Signal::KILL);
    let _ = child.wait();
}

/// The end of what was printed, in one line that begins with a colon.
fn tail(printed: &mut File) -> String {
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
    fn a_stream_is_what_a_command_gives_and_not_what_it_says() {
        let mut into = tempfile::tempfile().unwrap();
        run_stream("echo data; echo note >&2", &into, None, &Silent).unwrap();
        let mut text = String::new();
        into.rewind().unwrap();
        into.read_to_string(&mut text).unwrap();
        assert_eq!(text, "data\n");
        let error = run_stream("echo data; echo no space >&2; exit 3", &into, None, &Silent);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("the stream") && error.ends_with("exit status: 3: no space"),
            "{error}"
        );
        let error = run_stream("sleep 1000", &into, None, &Stopped).unwrap_err();
        assert!(matches!(error, HookError::Interrupted(_)), "{error}");
    }

    #[test]
    fn one_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let command = format!("sleep 1000 & echo $! > {}; wait", pid.display());
        let error = run_hook(&command, &[], Duration::from_millis(500), Some(&Silent)).unwrap_err();
        assert!(matches!(error, HookError::TooLong { .. }), "{error}");
        let started = fs_err::read_to_string(pid).unwrap();
        let status = format!("/proc/{}/status", started.trim());
        // It is gone, or nobody has collected it yet; a busy machine takes a moment to end it.
        let is_gone =
            || fs_err::read_to_string(&status).map_or(true, |status| status.contains("State:\tZ"));
        let began = Instant::now();
        while !is_gone() && began.elapsed() < LONG {
            std::thread::sleep(LOOK);
        }
        assert!(is_gone());
    }

    #[test]
    fn an_interruption_ends_it_unless_it_must_run() {
        let error = run_hook("sleep 1000", &[], LONG, Some(&Stopped)).unwrap_err();
        assert!(matches!(error, HookError::Interrupted(_)), "{error}");
        run_hook("sleep 0.1", &[], LONG, None).unwrap();
    }
}
