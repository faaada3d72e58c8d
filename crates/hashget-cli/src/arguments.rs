//! The command line as a whole: global options and the list of commands.
//!
//! Invariant: what clap accepts is valid in itself (dates, sizes, URLs); only what needs the
//! configuration or the disk is checked later.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use crate::commands::Command;
use crate::output::Verbosity;
use crate::values;

/// Backups that leave out every file that a public package gives back
#[derive(Debug, Parser)]
#[command(name = "hashget", version, max_term_width = 100)]
#[command(
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "Exit codes: 0 all done; 1 failed; 2 usage; 3 finished but incomplete; \
                        4 something failed verification; 5 a source could not be reached; \
                        130 interrupted.")]
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

    /// Folder where downloads are kept [env: HASHGET_CACHE]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Configuration file [env: HASHGET_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Folder or address of packages, asked before the network; repeatable [env: HASHGET_POOL]
    #[arg(long, global = true, value_name = "PATH|URL", value_parser = values::pool)]
    pub(crate) pool: Vec<String>,

    /// Ask no network: pools and the cache only
    #[arg(long, global = true)]
    pub(crate) offline: bool,

    /// Packages and files worked on at once [default: one for each processor]
    #[arg(long, global = true, value_name = "N", value_parser = values::jobs)]
    pub(crate) jobs: Option<usize>,

    /// Print problems and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Say more: each package, and all that was left alone on purpose
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Print one JSON record a line to standard output, the last one `summary` or `error`
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Colours in messages
    #[arg(long, global = true, value_name = "auto|always|never", value_enum, default_value_t)]
    #[arg(hide_possible_values = true)]
    pub(crate) color: Color,
}

impl Global {
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// When messages have colours.
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
    /// Makes it hold for everything that is printed from now on.
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
