//! The `hashget` program: arguments in, exit code out.
//!
//! Invariant: only this crate touches the terminal, the environment, the home directory and exit codes;
//! the library does the work.

mod archive;
mod arguments;
mod commands;
mod compared;
mod config;
mod crash;
mod derive;
mod environment;
mod exit;
mod fallback;
mod file_size_limit;
mod hints;
mod interrupt;
mod kept;
mod keys;
mod lazy_hashdb;
mod logins;
mod looked_into;
mod manifest_copy;
mod output;
mod output_file;
mod packing;
mod parts;
mod places;
mod pools;
mod program;
mod programs;
#[cfg(test)]
#[path = "../../hashget-published/tests/conformance/files.rs"]
mod published_files;
mod published_in_store;
mod publishers;
mod selection;
mod spot_checks;
mod stores;
mod supplements;
mod timers;
mod values;
mod version;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;
use output::Console;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == programs::ARGUMENT) {
        return programs::become_program(arguments);
    }
    file_size_limit::make_it_an_error();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::after_parsing(&error),
    };
    let global = &arguments.global;
    global.color.apply();
    let console =
        Console::new(global.verbosity(), global.progress(), global.json, interrupt::listen());
    program::run(&arguments, &console)
}
