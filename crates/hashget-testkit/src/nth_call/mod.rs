//! A program whose n-th system call of one kind fails, for n as wanted.
//!
//! Invariant: calls are counted where the kernel gets them, over all threads and whoever makes them (the
//! standard library, SQLite, raw calls); calls on anything beside the folder never fail.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Kinds of system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Writes, lengths set.
    Write,
    /// `fsync` and the like.
    Sync,
    /// Files and folders created, linked, renamed, removed.
    Name,
    /// Modes, owners, times, attributes set.
    Metadata,
    /// Files and folders opened to be read, and what is asked about them.
    Look,
    /// Files read, folders listed.
    Read,
    /// Bytes received from the network.
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
    /// Calls of which kind are counted.
    pub kind: Kind,
    /// Which of them, from 1 on; 0 for none.
    pub nth: u64,
    /// The number of the error.
    pub error: i32,
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code and what it said.
    pub output: Output,
    /// Calls of this kind.
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
    /// Builds it; `Err` says what is missing here.
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

    /// The program, to be given arguments; calls on `below` and what is in it count.
    pub fn command(&self, failing: Failing, below: &Path, program: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(failing.kind.name()).arg(failing.nth.to_string());
        command.arg(failing.error.to_string()).arg(below).arg(self.report()).arg(program);
        command
    }

    /// Runs such a command to its end.
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
