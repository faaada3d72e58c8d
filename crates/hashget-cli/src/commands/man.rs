//! `hashget man`: manual pages.
//!
//! Invariant: the pages have the text of `--help`; both come from one definition.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use serde_json::json;

use crate::arguments::Arguments;
use crate::output::{Console, counted};

/// Write the manual pages of all commands to a folder
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Folder to write to; created if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, console: &Console) -> anyhow::Result<()> {
        fs_err::create_dir_all(&self.folder)?;
        clap_mangen::generate_to(Arguments::command(), &self.folder)?;
        let pages = fs_err::read_dir(&self.folder)?
            .filter_map(Result::ok)
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("hashget") && name.ends_with(".1")
            })
            .count();
        let pages = u64::try_from(pages).unwrap_or(u64::MAX);
        let said = counted(pages, "page", "pages");
        let line = format!("{said} written to {}", self.folder.display());
        console.summary(
            "man",
            json!({ "pages": pages, "folder": self.folder.to_string_lossy() }),
            &[line],
        )?;
        Ok(())
    }
}
