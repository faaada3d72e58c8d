//! `hashget report`: an HTML page of what a backup contains, or would contain.
//!
//! Invariant: nothing is indexed or downloaded; the page gets its name once it is complete.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hashget::archive::{Folder, Requirements, Survey, survey};
use hashget::model::manifest::{AnyManifest, Manifest};
use hashget::monitor::{Monitor, ProblemKind};
use hashget_backup::audits::Audits;
use hashget_backup::series::ArchiveName;
use serde_json::json;

use self::restorable::{Restorable, restorable};
use self::since::{Since, since};
use self::subject::earlier_archive;
use super::audit;
use crate::archive;
use crate::environment::{Environment, no_sources};
use crate::exit::UsageError;
use crate::looked_into::is_live;
use crate::output::{counted, safe, size, standard};
use crate::output_file::OutputFile;
use crate::packing::{Reliance, WholeSystem, pack_options, with_packer};
use crate::selection::Selection;
use crate::selection::profiles::Profiles;

mod page;
mod restorable;
mod restoring;
mod since;
mod subject;

/// Write an HTML page: what is left out, what fills the archive, what it depends on
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget report www.tar.zst -o www.html")]
pub(crate) struct Report {
    /// Archive, or folder into which one was unpacked by tar; `-` is standard input. For any other folder,
    /// the page shows what a backup would contain
    #[arg(value_name = "FILE|DIR|-")]
    archive: PathBuf,

    /// Say what has changed since this archive. Of an archive of a job, the one before it in the same folder is taken by itself
    #[arg(long, value_name = "ARCHIVE")]
    since: Option<PathBuf>,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    profiles: Profiles,

    #[command(flatten)]
    whole_system: WholeSystem,

    #[command(flatten)]
    reliance: Reliance,

    /// Page to write; `-` is standard output
    #[arg(short, long, value_name = "FILE|-")]
    output: PathBuf,
}

