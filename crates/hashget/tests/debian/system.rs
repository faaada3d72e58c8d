//! A built Debian system, and a server that plays its archive and the snapshots.
//!
//! Invariant: everything lies in one temporary folder, and the server is asked through the very arrangement
//! of sources that the program uses.

use std::fmt::Write as _;
use std::path::PathBuf;

use hashget::detectors::{self, Candidate, DetectError, Detector, Machine};
use hashget::fetch::{FetchOptions, MirrorRule, RetryOptions, Sources, standard_sources};
use hashget::hashdb::LocalHashDb;
use hashget::index::{Indexer, TreeIndexed};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence, RelPath};
use hashget::monitor::{Monitor, Recorder};
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, deb};
use md5::Digest as _;

/// When the snapshots say that they saw a package first.
pub(crate) const SEEN: &str = "20240101T000000Z";

/// A day after the date of the lists.
pub(crate) const STAMP: &str = "20260102T000000Z";

/// The detector.
pub(crate) fn debian() -> &'static dyn Detector {
    detectors::select(&["debian".to_owned()], &[]).unwrap()[0]
}

/// A package with its files.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Package {
    pub(crate) fn new(name: &'static str, version: &'static str) -> Self {
        let files = vec![
            (format!("bin/{name}"), format!("program {name} {version}").repeat(2000).into_bytes()),
            (format!("usr/share/doc/{name}/copyright"), format!("of {name}").into_bytes()),
        ];
        Self { name, version, architecture: "amd64", files }
    }

    pub(crate) fn signature(&self) -> String {
        format!("{}_{}_{}", self.name, self.version, self.architecture)
    }

    pub(crate) fn control(&self) -> String {
        format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nDescription: one\n two\n",
            self.name, self.version, self.architecture
        )
    }

    pub(crate) fn md5sums(&self) -> String {
        self.files.iter().fold(String::new(), |mut text, (path, content)| {
            let _ = writeln!(text, "{}  {path}", hex::encode(md5::Md5::digest(content)));
            text
        })
    }

    /// Not compressed, so that it is large against its head.
    pub(crate) fn deb(&self) -> Vec<u8> {
        let data = self.files.iter().fold(TarBuilder::new(), |tar, (path, content)| {
            tar.file(&format!("./{path}"), content)
        });
        let (control, md5sums) = (self.control(), self.md5sums());
        let control = [("control", control.as_bytes()), ("md5sums", md5sums.as_bytes())];
        deb(&control, &data.finish(), "none")
    }

    pub(crate) fn sha1(&self) -> String {
        hex::encode(sha1::Sha1::digest(self.deb()))
    }

    /// Its file's name: no epoch in it.
    pub(crate) fn file(&self) -> String {
        let version = self.version.rsplit(':').next().unwrap();
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }

    pub(crate) fn pool(&self) -> String {
        format!("pool/main/{}", self.file())
    }
}

/// A system's folder, a HashDB, and a server.
pub(crate) struct System {
    folder: tempfile::TempDir,
    pub(crate) origin: Origin,
    pub(crate) hashdb: LocalHashDb,
    /// What the detector knows of the machine.
    pub(crate) machine: Machine,
}

