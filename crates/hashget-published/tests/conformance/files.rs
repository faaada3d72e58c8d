//! What every way to read a published folder must do: one suite for all of them.

use hashget::monitor::Silent;
use hashget_published::{Files, PublishedError};

/// What the file `tables/a` has.
pub(crate) const CONTENT: &[u8] = b"0123456789abcdef";

/// Runs the suite on a folder with the one file `tables/a`, for which each read takes so many requests.
pub(crate) fn check(files: &dyn Files, requests: u64) {
    assert!(!files.location().is_empty());
    let before = files.traffic();
    assert_eq!(files.whole("tables/a", 16, &Silent).unwrap(), CONTENT);
    assert_eq!(files.part("tables/a", 0, 16, &Silent).unwrap(), CONTENT);
    assert_eq!(files.part("tables/a", 10, 3, &Silent).unwrap(), b"abc");
    let after = files.traffic();
    assert_eq!((after.requests - before.requests, after.bytes - before.bytes), (3 * requests, 35));
    // Longer than it may be, and shorter than is needed.
    let too_long = files.whole("tables/a", 15, &Silent).unwrap_err();
    assert!(too_long.to_string().contains("longer than 15 bytes"), "{too_long}");
    for (first, count) in [(0, 17), (16, 1), (10, u64::MAX), (u64::MAX, 1)] {
        let error = files.part("tables/a", first, count, &Silent);
        assert!(error.is_err(), "{first} {count}");
    }
    let missing = files.whole("tables/b", 16, &Silent).unwrap_err();
    assert!(!matches!(missing, PublishedError::Damaged { .. }), "{missing}");
    files.part("tables/b", 0, 1, &Silent).unwrap_err();
}
