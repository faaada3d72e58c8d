//! What every sink and every source of archives does.
//!
//! Invariant: a suite uses nothing but its trait, and what can be seen from outside.

use std::io::{self, Read as _, Write as _};

use hashget::storage::{ArchiveSink, ArchiveSource};

/// Where a sink's archives appear.
pub(crate) trait Place {
    /// A sink that writes there.
    fn sink(&self) -> Box<dyn ArchiveSink + '_>;

    /// What is there under the archive's name.
    fn found(&self) -> Option<Vec<u8>>;

    /// Is there nothing else, no leftover of an aborted archive?
    fn is_clean(&self) -> bool;
}

/// Runs the suite of [`ArchiveSink`] where nothing is yet.
pub(crate) fn check_sink(place: &dyn Place) {
    assert_eq!(place.found(), None);
    an_aborted_archive_leaves(place, None);
    a_committed_archive_is_whole(place, b"");
    let bytes: Vec<u8> = (0..700_000_u32).map(|number| (number % 251) as u8).collect();
    a_committed_archive_is_whole(place, &bytes);
    // What was there before stays until the new one is complete.
    an_aborted_archive_leaves(place, Some(&bytes));
    a_committed_archive_is_whole(place, b"a shorter one");
}

fn an_aborted_archive_leaves(place: &dyn Place, before: Option<&[u8]>) {
    drop(place.sink());
    let mut sink = place.sink();
    sink.write_all(&[7; 300_000]).unwrap();
    sink.flush().unwrap();
    assert!(place.found().as_deref() == before, "nothing is visible before it is complete");
    drop(sink);
    assert!(place.found().as_deref() == before);
    assert!(place.is_clean());
}

fn a_committed_archive_is_whole(place: &dyn Place, bytes: &[u8]) {
    let mut sink = place.sink();
    for piece in bytes.chunks(70_001) {
        sink.write_all(piece).unwrap();
    }
    sink.commit().unwrap();
    assert!(place.found().as_deref() == Some(bytes));
    assert!(place.is_clean());
}

/// A sink on which a write fails aborts: `sink` has room for fewer than `bytes` bytes.
pub(crate) fn check_failing_sink(mut sink: Box<dyn ArchiveSink + '_>, bytes: usize) {
    let piece = vec![7; 4096];
    let failed = (0..bytes.div_ceil(piece.len())).any(|_| sink.write_all(&piece).is_err());
    assert!(failed, "there was room for it");
    sink.commit().unwrap_err();
}

/// Runs the suite of [`ArchiveSource`] on a new source of `bytes`, which has more than 1,000 bytes.
pub(crate) fn check_source(mut source: Box<dyn ArchiveSource + '_>, bytes: &[u8], random: bool) {
    assert!(source.size().is_none_or(|size| size == bytes.len() as u64));
    assert_eq!(source.random().is_some(), random);
    let mut start = vec![0; 400];
    source.read_exact(&mut start).unwrap();
    assert!(start == bytes[..400]);
    read_at_random(&*source, bytes);
    let mut rest = Vec::new();
    source.read_to_end(&mut rest).unwrap();
    assert!(rest == bytes[400..]);
    // At its end, and again.
    assert_eq!(io::copy(&mut source, &mut io::sink()).unwrap(), 0);
    read_at_random(&*source, bytes);
}

fn read_at_random(source: &dyn ArchiveSource, bytes: &[u8]) {
    let Some(random) = source.random() else { return };
    let end = bytes.len();
    std::thread::scope(|scope| {
        for (first, count) in [(0, 10), (end - 5, 5), (end - 5, 100), (end, 1), (500, 0), (1, end)]
        {
            scope.spawn(move || {
                let mut buffer = vec![0; count];
                let read = random.read_at(&mut buffer, first as u64).unwrap();
                assert!(buffer[..read] == bytes[first..end.min(first + count)], "{first} {count}");
            });
        }
    });
    assert_eq!(random.read_at(&mut [0; 10], u64::MAX / 2).unwrap(), 0);
}
