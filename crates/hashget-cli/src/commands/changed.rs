//! `hashget changed`: which files of packages are not as their packages have them, in a folder or in an archive.
//!
//! Invariant: what a file should be comes from packages that were downloaded, or that a publisher has signed for; lists of the same
//! machine say nothing of it. Nothing is fetched without `--fetch`, and what is not compared is said to be so.

mod packages;
mod shown;

use std::path::PathBuf;

use clap::Args;
use hashget::changed::{Changed as Outcome, PackageFiles, Wanted, changed};
use hashget::detectors::{InstalledSystem, TreeFiles};
use hashget::model::manifest::AnyManifest;
use hashget::monitor::{Monitor, ProblemKind};
use serde_json::json;

use self::packages::{Compared, of_archive, of_folder};
use self::shown::{line, record};
use crate::archive::Knowledge;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::looked_into::{self, LookedInto};
use crate::output::{counted, safe};

/// Show which files of packages are changed or missing, by the SHA-256 of what the packages have
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget index --tree :debian && hashget changed /\n         \
                        hashget changed system.tar.zst")]
pub(crate) struct Changed {
    /// Folder, archive, or the URL of one
    #[arg(value_name = "DIR|FILE|URL")]
    tree: PathBuf,

    /// Also list the files that are of no package
    #[arg(long)]
    unowned: bool,

    /// Leave matching files of a folder out; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Fetch packages of an archive whose files are not known otherwise
    #[arg(long)]
    fetch: bool,
}

/// Number of packages that are named in a line.
const NAMED: usize = 5;

