//! The archives of an audit, and what they rely on.
//!
//! Invariant: an archive whose needs are not known is named, and never counted as well. What a supplement has counts only for the archives
//! that it was made for, and what lies beside an archive only if it was found there.

use std::path::{Path, PathBuf};

use hashget::archive::{Audit, ReliedOn, ToAudit, relied_on};
use hashget::model::manifest::{AnyManifest, MANIFEST_NAME};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::pending_file::behind_links;
use hashget::supplement::Supplements;
use hashget_backup::audits::{self, forget};
use hashget_backup::job::Job;
use hashget_backup::run::Destination;
use hashget_backup::series::{ArchiveName, Series};
use hashget_backup::store::{Address, StoreError, Stored};

use super::super::backup::destinations::{is_destination, of_job, open_given, problem};
use super::super::backup::jobs;
use super::super::without_ending;
use super::held::Held;
use crate::archive::{self, Knowledge, archives_in, is_remote};
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::stores::is_in_store;
use crate::supplements::{add_beside, archive_of};

/// The archives that are meant by `of`, with what they rely on; and the jobs among them.
pub(super) fn collected(
    of: &[String],
    environment: &Environment<'_>,
) -> anyhow::Result<(Audit, Vec<Job>)> {
    let mut audit = Audit::default();
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
    Ok((audit, jobs))
}

/// Is there an archive at all?
pub(super) fn expect_some(audit: &Audit) -> anyhow::Result<()> {
    anyhow::ensure!(
        audit.archives() > 0,
        "there is no archive to audit, or none that could be read"
    );
    Ok(())
}

/// What the series of a job is called.
pub(super) fn series_name(job: &Job) -> String {
    format!("{}_{}", job.host, job.name)
}

/// Adds what the user has given: an archive, a folder into which one was unpacked, or a folder or destination of archives.
fn add_place(audit: &mut Audit, place: &str, environment: &Environment<'_>) -> anyhow::Result<()> {
    let path = PathBuf::from(place);
    if path.is_dir() && !path.join(MANIFEST_NAME).exists() {
        for archive in archives_in(&path)? {
            if let Err(error) = add_file(audit, &archive, environment) {
                (environment.console as &dyn Monitor).check_interrupted()?;
                not_known(&archive.display().to_string(), &error, environment);
            }
        }
        return Ok(());
    }
    let is_file = Address::parse(place).is_err() || path.exists();
    if is_file || (is_in_store(&path) && without_ending(place.as_bytes()).is_some()) {
        return add_file(audit, &path, environment);
    }
    let destination = open_given(place, environment)?;
    let Some(files) = files_in(&destination, environment)? else {
        let wrong = format!("{}: its archives cannot be listed", destination.store.shown());
        return Err(UsageError(wrong).into());
    };
    Held { listed: vec![(&destination, files)], is_all: true, job: None, environment }
        .add(audit, &|_| true)
}

/// Adds an archive that is a file, or lies elsewhere.
fn add_file(
    audit: &mut Audit,
    archive: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let manifest = archive::manifest(archive, environment)?;
    add_manifest(audit, archive, &manifest, environment).map(drop)
}

/// Adds an archive with this manifest, and what lies beside it; what it relies on.
pub(super) fn add_manifest(
    audit: &mut Audit,
    archive: &Path,
    manifest: &AnyManifest,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<ReliedOn>> {
    let name = archive.display().to_string();
    let series = ArchiveName::of_path(archive).map(|name| name.series().to_string());
    let mut beside = Supplements::new(environment.limits.clone());
    add_beside(archive, &mut beside, environment)?;
    let of = archive_of(archive, manifest);
    let supplemented = beside.contents().flat_map(|(_, contents)| contents.complete(&of)).collect();
    for (supplement, contents) in beside.contents() {
        if let Some(before) = contents.name_before(&of) {
            let why = format!(
                "it was made for {before}, which is of the same tree: restoring takes its files, but they count for this archive only under that name"
            );
            (environment.console as &dyn Monitor).problem(ProblemKind::Note, supplement, why);
        }
    }
    let relied_on = packages_of(manifest, environment)?;
    let series = series.unwrap_or_else(|| name.clone());
    audit.add(ToAudit { name, series, relied_on: relied_on.clone(), supplemented });
    if !is_remote(archive) && !archive.is_dir() {
        let real = behind_links(archive);
        let is_there = |name: &str| {
            [archive, &*real].iter().any(|archive| archive.with_file_name(name).is_file())
        };
        look_for(audit, is_there, true);
    }
    Ok(relied_on)
}

/// Adds all archives of a job that lie in any of its destinations.
pub(super) fn add_job(
    audit: &mut Audit,
    job: &Job,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let series = Series::new(&job.host, &job.name)?;
    let destinations = of_job(job, environment)?;
    let mut listed = Vec::new();
    for destination in &destinations {
        if let Some(files) = files_in(destination, environment)? {
            listed.push((destination, files));
        }
    }
    let is_all = listed.len() == destinations.len();
    let held = Held { listed, is_all, job: Some(&job.name), environment };
    held.add(audit, &|name| *name.series() == series)?;
    if is_all {
        let state = environment.backup_state()?;
        let names = held.names();
        forget(&state, &job.name, |name| names.contains(name));
    }
    Ok(())
}

/// Adds one archive of a destination. False if it is encrypted, nothing opens it, and nothing is remembered of it.
pub(super) fn add_one(
    audit: &mut Audit,
    name: &ArchiveName,
    destination: &Destination,
    environment: &Environment<'_>,
) -> anyhow::Result<bool> {
    let is_sealed = name.is_encrypted() && !environment.has_identity();
    if is_sealed && audits::relied_on(&environment.backup_state()?, name).is_none() {
        return Ok(false);
    }
    let Some(files) = files_in(destination, environment)? else { return Ok(false) };
    let job = Some(name.series().job());
    Held { listed: vec![(destination, files)], is_all: false, job, environment }
        .add(audit, &|one| one == name)?;
    Ok(audit.archives() > 0)
}

/// The files in a destination; `None` if it cannot be listed, which is reported.
fn files_in(
    destination: &Destination,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<Vec<Stored>>> {
    let store = &*destination.store;
    match store.list(environment.console) {
        Ok(files) => Ok(Some(files)),
        Err(StoreError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(StoreError::Unsupported { .. }) => Ok(None),
        Err(error) => {
            let monitor: &dyn Monitor = environment.console;
            monitor.problem(ProblemKind::Unreachable, store.shown(), problem(store, &error));
            Ok(None)
        }
    }
}

/// Remembers which of the archives that must lie beside others are there, by their names; those that are not, only if it was looked everywhere.
pub(super) fn look_for(audit: &mut Audit, is_there: impl Fn(&str) -> bool, is_everywhere: bool) {
    let names: Vec<String> = audit.needs_beside().map(str::to_owned).collect();
    for name in names {
        let is_there = is_there(&name);
        if is_there || is_everywhere {
            audit.looked_for(&name, is_there);
        }
    }
}

/// Says that nothing is known of what an archive relies on.
pub(super) fn not_known(name: &str, error: &anyhow::Error, environment: &Environment<'_>) {
    let why = hashget::wording::messages(error.as_ref()).join(": ");
    let why = format!("not audited, since what it relies on is not known: {why}");
    (environment.console as &dyn Monitor).problem(ProblemKind::Incomplete, name, why);
}

pub(super) fn packages_of(
    manifest: &AnyManifest,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<ReliedOn>> {
    let knowledge = Knowledge::new(environment, false)?;
    Ok(relied_on(manifest, &knowledge.members(environment))?)
}
