//! A file on its way to a store: read in pieces, at most so fast, counted.
//!
//! Invariant: whoever reads pieces is stopped when the monitor asks for it, and never gets other bytes than the file has.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashget::fetch::{SystemClock, wait};
use hashget::monitor::{Monitor, Running, Step, Total};
use sha2::{Digest as _, Sha256};

use super::{Sending, StoreError};

/// Bytes that are read at once.
pub(super) const PIECE: usize = 256 * 1024;

/// A file that is being sent.
pub(super) struct Outgoing<'a> {
    sending: &'a Sending<'a>,
    monitor: &'a dyn Monitor,
    running: Running<'a>,
    reached: AtomicU64,
    pace: Pace,
}

impl<'a> Outgoing<'a> {
    /// The file `name` on its way.
    pub(super) fn new(name: &str, sending: &'a Sending<'a>, monitor: &'a dyn Monitor) -> Self {
        let running = monitor.begin(Step::Send, name, Total::bytes(sending.bytes));
        let pace = Pace::new(sending.bytes_per_second);
        Self { sending, monitor, running, reached: AtomicU64::new(0), pace }
    }

    /// The bytes from `first` on, at most as many as fit; fewer only at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read, is shorter than it was, or the monitor asked to stop.
    pub(super) fn piece<'b>(
        &self,
        buffer: &'b mut [u8],
        first: u64,
    ) -> Result<&'b [u8], StoreError> {
        self.monitor.check_interrupted()?;
        let left = self.sending.bytes.saturating_sub(first);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        read_exact_at(self.sending.file, &mut buffer[..count], first)?;
        wait(&SystemClock::default(), self.pace.due(count as u64), self.monitor)?;
        Ok(&buffer[..count])
    }

    /// The store has everything before `position`, or has had it in an earlier try.
    pub(super) fn reached(&self, position: u64) {
        let before = self.reached.fetch_max(position, Ordering::Relaxed);
        self.running.advance(position.saturating_sub(before), 0);
    }
}

/// Fills `buffer` with the bytes from `first` on.
///
/// # Errors
/// The file cannot be read, or is shorter than it was when it was given to the store.
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], first: u64) -> io::Result<()> {
    file.read_exact_at(buffer, first).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::other("the file that is sent is shorter than it was: was it changed?")
        }
        _ => error,
    })
}

/// How fast bytes may go, on average since the first one.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    sent: Mutex<(Instant, u64)>,
}

impl Pace {
    /// At most so many bytes in a second.
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, sent: Mutex::new((Instant::now(), 0)) }
    }

    /// How long to wait before `bytes` more bytes may go.
    pub(super) fn due(&self, bytes: u64) -> Duration {
        let Some(limit) = self.bytes_per_second else { return Duration::ZERO };
        let mut sent = self.sent.lock().expect("nothing panics while it counts");
        sent.1 += bytes;
        time_for(sent.1, limit).saturating_sub(sent.0.elapsed())
    }
}

/// How long `bytes` take at `limit` bytes in a second.
fn time_for(bytes: u64, limit: u64) -> Duration {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(limit.max(1));
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// The SHA-256 in hexadecimal digits, and the size, of what `read` supplies until it supplies nothing.
///
/// # Errors
/// Those of `read`.
pub fn digest_of<E>(
    mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(String, u64), E> {
    let (mut digest, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let count = read(&mut buffer)?;
        if count == 0 {
            return Ok((hex::encode(digest.finalize()), bytes));
        }
        digest.update(&buffer[..count]);
        bytes += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_says_how_long_bytes_take() {
        assert_eq!(time_for(3000, 1000), Duration::from_secs(3));
        assert_eq!(time_for(0, 0), Duration::ZERO);
        assert_eq!(time_for(u64::MAX, 1), Duration::from_nanos(u64::MAX));
        assert_eq!(Pace::new(None).due(u64::MAX), Duration::ZERO);
        let pace = Pace::new(Some(1));
        assert!(
            pace.due(100) > Duration::from_secs(90) && pace.due(100) > Duration::from_secs(190)
        );
    }

    #[test]
    fn a_digest_is_of_all_that_comes() {
        let mut pieces = [&b"ab"[..], b"c", b""].into_iter();
        let read = |buffer: &mut [u8]| {
            let piece = pieces.next().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(piece);
            Ok::<_, ()>(piece.len())
        };
        let (digest, bytes) = digest_of(read).unwrap();
        assert!(digest.starts_with("ba7816bf") && bytes == 3);
    }
}
