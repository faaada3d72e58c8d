//! Output for users and programs: data and JSON records on standard output, everything else on standard
//! error.
//!
//! Invariant: only this folder writes to the terminal, and no control character of an untrusted name is
//! printed there.

mod console;
pub(crate) mod journal;
mod lines;
mod progress;
pub(crate) mod standard;
mod table;
mod text;

pub(crate) use console::{Console, Failure, Problems, ProgressStyle, Verbosity, print_usage_error};
pub(crate) use table::columns;
pub(crate) use text::{
    counted, day, mode_letters, moment, named_package, ratio, safe, size, without_secrets,
};
