//! A machine of its own for each test: the real program, in a folder with its own HashDB and cache.
//!
//! Invariant: nothing of the user who runs the tests (home, configuration, variables) is seen.

#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};

use std::process::{self, Child, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with a HashDB, a cache and whatever the test puts there.
pub(crate) struct Machine {
    folder: TempDir,
}

/// How the program ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, text).unwrap();
        path
    }

    /// The program, its current folder here, without any of our variables.
    pub(crate) fn bare(&self) -> Command {
        self.bare_program(env!("CARGO_BIN_EXE_hashget"))
    }

    /// Another program in the same way: a shell that starts ours.
    pub(crate) fn bare_program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env_clear().env("HOME", self.path("home"));
        command.env("COLUMNS", "100");
        command
    }

    /// The program with a HashDB, a cache and an empty configuration in this folder.
    pub(crate) fn hashget(&self, arguments: &[&str]) -> Ended {
        let mut command = self.bare();
        command.envs(self.variables()).args(arguments);
        Ended::of(&mut command)
    }

    /// The same, running: a signal can be sent to it.
    pub(crate) fn start(
        &self,
        arguments: &[&str],
        place: impl FnOnce(&mut process::Command),
    ) -> Child {
        let mut command = process::Command::new(env!("CARGO_BIN_EXE_hashget"));
        command.current_dir(self.folder.path()).env_clear().env("HOME", self.path("home"));
        command.envs(self.variables()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        place(&mut command);
        command.spawn().unwrap()
    }

    /// Lets files of trees name servers on this machine.
    pub(crate) fn with_public_loopback(self) -> Self {
        self.write("own-config.toml", "[host.\"127.0.0.1\"]\npublic = true\n");
        self
    }

    pub(crate) fn variables(&self) -> [(&'static str, PathBuf); 4] {
        let (db, cache, own) = (self.path("db"), self.path("cache"), self.path("own-config.toml"));
        let config = if own.is_file() { own } else { "/dev/null".into() };
        let state = ("HASHGET_STATE", self.path("state"));
        [("HASHGET_DB", db), ("HASHGET_CACHE", cache), ("HASHGET_CONFIG", config), state]
    }
}

/// Sends a signal to a process that is still there.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits for something that comes sooner or later; for ever is too late.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(120), "it never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Ended {
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    /// Waits for the end of a process.
    pub(crate) fn wait(child: Child) -> Self {
        Self::from(child.wait_with_output().unwrap())
    }

    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Standard output as records, each of which must be JSON with a type.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        let record = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            assert!(record["type"].is_string(), "{line}");
            record
        };
        self.stdout.lines().map(record).collect()
    }

    /// The last record.
    #[track_caller]
    pub(crate) fn last_record(&self) -> Value {
        self.records().pop().unwrap_or_else(|| panic!("no record; {}", self.stderr))
    }

    /// Standard output has all these parts.
    #[track_caller]
    pub(crate) fn prints(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "no {part:?} in: {}", self.stdout);
        }
        self
    }

    /// None of these is in its messages.
    #[track_caller]
    pub(crate) fn says_not(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(!self.stderr.contains(part), "{part} in:\n{}", self.stderr);
        }
        self
    }

    /// Standard error has all these parts.
    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in: {}", self.stderr);
        }
        self
    }
}

/// All files below a folder, by their path in it.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs_err::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    files
}
