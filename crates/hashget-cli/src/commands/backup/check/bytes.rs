//! Reading a file of a destination, to compare it with its record.
//!
//! Invariant: only what a disk says of a file, or the file itself, is called damage; what could not be read is not known.

use std::io::{self, Read as _};

use hashget::classify::is_of_a_disk;
use hashget::monitor::{Interrupted, Monitor, Step, Total};
use hashget::wording::one_line;
use hashget_backup::record::Sealed;
use hashget_backup::run::Destination;
use hashget_backup::series::ArchiveName;
use hashget_backup::store::digest_of;

use crate::output::Console;

/// How the bytes of a file are.
pub(in crate::commands) enum Bytes {
    AsRecorded,
    /// Others than its record says.
    Others {
        /// What differs.
        text: String,
        /// Was it read to its end?
        is_read: bool,
    },
    /// Why they could not be read.
    Unread(String),
}

/// Reads a file of a destination, and compares it with what its record says.
///
/// # Errors
/// The user wants to stop.
pub(in crate::commands) fn read(
    destination: &Destination,
    name: &str,
    expected: &Sealed,
    console: &Console,
) -> Result<Bytes, Interrupted> {
    let monitor: &dyn Monitor = console;
    let running = monitor.begin(Step::Check, name, Total::bytes(expected.bytes));
    let opened = destination.store.open(name, console);
    let digested = opened.map_err(io::Error::from).and_then(|mut source| {
        digest_of(|buffer| {
            monitor.check_interrupted().map_err(io::Error::other)?;
            let count = source.read(buffer)?;
            running.advance(count as u64, 0);
            Ok::<_, io::Error>(count)
        })
    });
    monitor.check_interrupted()?;
    let what = if ArchiveName::of_parity(name).is_some() { "its parity" } else { "it" };
    Ok(match digested {
        Ok((sha256, _)) if sha256 == expected.sha256 => Bytes::AsRecorded,
        Ok((sha256, bytes)) => {
            let recorded = &expected.sha256;
            let text = format!(
                "{what} is {bytes} bytes of SHA-256 {sha256}, and its record says {recorded}"
            );
            Bytes::Others { text, is_read: true }
        }
        Err(error) if destination.folder.is_some() && is_of_a_disk(&error) => {
            let text = format!("{what} cannot be read to its end: {}", one_line(&error));
            Bytes::Others { text, is_read: false }
        }
        Err(error) => Bytes::Unread(format!(
            "{what} could not be read, which says nothing about it: {}; check again when the destination answers",
            one_line(&error)
        )),
    })
}
