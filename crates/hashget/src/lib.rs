//! hashget: backups that hold only what the world does not already have.
//!
//! The library has three stages, each a folder whose `mod.rs` reads as its story:
//!
//! * [`index`] — what is inside this package? Fetch it, read its members, record them in the HashDB.
//! * [`pack`] — what can be left out of a backup of this tree? Scan, match, plan, write.
//! * [`restore`] — bring it back: read the manifest, fetch the packages, place every file, prove it.
//!
//! # A tour
//!
//! All three, one after the other. Here the packages come from a folder and nothing else ([`offline`]); without
//! that, what the folder does not have is fetched from its URL.
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
//! // What every stage stands on: what is known, where packages come from, bounds, and who listens.
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
//! // STAGE 2: what it gives back is left out.
//! let packer = Packer {
//!     hashdb: &hashdb,
//!     source: &*source,
//!     web: &*web,
//!     mirrors: &[],
//!     limits: &limits,
//!     jobs: 2,
//! };
//! let output = Output::File(archive.clone());
//! let packed = packer.pack(&tree, output, &PackOptions::default(), &monitor)?;
//! assert_eq!((packed.left_out_files, packed.archived_files), (1, 1));
//!
//! // STAGE 3: the tree again. No HashDB is needed, and everything is proven.
//! let restorer = Restorer { source: &*source, web: &*web, limits: &limits, jobs: 2 };
//! let mut archive = fs::File::open(&archive)?;
//! let summary =
//!     restorer.unpack(&mut archive, &restored, &RestoreOptions::default(), &monitor)?;
//! assert_eq!(summary.proven, Some(true));
//! assert_eq!(fs::read_to_string(restored.join("tool/program"))?, program);
//!
//! // Trouble with single files and packages is no error: the monitor has heard of it.
//! assert!(monitor.recorded().problems.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # What they stand on
//!
//! They stand on [`formats`] (package readers), [`detectors`] (which packages is this tree made of?),
//! [`hashdb`] (what is known), [`fetch`] (a URL and a digest become proven bytes), [`tree`] (walking)
//! and [`model`] (the shared nouns). Nothing here touches the terminal, the environment or the home
//! directory: a program passes those in.

pub mod codec;
pub mod detectors;
pub mod fetch;
pub mod formats;
pub mod hashdb;
pub mod index;
pub mod limits;
pub mod model;
pub mod monitor;
pub mod pack;
pub mod pending_file;
pub mod restore;
pub mod survey;
pub mod tree;