impl Report {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let to_stdout = self.output == Path::new("-");
        if to_stdout && console.is_json() {
            let wrong =
                "--json and the page cannot both go to standard output: name a file with -o";
            return Err(UsageError(wrong.to_owned()).into());
        }
        let of_stdin = |path: &PathBuf| path == Path::new("-");
        if self.since.as_ref().is_some_and(|since| of_stdin(since) || of_stdin(&self.archive)) {
            let wrong = "--since reads both archives by themselves, and standard input can be read once: name files";
            return Err(UsageError(wrong.to_owned()).into());
        }
        let is_live = is_live(&self.archive);
        if to_stdout {
            standard::expect_open()?;
        }
        let output = if to_stdout { None } else { Some(OutputFile::open(&self.output)?) };
        let any = if is_live { self.draft(environment)? } else { self.manifest(environment)? };
        let requirements = Requirements::from_manifest(&any)?;
        let AnyManifest::V2(manifest) = &any else {
            let wrong = "a report needs a manifest of version 2, but this archive was made by the older Python tool: \
                         use `hashget info`, or unpack it and pack the folder again";
            anyhow::bail!(wrong);
        };
        let hashdb = environment.hashdb()?;
        let survey = survey(manifest, &*hashdb)?;
        let restorable = self.restorable(&any, environment)?;
        let since = self.since(environment)?;
        let page = self.page(&survey, manifest, &requirements, (restorable, since), is_live)?;
        match output {
            Some(file) => file.finish(page.as_bytes())?,
            None => std::io::stdout().lock().write_all(page.as_bytes())?,
        }
        let unknown = survey.packages.iter().filter(|package| !package.is_complete).count();
        let record = json!({
            "output": self.output.to_string_lossy(),
            "live": is_live,
            "files": survey.files.len(),
            "packages": survey.packages.len(),
            "unknown_packages": unknown,
        });
        let mut lines = Vec::new();
        if !to_stdout {
            let name = self.output.display().to_string();
            lines.push(format!("Wrote {}, {}", safe(&name), size(page.len() as u64)));
        }
        if unknown > 0 {
            lines.push(format!(
                "Not in the HashDB: {}, whose files are counted but not shown. To show them, index the URLs \
                 that `hashget info --list` prints",
                counted(unknown, "package", "packages")
            ));
        }
        console.summary("report", record, &lines)?;
        Ok(())
    }

    fn manifest(&self, environment: &Environment<'_>) -> anyhow::Result<AnyManifest> {
        if self.selection.is_given()
            || self.profiles.is_given()
            || self.whole_system.no_default_excludes
            || self.reliance.is_given()
        {
            let wrong = "--exclude and the other options of pack are for a folder that is to be packed; the contents of \
                         an archive are settled";
            return Err(UsageError(wrong.to_owned()).into());
        }
        archive::manifest(&self.archive, environment)
    }

    /// The manifest that a backup of the folder would have, with the current HashDB.
    fn draft(&self, environment: &Environment<'_>) -> anyhow::Result<AnyManifest> {
        let mut options = pack_options(environment, &self.selection, &self.reliance)?;
        options.profile = self.profiles.items(options.manifest_version)?;
        self.whole_system.exclude(&self.archive, &mut options)?;
        let context = || format!("cannot scan {}", self.archive.display());
        let json = with_packer(environment, no_sources(), |packer| {
            packer.draft(&self.archive, options, environment.console).with_context(context)
        })?;
        AnyManifest::parse(&json).with_context(context)
    }

    /// Whether it can be restored, by what is known; with the trend, if it is an archive of a job.
    fn restorable(
        &self,
        manifest: &AnyManifest,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Restorable> {
        let (relied, outcome) = audit::known_of_manifest(&self.archive, manifest, environment)?;
        let audits = ArchiveName::of_path(&self.archive).and_then(|archive| {
            Some(Audits::read(&environment.backup_state().ok()?, archive.series().job()))
        });
        Ok(restorable(&relied, &outcome, audits.and_then(|audits| audit::trend(&audits))))
    }

    /// What has changed since the archive that is named, or that this one follows. One that nobody named and that cannot be read
    /// does not keep the page from being written.
    fn since(&self, environment: &Environment<'_>) -> anyhow::Result<Option<Since>> {
        if let Some(earlier) = &self.since {
            return since(earlier, &self.archive, environment).map(Some);
        }
        let Some(earlier) = earlier_archive(&self.archive) else { return Ok(None) };
        let monitor: &dyn Monitor = environment.console;
        match since(&earlier, &self.archive, environment) {
            Err(error) => {
                monitor.check_interrupted()?;
                let message = format!("not compared with this one: {error:#}");
                monitor.problem(ProblemKind::Note, earlier.display(), message);
                Ok(None)
            }
            compared => compared.map(Some),
        }
    }

    fn page(
        &self,
        survey: &Survey,
        manifest: &Manifest,
        requirements: &Requirements,
        (restorable, since): (Restorable, Option<Since>),
        is_live: bool,
    ) -> anyhow::Result<String> {
        let hosts: Vec<(String, u64)> =
            requirements.hosts().into_iter().map(|(host, _, bytes)| (host, bytes)).collect();
        let is_file = fs_err::metadata(&self.archive).is_ok_and(|found| found.is_file());
        let archive_bytes =
            is_file.then(|| fs_err::metadata(&self.archive).map_or(0, |found| found.len()));
        let subject = subject::subject(&self.archive, is_live);
        let now = subject::today();
        let facts = page::Facts {
            subject: &subject,
            archive_bytes,
            hosts: &hosts,
            packages: &manifest.packages,
            regenerable: &manifest.regenerable,
            restorable,
            since: since.as_ref(),
            now: &now,
            is_live,
        };
        Ok(page::page(survey, &Folder::tree(&survey.files), &facts)?)
    }
}
