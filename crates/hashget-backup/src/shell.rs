//! Programs that are started, and commands that users have written, run by a shell.
//!
//! Invariant: a command and all that it starts are one process group, so that they end together.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process_group};

/// The shell that runs `command`, in a process group of its own.
pub(crate) fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).process_group(0);
    shell
}

/// The text as one word for a shell, in quotes where it needs them.
pub fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// The process group that a program leads, if it was started with one of its own. The number is its own until it was waited for.
pub(crate) fn group_of(leader: &Child) -> Pid {
    Pid::from_child(leader)
}

/// Sends a signal to a process group. One that has ended needs none.
pub(crate) fn signal(group: Pid, signal: Signal) {
    let _ = kill_process_group(group, signal);
}
