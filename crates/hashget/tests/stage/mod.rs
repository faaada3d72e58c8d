//! A scripted server with one package, an origin that asks it, and a judge of what came of it.
//!
//! Invariant: every fetch that gives bytes has them compared here.

#![allow(dead_code, reason = "each test program uses its part")]

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use hashget::fetch::{
    FetchError, Fetched, HttpOrigin, OriginOptions, Source as _, TimeOuts, Wanted,
};
use hashget::limits::Limits;
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget_testkit::origin::Origin;

pub(crate) const SIZE: usize = 300_000;

/// What a fetch comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Right,
    NotFound,
    Denied,
    /// Other bytes, and so many of them are handed over.
    Mismatch(Option<usize>),
    Transient,
    Unreachable,
    Refused,
}
use Outcome::{Denied, Mismatch, NotFound, Refused, Right, Transient, Unreachable};

pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let numbers = (0u64..).flat_map(|number| Digest::of(&number.to_le_bytes()).as_bytes().to_vec());
    numbers.take(count).collect()
}

/// Time-outs that let a test end soon.
pub(crate) fn short() -> TimeOuts {
    TimeOuts {
        answer: Duration::from_millis(500),
        stall: Duration::from_millis(500),
        slow_window: Duration::from_millis(400),
        slow_bytes: 1000,
        ..TimeOuts::default()
    }
}

pub(crate) struct Stage {
    pub(crate) origin: Origin,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) content: Vec<u8>,
    pub(crate) source: HttpOrigin,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (origin, content, dir) = (Origin::start(), bytes(SIZE), tempfile::tempdir().unwrap());
        origin.serve("/p", content.clone());
        let source = HttpOrigin::new(OriginOptions {
            partial_dir: Some(dir.path().to_owned()),
            time_outs: short(),
            limits: Limits { download_bytes: 400_000, ..Limits::default() },
            ..OriginOptions::default()
        });
        Self { origin, dir, content, source }
    }

    /// Fetches, sure of everything or of nothing.
    pub(crate) fn fetch(&self, sure: bool) -> Result<Fetched, FetchError> {
        let wanted = Wanted {
            url: self.origin.url("/p"),
            sha256: sure.then(|| Digest::of(&self.content)),
            size: sure.then_some(SIZE as u64),
            ..Wanted::default()
        };
        self.source.fetch(&wanted, &Silent)
    }

    /// Fetches and judges. With `sure` the bytes are compared.
    pub(crate) fn outcome(&self, sure: bool) -> Outcome {
        match self.fetch(sure) {
            Ok(mut fetched) => {
                let mut came = Vec::new();
                fetched.file.read_to_end(&mut came).unwrap();
                assert_eq!(fetched.sha256, Digest::of(&came));
                assert!(!sure || came == self.content);
                Right
            }
            Err(FetchError::NotFound { .. }) => NotFound,
            Err(FetchError::Denied { .. }) => Denied,
            Err(FetchError::Mismatch { file, .. }) => Mismatch(file.map(|mut file| {
                let mut came = Vec::new();
                file.read_to_end(&mut came).unwrap()
            })),
            Err(FetchError::Transient { .. }) => Transient,
            Err(FetchError::Unreachable { .. }) => Unreachable,
            Err(FetchError::Refused { .. }) => Refused,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Bytes of the partial download, if there is one; it always comes with its note.
    pub(crate) fn left(&self) -> Option<u64> {
        let mut names: Vec<_> = fs_err::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        match names.as_slice() {
            [] => None,
            [part, note] => {
                assert!(part.ends_with(".part") && *note == format!("{part}.json"), "{names:?}");
                Some(fs_err::metadata(Path::new(part)).unwrap().len())
            }
            _ => panic!("{names:?}"),
        }
    }
}
