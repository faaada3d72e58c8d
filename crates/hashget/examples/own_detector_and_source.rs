//! Extends the library from outside: a detector for an ecosystem of your own, and a source that gives its packages.
//!
//! `cargo run -p hashget --example own_detector_and_source` needs no network: the packages are in memory.
//!
//! Invariant: the source returns a package only if it has the digest that was asked for.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashMap;
use std::error::Error;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use hashget::detectors::{Candidate, DetectError, Detector, Machine, public_url};
use hashget::fetch::{FetchError, Fetched, Offline, Source, Wanted};
use hashget::hashdb::LocalHashDb;
use hashget::limits::Limits;
use hashget::model::{Digest, RelPath};
use hashget::monitor::{Monitor, Recorder};
use hashget::pack::{Output, PackOptions, Packer, Summary};

/// Recognises a folder with a file `RELEASE` that names the package which the folder was unpacked from.
struct Releases;

impl Detector for Releases {
    fn name(&self) -> &str {
        "releases"
    }

    // Called for every entry of a tree, so it looks at the name only.
    fn interested_in(&self, path: &RelPath) -> bool {
        path.file_name() == b"RELEASE"
    }

    // A detector may be wrong: files are left out by their digests, so a wrong candidate costs a download and no file.
    fn detect(
        &self,
        _machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let file = path.below(root);
        let wrong = |problem: String| DetectError { path: file.display().to_string(), problem };
        let release = std::fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
        let url = format!("https://packages.example.org/{}.tar", release.trim());
        let url = public_url(&url).map_err(|error| wrong(error.to_string()))?;
        Ok(vec![Candidate { url, found_at: path.clone(), ..Candidate::default() }])
    }
}

/// Packages in memory, by URL. It could as well be an object store, a tape library or a build service.
struct Shelf(HashMap<String, Vec<u8>>);

impl Source for Shelf {
    fn fetch(&self, wanted: &Wanted, _monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let missing = || FetchError::NotFound { from: "shelf".into(), url: wanted.url.clone() };
        let bytes = self.0.get(&wanted.url).ok_or_else(missing)?;
        let sha256 = Digest::of(bytes);
        // The contract of every source: bytes with another digest are never returned as the package.
        if let Some(expected) = wanted.sha256.filter(|expected| *expected != sha256) {
            return Err(FetchError::Mismatch {
                from: "shelf".to_owned(),
                expected: expected.to_string(),
                found: sha256.to_string(),
                file: None,
            });
        }
        let disk = |error| FetchError::Disk { url: wanted.url.clone(), error };
        let mut file = tempfile::tempfile().map_err(disk)?;
        file.write_all(bytes).and_then(|()| file.rewind()).map_err(disk)?;
        let size = bytes.len().try_into().expect("sizes fit into 64 bits");
        // The shelf stands for the server: what it gives counts as given by the URL itself.
        Ok(Fetched { file, sha256, size, from: wanted.url.clone() })
    }
}

/// Makes a tree and its package below `folder`, and plans its backup without writing one.
pub(crate) fn plan(folder: &Path) -> Result<Summary, Box<dyn Error>> {
    let tree = folder.join("tree");
    std::fs::create_dir_all(tree.join("rocket"))?;
    std::fs::write(tree.join("rocket/engine"), "public\n".repeat(1000))?;
    std::fs::write(tree.join("rocket/RELEASE"), "rocket-1.4.2\n")?;
    let mut package = tar::Builder::new(Vec::new());
    package.append_path_with_name(tree.join("rocket/engine"), "rocket-1.4.2/engine")?;
    let url = "https://packages.example.org/rocket-1.4.2.tar".to_owned();
    let shelf = Shelf(HashMap::from([(url, package.into_inner()?)]));

    let hashdb = LocalHashDb::open(&folder.join("hashdb"))?;
    let packer = Packer {
        hashdb: &hashdb,
        source: &shelf,
        // Detectors whose index must be asked, and evidence below `signed`, need small answers from the network.
        web: &Offline,
        shared: None,
        mirrors: &[],
        limits: &Limits::default(),
        jobs: 2,
    };
    // `hashget::detectors::DETECTORS` has the built-in ones; add yours to them, or use it alone.
    let options = PackOptions { detectors: vec![&Releases], ..PackOptions::default() };
    let monitor = Recorder::default();
    let summary = packer.pack(&tree, Output::Nothing, &options, &monitor)?;
    for (kind, object, message) in monitor.recorded().problems {
        println!("{kind:?}: {object}: {message}");
    }
    Ok(summary)
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let summary = plan(folder.path())?;
    for package in &summary.packages {
        println!("{} gives back {} files", package.url, package.files);
    }
    Ok(())
}
