//! The `hashget` program: arguments in, exit code out.
//!
//! Invariant: only this crate touches the terminal, the environment, the home directory and exit codes;
//! the library does the work.

mod archive;
mod arguments;
mod commands;
mod compared;
mod config;
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
mod publishers;
mod selection;
mod spot_checks;
mod stores;
mod supplements;
mod timers;
mod values;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;
use exit::Code;
use hashget::wording;
use output::{Console, Failure};

fn main() -> ExitCode {
    file_size_limit::make_it_an_error();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::after_parsing(&error),
    };
    let global = &arguments.global;
    global.color.apply();
    let console = Console::new(global.verbosity(), global.json, interrupt::listen());
    let outcome = commands::run(&arguments, &console);
    let of_command = match arguments.command.makes_a_backup() {
        true => exit::of_backup,
        false => exit::code,
    };
    let code = of_command(outcome.as_ref().err(), &console.problems());
    if let Err(error) = &outcome {
        let after_interruption = arguments.command.after_interruption();
        let situation = hints::Situation { offline: global.offline, after_interruption };
        console.failure(&Failure {
            messages: wording::messages(error.as_ref()),
            hint: hints::hint(error, &situation),
            exit_code: code.as_u8(),
            is_interruption: code == Code::Interrupted,
        });
    }
    console.close();
    code.into()
}
