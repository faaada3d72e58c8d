//! Backs a folder up and restores it: all three stages of the library, as a program of your own would call them.
//!
//! `cargo run -p hashget --example pack_and_unpack` needs no network: it makes a small folder and a package, and takes the
//! package from a pool.
//!
//! Invariant: everything is written below one temporary folder.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::Path;

use hashget::fetch::{FetchOptions, Sources, standard_sources};
use hashget::hashdb::LocalHashDb;
use hashget::index::{Indexer, Request};
use hashget::limits::Limits;
use hashget::model::Evidence;
use hashget::monitor::{Event, Monitor};
use hashget::pack::{Output, PackOptions, Packer};
use hashget::restore::{RestoreOptions, Restorer};

/// Receives what a stage reports. A graphical program would update its window here.
struct Printer;

impl Monitor for Printer {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Problem { kind, object, message } => println!("{kind:?}: {object}: {message}"),
            Event::Skipped { object, reason } => println!("skipped {object}: {reason}"),
            // Progress: a step is under way until it finishes, and its counters can be read at any time.
            Event::Started(_) | Event::Finished(_) => {}
        }
    }
}

/// The files that were left out of the archive, those in it, and whether the restored folder is the packed one.
pub(crate) struct Outcome {
    pub(crate) left_out: u64,
    pub(crate) archived: u64,
    pub(crate) identical: Option<bool>,
}

/// Makes the folder that is backed up, and the package that some of its files came from.
fn prepare(folder: &Path) -> Result<(), Box<dyn Error>> {
    let program = "what everybody can download\n".repeat(1000);
    std::fs::create_dir_all(folder.join("tree/tool"))?;
    std::fs::create_dir_all(folder.join("pool"))?;
    std::fs::write(folder.join("tree/tool/program"), &program)?;
    std::fs::write(folder.join("tree/diary"), "only here")?;
    let mut package = tar::Builder::new(std::fs::File::create(folder.join("pool/tool-1.0.tar"))?);
    package.append_path_with_name(folder.join("tree/tool/program"), "tool-1.0/program")?;
    Ok(package.finish()?)
}

/// Indexes a package, packs a folder and restores the archive, all below `folder`.
pub(crate) fn round_trip(folder: &Path) -> Result<Outcome, Box<dyn Error>> {
    prepare(folder)?;
    let (limits, jobs) = (Limits::default(), 2);
    let hashdb = LocalHashDb::open(&folder.join("hashdb"))?;
    // Without `offline`, packages that are not in the pool come from their URLs.
    let Sources { source, web } = standard_sources(&FetchOptions {
        pools: vec![folder.join("pool").to_string_lossy().into_owned()],
        offline: true,
        ..FetchOptions::default()
    })?;

    // Stage 1: record what is inside the package. `file` vouches that the URL gives these bytes.
    let indexer = Indexer {
        hashdb: &hashdb,
        source: &*source,
        web: &*web,
        shared: None,
        mirrors: &[],
        limits: &limits,
        jobs,
        evidence: Evidence::Signed,
    };
    let request = Request {
        url: "https://packages.example.org/tool-1.0.tar".to_owned(),
        file: Some(folder.join("pool/tool-1.0.tar")),
        ..Request::default()
    };
    indexer.index(&request, &Printer)?;

    // Stage 2: the archive holds what no package gives back, and the manifest.
    let archive = folder.join("backup.tar.zst");
    let packer = Packer {
        hashdb: &hashdb,
        source: &*source,
        web: &*web,
        shared: None,
        mirrors: &[],
        limits: &limits,
        jobs,
    };
    let options = PackOptions { exclude: vec!["*.tmp".to_owned()], ..PackOptions::default() };
    let packed =
        packer.pack(&folder.join("tree"), Output::File(archive.clone()), &options, &Printer)?;
    println!("left out {} files, archived {}", packed.left_out_files, packed.archived_files);

    // Stage 3: needs the archive and the packages, no HashDB.
    let restorer =
        Restorer { source: &*source, web: &*web, limits: &limits, jobs, accepting: None };
    let restored = restorer.unpack(
        &mut std::fs::File::open(&archive)?,
        &folder.join("restored"),
        &RestoreOptions::default(),
        &Printer,
    )?;
    // Trouble with a single file is no error: it is in the summary, and the monitor was notified.
    for (path, reason) in &restored.missing {
        println!("missing: {path}: {reason}");
    }
    Ok(Outcome {
        left_out: packed.left_out_files,
        archived: packed.archived_files,
        identical: restored.proven,
    })
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let outcome = round_trip(folder.path())?;
    println!("{} files left out, {} archived", outcome.left_out, outcome.archived);
    println!("the restored folder is what was packed: {:?}", outcome.identical);
    Ok(())
}
