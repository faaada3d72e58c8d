//! zip archives with other bytes before them: self-extracting programs, executable jars, Python applications, browser
//! extensions.
//!
//! Invariant: such a file counts as a zip only if its directory is where its end says; a program that merely has such bytes
//! in it stays a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// How programs, scripts and browser extensions begin.
const BEGINNINGS: [&[u8]; 4] = [b"MZ", b"\x7fELF", b"#!", b"Cr24"];
const END: &[u8] = b"PK\x05\x06";
const DIRECTORY: &[u8] = b"PK\x01\x02";
/// Size of the record at the end, without its comment.
const END_BYTES: usize = 22;
const COMMENT_BYTES: usize = 0xffff;

/// May a zip archive follow these first bytes?
pub(super) fn may_follow(head: &[u8]) -> bool {
    BEGINNINGS.iter().any(|beginning| head.starts_with(beginning))
}

/// Does `file` end with the directory of a zip archive, and perhaps a few other bytes?
///
/// # Errors
/// It cannot be read.
pub(super) fn is_at_end(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub((END_BYTES + COMMENT_BYTES) as u64);
    let mut tail = vec![0; usize::try_from(length - start).unwrap_or(0)];
    file.read_exact_at(&mut tail, start)?;
    for at in (0..(tail.len() + 1).saturating_sub(END_BYTES)).rev() {
        let Some(end) = tail[at..].first_chunk::<END_BYTES>().filter(|end| end.starts_with(END))
        else {
            continue;
        };
        // Other bytes may follow the comment.
        let comment = usize::from(u16::from_le_bytes([end[20], end[21]]));
        let size = u32::from_le_bytes([end[12], end[13], end[14], end[15]]);
        let directory = (start + at as u64).checked_sub(u64::from(size));
        let is_whole = comment <= tail.len() - at - END_BYTES;
        let Some(directory) = directory.filter(|_| is_whole) else { continue };
        let mut first = [0; DIRECTORY.len()];
        file.read_exact_at(&mut first, directory)?;
        if first == DIRECTORY {
            return Ok(true);
        }
    }
    Ok(false)
}
