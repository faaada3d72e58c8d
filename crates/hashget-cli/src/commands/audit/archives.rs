//! The archives of an audit, and what they rely on.
//!
//! Invariant: an archive whose needs are not known is named, and never counted as well.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hashget::archive::{Audit, ReliedOn, read_manifest, relied_on};
use hashget::model::Digest;
use hashget::model::manifest::{AnyManifest, MANIFEST_NAME};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::supplement::{Supplements, is_supplement};
use hashget_backup::audits::{self, forget};
use hashget_backup::job::Job;
use hashget_backup::run::Destination;
use hashget_backup::series::{ArchiveName, Series};
use hashget_backup::store::StoreError;

use super::super::backup::destinations::{is_destination, of_job, open_given, problem};
use super::super::backup::jobs;
use crate::archive::{self, Knowledge, archives_in};
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::stores::is_in_store;
use crate::supplements::{add_beside, add_source};

/// What the series of a job is called here.
pub(super) fn series_name(job: &Job) -> String {
    format!("{}_{}", job.host, job.name)
}

/// Archives, and what is kept of what they rely on.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) audit: Audit,
    /// The packages of which supplements have all that is needed.
    pub(super) kept: BTreeSet<Digest>,
}

/// The archives that are meant by `of`, with what they rely on; and the jobs among them.
pub(super) fn collected(
    of: &[String],
    environment: &Environment<'_>,
) -> anyhow::Result<(Collected, Vec<Job>)> {
    let mut audit = Collected::default();
    let (names, places): (Vec<String>, Vec<String>) =
        of.iter().cloned().partition(|one| !is_destination(one) && !Path::new(one).exists());
    let jobs = match of.is_empty() || !names.is_empty() {
        true => jobs(&names, environment)?,
        false => Vec::new(),
    };
    for job in &jobs {
        add_job(&mut audit, job, environment)?;
    }
    for place in &places {
        add_place(&mut audit, place, environment)?;
    }
    if audit.audit.archives() == 0 {
        anyhow::bail!("there is no archive to audit, or none that could be read");
    }
    Ok((audit, jobs))
}

/// Adds what the user has given: an archive, a folder into which one was unpacked, or a folder or destination of archives.
fn add_place(
    audit: &mut Collected,
    place: &str,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let path = PathBuf::from(place);
    if path.is_dir() && !path.join(MANIFEST_NAME).exists() {
        for archive in archives_in(&path)? {
            add_file(audit, &archive, environment)?;
        }
        return Ok(());
    }
    let is_archive = || hashget_backup::store::Address::parse(place).is_err() || path.exists();
    if is_archive()
        || (is_in_store(&path) && super::super::without_ending(place.as_bytes()).is_some())
    {
        return add_file(audit, &path, environment);
    }
    let destination = open_given(place, environment)?;
    let names = names_in(&destination, &|_| true, environment)?.ok_or_else(|| {
        UsageError(format!("{}: its archives cannot be listed", destination.store.shown()))
    })?;
    for name in names {
        let found = from_destination(&name, &destination, environment);
        add(audit, &name.to_string(), name.series().to_string(), found, environment);
    }
    Ok(())
}

/// Adds an archive that is a file, or lies elsewhere.
fn add_file(
    audit: &mut Collected,
    archive: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let manifest = archive::manifest(archive, environment)?;
    let name = archive.display().to_string();
    let file_name = archive.file_name().and_then(|name| name.to_str());
    let series = file_name.and_then(ArchiveName::parse).map(|name| name.series().to_string());
    let packages = packages_of(&manifest, environment)?;
    audit.audit.add(name.clone(), series.unwrap_or(name), packages);
    let mut beside = Supplements::new(environment.limits.clone());
    add_beside(archive, &mut beside, environment)?;
    audit.kept.extend(beside.complete().map(|(package, _)| package));
    Ok(())
}

/// Adds all archives of a job that lie in any of its destinations.
pub(super) fn add_job(
    audit: &mut Collected,
    job: &Job,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let series = Series::new(&job.host, &job.name)?;
    let state = environment.backup_state()?;
    let destinations = of_job(job, environment)?;
    let mut seen: Vec<ArchiveName> = Vec::new();
    let mut all_listed = true;
    for destination in &destinations {
        let Some(names) = names_in(destination, &|found| *found == series, environment)? else {
            all_listed = false;
            continue;
        };
        for name in names.into_iter().filter(|name| !seen.contains(name)).collect::<Vec<_>>() {
            (environment.console as &dyn Monitor).check_interrupted()?;
            let found = match audits::relied_on(&state, &name) {
                Some(known) => Ok(known),
                None => from_destination(&name, destination, environment).inspect(|packages| {
                    // It is read again by the next audit if it cannot be kept.
                    let _ = audits::remember(&state, &name, packages.clone());
                }),
            };
            add(audit, &name.to_string(), series_name(job), found, environment);
            seen.push(name);
        }
    }
    let supplements = add_supplements(audit, job, &destinations, environment)?;
    if all_listed {
        let is_there = |name: &str| {
            supplements.contains(name) || seen.iter().any(|seen| seen.to_string() == name)
        };
        forget(&state, &job.name, is_there);
    }
    Ok(())
}

