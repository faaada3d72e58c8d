//! One file of the newest archive of a job, restored as a restore would do it.
//!
//! Invariant: nothing is left of it: it is unpacked into a temporary folder.

use hashget::archive::{Selection, read_for_listing};
use hashget::model::{Kind, RelPath};
use hashget::restore::RestoreOptions;
use hashget::wording::messages;
use hashget_backup::job::Job;
use hashget_backup::series::{ArchiveName, Times};
use hashget_backup::store::Store;
use jiff::Timestamp;

use super::Finding;
use crate::archive::{Knowledge, open_of};
use crate::commands::backup::destinations::Searched;
use crate::environment::Environment;
use crate::parts::{Supplies, unpack_part};

/// Restores a file by chance.
pub(super) fn rehearsal(job: &Job, environment: &Environment<'_>) -> anyhow::Result<Finding> {
    let what = format!("job {}, one file of the newest archive", job.name);
    let destinations = crate::commands::backup::destinations::of_job(job, environment)?;
    let searched = Searched::of_job(job, destinations)?;
    job.to.iter().try_for_each(|to| environment.lies_in(to))?;
    let (destination, archive) = match searched.find(&Times::Latest, environment) {
        Ok(found) => found,
        Err(error) => {
            let advice = format!("run `hashget backup {}`", job.name);
            return Ok(Finding::warning(what, format!("{error:#}"), &advice));
        }
    };
    if archive.is_encrypted() && !environment.has_identity() {
        let found = format!("{archive} is encrypted: not tried; --identity FILE lets it be tried");
        return Ok(Finding::well(what, found));
    }
    let tried = restored(&*destination.store, &archive, environment);
    (environment.console as &dyn hashget::monitor::Monitor).check_interrupted()?;
    Ok(match tried {
        Ok(Some(path)) => Finding::well(what, format!("{path} of {archive} came back")),
        Ok(None) => Finding::well(what, format!("{archive} has no files")),
        Err(error) => {
            let advice = "`hashget verify --deep` says what would be missing";
            Finding::failure(
                what,
                format!("{archive}: {}", messages(error.as_ref()).join(": ")),
                advice,
            )
        }
    })
}

/// Restores a file of the archive that is chosen by chance; its path, or `None` if there is none.
fn restored(
    store: &dyn Store,
    archive: &ArchiveName,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<RelPath>> {
    let name = archive.to_string();
    let Some(path) = chosen(store, &name, environment)? else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let options = RestoreOptions {
        same_owner: false,
        mode_mask: 0o777,
        acls: false,
        attributes: false,
        ..RestoreOptions::default()
    };
    let selection = Selection::only(path.clone());
    let mut source = open_of(store, &name, environment)?;
    let supplies = Supplies::new(&[], &[], false, environment)?;
    let summary = unpack_part(&mut *source, folder.path(), &selection, 0, &options, &supplies)?;
    if let Some((path, reason)) = summary.missing.first() {
        anyhow::bail!("{path}: {reason}");
    }
    if summary.proven == Some(false) || summary.files == 0 {
        anyhow::bail!("{path} is not what was packed");
    }
    Ok(Some(path))
}

/// The path of a regular file of an archive.
fn chosen(
    store: &dyn Store,
    name: &str,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<RelPath>> {
    let mut source = open_of(store, name, environment)?;
    let (manifest, stored) =
        read_for_listing(&mut *source, name, &environment.limits, environment.console)?;
    let knowledge = Knowledge::new(environment, false)?;
    let listing = knowledge.list(&manifest, stored, &|_| true, environment)?;
    let mut files = Vec::new();
    for listed in listing.entries() {
        let entry = listed?.entry;
        if matches!(entry.kind, Kind::File { .. }) {
            files.push(entry.path);
        }
    }
    if files.is_empty() {
        return Ok(None);
    }
    // Which one does not matter, as long as it is another one the next time.
    let now = usize::try_from(Timestamp::now().subsec_nanosecond() / 1000).unwrap_or(0);
    let index = now % files.len();
    Ok(Some(files.swap_remove(index)))
}
