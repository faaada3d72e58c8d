//! Indexing one package: fetched once, known afterwards, recorded whole or not at all.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use hashget::fetch::FetchError;
use hashget::formats::FormatError;
use hashget::hashdb::{HashDb as _, HashDbWriter as _, Key};
use hashget::index::{IndexError, Indexed, Request};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence, Kind, PackageRecord, Signature};
use hashget::monitor::{Event, Monitor, ProblemKind, Recorder, Silent, Step};
use hashget_testkit::packages::TarBuilder;

use crate::parts::{Answer, MemoryDb, Server, indexer, tar};

const URL: &str = "https://packages.example/vim.tar";

fn request() -> Request {
    Request { url: URL.to_owned(), ..Request::default() }
}

fn package() -> Vec<u8> {
    tar(&[("etc/vimrc", b"set nocompatible\n"), ("bin/vim", b"program"), ("bin/empty", b"")])
}

fn server() -> Server {
    Server::default().with(URL, Answer::Bytes(package()))
}

fn signature(text: &str) -> Signature {
    text.parse().unwrap()
}

/// The record of `URL`.
fn recorded(hashdb: &MemoryDb) -> PackageRecord {
    hashdb.record(hashdb.find_one(Key::Url(URL)).unwrap()[0]).unwrap().unwrap()
}

#[test]
fn a_new_package_is_recorded_with_the_digest_of_every_file() {
    let (hashdb, server, limits) = (MemoryDb::default(), server(), Limits::default());
    let asked = Request {
        also: vec!["https://other.example/vim.tar".to_owned()],
        signatures: vec![signature("deb:vim_9")],
        project: Some("my".to_owned()),
        expires: Some("2030-01-01".to_owned()),
        ..request()
    };
    let indexed = indexer(&hashdb, &server, &limits).index(&asked, &Silent).unwrap();
    let Indexed::New { id, record, members } = indexed else { panic!("{indexed:?}") };
    assert_eq!(members, 4);
    assert_eq!(hashdb.record(id).unwrap(), Some(*record.clone()));
    assert_eq!((record.sha256, record.size), (Digest::of(&package()), package().len() as u64));
    assert_eq!((record.format.as_str(), record.evidence), ("tar", Evidence::Downloaded));
    assert!(!record.vouched && !record.recursive && record.indexed_at > 1_700_000_000);
    assert_eq!(record.also, asked.also);
    assert_eq!(record.signatures, asked.signatures);
    assert_eq!((record.project, record.expires), (asked.project, asked.expires));
    let members = hashdb.members(id).unwrap();
    let digests: Vec<_> =
        members.iter().map(|member| (member.path.to_string(), member.sha256)).collect();
    assert_eq!(
        digests,
        [
            ("etc".to_owned(), None),
            ("etc/vimrc".to_owned(), Some(Digest::of(b"set nocompatible\n"))),
            ("bin/vim".to_owned(), Some(Digest::of(b"program"))),
            ("bin/empty".to_owned(), Some(Digest::of(b""))),
        ]
    );
    assert_eq!(members[2].kind, Kind::File { size: 7 });
}

#[test]
fn members_that_are_passed_over_are_reported_with_the_reason() {
    let (hashdb, limits) = (MemoryDb::default(), Limits::default());
    let names = ["../one", "good", "../two", "../three", "../four"];
    let tar = names.iter().fold(TarBuilder::new(), |tar, name| tar.file(name, name.as_bytes()));
    let package = tar.finish();
    let server = Server::default().with(URL, Answer::Bytes(package));
    let recorder = Recorder::default();
    let indexed = indexer(&hashdb, &server, &limits).index(&request(), &recorder).unwrap();
    let Indexed::New { id, members: 1, .. } = indexed else { panic!("{indexed:?}") };
    assert_eq!(hashdb.record(id).unwrap().unwrap().passed_over, 4);
    let problems = recorder.recorded().problems;
    let [(kind, object, message)] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!((*kind, object.as_str()), (ProblemKind::Note, URL));
    assert!(message.starts_with("4 members passed over: "), "{message}");
    assert!(message.ends_with(": ../one, ../two, ../three and 1 more"), "{message}");
}

#[test]
fn a_known_package_is_not_fetched_again() {
    let (hashdb, server, limits) = (MemoryDb::default(), server(), Limits::default());
    let indexer = indexer(&hashdb, &server, &limits);
    let (first, second) = (Recorder::default(), Recorder::default());
    let Indexed::New { id, .. } = indexer.index(&request(), &first).unwrap() else { panic!() };
    assert_eq!(first.recorded().downloaded_bytes, package().len() as u64);
    let same_digest = Request { sha256: Some(Digest::of(&package())), ..request() };
    assert_eq!(indexer.index(&same_digest, &second).unwrap(), Indexed::Known(id));
    assert_eq!((second.recorded().downloads, second.recorded().downloaded_bytes), (0, 0));
}

