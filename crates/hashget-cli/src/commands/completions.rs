//! `hashget completions`: completions for a shell.
//!
//! Invariant: needs only standard output: no configuration, no HashDB.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::output::Console;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget completions bash > /etc/bash_completion.d/hashget")]
pub(crate) struct Completions {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, console: &Console) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "hashget", &mut script);
        let script = String::from_utf8_lossy(&script);
        console.data(
            || script.trim_end().to_owned(),
            "completions",
            || serde_json::json!({ "shell": self.shell.to_string(), "script": script }),
        )?;
        console.summary("completions", (), &[])?;
        Ok(())
    }
}
