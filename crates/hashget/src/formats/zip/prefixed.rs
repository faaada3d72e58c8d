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

/// Does `file` end with the directory of a zip archive?
///
/// # Errors
/// It cannot be read.
pub(super) fn is_at_end(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub((END_BYTES + COMMENT_BYTES) as u64);
    let mut tail = vec![0; usize::try_from(length - start).unwrap_or(0)];
    file.read_exact_at(&mut tail, start)?;
    let ends = |&at: &usize| {
        let comment = tail.get(at + 20..at + END_BYTES);
        let comment = comment.map(|size| usize::from(u16::from_le_bytes([size[0], size[1]])));
        tail[at..].starts_with(END) && comment == Some(tail.len() - at - END_BYTES)
    };
    let Some(at) = (0..(tail.len() + 1).saturating_sub(END_BYTES)).rev().find(ends) else {
        return Ok(false);
    };
    let size = u32::from_le_bytes([tail[at + 12], tail[at + 13], tail[at + 14], tail[at + 15]]);
    let Some(directory) = (start + at as u64).checked_sub(u64::from(size)) else {
        return Ok(false);
    };
    let mut first = [0; DIRECTORY.len()];
    file.read_exact_at(&mut first, directory)?;
    Ok(first == DIRECTORY)
}
