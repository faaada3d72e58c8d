//! An index of packages, what it names, and a tree that was made of one of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashget::detectors::{self, Candidate, Declared, FileList, Listed, Parts, Question};
use hashget::fetch::{FetchOptions, RetryOptions, Sources, standard_sources};
use hashget::index::{Indexer, TreeIndexed};
use hashget::limits::Limits;
use hashget::model::{Algorithm, Digest, Evidence, RelPath, Signature};
use hashget::monitor::Recorder;
use hashget_testkit::origin::Origin;

use crate::parts::{MemoryDb, tar};

/// Asks pages of lines `NAME URL SHA256 SIZE`; a size of 0 is not told.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) pages: Vec<String>,
}

impl Question for Line {
    fn pages(&self) -> &[String] {
        &self.pages
    }

    fn answer(&self, _url: &str, page: &[u8]) -> Result<Option<detectors::Answer>, String> {
        let page = std::str::from_utf8(page).map_err(|error| error.to_string())?;
        let of = |line: &str| {
            let [name, url, sha256, size] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
            (name == self.name).then(|| detectors::Answer {
                url: url.to_owned(),
                sha256: sha256.parse().ok(),
                size: size.parse().ok().filter(|size| *size > 0),
                ..detectors::Answer::default()
            })
        };
        Ok(page.lines().find_map(of))
    }
}

/// Lists in files of lines `MEMBER PATH ALGORITHM:HEX`: one on this machine, one at the end of the package.
#[derive(Debug)]
pub(crate) struct Lines {
    root: PathBuf,
    local: Option<String>,
    bytes_of_list: u64,
}

fn listed(list: &str) -> Vec<Listed> {
    let line = |line: &str| {
        let [member, path, checksum] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        Listed {
            member: RelPath::new(member).unwrap(),
            path: RelPath::new(path).unwrap(),
            checksum: checksum.parse().unwrap(),
        }
    };
    list.lines().map(line).collect()
}

impl FileList for Lines {
    fn format(&self) -> &'static str {
        "tar"
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn local(&self) -> Result<Option<Vec<Listed>>, String> {
        Ok(self.local.as_deref().map(listed))
    }

    fn declared(
        &self,
        part: &mut Parts<'_>,
        size: u64,
        _limits: &Limits,
    ) -> io::Result<Option<Declared>> {
        let list = part(size - self.bytes_of_list, self.bytes_of_list)?;
        Ok(Some(listed(&String::from_utf8(list).map_err(io::Error::other)?).into()))
    }
}

/// An index, two packages, and a tree with two files of one of them, one changed.
pub(crate) struct Stage {
    pub(crate) origin: Origin,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) hashdb: MemoryDb,
    pub(crate) package: Vec<u8>,
    pub(crate) list: String,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = tempfile::tempdir().unwrap();
        let (own, changed) = (b"own own".as_slice(), b"as it came".as_slice());
        fs_err::write(stage.path().join("own"), own).unwrap();
        fs_err::write(stage.path().join("changed"), "not as it came").unwrap();
        let sum = |algorithm: Algorithm, bytes: &[u8]| {
            let mut hasher = algorithm.hasher();
            hasher.update(bytes);
            hasher.finish()
        };
        let list = format!(
            "etc/own own {}\netc/changed changed {}\netc/gone gone {}",
            sum(Algorithm::Sha512, own),
            sum(Algorithm::Sha256, changed),
            sum(Algorithm::Md5, changed),
        );
        let mut package = tar(&[("etc/own", own), ("etc/changed", changed)]);
        package.extend(list.bytes());
        Self { origin: Origin::start(), folder: stage, hashdb: MemoryDb::default(), package, list }
    }

    pub(crate) fn serve(&self, told_size: u64) {
        self.origin.serve("/files/one.tar", self.package.clone());
        self.origin.serve("/files/two.tar", tar(&[("two", b"2")]));
        let (one, two) = (self.origin.url("/files/one.tar"), self.origin.url("/files/two.tar"));
        let digests = [Digest::of(&self.package), Digest::of(&tar(&[("two", b"2")]))];
        let page = format!("one {one} {} {told_size}\ntwo {two} {} 0\n", digests[0], digests[1]);
        self.origin.serve("/index/", page.into_bytes());
    }

    pub(crate) fn candidate(&self, name: &str, local: bool) -> Candidate {
        let pages = vec![self.origin.url("/empty/"), self.origin.url("/index/")];
        let list = Lines {
            root: self.folder.path().to_owned(),
            local: local.then(|| self.list.clone()),
            bytes_of_list: self.list.len() as u64,
        };
        Candidate {
            origin: hashget::model::Origin::Client,
            url: pages[0].clone(),
            signature: Some(Signature { kind: "x".to_owned(), value: name.to_owned() }),
            question: Some(Arc::new(Line { name: name.to_owned(), pages })),
            lists: vec![Arc::new(list)],
            ..Candidate::default()
        }
    }

    pub(crate) fn index(
        &self,
        candidates: Vec<Candidate>,
        evidence: Evidence,
        offline: bool,
    ) -> (TreeIndexed, Recorder) {
        self.index_from(candidates, evidence, FetchOptions { offline, ..FetchOptions::default() })
    }

    pub(crate) fn index_from(
        &self,
        candidates: Vec<Candidate>,
        evidence: Evidence,
        options: FetchOptions,
    ) -> (TreeIndexed, Recorder) {
        let retry = RetryOptions { tries: 1, ..RetryOptions::default() };
        let options = FetchOptions { retry, ..options };
        let Sources { source, web } = standard_sources(&options).unwrap();
        let limits = Limits::default();
        let indexer = Indexer {
            hashdb: &self.hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &[],
            limits: &limits,
            jobs: 2,
            evidence,
        };
        let recorder = Recorder::default();
        let indexed = indexer.index_candidates(candidates, &recorder).unwrap();
        (indexed, recorder)
    }

    pub(crate) fn asked(&self, path: &str) -> usize {
        self.origin.requests().iter().filter(|request| request.path == path).count()
    }
}
