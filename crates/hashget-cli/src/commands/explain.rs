//! `hashget explain`: why a file is left out, or archived.
//!
//! Invariant: it reports what `pack` would do with the same tree, the same options and the current HashDB;
//! nothing is indexed, fetched or written.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hashget::error::ErrorClass;
use hashget::model::RelPath;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::pack::{Explanation, ManifestVersion, PackOptions, Packer};
use serde_json::json;

use self::answer::Judged;
use crate::environment::{Environment, no_sources};
use crate::exit::{self, UsageError};
use crate::output::counted;
use crate::packing::{Format, Reliance, WholeSystem, pack_options, with_packer};
use crate::selection::Selection;
use crate::selection::profiles::Profiles;

mod answer;
mod archived;
mod owner;

/// Show for each file whether it is left out or archived, why, and which packages have it
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget explain --tree / /usr/bin/vim /etc/vim")]
pub(crate) struct Explain {
    /// Files and folders to explain
    #[arg(value_name = "PATH", required_unless_present = "tree")]
    paths: Vec<PathBuf>,

    /// The folder that you pack. Without it, each PATH is explained by itself: a folder as if you packed
    /// that folder, a file as if it were the only one
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,

    /// Explain what this archive, or the folder into which it was unpacked, has under these paths
    #[arg(long, value_name = "FILE|DIR", requires = "paths", conflicts_with = "tree")]
    archive: Option<PathBuf>,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    profiles: Profiles,

    #[command(flatten)]
    whole_system: WholeSystem,

    #[command(flatten)]
    reliance: Reliance,

    #[command(flatten)]
    manifest: Format,
}

/// Number of explained files of each kind.
#[derive(Default)]
pub(super) struct Counts {
    left_out: u64,
    archived: u64,
    excluded: u64,
}

impl Explain {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        if let Some(archive) = &self.archive {
            self.check_options()?;
            return archived::explain(archive, &self.paths, environment);
        }
        let options = &self.pack_options(environment)?;
        let counts = with_packer(environment, no_sources(), |packer| {
            let mut counts = Counts::default();
            if let Some(tree) = &self.tree {
                let paths = self.paths_within(tree, environment)?;
                let explanation = self.of_tree(tree, &paths, packer, environment)?;
                let judged =
                    Judged { explanation: &explanation, options, folder: tree, is_alone: false };
                judged.print(packer.hashdb, environment, &mut counts)?;
                return Ok(counts);
            }
            for path in &self.paths {
                let answered = self.of_path(path, options, packer, environment, &mut counts);
                self.unless_others_wait(path, answered, environment)?;
            }
            Ok(counts)
        })?;
        self.summarise(&counts, environment)
    }

    /// Answers for a path by itself.
    fn of_path(
        &self,
        path: &Path,
        options: &PackOptions<'_>,
        packer: &Packer<'_>,
        environment: &Environment<'_>,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let is_folder = fs_err::symlink_metadata(path)?.is_dir();
        let (explanation, folder) = if is_folder {
            (self.of_tree(path, &[RelPath::root()], packer, environment)?, path)
        } else {
            let folder = path.parent().unwrap_or(Path::new(""));
            (self.of_file(path, folder, packer, environment)?, folder)
        };
        let is_alone = !is_folder;
        let judged = Judged { explanation: &explanation, options, folder, is_alone };
        judged.print(packer.hashdb, environment, counts)
    }

    /// What cannot be explained is reported, if the user asked for other paths, too: each gets its answer.
    fn unless_others_wait<T>(
        &self,
        path: &Path,
        answered: anyhow::Result<T>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Option<T>> {
        let stops = |error: &anyhow::Error| {
            matches!(exit::class(error), Some(ErrorClass::Interrupted | ErrorClass::BadInput))
        };
        match answered {
            Err(error) if self.paths.len() > 1 && !stops(&error) => {
                let reason = format!("not explained: {error:#}");
                let monitor: &dyn Monitor = environment.console;
                monitor.problem(ProblemKind::Incomplete, path.display(), reason);
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn of_tree(
        &self,
        tree: &Path,
        paths: &[RelPath],
        packer: &Packer<'_>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Explanation> {
        let options = self.options(tree, environment)?;
        let explained = packer.explain(tree, paths, options, environment.console);
        explained.with_context(|| format!("cannot explain {}", tree.display()))
    }

    fn of_file(
        &self,
        file: &Path,
        folder: &Path,
        packer: &Packer<'_>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Explanation> {
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        let options = self.options(folder, environment)?;
        let explained = packer.explain_alone(file, options, environment.console);
        explained.with_context(|| format!("cannot explain {}", file.display()))
    }

    fn pack_options<'a>(&self, environment: &Environment<'_>) -> anyhow::Result<PackOptions<'a>> {
        let manifest_version = self.manifest.version();
        let options = pack_options(environment, &self.selection, &self.reliance)?;
        Ok(PackOptions {
            profile: self.profiles.items(manifest_version)?,
            manifest_version,
            ..options
        })
    }

    fn options<'a>(
        &self,
        tree: &Path,
        environment: &Environment<'_>,
    ) -> anyhow::Result<PackOptions<'a>> {
        let mut options = self.pack_options(environment)?;
        self.whole_system.exclude(tree, &mut options)?;
        Ok(options)
    }

    /// The PATHs as paths of the tree; its top folder if there are none.
    fn paths_within(
        &self,
        tree: &Path,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Vec<RelPath>> {
        let top = fs_err::canonicalize(tree)?;
        if self.paths.is_empty() {
            return Ok(vec![RelPath::root()]);
        }
        let within = |path: &PathBuf| -> anyhow::Result<RelPath> {
            fs_err::symlink_metadata(path)?;
            let real = real_path(path)?;
            let below = real.strip_prefix(&top).map_err(|_| {
                let (path, tree) = (path.display(), tree.display());
                UsageError(format!("{path} does not lie in {tree}, the folder of --tree"))
            })?;
            Ok(RelPath::normalise(below.as_os_str().as_bytes())?)
        };
        let mut found = Vec::new();
        for path in &self.paths {
            found.extend(self.unless_others_wait(path, within(path), environment)?);
        }
        Ok(found)
    }

    /// Options of `pack` make no sense for an archive, whose contents are already decided.
    fn check_options(&self) -> Result<(), UsageError> {
        if self.selection.is_given()
            || self.profiles.is_given()
            || self.whole_system.no_default_excludes
            || self.reliance.is_given()
            || self.manifest.version() != ManifestVersion::Two
        {
            let wrong = "--archive: the contents of an archive are settled; the options of pack are for a folder";
            return Err(UsageError(wrong.to_owned()));
        }
        Ok(())
    }

    fn summarise(&self, counts: &Counts, environment: &Environment<'_>) -> anyhow::Result<()> {
        let Counts { left_out, archived, excluded } = *counts;
        let files = |number| counted(number, "file", "files");
        let mut line = format!("{} left out, {} archived", files(left_out), files(archived));
        if excluded > 0 {
            line.push_str(&format!(", {excluded} not in the backup"));
        }
        let lines = if left_out + archived + excluded == 1 { Vec::new() } else { vec![line] };
        let record = json!({ "left_out": left_out, "archived": archived, "excluded": excluded });
        environment.console.summary("explain", record, &lines)?;
        Ok(())
    }
}

/// The canonical path, except that a link in the last component is not followed.
pub(super) fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    let Some(name) = path.file_name() else { return fs_err::canonicalize(path) };
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = fs_err::canonicalize(parent.unwrap_or(Path::new(".")))?;
    Ok(parent.join(OsStr::from_bytes(name.as_bytes())))
}
