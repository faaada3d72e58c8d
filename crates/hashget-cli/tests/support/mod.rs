//! A machine of its own for each test: the real program, in a folder with its own HashDB and cache.
//!
//! Invariant: nothing of the user who runs the tests (home, configuration, variables) is seen.

#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_hashget"));
        command.current_dir(self.folder.path()).env_clear().env("HOME", self.path("home"));
        command.env("COLUMNS", "100");
        command
    }

    /// The program with a HashDB, a cache and an empty configuration in this folder.
    pub(crate) fn hashget(&self, arguments: &[&str]) -> Ended {
        let mut command = self.bare();
        command.env("HASHGET_DB", self.path("db")).env("HASHGET_CACHE", self.path("cache"));
        command.env("HASHGET_CONFIG", "/dev/null").args(arguments);
        Ended::of(&mut command)
    }
}

impl Ended {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
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
