//! The command line as a whole: global options and the list of commands.
//!
//! Invariant: values accepted by clap are valid in themselves (dates, sizes, URLs); only what depends on the
//! configuration or the disk is checked later.

#[cfg(test)]
mod documented;

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::commands::Command;
use crate::output::{ProgressStyle, Verbosity};
use crate::values;

/// Back up folders without the files that public packages already have
#[derive(Debug, Parser)]
#[command(name = "hashget", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 success; 1 failure; 2 usage error; 3 finished, but incomplete; \
                        4 verification failed; 5 a source could not be reached; \
                        130 interrupted."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder of the HashDB [env: HASHGET_DB]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) db: Option<PathBuf>,

    /// Folder for downloads [env: HASHGET_CACHE]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Configuration file [env: HASHGET_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Folder or URL of packages, tried before the network; repeatable [env: HASHGET_POOL]
    #[arg(long, global = true, value_name = "PATH|URL", value_parser = values::pool)]
    pub(crate) pool: Vec<String>,

    /// File of an age identity or SSH private key, passphrase:FILE, or exec:COMMAND, that opens encrypted archives; repeatable [env: HASHGET_IDENTITY]
    #[arg(long, global = true, value_name = "IDENTITY")]
    pub(crate) identity: Vec<PathBuf>,

    /// Ask no server, only pools and the cache
    #[arg(long, global = true)]
    pub(crate) offline: bool,

    /// Number of packages and files processed at a time [default: number of processors]
    #[arg(long, global = true, value_name = "N", value_parser = values::jobs)]
    pub(crate) jobs: Option<usize>,

    /// Print only problems and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Print more: every package, and every item that was skipped; twice, also every request to a server
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Write everything that is said, and every request, to the end of this file, with the time [env: HASHGET_LOG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// How progress is shown: on a terminal, as plain lines from time to time (for screen readers and logs), or not at all
    #[arg(long, global = true, value_name = "auto|plain|none", value_enum, default_value_t)]
    #[arg(hide_possible_values = true)]
    pub(crate) progress: ProgressStyle,

    /// Print JSON records to standard output, one per line; the last is `summary` or `error`
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Use colours in messages
    #[arg(long, global = true, value_name = "auto|always|never", value_enum, default_value_t)]
    #[arg(hide_possible_values = true)]
    pub(crate) color: Color,
}

impl Global {
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        }
    }

    /// Is each request printed?
    pub(crate) fn shows_requests(&self) -> bool {
        self.verbose > 1
    }

    /// How progress is shown. Between lines of requests, only lines that stay can be read.
    pub(crate) fn progress(&self) -> ProgressStyle {
        match self.progress {
            ProgressStyle::Auto if self.shows_requests() => ProgressStyle::None,
            progress => progress,
        }
    }
}

/// When to use colours in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Applies the choice to everything printed from now on.
    pub(crate) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }
}
