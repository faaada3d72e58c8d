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

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Global};
use exit::Code;
use hashget::wording;
use output::{Console, Failure, journal};

fn main() -> ExitCode {
    file_size_limit::make_it_an_error();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::after_parsing(&error),
    };
    let global = &arguments.global;
    global.color.apply();
    let console =
        Console::new(global.verbosity(), global.progress(), global.json, interrupt::listen());
    if let Err(error) = write_down(global) {
        let code = Code::Failed;
        fail(
            &console,
            vec!["cannot write the log".to_owned(), error.to_string()],
            None,
            code.as_u8(),
        );
        return code.into();
    }
    match crash::guarded(|| run(&arguments, &console)) {
        Ok(code) => code.into(),
        Err(crash) => {
            fail(&console, crash.messages(), Some(crash.hint()), crash::EXIT_CODE);
            ExitCode::from(crash::EXIT_CODE)
        }
    }
}

/// Writes down what is said and asked from now on, as far as that is wanted.
fn write_down(global: &Global) -> std::io::Result<()> {
    let file = places::Surroundings::of_process().log_file(global.log_file.as_deref());
    journal::begin(file.as_deref(), global.shows_requests())
}

/// Runs the command, and says how it ended.
fn run(arguments: &Arguments, console: &Console) -> Code {
    let global = &arguments.global;
    let outcome = commands::run(arguments, console);
    let of_command = match arguments.command.makes_a_backup() {
        true => exit::of_backup,
        false => exit::code,
    };
    let code = of_command(outcome.as_ref().err(), &console.problems());
    if let Err(error) = &outcome {
        let after_interruption = arguments.command.after_interruption();
        let situation = hints::Situation { offline: global.offline, after_interruption };
        let messages = wording::messages(error.as_ref());
        fail(console, messages, hints::hint(error, &situation), code.as_u8());
    }
    console.close();
    code
}

/// Prints the error that ends the program.
fn fail(console: &Console, messages: Vec<String>, hint: Option<String>, exit_code: u8) {
    let is_interruption = exit_code == Code::Interrupted.as_u8();
    console.failure(&Failure { messages, hint, exit_code, is_interruption });
}
