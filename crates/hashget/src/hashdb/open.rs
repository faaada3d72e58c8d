//! Opening the file of a HashDB: for writing if that is possible, otherwise for reading alone.
//!
//! Invariant: a file that is read without SQLite's locks counts only as long as nobody else has changed it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{HashDbError, schema};

/// What may be done with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everything.
    Write,
    /// Reading, while others may write.
    Read,
    /// Reading without locks: not even the files that SQLite keeps them in can be made. The file must not change.
    ReadUnchanged(Stamp),
}

/// What changes when somebody writes to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// `None` if somebody writes to it, or wrote to it and did not finish.
    fn read(file: &Path) -> Option<Self> {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        if fs_err::metadata(log).is_ok_and(|log| log.len() > 0) {
            return None;
        }
        let found = fs_err::metadata(file).ok()?;
        let modified = (found.mtime(), found.mtime_nsec());
        Some(Self { inode: found.ino(), bytes: found.len(), modified })
    }
}

impl Access {
    /// Is what was read through a connection of this access still what the file says?
    pub(super) fn still_holds(self, file: &Path) -> bool {
        match self {
            Self::Write | Self::Read => true,
            Self::ReadUnchanged(stamp) => Stamp::read(file) == Some(stamp),
        }
    }
}

/// Opens the file with the most that is possible. It is created if it does not exist.
pub(super) fn open(file: &Path) -> Result<(Connection, Access), HashDbError> {
    let error = match schema::connect(file) {
        Ok(connection) => {
            let is_read_only = connection.is_readonly("main").unwrap_or(false);
            return Ok((connection, if is_read_only { Access::Read } else { Access::Write }));
        }
        Err(error @ HashDbError::Failed { .. }) => error,
        Err(error) => return Err(error),
    };
    if let Ok(connection) = schema::connect_for_reading(file, OpenFlags::empty()) {
        return Ok((connection, Access::Read));
    }
    // The first error says why it cannot be used.
    let Some(stamp) = Stamp::read(file) else { return Err(error) };
    let access = Access::ReadUnchanged(stamp);
    match open_as(file, access) {
        Ok(connection) if access.still_holds(file) => Ok((connection, access)),
        _ => Err(error),
    }
}

/// A further connection to a file that was opened with this access.
pub(super) fn open_as(file: &Path, access: Access) -> Result<Connection, HashDbError> {
    match access {
        Access::Write => schema::connect(file),
        Access::Read => schema::connect_for_reading(file, OpenFlags::empty()),
        Access::ReadUnchanged(_) => {
            schema::connect_for_reading(Path::new(&unchanged(file)), OpenFlags::SQLITE_OPEN_URI)
        }
    }
}

/// The digit of a number below 16.
fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0')
}

/// SQLite's address of a file that does not change while it is open.
fn unchanged(file: &Path) -> OsString {
    let mut address = String::from("file:");
    for &byte in file.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'_' | b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                address.push(char::from(byte));
            }
            _ => address.extend(['%', hex(byte >> 4), hex(byte & 15)]),
        }
    }
    address.push_str("?immutable=1");
    address.into()
}