impl Changed {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        if looked_into::is_live(&self.tree) {
            if self.fetch {
                let wrong = "--fetch is for an archive; `hashget index --tree DIR` fetches the packages of a folder";
                return Err(UsageError(wrong.to_owned()).into());
            }
            let excludes = looked_into::excludes(&self.tree, &self.exclude, environment)?;
            let (looked, root) = looked_into::folder(&self.tree, &excludes, false, environment)?;
            let compared = of_folder(&self.tree, &looked, excludes, environment)?;
            return self.report(&looked, &compared, &root, environment);
        }
        if !self.exclude.is_empty() {
            let wrong = "--exclude is for a folder; the contents of an archive are settled";
            return Err(UsageError(wrong.to_owned()).into());
        }
        let knowledge = Knowledge::new(environment, self.fetch)?.with_digests();
        looked_into::archive(&self.tree, &knowledge, environment, |looked, files| {
            let of = looked.archive.as_ref().expect("it is of an archive");
            if matches!(of.manifest, AnyManifest::V1(_)) {
                anyhow::bail!(
                    "an archive of the older Python tool does not say which package gives a file: unpack it first"
                );
            }
            let compared = of_archive(&of.manifest, looked, &knowledge, environment)?;
            self.report(looked, &compared, files, environment)
        })
    }

    fn report(
        &self,
        looked: &LookedInto,
        compared: &Compared<'_>,
        files: &dyn TreeFiles,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let console = environment.console;
        let outcome = changed(&looked.entries, &compared.packages, files, console)?;
        console.in_bulk(|| self.entries(&outcome, &compared.packages, environment))?;
        let sums = Sums::of(&outcome);
        self.problems(&outcome, &sums, compared, environment);
        let packages = compared.packages.len() - outcome.dismissed.len();
        let wanted = outcome.wanted;
        let body = json!({
            "packages": packages,
            "not_compared": compared.unknown,
            "compared": outcome.compared,
            "contents": sums.contents,
            "metadata": sums.metadata,
            "missing": sums.missing,
            "configuration": sums.configuration,
            "unread": outcome.unread.len(),
            "unowned": outcome.unowned.len(),
            "owners_compared": !outcome.owners_are_others,
            "wanted": {
                "unwanted": wanted.unwanted,
                "overridden": wanted.overridden,
                "by_script": wanted.by_script,
            },
        });
        console.summary("changed", body, &self.lines(&outcome, &sums, packages))?;
        Ok(())
    }

    /// The summary for people.
    fn lines(&self, outcome: &Outcome, sums: &Sums, packages: usize) -> Vec<String> {
        let (entries, packages) = (
            counted(outcome.compared, "entry", "entries"),
            counted(packages as u64, "package", "packages"),
        );
        let Sums { contents, metadata, missing, configuration } = sums;
        let unowned = counted(outcome.unowned.len() as u64, "file", "files");
        let how = if self.unowned { "" } else { " (list them with --unowned)" };
        let mut lines = vec![
            format!(
                "{entries} of {packages} compared: {contents} with other contents, {metadata} with another mode or owner, \
                 {missing} missing; {configuration} of configuration differ"
            ),
            format!("{unowned} of no package{how}"),
        ];
        let Wanted { unwanted, overridden, by_script } = outcome.wanted;
        if unwanted + overridden + by_script > 0 {
            lines.push(format!(
                "As the system was told: {unwanted} not installed, {overridden} with a mode or owner of its own; by scripts \
                 of the packages: {by_script}"
            ));
        }
        if outcome.owners_are_others {
            lines.push("Owners were not compared: nearly all are others".to_owned());
        }
        lines
    }

    /// What differs, package by package, and then configuration.
    fn entries(
        &self,
        outcome: &Outcome,
        packages: &[PackageFiles<'_>],
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let console = environment.console;
        for of_configuration in [false, true] {
            let mut last = None;
            let entries = outcome.entries.iter();
            for entry in entries.filter(|entry| entry.is_configuration == of_configuration) {
                let package = &packages[entry.package];
                if last != Some(entry.package) && !console.is_json() {
                    let what = if of_configuration { "Configuration of " } else { "" };
                    console.line(&format!("{what}{}", safe(&package.name)))?;
                }
                last = Some(entry.package);
                console.data(|| line(entry), "changed", || record(entry, package))?;
            }
        }
        for path in &outcome.unread {
            console.detail(&format!("{path}: not compared, its contents cannot be had"));
            console.record("unread", json!({ "path": path }))?;
        }
        for path in outcome.unowned.iter().filter(|_| self.unowned) {
            console.data(|| format!("? {path}"), "unowned", || json!({ "path": path }))?;
        }
        Ok(())
    }

    /// What the exit code follows from.
    fn problems(
        &self,
        outcome: &Outcome,
        sums: &Sums,
        compared: &Compared<'_>,
        environment: &Environment<'_>,
    ) {
        let monitor: &dyn Monitor = environment.console;
        let tree = safe(&self.tree.display().to_string());
        let files = |number| counted(number, "entry", "entries");
        if sums.contents > 0 {
            let message = format!("{} of packages with other contents", files(sums.contents));
            monitor.problem(ProblemKind::Verification, &tree, message);
        }
        if sums.metadata + sums.missing > 0 {
            let message = format!(
                "{} of packages with another mode or owner, {} missing",
                files(sums.metadata),
                sums.missing
            );
            monitor.problem(ProblemKind::Incomplete, &tree, message);
        }
        if !outcome.unread.is_empty() {
            let number = files(outcome.unread.len() as u64);
            let message = format!(
                "{number} not compared: their contents cannot be had here (--verbose names them)"
            );
            monitor.problem(ProblemKind::Incomplete, &tree, message);
        }
        if !compared.unknown.is_empty() {
            let number = counted(compared.unknown.len() as u64, "package", "packages");
            let names: Vec<String> =
                compared.unknown.iter().take(NAMED).map(|name| safe(name)).collect();
            let more = if compared.unknown.len() > NAMED { ", ..." } else { "" };
            let message = format!(
                "{number} not compared, since the HashDB does not know them ({}{more}): {}",
                names.join(", "),
                compared.hint
            );
            monitor.problem(ProblemKind::Incomplete, &tree, message);
        }
    }
}

/// Numbers of entries.
#[derive(Default)]
struct Sums {
    contents: u64,
    metadata: u64,
    missing: u64,
    configuration: u64,
}

impl Sums {
    fn of(outcome: &Outcome) -> Self {
        let mut sums = Self::default();
        for entry in &outcome.entries {
            let count = match &entry.found {
                _ if entry.is_configuration => &mut sums.configuration,
                None => &mut sums.missing,
                Some(_) if entry.has_other_contents() => &mut sums.contents,
                Some(_) => &mut sums.metadata,
            };
            *count += 1;
        }
        sums
    }
}

/// The systems of a tree, each with its packages.
fn installed(
    systems: &[InstalledSystem],
) -> impl Iterator<Item = (&InstalledSystem, &hashget::detectors::SystemPackage)> {
    systems.iter().flat_map(|system| system.packages.iter().map(move |package| (system, package)))
}
