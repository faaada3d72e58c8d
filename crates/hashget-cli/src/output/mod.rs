//! What a person or a program sees: data and JSON records on standard output, all else on standard
//! error.
//!
//! Invariant: this is the only place that writes to the terminal; no control character of a foreign
//! name gets there.

mod console;
mod progress;
mod table;
mod text;

pub(crate) use console::{Console, Problems, Verbosity, print_usage_error};
pub(crate) use table::columns;
pub(crate) use text::{counted, day, ratio, safe, size};