impl System {
    /// Nothing installed; `bin` is a link to `usr/bin`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hashdb = LocalHashDb::open(&folder.path().join("db")).unwrap();
        let machine = Machine::default();
        let system = Self { folder, origin: Origin::start(), hashdb, machine };
        system.write("usr/lib/os-release", "NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n");
        fs_err::create_dir_all(system.root().join("usr/bin")).unwrap();
        fs_err::os::unix::fs::symlink("usr/bin", system.root().join("bin")).unwrap();
        system
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        let old = fs_err::read_to_string(self.root().join(path)).unwrap_or_default();
        self.write(path, old + text);
    }

    pub(crate) fn install(&self, package: &Package) {
        for (path, content) in &package.files {
            self.write(path, content);
        }
        let mut paragraph = package.control();
        paragraph = paragraph.replacen("Version", "Status: install ok installed\nVersion", 1);
        self.append("var/lib/dpkg/status", &format!("{paragraph}\n"));
        self.write(&format!("var/lib/dpkg/info/{}.md5sums", package.name), package.md5sums());
    }

    /// The snapshots have it.
    pub(crate) fn publish(&self, package: &Package) {
        self.answer(package, &package.sha1(), &package.deb());
        let archive = format!("/archive/debian/{STAMP}/{}", package.pool());
        self.origin.serve(&quoted(&archive), package.deb());
    }

    /// The snapshots answer that `package` has this SHA-1, and give these bytes.
    pub(crate) fn answer(&self, package: &Package, sha1: &str, deb: &[u8]) {
        let answer = serde_json::json!({
            "result": [{ "architecture": package.architecture, "hash": sha1 }],
            "fileinfo": { sha1: [{
                "archive_name": "debian", "first_seen": SEEN, "name": package.file(),
                "path": "/pool/main", "size": deb.len(),
            }] },
        });
        self.origin.serve(&question(package), answer.to_string());
        self.origin.serve(&format!("/file/{sha1}"), deb);
        let archive = format!("/archive/debian/{SEEN}/{}", package.pool());
        self.origin.serve(&quoted(&archive), deb);
    }

    /// apt's lists and sources name these packages, as an archive of `origin`.
    pub(crate) fn list(&self, packages: &[&Package], origin: &str) {
        let list: String = packages
            .iter()
            .map(|package| {
                let (control, pool, deb) = (package.control(), package.pool(), package.deb());
                let (size, digest) = (deb.len(), Digest::of(&deb));
                format!("{control}Filename: {pool}\nSize: {size}\nSHA256: {digest}\n\n")
            })
            .collect();
        let host = self.origin.url("/debian");
        self.append("etc/apt/sources.list", &format!("deb {host} stable main\n"));
        let release = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: {origin}\nLabel: {origin}\n\
             Codename: stable\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {} {} main/binary-amd64/Packages\n\
             -----BEGIN PGP SIGNATURE-----\n",
            Digest::of(list.as_bytes()),
            list.len()
        );
        let prefix = host.trim_start_matches("http://").replace('/', "_");
        let prefix = format!("var/lib/apt/lists/{prefix}_dists_stable_");
        self.write(&format!("{prefix}InRelease"), release);
        self.write(&format!("{prefix}main_binary-amd64_Packages"), list);
    }

    /// The archive's own server has this under the package's name.
    pub(crate) fn mirror(&self, package: &Package, deb: &[u8]) {
        self.origin.serve(&quoted(&format!("/debian/{}", package.pool())), deb);
    }

    /// The server stands for the snapshots.
    pub(crate) fn mirrors(&self) -> Vec<MirrorRule> {
        vec![MirrorRule {
            prefix: "https://snapshot.debian.org/".to_owned(),
            use_urls: vec![self.origin.url("/")],
        }]
    }

    pub(crate) fn sources(&self) -> Sources {
        let retry = RetryOptions { tries: 1, ..RetryOptions::default() };
        let mirrors = self.mirrors();
        standard_sources(&FetchOptions { mirrors, retry, ..FetchOptions::default() }).unwrap()
    }

    /// What is installed, and what the detector notes.
    fn detected(&self) -> (Vec<Candidate>, Vec<DetectError>) {
        let mut notes = Vec::new();
        let status = RelPath::new("var/lib/dpkg/status").unwrap();
        let note = &mut |error| notes.push(error);
        let candidates = debian().detect(&self.machine, &self.root(), &status, note).unwrap();
        (candidates, notes)
    }

    /// What is installed, by what the lists say.
    pub(crate) fn candidates(&self) -> (Vec<Candidate>, Vec<String>) {
        let (candidates, mut notes) = self.detected();
        let looked_up = candidates.into_iter().map(|candidate| {
            let question = candidate.question.clone().unwrap();
            match question.look_up(&mut |note| notes.push(note)) {
                Ok(Some(answer)) => candidate.answered(answer),
                _ => candidate,
            }
        });
        let candidates = looked_up.collect();
        (candidates, notes.iter().map(ToString::to_string).collect())
    }

    /// Indexes what is installed.
    pub(crate) fn index(&self, evidence: Evidence) -> (TreeIndexed, Recorder) {
        let recorder = Recorder::default();
        let indexed = self.index_with(evidence, &recorder).unwrap();
        (indexed, recorder)
    }

    pub(crate) fn index_with(
        &self,
        evidence: Evidence,
        monitor: &dyn Monitor,
    ) -> Result<TreeIndexed, hashget::index::IndexError> {
        let (limits, Sources { source, web }) = (Limits::default(), self.sources());
        let indexer = Indexer {
            hashdb: &self.hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &self.mirrors(),
            limits: &limits,
            jobs: 2,
            evidence,
        };
        indexer.index_candidates(self.detected().0, monitor)
    }

    /// The paths that were asked for since the start, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.origin.requests().into_iter().map(|request| request.path).collect()
    }
}

/// The path of the question where a package is.
pub(crate) fn question(package: &Package) -> String {
    let version = package.version.replace(':', "%3A").replace('+', "%2B");
    format!("/mr/binary/{}/{version}/binfiles", package.name.replace('+', "%2B"))
}

fn quoted(path: &str) -> String {
    path.replace('+', "%2B")
}