/// Adds what the supplements of a job have; their names.
fn add_supplements(
    audit: &mut Collected,
    job: &Job,
    destinations: &[Destination],
    environment: &Environment<'_>,
) -> anyhow::Result<BTreeSet<String>> {
    let (console, state) = (environment.console, environment.backup_state()?);
    let prefix = format!("{}_", series_name(job));
    let mut seen = BTreeSet::new();
    for destination in destinations {
        // What cannot be listed was reported when archives were looked for.
        for file in destination.store.list(console).unwrap_or_default() {
            let is_its = file.name.starts_with(&prefix) && is_supplement(file.name.as_bytes());
            if !is_its || !seen.insert(file.name.clone()) {
                continue;
            }
            (console as &dyn Monitor).check_interrupted()?;
            if let Some(known) = audits::supplement(&state, &job.name, &file.name) {
                audit.kept.extend(known);
                continue;
            }
            let complete = complete_of(&file.name, destination, environment);
            match complete {
                Ok(packages) => {
                    // It is read again by the next audit if that cannot be kept.
                    let name = &file.name;
                    let _ = audits::remember_supplement(&state, &job.name, name, &packages);
                    audit.kept.extend(packages);
                }
                Err(error) => {
                    let why = hashget::wording::messages(error.as_ref()).join(": ");
                    let why = format!("what it has is not counted: {why}");
                    (console as &dyn Monitor).problem(ProblemKind::Note, &file.name, why);
                }
            }
        }
    }
    Ok(seen)
}

/// The packages of which a supplement in a destination has all that is needed.
fn complete_of(
    name: &str,
    destination: &Destination,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<Digest>> {
    let source = destination.store.open(name, environment.console)?;
    let mut supplements = Supplements::new(environment.limits.clone());
    add_source(environment.decrypted(source, name)?, name, &mut supplements, environment)?;
    Ok(supplements.complete().map(|(package, _)| package).collect())
}

/// Adds one archive of a destination. False if it is encrypted, nothing opens it, and nothing is remembered of it.
pub(super) fn add_one(
    audit: &mut Collected,
    name: &ArchiveName,
    destination: &Destination,
    environment: &Environment<'_>,
) -> anyhow::Result<bool> {
    let state = environment.backup_state()?;
    let packages = match audits::relied_on(&state, name) {
        Some(known) => known,
        None if name.is_encrypted() && !environment.has_identity() => return Ok(false),
        None => from_destination(name, destination, environment)?,
    };
    audit.audit.add(name.to_string(), name.series().to_string(), packages);
    Ok(true)
}

/// Adds an archive, or says why nothing is known of it.
fn add(
    audit: &mut Collected,
    name: &str,
    series: String,
    found: anyhow::Result<Vec<ReliedOn>>,
    environment: &Environment<'_>,
) {
    match found {
        Ok(packages) => audit.audit.add(name.to_owned(), series, packages),
        Err(error) => {
            let why = hashget::wording::messages(error.as_ref()).join(": ");
            let why = format!("not audited, since what it relies on is not known: {why}");
            (environment.console as &dyn Monitor).problem(ProblemKind::Incomplete, name, why);
        }
    }
}

/// The names of the archives in a destination, by time; `None` if it cannot be listed, which is reported.
fn names_in(
    destination: &Destination,
    is_wanted: &dyn Fn(&Series) -> bool,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<Vec<ArchiveName>>> {
    let store = &*destination.store;
    match store.list(environment.console) {
        Ok(stored) => {
            let names = stored.iter().filter_map(|file| ArchiveName::parse(&file.name));
            let mut names: Vec<ArchiveName> =
                names.filter(|name| is_wanted(name.series())).collect();
            names.sort_by_key(ArchiveName::started);
            Ok(Some(names))
        }
        Err(StoreError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(StoreError::Unsupported { .. }) => Ok(None),
        Err(error) => {
            let monitor: &dyn Monitor = environment.console;
            monitor.problem(ProblemKind::Unreachable, store.shown(), problem(store, &error));
            Ok(None)
        }
    }
}

/// What an archive of a destination relies on.
fn from_destination(
    name: &ArchiveName,
    destination: &Destination,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<ReliedOn>> {
    let (shown, console) = (name.to_string(), environment.console);
    let source = destination.store.open(&shown, console)?;
    let mut source = environment.decrypted(source, &shown)?;
    let manifest = read_manifest(&mut *source, &shown, &environment.limits, console)?;
    packages_of(&manifest, environment)
}

pub(super) fn packages_of(
    manifest: &AnyManifest,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<ReliedOn>> {
    let knowledge = Knowledge::new(environment, false)?;
    Ok(relied_on(manifest, &knowledge.members(environment))?)
}
