//! hashget: backups that hold only what the world does not already have.
//!
//! The library has three stages, each a folder whose `mod.rs` tells its story:
//!
//! * [`index`] — what is inside this package? Fetch it, read its members, record them in the HashDB.
//! * [`pack`] — what can be left out of a backup of this tree? Scan, match, plan, write.
//! * [`restore`] — bring it back: read the manifest, fetch the packages, place every file, verify the result.
//!
//! # A tour
//!
//! All three stages, one after the other. Here packages come only from a folder, because of [`offline`]; without
//! it, packages that the folder does not have are fetched from their URLs.
//!
//! [`offline`]: fetch::FetchOptions::offline
//!
//! ```
//! use hashget::fetch::{FetchOptions, Sources, standard_sources};
//! use hashget::hashdb::LocalHashDb;
//! use hashget::index::{Indexed, Indexer, Request};
//! use hashget::limits::Limits;
//! use hashget::model::Evidence;
//! use hashget::monitor::Recorder;
//! use hashget::pack::{Output, PackOptions, Packer};
//! use hashget::restore::{Restorer, RestoreOptions};
//! # use std::fs;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let [tree, pool, restored] = ["tree", "pool", "restored"].map(|name| folder.path().join(name));
//! # fs::create_dir_all(tree.join("tool"))?;
//! # fs::create_dir_all(&pool)?;
//! # let program = "what everybody can download\n".repeat(1000);
//! # fs::write(tree.join("tool/program"), &program)?;
//! # fs::write(tree.join("diary"), "my own")?;
//! # let mut package = tar::Builder::new(Vec::new());
//! # package.append_path_with_name(tree.join("tool/program"), "tool-1.0/program")?;
//! # fs::write(pool.join("tool-1.0.tar"), package.into_inner()?)?;
//! # let archive = folder.path().join("backup.tar.zst");
//! # let hashdb_folder = folder.path().join("hashdb");
//! // The dependencies of every stage: the HashDB, the sources of packages, limits, and a monitor.
//! let hashdb = LocalHashDb::open(&hashdb_folder)?;
//! let Sources { source, web } = standard_sources(&FetchOptions {
//!     pools: vec![pool.to_string_lossy().into_owned()],
//!     offline: true,
//!     ..FetchOptions::default()
//! })?;
//! let (limits, monitor) = (Limits::default(), Recorder::default());
//!
//! // STAGE 1: what is inside the package at this URL?
//! let indexer = Indexer {
//!     hashdb: &hashdb,
//!     source: &*source,
//!     web: &*web,
//!     shared: None,
//!     mirrors: &[],
//!     limits: &limits,
//!     jobs: 2,
//!     evidence: Evidence::Signed,
//! };
//! let request = Request {
//!     url: "https://example.org/tool-1.0.tar".to_owned(),
//!     file: Some(pool.join("tool-1.0.tar")),
//!     ..Request::default()
//! };
//! let indexed = indexer.index(&request, &monitor)?;
//! assert!(matches!(indexed, Indexed::New { members: 1, .. }));
//!
//! // STAGE 2: files that the package gives back are left out.
//! let packer = Packer {
//!     hashdb: &hashdb,
//!     source: &*source,
//!     web: &*web,
//!     shared: None,
//!     mirrors: &[],
//!     limits: &limits,
//!     jobs: 2,
//! };
//! let output = Output::File(archive.clone());
//! let packed = packer.pack(&tree, output, &PackOptions::default(), &monitor)?;
//! assert_eq!((packed.left_out_files, packed.archived_files), (1, 1));
//!
//! // STAGE 3: the tree again. No HashDB is needed, and everything is verified.
//! let restorer = Restorer { source: &*source, web: &*web, limits: &limits, jobs: 2, accepting: None };
//! let mut archive = fs::File::open(&archive)?;
//! let summary =
//!     restorer.unpack(&mut archive, &restored, &RestoreOptions::default(), &monitor)?;
//! assert_eq!(summary.proven, Some(true));
//! assert_eq!(fs::read_to_string(restored.join("tool/program"))?, program);
//!
//! // Problems with single files and packages are no errors: they are reported to the monitor.
//! assert!(monitor.recorded().problems.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # An existing archive
//!
//! [`archive`] reads it and writes nothing: what the archive needs, what it is made of, where each entry comes from, and
//! whether it can still be restored. [`restore`] is built on it.
//!
//! [`parity`] heals an archive that is damaged, if parity was written beside it.
//!
//! [`sbom`] names the packages of a tree for other tools, and [`changed`](mod@changed) says which of their files are not as they were.
//!
//! # Examples
//!
//! Whole programs, in `examples/`; a test runs them:
//!
//! * `pack_and_unpack.rs`: the tour above as a program, with a monitor of its own.
//! * `look_into_an_archive.rs`: what an archive needs and contains, from its manifest.
//! * `own_detector_and_source.rs`: a detector for your own ecosystem, and a source that supplies its packages.
//!
//! (`scale.rs` is not an example, but a helper of the benchmarks.)
//!
//! # Errors
//!
//! An error means that a stage could not do its work as a whole. Problems with single files and packages are no errors:
//! they go to the [`Monitor`](monitor::Monitor) and into the stage's summary, and everything else is still done.
//!
//! | error | what it means | what exists afterwards |
//! |---|---|---|
//! | [`IndexError`](index::IndexError) | a package was not indexed: it could not be fetched or read, or has no permanent URL | nothing was recorded for this package; a download is kept in the cache and continues |
//! | [`PackError`](pack::PackError) | there is no archive: the tree, the HashDB or the output failed | no file under the archive's name; packages that were indexed stay in the HashDB |
//! | [`RestoreError`](restore::RestoreError) | the archive, its manifest or the target folder cannot be used, or the disk is full | every file with its final name is complete; [`Restorer::restore`](restore::Restorer::restore) continues |
//! | [`ArchiveError`](archive::ArchiveError) | a file or folder is no archive, has no manifest, or cannot be read | nothing was written |
//! | [`RepairError`](parity::RepairError) | an archive could not be healed: it has no parity, or too much is damaged | the archive as it was |
//! | [`VerifyError`](archive::VerifyError) | verifying stopped: the manifest, the HashDB, or an interruption | the answers so far are in the HashDB |
//! | [`FetchError`](fetch::FetchError) | a source has no such package, cannot be reached, or gave other bytes | at most a partial download, which the next call continues |
//! | [`HashDbError`](hashdb::HashDbError) | the HashDB is damaged, too new, or cannot be read or written | no archive depends on it: index again into a new one |
//! | [`ScanError`](tree::ScanError) | the top folder of a tree cannot be read | nothing was written |
//! | [`FormatError`](formats::FormatError) | a package is damaged, unsupported, or exceeds a limit | nothing was recorded |
//! | [`ManifestError`](model::manifest::ManifestError) | a manifest is damaged, or a newer hashget wrote it | nothing was written |
//!
//! Each of them states the object, what was expected and what was found; [`source`](std::error::Error::source) has the
//! cause. Text from packages, archives and servers is escaped: it is safe for a terminal.
//!
//! To react to an error, ask for its [`ErrorClass`](error::ErrorClass): every error type has a method `class`, and
//! [`class_of`](classify::class_of) finds the class of an error that others wrap.
//!
//! | class | what a program can do |
//! |---|---|
//! | `Interrupted` | the monitor asked to stop: the same call continues |
//! | `BadInput`, `BadRule`, `CannotPack` | let the user correct the option, the rule or the choice of the tree |
//! | `Unreachable`, `BadAnswer` | try again later |
//! | `NotFound`, `Refused`, `NoPermanentUrl` | use another URL or a pool; a backup archives the files |
//! | `WrongBytes`, `DamagedPackage`, `LimitExceeded`, `UnsupportedPackage` | do not use this package from this source |
//! | `DownloadNotKept`, `DiskFull`, `FileTooLarge`, `ReadOnly`, `PermissionDenied`, `MissingFile`, `Io` | look at the disk and the permissions, then repeat the call |
//! | `HashDbDamaged`, `HashDbFailed`, `HashDbOutdated`, `ExportDamaged` | index again, or into a new HashDB |
//! | `HashDbTooNew`, `NeedsNewer` | use a newer hashget |
//! | `NotAnArchive`, `ArchiveDamaged`, `NoManifestInArchive`, `NoManifestInFolder`, `ManifestDamaged`, `ManifestTooLong`, `NoParity`, `ParityUnusable`, `ParityOfAnother`, `NotHealed` | use another file, or another copy of the archive |
//! | `Busy` | wait for the other process |
//! | `Internal` | report a bug in hashget |
//!
//! ```
//! use hashget::archive::read_manifest;
//! use hashget::error::ErrorClass;
//! use hashget::limits::Limits;
//! use hashget::monitor::Silent;
//!
//! let mut file = &b"plain text"[..];
//! let error = read_manifest(&mut file, "notes.txt", &Limits::default(), &Silent).unwrap_err();
//! assert_eq!(error.class(), ErrorClass::NotAnArchive);
//! ```
//!
//! # The other modules
//!
//! The stages use [`formats`] (package readers), [`derived`] (files that are made out of packages), [`detectors`] (which
//! packages is this tree made of?), [`hashdb`] (what is known about packages), [`fetch`] (turns a URL and a digest into
//! verified bytes), [`tree`] (walks folders) and [`model`] (the shared nouns). The library never touches the terminal, the
//! environment or the home directory: a program passes everything in.

pub mod archive;
pub mod changed;
pub mod classify;
pub mod codec;
pub mod derived;
pub mod detectors;
pub mod error;
pub mod fetch;
pub mod formats;
pub mod hashdb;
pub mod index;
pub mod keeping;
pub mod limits;
pub mod model;
pub mod monitor;
pub mod pack;
pub mod parallel;
pub mod parity;
pub mod pending_file;
pub mod places;
pub mod programs;
pub mod restore;
pub mod sbom;
pub mod storage;
pub mod supplement;
pub mod tree;
pub mod wording;
