//! Makes the nastiest legal tree in a new folder, to try programs by hand:
//! `cargo run -p hashget-testkit --example nasty_tree DIR [short]`.
//!
//! Invariant: the tree is the one of the tests. With `short`, no path is too long for GNU tar.

use std::path::PathBuf;
use std::process::ExitCode;

use hashget_testkit::trees::{Nasty, nasty};

#[allow(clippy::print_stderr, reason = "a program of its own")]
fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: nasty_tree DIR [short]");
        return ExitCode::from(2);
    };
    let long_paths = arguments.next().is_none_or(|word| word != "short");
    if let Err(error) = fs_err::create_dir(&folder) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    nasty(&folder, Nasty { long_paths, ..Nasty::default() });
    ExitCode::SUCCESS
}
