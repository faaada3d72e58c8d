//! One run of the program, from the log to the exit code.
//!
//! Invariant: whatever ends a command is told, once, and has an exit code.

use std::process::ExitCode;

use hashget::wording;

use crate::arguments::{Arguments, Global};
use crate::exit::{self, Code};
use crate::output::{Console, Failure, journal};
use crate::places::Surroundings;
use crate::{commands, crash, hints};

/// Runs the command.
pub(crate) fn run(arguments: &Arguments, console: &Console) -> ExitCode {
    if let Err(error) = write_down(&arguments.global) {
        let messages = vec!["cannot write the log".to_owned(), error.to_string()];
        fail(console, messages, None, Code::Failed.as_u8());
        return Code::Failed.into();
    }
    match crash::guarded(|| run_command(arguments, console)) {
        Ok(code) => code.into(),
        Err(crash) => {
            // What the console needs may have panicked, too.
            let (messages, hint) = (crash.messages(), crash.hint());
            let told = crash::guarded(|| fail(console, messages, Some(hint), crash::EXIT_CODE));
            if told.is_err() {
                crash::tell_plainly(&crash);
            }
            crash::EXIT_CODE.into()
        }
    }
}

/// Writes down what is said and asked from now on, as far as that is wanted.
fn write_down(global: &Global) -> std::io::Result<()> {
    let file = Surroundings::of_process().log_file(global.log_file.as_deref());
    journal::begin(file.as_deref(), global.shows_requests())
}

/// Runs the command, and says how it ended.
fn run_command(arguments: &Arguments, console: &Console) -> Code {
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
