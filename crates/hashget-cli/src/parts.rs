//! Parts of an archive: unpacked into a folder, or their contents printed.
//!
//! Invariant: no byte is printed that is not proven: contents are unpacked into a temporary folder first.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use fs_err::File;
use hashget::archive::{Elsewhere, OtherPackages, Selection};
use hashget::fetch::{
    Accepted, Failover, FileSource, FileSources, LeftOver, Source, Sources, Taken, Web,
};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::restore::{Accepting, Part, Planned, RestoreOptions, Restorer, Summary};
use hashget::storage::ArchiveSource;
use hashget::supplement::Supplements;
use hashget::wording::{and_more, one_line};

use crate::archive::Knowledge;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::fallback::with_fallbacks;
use crate::output::{counted, safe, standard};
use crate::publishers::{Asking, Shared};
use crate::supplements;

/// What restoring stands on.
pub(crate) struct Supplies<'e> {
    source: Box<dyn Source + 'e>,
    web: Box<dyn Web>,
    accepted: Option<Arc<Accepted>>,
    /// The supplements that the user named.
    also: Vec<PathBuf>,
    supplements: Arc<Supplements>,
    /// What gives single files of packages that no source has, in the order in which it is asked.
    files: FileSources<'e>,
    shared: Shared<'e>,
    is_told: Cell<bool>,
    knowledge: Knowledge,
    environment: &'e Environment<'e>,
}

