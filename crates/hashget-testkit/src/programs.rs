//! Programs: where they are, and those that a test copies to where another user may run them.
//!
//! Invariant: this process never has a program open for writing. If it had, a process forked meanwhile by another thread
//! would inherit the descriptor, and running the program would fail with "Text file busy".

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Number of the user and the group `nobody`.
pub const NOBODY: u32 = 65_534;

/// Where servers are that nobody starts by hand.
const FOLDERS_OF_SERVERS: [&str; 3] = ["/usr/sbin", "/usr/lib/openssh", "/usr/lib/ssh"];

/// The path of a program: in `PATH`, or where servers are.
pub fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain(FOLDERS_OF_SERVERS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| {
        path.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0)
    })
}

/// Copies a program, with its mode.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--preserve=mode").arg(from).arg(to).status();
    assert!(copied.expect("cp is there").success(), "{} cannot be copied", from.display());
}

/// Runs one test of this test program again, as `nobody`, with its temporary files in `folder`; the test must pass.
/// Only root may do so.
pub fn run_test_as_nobody(test: &str, folder: &Path, variables: &[(&str, &Path)]) {
    crate::trees::mode(folder, 0o777);
    // The folder in which the tests were built may be closed to others.
    let program = folder.join("program");
    copy(&std::env::current_exe().expect("it is running"), &program);
    let output = Command::new("setpriv")
        .args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"])
        .arg(&program)
        .args(["--exact", test, "--nocapture"])
        .env("TMPDIR", folder)
        .env(crate::needs::IS_CHECKED, "1")
        .envs(variables.iter().copied())
        .current_dir("/")
        .output()
        .expect("setpriv is there");
    fs_err::remove_file(program).expect("it is ours");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
