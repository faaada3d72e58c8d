//! What is part of the tree: the options that pack, prepare, explain and report share.
//!
//! Invariant: a pattern means the same on the command line, in a file of patterns and in the configuration.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use hashget::tree::FileSystems;

use crate::exit::UsageError;
use crate::values;

pub(crate) mod profiles;
pub(crate) mod regenerable;

/// What is part of the tree.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Leave matching files out of the backup altogether; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// The same, without a note if nothing matches; repeatable
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude_optional: Vec<String>,

    /// The same as --exclude for the patterns in FILE, one a line; repeatable
    #[arg(long, value_name = "FILE")]
    exclude_from: Vec<PathBuf>,

    /// Exclude the contents of folders marked with a CACHEDIR.TAG
    #[arg(long)]
    pub(crate) exclude_caches: bool,

    /// Exclude the contents of folders that have a file of this NAME, except this file; repeatable
    #[arg(long, value_name = "NAME", value_parser = values::file_name)]
    pub(crate) exclude_if_present: Vec<OsString>,

    /// Exclude larger files
    #[arg(long, value_name = "BYTES", value_parser = values::bytes)]
    pub(crate) exclude_larger_than: Option<u64>,

    /// Exclude files and folders with the flag "no dump" (`chattr +d`)
    #[arg(long)]
    pub(crate) respect_nodump: bool,

    /// Do not enter other file systems
    #[arg(long, overrides_with = "local_file_systems")]
    one_file_system: bool,

    /// Enter only file systems of this machine: none of the network or of removable disks
    #[arg(long, overrides_with = "one_file_system")]
    local_file_systems: bool,
}

impl Selection {
    /// Was any of these options given?
    pub(crate) fn is_given(&self) -> bool {
        !self.exclude.is_empty()
            || !self.exclude_optional.is_empty()
            || !self.exclude_from.is_empty()
            || self.exclude_caches
            || !self.exclude_if_present.is_empty()
            || self.exclude_larger_than.is_some()
            || self.respect_nodump
            || self.one_file_system
            || self.local_file_systems
    }

    /// The patterns of the options and of the files.
    pub(crate) fn patterns(&self) -> anyhow::Result<Vec<String>> {
        let mut patterns = self.exclude.clone();
        for file in &self.exclude_from {
            let name = file.display();
            let bytes = fs_err::read(file).context("cannot read the patterns to exclude")?;
            let text = String::from_utf8(bytes).map_err(|_| {
                UsageError(format!("--exclude-from {name}: expected patterns in UTF-8"))
            })?;
            let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            patterns.extend(lines.map(str::to_owned));
        }
        Ok(patterns)
    }

    /// Which file systems are entered that are mounted in the tree.
    pub(crate) fn file_systems(&self) -> FileSystems {
        match (self.one_file_system, self.local_file_systems) {
            (true, _) => FileSystems::One,
            (false, true) => FileSystems::Local,
            (false, false) => FileSystems::All,
        }
    }
}
