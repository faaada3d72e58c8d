//! Standard output as the place of a result: an archive, an export, a page.
//!
//! Invariant: a result is never written to a standard output that was closed.

use anyhow::Context as _;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, major, minor};

use crate::exit::UsageError;

/// Refuses a standard output that was closed when the program started.
///
/// Before `main`, the standard library opens `/dev/null` for reading and writing in its place, so that no other file gets
/// its number. A shell's `>/dev/null` is only writable, and is used.
pub(crate) fn expect_open() -> anyhow::Result<()> {
    let output = std::io::stdout();
    let context = "cannot look at standard output";
    let (stat, flags) = (fstat(&output).context(context)?, fcntl_getfl(&output).context(context)?);
    let is_null = FileType::from_raw_mode(stat.st_mode).is_char_device()
        && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3);
    if is_null && flags.contains(OFlags::RDWR) {
        let wrong = "standard output is closed: redirect it, or give a FILE";
        return Err(UsageError(wrong.to_owned()).into());
    }
    Ok(())
}