#[test]
fn knowing_less_than_is_asked_is_not_knowing() {
    type Change = fn(&mut PackageRecord);
    let limits = Limits::default();
    let shallow = |_: &mut PackageRecord| {};
    let local = |record: &mut PackageRecord| record.evidence = Evidence::Local;
    let other = |record: &mut PackageRecord| record.sha256 = Digest::of(b"older");
    let cases: [(Change, Request); 3] = [
        (shallow, Request { recursive: true, ..request() }),
        (local, request()),
        (other, Request { sha256: Some(Digest::of(&package())), ..request() }),
    ];
    for (change, asked) in cases {
        let (hashdb, server) = (MemoryDb::default(), server());
        let indexer = indexer(&hashdb, &server, &limits);
        indexer.index(&request(), &Silent).unwrap();
        let mut record = recorded(&hashdb);
        change(&mut record);
        // A weaker record would replace nothing.
        assert!(hashdb.remove(hashdb.find_one(Key::Url(URL)).unwrap()[0]).unwrap());
        hashdb.put(&record, &[]).unwrap();
        let indexed = indexer.index(&asked, &Silent).unwrap();
        assert!(matches!(indexed, Indexed::New { members: 4, .. }), "{indexed:?}");
        assert_eq!(server.asked_urls().len(), 2);
        assert_eq!(recorded(&hashdb).recursive, asked.recursive);
        // Having read more than is asked is enough.
        assert!(matches!(indexer.index(&request(), &Silent).unwrap(), Indexed::Known(_)));
    }
}

#[test]
fn what_is_new_in_a_request_completes_a_known_record() {
    let (hashdb, server, limits) = (MemoryDb::default(), server(), Limits::default());
    let indexer = indexer(&hashdb, &server, &limits);
    let first = Request { project: Some("my".to_owned()), ..request() };
    indexer.index(&first, &Silent).unwrap();
    let second = Request {
        signatures: vec![signature("deb:vim_9")],
        project: Some("_hints".to_owned()),
        expires: Some("2030-01-01".to_owned()),
        also: vec![URL.to_owned(), "https://other.example/vim.tar".to_owned()],
        ..request()
    };
    let Indexed::Known(id) = indexer.index(&second, &Silent).unwrap() else { panic!() };
    let record = hashdb.record(id).unwrap().unwrap();
    assert_eq!(record.signatures, second.signatures);
    assert_eq!(record.project.as_deref(), Some("my"), "the user's own grouping stays");
    assert_eq!(record.expires, second.expires);
    assert_eq!(record.also, ["https://other.example/vim.tar"]);
    assert_eq!(hashdb.members(id).unwrap().len(), 4);
    assert_eq!(indexer.index(&second, &Silent).unwrap(), Indexed::Known(id), "nothing to add");
    assert_eq!(server.asked_urls().len(), 1);
}

mod user_files {
    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.tar");
        fs_err::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn the_bytes_come_from_the_file_and_the_user_vouches() {
        let (hashdb, server, limits) = (MemoryDb::default(), Server::default(), Limits::default());
        let indexer = indexer(&hashdb, &server, &limits);
        let (_folder, path) = file(&package());
        let asked = Request { file: Some(path.clone()), ..request() };
        let indexed = indexer.index(&asked, &Silent).unwrap();
        let Indexed::New { record, members: 4, .. } = indexed else { panic!("{indexed:?}") };
        assert!(record.vouched);
        assert_eq!(record.sha256, Digest::of(&package()));
        assert!(matches!(indexer.index(&asked, &Silent).unwrap(), Indexed::Known(_)));
        // Other bytes in the file are another package.
        let newer = tar(&[("etc/vimrc", b"newer")]);
        fs_err::write(&path, &newer).unwrap();
        assert!(matches!(indexer.index(&asked, &Silent).unwrap(), Indexed::New { .. }));
        assert_eq!(recorded(&hashdb).sha256, Digest::of(&newer));
        assert!(server.asked_urls().is_empty());
    }

    #[test]
    fn a_file_that_is_not_what_was_asked_for_is_refused() {
        let (hashdb, server, limits) = (MemoryDb::default(), server(), Limits::default());
        let (_folder, path) = file(b"something else");
        for asked in [
            Request { sha256: Some(Digest::of(&package())), ..request() },
            Request { size: Some(7), ..request() },
        ] {
            let asked = Request { file: Some(path.clone()), ..asked };
            let error = indexer(&hashdb, &server, &limits).index(&asked, &Silent).unwrap_err();
            assert!(matches!(error, IndexError::Fetch(FetchError::Mismatch { .. })), "{error:?}");
            assert!(error.to_string().contains("mine.tar"), "{error}");
        }
        assert!(hashdb.urls().is_empty() && server.asked_urls().is_empty());
    }

