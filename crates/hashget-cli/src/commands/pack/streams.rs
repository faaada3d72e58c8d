//! Files of an archive that lie in no folder: standard input, and what commands give.
//!
//! Invariant: a command that fails makes no archive. What was given lies in a file without a name, which ends with this process.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use hashget::model::RelPath;
use hashget::monitor::{Monitor, Step, Total};
use hashget::tree::Supplied;
use hashget_backup::run::run_stream;

use crate::environment::Environment;
use crate::exit::UsageError;

/// What an archive has besides what lies in folders.
#[derive(Debug, Args)]
pub(super) struct Streams {
    /// Standard input becomes the file NAME of the archive
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(super) stdin: Option<RelPath>,

    /// What COMMAND writes to its standard output becomes the file NAME of the archive; repeatable
    #[arg(long, value_name = "NAME=COMMAND")]
    pub(super) stream: Vec<Stream>,

    /// The longest that a command may take.
    #[arg(skip)]
    pub(super) time: Option<Duration>,
}

/// A command, and the path in the archive of what it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stream {
    path: RelPath,
    command: String,
}

impl FromStr for Stream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((path, command)) if !command.trim().is_empty() => {
                Ok(Self { path: name(path)?, command: command.to_owned() })
            }
            _ => Err("expected NAME=COMMAND, as in pg.sql='pg_dumpall'".to_owned()),
        }
    }
}

/// The path in the archive of what is given.
fn name(text: &str) -> Result<RelPath, String> {
    let path = RelPath::new(text).map_err(|error| error.to_string())?;
    match path.is_root() {
        true => {
            Err("expected the path of a file in the archive, as in var/backups/pg.sql".to_owned())
        }
        false => Ok(path),
    }
}

impl Streams {
    /// Is there none?
    pub(super) fn is_empty(&self) -> bool {
        self.stdin.is_none() && self.stream.is_empty()
    }

    /// Takes all of it, one after the other, into files without names in `folder`, or in the system's folder for such.
    ///
    /// # Errors
    /// A command failed, or there is no room.
    pub(super) fn taken(
        &self,
        folder: Option<&Path>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Vec<Supplied>> {
        let monitor: &dyn Monitor = environment.console;
        let empty = || {
            let made = folder.map_or_else(tempfile::tempfile, tempfile::tempfile_in);
            made.context("cannot keep what is to be packed")
        };
        let mut taken = Vec::new();
        if let Some(path) = &self.stdin {
            if io::stdin().is_terminal() {
                let wrong = "--stdin: standard input is a terminal: redirect it, or give --stream NAME=COMMAND";
                return Err(UsageError(wrong.to_owned()).into());
            }
            let file = empty()?;
            copy_input(&file, path, monitor)?;
            taken.push(Supplied { path: path.clone(), file: Arc::new(file) });
        }
        for Stream { path, command } in &self.stream {
            let file = empty()?;
            {
                let _running = monitor.begin(Step::Read, path.to_string(), Total::UNKNOWN);
                run_stream(command, &file, self.time, monitor)
                    .with_context(|| format!("{path} would not be whole"))?;
            }
            taken.push(Supplied { path: path.clone(), file: Arc::new(file) });
        }
        Ok(taken)
    }
}

/// Copies standard input to its end.
fn copy_input(mut into: &File, path: &RelPath, monitor: &dyn Monitor) -> anyhow::Result<()> {
    let running = monitor.begin(Step::Read, path.to_string(), Total::UNKNOWN);
    let (mut input, mut buffer) = (io::stdin().lock(), vec![0; 256 << 10]);
    loop {
        monitor.check_interrupted()?;
        match io::Read::read(&mut input, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                into.write_all(&buffer[..count]).context("cannot keep what is to be packed")?;
                running.advance(count as u64, 0);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read standard input"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_path_of_the_archive_and_a_command() {
        let stream: Stream = "var/pg.sql=pg_dump --where a=b".parse().unwrap();
        assert_eq!(stream.path.to_string(), "var/pg.sql");
        assert_eq!(stream.command, "pg_dump --where a=b");
        for wrong in ["pg.sql", "=true", "a= ", "/a=true", "../a=true", "a/../b=true", ".=true"] {
            assert!(wrong.parse::<Stream>().is_err(), "{wrong}");
        }
    }
}