impl<'e> Supplies<'e> {
    /// The sources. Before them comes what the user found (files, and folders of files), and what supplements have; after them
    /// come the fall-backs, and publishers. Single files are taken from wherever they can be had.
    pub(crate) fn new(
        accept: &[PathBuf],
        also: &[PathBuf],
        fallbacks: bool,
        environment: &'e Environment<'_>,
    ) -> anyhow::Result<Self> {
        let Sources { source, web } = environment.sources()?;
        let plain: Arc<dyn Source> = Arc::from(source);
        let supplements = Arc::new(supplements::offered(also, environment)?);
        let knowledge = Knowledge::if_there(environment)?.with_digests();
        let (hashdb, limits) = (knowledge.hashdb(), environment.limits.clone());
        let mut shared = Shared::nobody();
        let mut source: Box<dyn Source> = Box::new(Arc::clone(&plain));
        let (mut last, mut of_lost) = (None, None);
        if fallbacks {
            let with_fallbacks = with_fallbacks(Box::new(Arc::clone(&plain)), environment)?;
            shared = Shared::new(environment, &Asking::default())?;
            (source, last) = (with_fallbacks.source, with_fallbacks.files);
            of_lost = shared.of_lost(with_fallbacks.lost);
        }
        let packages = OtherPackages::new(hashdb, of_lost.clone(), Arc::clone(&plain), limits);
        let mut first: Vec<Box<dyn Source>> = Vec::new();
        // Messages count the sources that failed: one that is not there is none of them.
        if !supplements.is_empty() {
            first.push(Box::new(Arc::clone(&supplements)));
        }
        let mut files: Vec<Box<dyn FileSource + 'e>> =
            vec![Box::new(Arc::clone(&supplements)), Box::new(packages)];
        let accepted = match accept.is_empty() {
            true => None,
            false => Some(Arc::new(Self::accepted(accept, environment)?)),
        };
        if let Some(found) = &accepted {
            first.insert(0, Box::new(Arc::clone(found)));
            files.insert(0, Box::new(Arc::clone(found)));
        }
        files.extend(last.map(|fallback| fallback as Box<dyn FileSource + 'e>));
        first.push(source);
        let (mut source, files): (Box<dyn Source + 'e>, _) =
            (Box::new(Failover::new(first)), FileSources(files));
        if let Some(of_lost) = of_lost {
            source = Box::new(Elsewhere::new(source, of_lost, plain));
        }
        let (also, is_told) = (also.to_vec(), Cell::new(false));
        Ok(Self {
            source,
            web,
            accepted,
            also,
            supplements,
            files,
            shared,
            is_told,
            knowledge,
            environment,
        })
    }

    fn accepted(accept: &[PathBuf], environment: &Environment<'_>) -> anyhow::Result<Accepted> {
        let files = Accepted::new(accept, environment.console).map_err(|(path, error)| {
            let (path, why) = (path.display(), one_line(&error));
            UsageError(format!("--accept {path}: {why}"))
        })?;
        Ok(files)
    }

    /// Says what publishers were asked, once.
    fn tell_what_was_asked(&self) -> io::Result<()> {
        match self.is_told.replace(true) {
            true => Ok(()),
            false => self.shared.report(self.environment.console).map_err(io::Error::other),
        }
    }

    /// A restorer that stands on them.
    pub(crate) fn restorer(&self) -> Restorer<'_> {
        let members = self.knowledge.members_with(Some(&*self.supplements), self.environment);
        let is_offered = self.accepted.is_some();
        let accepting = Some(Accepting { files: &self.files, members, is_offered });
        Restorer {
            source: &*self.source,
            web: &*self.web,
            limits: &self.environment.limits,
            jobs: self.environment.jobs,
            accepting,
        }
    }

    /// What was taken of what the user found, if anything was offered. What was not is named, and what publishers were asked.
    pub(crate) fn taken(&self) -> anyhow::Result<Option<Taken>> {
        self.tell_what_was_asked()?;
        let monitor: &dyn Monitor = self.environment.console;
        let is_named = |name: &&str| self.also.iter().any(|also| also.as_os_str() == *name);
        for name in self.supplements.unused().filter(is_named) {
            monitor.problem(ProblemKind::Note, safe(name), "nothing that it has was missing");
        }
        let Some(taken) = self.accepted.as_ref().map(|accepted| accepted.taken()) else {
            return Ok(None);
        };
        for LeftOver { place, all, files } in &taken.left {
            let names: Vec<String> =
                files.iter().take(NAMED).map(|path| path.display().to_string()).collect();
            let more = and_more(files.len().saturating_sub(NAMED));
            let message = match (files.len(), all) {
                (0, _) => "no file is there".to_owned(),
                (1, 1) => "it matches nothing that was missing".to_owned(),
                (left, all) => {
                    let all = counted(*all, "file", "files");
                    let names = safe(&names.join(", "));
                    format!("{left} of {all} match nothing that was missing: {names}{more}")
                }
            };
            monitor.problem(ProblemKind::Note, safe(&place.display().to_string()), message);
        }
        Ok(Some(taken))
    }
}

impl Drop for Supplies<'_> {
    /// What was asked was asked, however it ended.
    fn drop(&mut self) {
        // Nobody is left to be told of an output that is closed.
        drop(self.tell_what_was_asked());
    }
}

/// Number of files that are named of those that were not taken.
const NAMED: usize = 5;

/// Unpacks what is selected.
pub(crate) fn unpack_part(
    archive: &mut dyn ArchiveSource,
    target: &Path,
    selection: &Selection,
    strip_components: usize,
    options: &RestoreOptions,
    supplies: &Supplies<'_>,
) -> anyhow::Result<Summary> {
    let environment = supplies.environment;
    let knowledge = Knowledge::new(environment, false)?.by_nobodys_word();
    let members = knowledge.members(environment);
    let part = Part { selection, strip_components, members: Some(&members) };
    let restorer = supplies.restorer();
    Ok(restorer.unpack_part(archive, target, &part, options, environment.console)?)
}

/// Finds out what unpacking all, or what is selected, would do.
pub(crate) fn plan_unpack(
    archive: &mut dyn ArchiveSource,
    target: &Path,
    selection: &Selection,
    strip_components: usize,
    options: &RestoreOptions,
    supplies: &Supplies<'_>,
) -> anyhow::Result<Planned> {
    let environment = supplies.environment;
    let (restorer, console) = (supplies.restorer(), environment.console);
    if selection.is_everything() && strip_components == 0 {
        return Ok(restorer.plan_unpack(archive, target, None, options, console)?);
    }
    let knowledge = Knowledge::new(environment, false)?.by_nobodys_word();
    let members = knowledge.members(environment);
    let part = Part { selection, strip_components, members: Some(&members) };
    Ok(restorer.plan_unpack(archive, target, Some(&part), options, console)?)
}

/// Prints the contents of the selected files that could be restored, sorted by path.
pub(crate) fn contents_to_stdout(
    archive: &mut dyn ArchiveSource,
    selection: &Selection,
    fallbacks: bool,
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
    let supplies = Supplies::new(&[], &[], fallbacks, environment)?;
    let summary = unpack_part(archive, folder.path(), selection, 0, &options, &supplies)?;
    supplies.taken()?;
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