    #[test]
    fn what_is_no_file_is_named() {
        let (hashdb, server, limits) = (MemoryDb::default(), server(), Limits::default());
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let (here, kind) = (rustix::fs::CWD, rustix::fs::FileType::Fifo);
        rustix::fs::mknodat(here, &fifo, kind, rustix::fs::Mode::RUSR, 0).unwrap();
        for path in [folder.path().to_path_buf(), fifo, folder.path().join("missing")] {
            let asked = Request { file: Some(path.clone()), ..request() };
            let error = indexer(&hashdb, &server, &limits).index(&asked, &Silent).unwrap_err();
            assert!(matches!(error, IndexError::Io(_)), "{error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        assert!(hashdb.urls().is_empty());
    }

    /// Writes into a file as soon as a package is read.
    struct Meddler(PathBuf);

    impl Monitor for Meddler {
        fn event(&self, event: Event<'_>) {
            if matches!(event, Event::Started(progress) if progress.step == Step::Read) {
                fs_err::write(&self.0, tar(&[("etc/vimrc", b"changed"), ("a", b"b")])).unwrap();
            }
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_recorded() {
        let (hashdb, server, limits) = (MemoryDb::default(), server(), Limits::default());
        let (_folder, path) = file(&package());
        let asked = Request { file: Some(path.clone()), ..request() };
        let error = indexer(&hashdb, &server, &limits).index(&asked, &Meddler(path)).unwrap_err();
        assert!(error.to_string().contains("changed while it was read"), "{error}");
        assert!(hashdb.urls().is_empty());
    }
}

mod failures {
    use super::*;

    #[test]
    fn a_damaged_package_is_not_recorded() {
        let whole = package();
        let limits = Limits::default();
        // Within the content of a file, and within a header.
        for end in [512 + 512 + 5, 3 * 512 + 200] {
            let hashdb = MemoryDb::default();
            let server = Server::default().with(URL, Answer::Bytes(whole[..end].to_vec()));
            let error = indexer(&hashdb, &server, &limits).index(&request(), &Silent).unwrap_err();
            let IndexError::Format { url, .. } = &error else { panic!("{error:?}") };
            assert_eq!(url, URL);
            assert!(hashdb.urls().is_empty(), "cut at {end}");
        }
    }

    #[test]
    fn a_package_beyond_the_limits_is_not_recorded() {
        let (hashdb, server) = (MemoryDb::default(), server());
        let limits = Limits { entries: 2, ..Limits::default() };
        let error = indexer(&hashdb, &server, &limits).index(&request(), &Silent).unwrap_err();
        let IndexError::Format { error, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(error, FormatError::Limit { limit: 2, .. }), "{error:?}");
        assert!(hashdb.urls().is_empty());
    }

    #[test]
    fn what_replaces_a_known_package_must_be_whole() {
        let limits = Limits::default();
        let hashdb = MemoryDb::default();
        indexer(&hashdb, &server(), &limits).index(&request(), &Silent).unwrap();
        let before = recorded(&hashdb);
        let cut = package()[..1029].to_vec();
        let asked = Request { sha256: Some(Digest::of(&cut)), ..request() };
        let broken = Server::default().with(URL, Answer::Bytes(cut));
        for server in [broken, Server::default()] {
            indexer(&hashdb, &server, &limits).index(&asked, &Silent).unwrap_err();
            assert_eq!(recorded(&hashdb), before);
        }
    }

    #[test]
    fn errors_of_the_source_and_of_the_hashdb_come_through() {
        let limits = Limits::default();
        let hashdb = MemoryDb::default();
        let error =
            indexer(&hashdb, &Server::default(), &limits).index(&request(), &Silent).unwrap_err();
        assert!(matches!(error, IndexError::Fetch(FetchError::NotFound { .. })), "{error:?}");
        let full = MemoryDb::broken();
        let error = indexer(&full, &server(), &limits).index(&request(), &Silent).unwrap_err();
        assert!(matches!(error, IndexError::HashDb(_)), "{error:?}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }

    /// Asks to stop from the first event of a step on.
    struct StopAt(Step, AtomicBool);

    impl Monitor for StopAt {
        fn event(&self, event: Event<'_>) {
            if matches!(event, Event::Started(progress) if progress.step == self.0) {
                self.1.store(true, Ordering::SeqCst);
            }
        }

        fn interrupted(&self) -> bool {
            self.1.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn an_interrupted_package_is_not_recorded() {
        let (hashdb, server, limits) = (MemoryDb::default(), server(), Limits::default());
        let indexer = indexer(&hashdb, &server, &limits);
        for monitor in [
            StopAt(Step::Download, AtomicBool::new(true)),
            StopAt(Step::Download, AtomicBool::new(false)),
            StopAt(Step::Read, AtomicBool::new(false)),
        ] {
            let error = indexer.index(&request(), &monitor).unwrap_err();
            assert!(matches!(error, IndexError::Interrupted(_)), "{error:?}");
            assert!(hashdb.urls().is_empty());
        }
    }
}
