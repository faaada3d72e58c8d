//! Where archives are written to and read from: files and streams.
//!
//! Invariant: every sink and source of the library passes the conformance suite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "conformance/storage.rs"]
mod conformance;

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;

use conformance::{Place, check_failing_sink, check_sink, check_source};
use hashget::storage::{ArchiveSink, ArchiveSource, FileSink, StreamSink, StreamSource};

struct Folder(tempfile::TempDir);

impl Place for Folder {
    fn sink(&self) -> Box<dyn ArchiveSink + '_> {
        Box::new(FileSink::create(&self.0.path().join("a.tar")).unwrap())
    }

    fn found(&self) -> Option<Vec<u8>> {
        fs_err::read(self.0.path().join("a.tar")).ok()
    }

    fn is_clean(&self) -> bool {
        let names = fs_err::read_dir(self.0.path()).unwrap();
        names.flatten().all(|entry| entry.file_name() == "a.tar")
    }
}

#[test]
fn a_file_conforms() {
    check_sink(&Folder(tempfile::tempdir().unwrap()));
}

#[test]
fn a_file_sink_cannot_be_made_where_there_is_a_folder_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let error = |name: &str| FileSink::create(&folder.path().join(name)).err().unwrap().kind();
    fs_err::create_dir(folder.path().join("a.tar")).unwrap();
    assert_eq!(error("a.tar"), io::ErrorKind::IsADirectory);
    assert_eq!(error("none/a.tar"), io::ErrorKind::NotFound);
}

#[test]
fn an_archive_can_be_read_by_whom_the_umask_allows_and_that_of_root_by_root() {
    let place = Folder(tempfile::tempdir().unwrap());
    place.sink().commit().unwrap();
    let mode = |path: &std::path::Path| fs_err::metadata(path).unwrap().permissions().mode();
    let plain = place.0.path().join("plain");
    fs_err::write(&plain, "").unwrap();
    let expected = match hashget_testkit::trees::is_root() {
        true => 0o100_600,
        false => mode(&plain),
    };
    assert_eq!(mode(&place.0.path().join("a.tar")), expected);
}

/// Takes `room` bytes, then fails.
struct Narrow<'n> {
    taken: &'n Mutex<Vec<u8>>,
    room: usize,
}

impl Write for Narrow<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.taken.lock().unwrap();
        let count = bytes.len().min(self.room - taken.len());
        if count == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        taken.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stream_gets_all_bytes_and_no_sink_of_it_commits_after_a_failure() {
    let taken = Mutex::default();
    let mut sink = Box::new(StreamSink::new(Narrow { taken: &taken, room: 100 }));
    sink.write_all(&[1; 60]).unwrap();
    sink.commit().unwrap();
    assert_eq!(*taken.lock().unwrap(), [1; 60]);
    let narrow = Narrow { taken: &taken, room: 6000 };
    check_failing_sink(Box::new(StreamSink::new(narrow)), 10_000);
}

#[test]
fn sources_conform() {
    let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    fs_err::write(&path, &bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    assert_eq!(file.size(), Some(100_000));
    check_source(Box::new(file), &bytes, true);
    check_source(Box::new(fs_err::File::open(&path).unwrap()), &bytes, true);
    check_source(Box::new(&bytes[..]), &bytes, false);
    check_source(Box::new(StreamSource::new(io::Cursor::new(bytes.clone()))), &bytes, false);
}

#[test]
fn a_pipe_has_no_size_and_no_random_reads() {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&[5; 2000]).unwrap();
    drop(writer);
    let pipe = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    assert_eq!(pipe.size(), None);
    check_source(Box::new(pipe), &[5; 2000], false);
}
