//! Parts of an archive: unpacked into a folder, or their contents printed.
//!
//! Invariant: no byte is printed that is not proven: contents are unpacked into a temporary folder first.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use fs_err::File;
use hashget::archive::Selection;
use hashget::fetch::Sources;
use hashget::restore::{Part, Planned, RestoreOptions, Restorer, Summary};
use hashget::storage::ArchiveSource;

use crate::archive::Knowledge;
use crate::environment::Environment;
use crate::output::standard;

/// A restorer that gets packages from these sources.
pub(crate) fn restorer<'r>(sources: &'r Sources, environment: &'r Environment<'_>) -> Restorer<'r> {
    Restorer {
        source: &*sources.source,
        web: &*sources.web,
        limits: &environment.limits,
        jobs: environment.jobs,
    }
}

/// Unpacks what is selected.
pub(crate) fn unpack_part(
    archive: &mut dyn ArchiveSource,
    target: &Path,
    selection: &Selection,
    strip_components: usize,
    options: &RestoreOptions,
    environment: &Environment<'_>,
) -> anyhow::Result<Summary> {
    let sources = environment.sources()?;
    let knowledge = Knowledge::new(environment, false)?;
    let members = knowledge.members(environment);
    let part = Part { selection, strip_components, members: Some(&members) };
    Ok(restorer(&sources, environment).unpack_part(
        archive,
        target,
        &part,
        options,
        environment.console,
    )?)
}

/// Finds out what unpacking all, or what is selected, would do.
pub(crate) fn plan_unpack(
    archive: &mut dyn ArchiveSource,
    target: &Path,
    selection: &Selection,
    strip_components: usize,
    options: &RestoreOptions,
    environment: &Environment<'_>,
) -> anyhow::Result<Planned> {
    let sources = environment.sources()?;
    let restorer = restorer(&sources, environment);
    let console = environment.console;
    if selection.is_everything() && strip_components == 0 {
        return Ok(restorer.plan_unpack(archive, target, None, options, console)?);
    }
    let knowledge = Knowledge::new(environment, false)?;
    let members = knowledge.members(environment);
    let part = Part { selection, strip_components, members: Some(&members) };
    Ok(restorer.plan_unpack(archive, target, Some(&part), options, console)?)
}

/// Prints the contents of the selected files that could be restored, sorted by path.
pub(crate) fn contents_to_stdout(
    archive: &mut dyn ArchiveSource,
    selection: &Selection,
    environment: &Environment<'_>,
) -> anyhow::Result<Summary> {
    standard::expect_open()?;
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let options = RestoreOptions {
        same_owner: false,
        mode_mask: 0o777,
        acls: false,
        attributes: false,
        ..RestoreOptions::default()
    };
    let summary = unpack_part(archive, folder.path(), selection, 0, &options, environment)?;
    if environment.console.problems().verification > 0 {
        bail!("something is not what was packed: nothing is printed");
    }
    print_files(folder.path())?;
    Ok(summary)
}

/// Prints the contents of all regular files below `folder`, and removes each after it.
fn print_files(folder: &Path) -> anyhow::Result<()> {
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let metadata = fs_err::symlink_metadata(&path)?;
        if metadata.is_dir() {
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o700))?;
            let mut inside: Vec<PathBuf> = fs_err::read_dir(&path)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<_>>()?;
            inside.sort_unstable_by(|a, b| b.cmp(a));
            waiting.extend(inside);
        } else if metadata.is_file() {
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
            match io::copy(&mut File::open(&path)?, &mut io::stdout().lock()) {
                // Its reader needs no more.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                copied => copied.context("cannot write to standard output")?,
            };
            fs_err::remove_file(&path)?;
        }
    }
    io::stdout().flush().context("cannot write to standard output")
}
