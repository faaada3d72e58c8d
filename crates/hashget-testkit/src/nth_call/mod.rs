//! Runs a program whose n-th system call of one kind fails.
//!
//! Invariant: calls are counted in the kernel, over all threads and callers (the standard library, SQLite, raw calls).
//! Calls on anything outside the folder never fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Kinds of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Writing files and setting their lengths.
    Write,
    /// `fsync` and the like.
    Sync,
    /// Creating, linking, renaming and removing files and folders.
    Name,
    /// Setting modes, owners, times and attributes.
    Metadata,
    /// Opening files and folders for reading, and reading their metadata.
    Look,
    /// Reading files and listing folders.
    Read,
    /// Receiving from the network.
    Receive,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Write,
        Self::Sync,
        Self::Name,
        Self::Metadata,
        Self::Look,
        Self::Read,
        Self::Receive,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Name => "name",
            Self::Metadata => "metadata",
            Self::Look => "look",
            Self::Read => "read",
            Self::Receive => "receive",
        }
    }
}

/// The call that fails.
#[derive(Debug, Clone, Copy)]
pub struct Failing {
    /// The kind of calls to count.
    pub kind: Kind,
    /// Which of them fails, from 1 on; 0 for none.
    pub nth: u64,
    /// The error number (`errno`) that it returns.
    pub error: i32,
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code and output.
    pub output: Output,
    /// Number of calls of this kind.
    pub calls: u64,
    /// The call that failed and its path.
    pub failed: Option<String>,
}

/// Runs programs with a failing call.
#[derive(Debug)]
pub struct Supervisor {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Supervisor {
    /// Builds the supervisor.
    ///
    /// # Errors
    /// There is no C compiler, or the kernel has no seccomp notifications.
    pub fn build() -> Result<Self, &'static str> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (source, program) = (folder.path().join("s.c"), folder.path().join("supervisor"));
        fs_err::write(&source, include_str!("supervisor.c")).expect("there is room");
        let built = Command::new("cc").arg("-O1").arg("-o").arg(&program).arg(&source).output();
        let Ok(built) = built else { return Err("there is no cc") };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let supervisor = Self { folder, program };
        let nothing = Failing { kind: Kind::Write, nth: 0, error: 0 };
        let tried = supervisor.command(nothing, Path::new("/"), Path::new("/bin/true")).status();
        if tried.is_ok_and(|status| status.success()) {
            Ok(supervisor)
        } else {
            Err("there is no seccomp notification")
        }
    }

    /// A command for the program, to which arguments can be added. Calls on `below` and its contents count.
    pub fn command(&self, failing: Failing, below: &Path, program: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(failing.kind.name()).arg(failing.nth.to_string());
        command.arg(failing.error.to_string()).arg(below).arg(self.report()).arg(program);
        command
    }

    /// Runs such a command and waits for its end.
    pub fn run(&self, command: &mut Command) -> Ended {
        let output = command.output().expect("it was just built");
        let report = fs_err::read_to_string(self.report()).expect("a report is written");
        let mut lines: Vec<&str> = report.lines().collect();
        let calls = lines.pop().and_then(|line| line.strip_suffix(" calls"));
        let calls = calls.and_then(|count| count.parse().ok()).expect("it counts");
        Ended { output, calls, failed: lines.pop().map(str::to_owned) }
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("report")
    }
}
