//! What a bucket tells of single objects, which its list does not say.
//!
//! Invariant: what may not be asked is not known, and no error: a login that may list need not be one that may read.

use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hashget::monitor::Monitor;

use super::{S3Store, locked_until};
use crate::store::{StoreError, Stored};

/// Number of objects that are asked about at once.
const AT_ONCE: usize = 8;

/// Adds checksum and lock to each file.
pub(super) fn examine(
    store: &S3Store,
    files: &mut [Stored],
    monitor: &dyn Monitor,
) -> Result<(), StoreError> {
    let share = files.len().div_ceil(AT_ONCE).max(1);
    let has_failed = AtomicBool::new(false);
    let ask = |files: &mut [Stored]| {
        for file in files {
            if has_failed.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = one(store, file, monitor) {
                has_failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            files.chunks_mut(share).map(|files| scope.spawn(|| ask(files))).collect();
        let ended = threads.into_iter().map(|thread| thread.join().expect("asking does not panic"));
        // All have ended before one error is given.
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

fn one(store: &S3Store, file: &mut Stored, monitor: &dyn Monitor) -> Result<(), StoreError> {
    let head = match store.head(&store.key(&file.name)?, monitor) {
        Ok(Some(head)) => head,
        Ok(None) | Err(StoreError::Refused { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    file.sha256 = head.header("x-amz-checksum-sha256").and_then(of_whole);
    file.locked_until = locked_until(&head).map(jiff::Timestamp::as_second);
    Ok(())
}

/// The SHA-256 in hexadecimal digits. Of an object that was sent in parts, what is told is a digest of the parts' digests: `None`.
fn of_whole(told: &str) -> Option<String> {
    let bytes = STANDARD.decode(told).ok()?;
    (bytes.len() == 32).then(|| hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digest_of_a_whole_object_is_one() {
        let told = STANDARD.encode([7; 32]);
        assert_eq!(of_whole(&told), Some("07".repeat(32)));
        for other in [format!("{told}-3"), String::new(), STANDARD.encode([7; 20]), "!".to_owned()]
        {
            assert_eq!(of_whole(&other), None, "{other}");
        }
    }
}
