//! A system in a folder, with a HashDB and a server for its packages.
//!
//! Invariant: nothing but this folder and loopback is used.

use std::path::{Path, PathBuf};

use hashget::changed::{PackageFiles, changed};
use hashget::detectors::{Archive, Candidate, DetectError, Machine, select, systems};
use hashget::fetch::{FetchOptions, RetryOptions, Sources, standard_sources};
use hashget::hashdb::{HashDb as _, LocalHashDb};
use hashget::index::{Indexer, TreeIndexed, detect_tree};
use hashget::limits::Limits;
use hashget::model::manifest::Prefix;
use hashget::model::{Evidence, Member, PackageRecord};
use hashget::monitor::{Recorder, Silent};
use hashget::pack::{Output, PackOptions, Packer, Summary};
use hashget::restore::{RestoreOptions, Restorer};
use hashget::tree::{ScanOptions, scan};
use hashget_testkit::origin::Origin;

/// A system's folder, a HashDB, a server, and the detector that is tried.
pub(crate) struct System {
    folder: tempfile::TempDir,
    detector: &'static str,
    pub(crate) origin: Origin,
    pub(crate) hashdb: LocalHashDb,
    pub(crate) archives: Vec<Archive>,
}

impl System {
    /// A system with this `ID`; its home page is at `distribution.example`.
    pub(crate) fn new(detector: &'static str, id: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hashdb = LocalHashDb::open(&folder.path().join("db")).unwrap();
        let (origin, archives) = (Origin::start(), Vec::new());
        let system = Self { folder, detector, origin, hashdb, archives };
        let home = "https://distribution.example/";
        let release = format!("NAME=\"A System\"\nID={id}\nVERSION_ID=41\nHOME_URL=\"{home}\"\n");
        system.write("usr/lib/os-release", release);
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

    /// The configuration names these places of the server for the system.
    pub(crate) fn configure(&mut self, system: &str, packages: &str, repositories: &str) {
        let place = |path: &str| (!path.is_empty()).then(|| self.origin.url(path));
        let (packages, repositories) = (place(packages), place(repositories));
        self.archives.push(Archive { system: system.to_owned(), packages, repositories });
    }

    /// Its only package has this package URL. As it was installed nothing of it differs, and then `file` alone.
    pub(crate) fn told_and_compared(&self, package_url: &str, file: &str) {
        let (known, _) = self.hashdb.list().unwrap().pop().unwrap();
        let differing = || {
            let scan = scan(&self.root(), &ScanOptions::default(), &Silent).unwrap();
            let systems = systems(&scan.root, scan.entries.iter().map(|entry| &entry.path));
            assert_eq!(systems.len(), 1);
            let package = &systems[0].packages[0];
            assert_eq!(package.package_url.to_string(), package_url);
            let prefix = |text: &str| Prefix(text.as_bytes().into());
            let places = package.places.iter();
            let files = PackageFiles {
                name: package.name.clone(),
                signature: Some(package.signature.clone()),
                members: self.hashdb.members(known).unwrap(),
                places: places.map(|(from, to)| (prefix(from), prefix(to))).collect(),
                of_system: Some((&systems[0], package)),
                is_named: true,
            };
            let found = changed(&scan.entries, &[files], &scan.root, &Silent).unwrap().entries;
            // Modes and owners are whatever this test made them.
            let differing =
                found.into_iter().filter(|one| one.has_other_contents() || one.found.is_none());
            differing.map(|one| one.path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(differing(), [""; 0]);
        self.write(file, "other");
        assert_eq!(differing(), [file]);
    }

    pub(crate) fn found(&self) -> (Vec<Candidate>, Vec<DetectError>) {
        self.found_in(&self.root())
    }

    pub(crate) fn found_in(&self, root: &Path) -> (Vec<Candidate>, Vec<DetectError>) {
        let machine = Machine { archives: self.archives.clone(), ..Machine::default() };
        let detectors = select(&[self.detector.to_owned()], &[]).unwrap();
        detect_tree(root, &detectors, &machine, &Silent).unwrap()
    }

    /// The one candidate, without any trouble.
    #[track_caller]
    pub(crate) fn the_only(&self) -> Candidate {
        let (mut candidates, errors) = self.found();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(candidates.len(), 1, "{candidates:?}");
        candidates.remove(0)
    }

    pub(crate) fn sources(&self) -> Sources {
        let retry = RetryOptions { tries: 1, ..RetryOptions::default() };
        standard_sources(&FetchOptions { retry, ..FetchOptions::default() }).unwrap()
    }

    pub(crate) fn index(&self, evidence: Evidence) -> (TreeIndexed, Recorder) {
        let (limits, recorder) = (Limits::default(), Recorder::default());
        let Sources { source, web } = self.sources();
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
        let indexed = indexer.index_candidates(self.found().0, &recorder).unwrap();
        (indexed, recorder)
    }

    /// The only package that is known, and the paths of its members.
    pub(crate) fn known(&self) -> (PackageRecord, Vec<String>) {
        let mut known = self.hashdb.list().unwrap();
        assert_eq!(known.len(), 1, "{known:?}");
        let (id, record) = known.pop().unwrap();
        let members: Vec<Member> = self.hashdb.members(id).unwrap();
        let mut paths: Vec<String> = members.iter().map(|member| member.path.to_string()).collect();
        paths.sort();
        (record, paths)
    }

    /// Packs the system, restores it beside itself and compares the two.
    pub(crate) fn there_and_back(&self, evidence: Evidence) -> Summary {
        let (limits, Sources { source, web }) = (Limits::default(), self.sources());
        let machine = Machine { archives: self.archives.clone(), ..Machine::default() };
        let packer = Packer {
            hashdb: &self.hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &[],
            limits: &limits,
            jobs: 2,
        };
        let options = PackOptions {
            evidence,
            detectors: select(&[self.detector.to_owned()], &[]).unwrap(),
            machine,
            min_size: 1,
            max_fetch_ratio: f64::INFINITY,
            ..PackOptions::default()
        };
        let archive = self.path("a.tar.zst");
        let packed =
            packer.pack(&self.root(), Output::File(archive.clone()), &options, &Silent).unwrap();
        let restorer =
            Restorer { source: &*source, web: &*web, limits: &limits, jobs: 2, accepting: None };
        let mut archive = fs_err::File::open(archive).unwrap();
        let back = self.path("back");
        let restored =
            restorer.unpack(&mut archive, &back, &RestoreOptions::default(), &Silent).unwrap();
        // The tree digest is over contents and metadata of everything.
        assert_eq!((restored.missing.len(), restored.proven), (0, Some(true)), "{evidence}");
        packed
    }
}
