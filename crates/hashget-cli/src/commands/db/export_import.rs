//! `hashget db export` and `hashget db import`.
//!
//! Invariant: imported packages have the weakest evidence, unless the user trusts the export. An export gets
//! its name once it is complete.

use std::io::{BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hashget::codec::{Codec, decoder, encoder};
use hashget::error::ErrorClass;
use hashget::fetch::Sources;
use hashget::hashdb::{
    ExportReader, HashDb, HashDbWriter, HashPackage, Key, export as write_export,
};
use hashget::index::{Indexed, Indexer, Request};
use hashget::model::{Evidence, Keeping, Origin};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::pending_file::PendingFile;
use hashget::wording::one_line;
use serde_json::json;

use super::Packages;
use crate::archive;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{counted, safe, standard};

/// Number of bytes that are enough to recognise the compression.
const HEAD_BYTES: u64 = 4096;

pub(super) fn export(
    hashdb: &dyn HashDb,
    packages: &Packages,
    file: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let context = || format!("cannot export to {}", file.display());
    if file == Path::new("-") {
        if console.is_json() {
            let wrong = "the export and the --json records cannot both go to standard output";
            return Err(UsageError(wrong.to_owned()).into());
        }
        standard::expect_open()?;
        let mut output = std::io::stdout().lock();
        write_export(hashdb, packages, &mut output).with_context(context)?;
        output.flush().with_context(context)?;
    } else {
        let pending = PendingFile::create(file, 0o600).with_context(context)?;
        let copy = pending.file().try_clone()?;
        let mut output = encoder(codec_of(file), Box::new(copy), None, environment.jobs)?;
        write_export(hashdb, packages, &mut output).with_context(context)?;
        output.finish().with_context(context)?;
        pending.commit(file).with_context(context)?;
    }
    let number = u64::try_from(packages.len()).unwrap_or(u64::MAX);
    let line = format!("{} exported", counted(number, "package", "packages"));
    console.summary("db export", json!({ "packages": number }), &[line])?;
    Ok(())
}

fn codec_of(file: &Path) -> Codec {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => Codec::Gzip,
        Some("zst") => Codec::Zstd,
        Some("xz") => Codec::Xz,
        _ => Codec::None,
    }
}

/// The counts of an import.
#[derive(Default)]
struct Imported {
    new: u64,
    known: u64,
    failed: u64,
}

pub(super) fn import(
    hashdb: &dyn HashDbWriter,
    paths: &[PathBuf],
    trust: bool,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let mut imported = Imported::default();
    for path in paths {
        let context = || format!("cannot import {}", path.display());
        if path.is_dir() {
            for file in hash_packages(path).with_context(context)? {
                import_hash_package(hashdb, &file, &mut imported, environment)?;
            }
        } else if is_hash_package(path) {
            import_hash_package(hashdb, path, &mut imported, environment)?;
        } else {
            import_export(hashdb, path, trust, &mut imported, environment).with_context(context)?;
        }
    }
    let Imported { new, known, failed } = imported;
    let packages = |number| counted(number, "package", "packages");
    let line = format!("{} imported, {known} known before, {failed} failed", packages(new));
    let record = json!({ "new": new, "known": known, "failed": failed });
    environment.console.summary("db import", record, &[line])?;
    Ok(())
}

fn import_export(
    hashdb: &dyn HashDbWriter,
    path: &Path,
    trust: bool,
    imported: &mut Imported,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let mut bytes = archive::open(path, "", environment)?;
    let mut head = Vec::new();
    (&mut bytes).take(HEAD_BYTES).read_to_end(&mut head)?;
    let codec = Codec::recognise(&head);
    let whole = Box::new(std::io::Cursor::new(head).chain(bytes));
    let plain = decoder(codec, whole, &environment.limits, environment.jobs)?;
    let mut reader = ExportReader::new(BufReader::new(plain), &environment.limits)?;
    while let Some(mut package) = reader.next_package()? {
        (environment.console as &dyn Monitor).check_interrupted()?;
        if trust {
            (package.record.vouched, package.record.origin) = (true, Origin::User);
        } else {
            package.record.evidence = Evidence::Local;
            (package.record.vouched, package.record.origin) = (false, Origin::Client);
            package.record.keeping = Keeping::Unknown;
        }
        let known = hashdb.find_one(Key::Url(&package.record.url))?;
        let known = known.first().map(|id| hashdb.record(*id)).transpose()?;
        if known.flatten().is_some_and(|known| known.evidence >= package.record.evidence) {
            imported.known += 1;
            continue;
        }
        hashdb.put(&package.record, &package.members)?;
        imported.new += 1;
        environment.console.detail(&format!("Imported {}", safe(&package.record.url)));
    }
    Ok(())
}

/// Does the file begin like a HashPackage file of the Python tool?
fn is_hash_package(path: &Path) -> bool {
    let Ok(file) = fs_err::File::open(path) else { return false };
    let mut head = Vec::new();
    let read = file.take(HEAD_BYTES).read_to_end(&mut head);
    let text = String::from_utf8_lossy(&head);
    read.is_ok()
        && text.trim_start().starts_with('{')
        && text.contains("\"url\"")
        && !text.contains("hashget-hashdb")
}

/// The HashPackage files below a folder of the Python tool, sorted.
fn hash_packages(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && is_hash_package(&entry.path()) {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The name of the project of a HashPackage file: that of the folder above `p`.
fn project_of(file: &Path) -> Option<String> {
    let above =
        file.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "p"))?;
    Some(above.parent()?.file_name()?.to_str()?.to_owned())
}

fn import_hash_package(
    hashdb: &dyn HashDbWriter,
    file: &Path,
    imported: &mut Imported,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let monitor: &dyn Monitor = console;
    let name = file.display().to_string();
    let json = fs_err::read(file)?;
    let package = match HashPackage::parse(&json) {
        Ok(package) => package,
        Err(problem) => {
            imported.failed += 1;
            monitor.problem(ProblemKind::Incomplete, name, problem);
            return Ok(());
        }
    };
    let Sources { source, web } = environment.sources()?;
    let mirrors = environment.mirrors();
    let indexer = Indexer {
        hashdb,
        source: &*source,
        web: &*web,
        shared: None,
        mirrors: &mirrors,
        limits: &environment.limits,
        jobs: environment.jobs,
        evidence: Evidence::Downloaded,
    };
    let request = Request {
        url: package.url.clone(),
        sha256: Some(package.sha256),
        size: package.size,
        signatures: package.signatures,
        expires: package.expires,
        project: project_of(file),
        ..Request::default()
    };
    match indexer.index(&request, console) {
        Ok(Indexed::New { .. }) => imported.new += 1,
        Ok(Indexed::Known(_)) => imported.known += 1,
        Err(error) if error.class() == ErrorClass::Interrupted => {
            return Err(error.into());
        }
        Err(error) => {
            imported.failed += 1;
            let kind = error.class().problem_kind();
            monitor.problem(kind, name, one_line(&error));
        }
    }
    Ok(())
}
