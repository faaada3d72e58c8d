//! `hashget verify`: reads an archive to its end, and checks whether everything that it needs is still available.
//!
//! Invariant: what is wrong with the archive itself, and what is wrong with sources, have exit codes of their own. Only the results
//! are kept, in the HashDB; nothing that is downloaded is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use hashget::archive::{
    AtMost, PackageState, StoredEntries, StoredVerified, Verified, VerifiedPackage, Verifier,
    VerifyOptions,
};
use hashget::fetch::{Failover, Source};
use hashget::model::Digest;
use hashget::model::manifest::AnyManifest;
use hashget::parity::parity_of;
use hashget::pending_file::behind_links;
use hashget::restore::{Accepting, Rehearsed, Rehearser};
use serde_json::json;

use crate::archive::{self, Knowledge};
use crate::derive::Deriving;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{counted, safe, size};
use crate::supplements;
use crate::values;

mod against;
mod rehearsed;

/// Read an archive to its end, and check that everything it needs is still available
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget verify www.tar.zst")]
pub(crate) struct Verify {
    /// Archive, its URL, or folder into which one was unpacked by tar; `-` is standard input
    #[arg(value_name = "FILE|DIR|URL|-")]
    archive: PathBuf,

    /// Download every package, and rehearse a restore without writing anything: the result is as certain
    #[arg(long)]
    deep: bool,

    #[command(flatten)]
    deriving: Deriving,

    /// Instead of packages, check whether this folder is still what was packed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["deep", "at_most", "sample"])]
    against: Option<PathBuf>,

    /// Look at this share of the packages only, at random, but first at those that were looked at longest ago
    #[arg(long, value_name = "PERCENT", value_parser = values::percent)]
    sample: Option<u8>,

    /// Look at no further package after this many bytes (with --deep, download no more), or this much time; the next run continues
    #[arg(long, value_name = "BYTES|TIME", value_parser = values::at_most)]
    at_most: Option<AtMost>,
}

/// What is kept after an interruption, and how to continue.
pub(super) fn after_interruption() -> String {
    "the answers so far are recorded: the same command starts with the packages that were not checked"
        .to_owned()
}

impl Verify {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        if self.deep {
            return self.run_deep(environment);
        }
        let read = archive::verified(&self.archive, environment);
        let (manifest, stored) = self.or_repair(read, environment)?;
        if let Some(folder) = &self.against {
            let is_wrong = stored.as_ref().is_some_and(|stored| stored.wrong > 0);
            let lines = self.archive_lines(stored.as_ref());
            let excluded = manifest.regenerable().to_vec();
            let tree = match &manifest {
                AnyManifest::V2(manifest) => Some(manifest.tree.sha256),
                AnyManifest::V1(_) => None,
            };
            // Beside the entries of the folder it would take as much memory once more; a file is read again if it is needed.
            let kept = (self.archive == Path::new("-")).then_some(manifest);
            let packed = || match kept {
                Some(manifest) => self.packed(manifest, environment),
                None => self.packed(archive::manifest(&self.archive, environment)?, environment),
            };
            let packed = against::Packed { tree, excluded, read: packed };
            return against::verify(folder, packed, is_wrong, lines, environment);
        }
        let archive = supplements::archive_of(&self.archive, &manifest);
        let supplemented = supplements::offered(&[], environment)?.complete(&archive);
        let local = environment.local()?;
        let verified = with_verifier(&supplemented, &*local, environment, |verifier| {
            verifier.verify(&manifest, &self.options(), console)
        })?
        .with_context(|| self.failed())?;
        list_packages(&verified, environment)?;
        self.summary(&verified, stored.as_ref(), None, environment)
    }

    fn run_deep(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let read = archive::verified_contents(&self.archive, environment);
        let (manifest, read) = self.or_repair(read, environment)?;
        let (stored, contents) = read.unzip();
        let archive = supplements::archive_of(&self.archive, &manifest);
        let supplements = Arc::new(supplements::offered(&[], environment)?);
        let supplemented = supplements.complete(&archive);
        let own: Vec<Box<dyn Source>> =
            vec![Box::new(Arc::clone(&supplements)), environment.local()?];
        let knowledge = Knowledge::if_there(environment)?.with_digests();
        let members = knowledge.members_with(Some(&*supplements), environment);
        let accepting = Some(Accepting { files: &*supplements, members, is_offered: false });
        let local = Failover::new(own);
        let rehearsed = with_verifier(&supplemented, &local, environment, |verifier| {
            let (options, limits) = (self.options(), &environment.limits);
            let programs = self.deriving.programs_to_restore(environment);
            let rehearser = Rehearser { verifier, options, limits, accepting, programs };
            rehearser.rehearse(&manifest, contents, &self.archive, environment.console)
        })?
        .with_context(|| self.failed())?;
        list_packages(&rehearsed.verified, environment)?;
        rehearsed::report_missing(environment.console, &rehearsed.summary)?;
        self.summary(&rehearsed.verified, stored.as_ref(), Some(&rehearsed), environment)
    }

    /// What was read, or the error and a hint at the archive's parity.
    fn or_repair<T>(
        &self,
        read: anyhow::Result<T>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<T> {
        read.inspect_err(|_| {
            self.repair_hint().inspect(|hint| environment.console.say(hint));
        })
    }

    /// The options that leave packages for the next run.
    fn limits(&self) -> &'static str {
        match (self.sample, self.at_most) {
            (Some(_), Some(_)) => "--sample, --at-most",
            (Some(_), None) => "--sample",
            _ => "--at-most",
        }
    }

    fn options(&self) -> VerifyOptions {
        let (at_most, sample) = (self.at_most, self.sample.map(u32::from));
        VerifyOptions { deep: self.deep, derive: self.deriving.which(), at_most, sample }
    }

    fn failed(&self) -> String {
        format!("cannot verify {}", self.archive.display())
    }

    /// What was packed, as far as the archive says it. Manifests of version 1 do not name what the archive holds: it is read again.
    fn packed(
        &self,
        manifest: AnyManifest,
        environment: &Environment<'_>,
    ) -> anyhow::Result<(AnyManifest, StoredEntries)> {
        if matches!(manifest, AnyManifest::V2(_)) {
            return Ok((manifest, StoredEntries::default()));
        }
        if self.archive == Path::new("-") {
            let wrong = "an archive of version 1 is read twice for --against: give a FILE";
            return Err(UsageError(wrong.to_owned()).into());
        }
        archive::contents(&self.archive, environment)
    }

    /// What was found in the archive itself, and what to do.
    fn archive_lines(&self, stored: Option<&StoredVerified>) -> Vec<String> {
        let is_wrong = stored.is_some_and(|stored| stored.wrong > 0);
        let hint = is_wrong.then(|| self.repair_hint()).flatten();
        stored.map(archive_line).into_iter().chain(hint).collect()
    }

    /// The next step if the archive is damaged, and has parity.
    fn repair_hint(&self) -> Option<String> {
        let has_parity = parity_of(&behind_links(&self.archive)).is_file();
        let (name, parity) = (self.archive.display(), parity_of(&self.archive));
        let parity = parity.display();
        has_parity.then(|| {
            format!(
                "{parity} has parity for it: `hashget repair {name}` heals it, if there is enough"
            )
        })
    }

    fn summary(
        &self,
        verified: &Verified,
        stored: Option<&StoredVerified>,
        rehearsed: Option<&Rehearsed>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let number = |state| {
            let of = verified.packages.iter().filter(|package| package.state() == state);
            u64::try_from(of.count()).unwrap_or(u64::MAX)
        };
        let present = number(PackageState::Present);
        let (lost, unreachable) = (number(PackageState::Lost), number(PackageState::Unreachable));
        let given_up = number(PackageState::NotAsked);
        let packages = |number| counted(number, "package", "packages");
        let how = if self.deep { "contents verified" } else { "size checked" };
        let mut lines = self.archive_lines(stored);
        lines.push(format!("{} available ({how})", packages(present)));
        let mut add = |number, what: &str| {
            if number > 0 {
                lines.push(format!("{} {what}", packages(number)));
            }
        };
        add(
            lost,
            if lost == 1 {
                "LOST: files that need it cannot be restored"
            } else {
                "LOST: files that need them cannot be restored"
            },
        );
        add(unreachable, "could not be checked: try again later");
        add(
            given_up,
            "not checked, since the latest requests to their hosts failed: try again later",
        );
        let options = self.limits();
        add(verified.not_asked, &format!("left for the next run ({options})"));
        if lost > 0 {
            lines.push(
                "If you have a copy of a lost package, add it to a pool: `hashget pool add --pool POOL FILE`"
                    .to_owned(),
            );
        }
        lines.extend(rehearsed.iter().flat_map(|one| rehearsed::lines(one, stored.is_some())));
        let mut record = json!({
            "deep": self.deep,
            "archive_read": stored.is_some(),
            "archive": stored.map(|stored| json!({
                "is_whole": stored.is_whole,
                "entries": stored.entries,
                "files": stored.files,
                "bytes": stored.bytes,
                "files_without_digest": stored.files_without_digest,
                "wrong": stored.wrong,
            })),
            "present": present,
            "lost": lost,
            "unreachable": unreachable,
            "not_asked": verified.not_asked + given_up,
        });
        if let Some(rehearsed) = rehearsed {
            record["rehearsed"] = rehearsed::record(rehearsed);
        }
        environment.console.summary("verify", record, &lines)?;
        Ok(())
    }
}

/// Calls `verify` with what verifying stands on: what supplements have, and what is on this machine, beside the network.
pub(super) fn with_verifier<R>(
    supplemented: &BTreeMap<Digest, String>,
    local: &dyn Source,
    environment: &Environment<'_>,
    verify: impl FnOnce(&Verifier<'_>) -> R,
) -> anyhow::Result<R> {
    let network = environment.network()?;
    Ok(verify(&Verifier {
        supplements: supplemented,
        network: &*network.source,
        web: &*network.web,
        local,
        checks: &*environment.checks()?,
        hashdb: &*environment.hashdb()?,
        jobs: environment.jobs,
    }))
}

/// Passes the packages to programs, and to persons who want them all.
fn list_packages(verified: &Verified, environment: &Environment<'_>) -> anyhow::Result<()> {
    for package in &verified.packages {
        environment.console.record("package", record(package))?;
        if environment.console.is_verbose() {
            list(package, environment)?;
        }
    }
    Ok(())
}

/// What was found in the archive itself.
fn archive_line(stored: &StoredVerified) -> String {
    let entries = counted(stored.entries, "entry", "entries");
    if stored.wrong > 0 {
        let wrong = counted(stored.wrong, "fault", "faults");
        return format!("The archive is DAMAGED: {wrong}; {entries} could be read");
    }
    let files = counted(stored.files, "file", "files");
    let but = match stored.files_without_digest {
        0 => String::new(),
        number => {
            format!("; {} it has no digest", counted(number, "file of which", "files of which"))
        }
    };
    format!("The archive is whole: {entries}, {files}, {} read to the end{but}", size(stored.bytes))
}

/// Lists the URLs that do not have a package, and, if none has it, the files that need it.
fn list(package: &VerifiedPackage, environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    let name = package.package.shown_name();
    for (url, outcome, found) in package.bad_places() {
        console.line(&format!("{name}: {}: {outcome}: {}", safe(url), safe(found)))?;
    }
    if package.state() == PackageState::Lost {
        for file in &package.files {
            console.line(&format!("{name}: needed for {file}"))?;
        }
    }
    Ok(())
}

/// The word for it in records.
pub(super) fn state_name(state: PackageState) -> &'static str {
    match state {
        PackageState::Present => "present",
        PackageState::Unreachable => "unreachable",
        PackageState::NotAsked => "not_asked",
        PackageState::Lost => "lost",
    }
}

fn record(package: &VerifiedPackage) -> serde_json::Value {
    let place = |(url, outcome, found): &(String, _, String)| {
        let outcome: &hashget::hashdb::CheckOutcome = outcome;
        json!({ "url": url, "outcome": outcome.to_string(), "found": found })
    };
    json!({
        "url": package.package.url,
        "sha256": package.package.sha256,
        "state": state_name(package.state()),
        "places": package.places.iter().map(place).collect::<Vec<_>>(),
        "local": package.local,
        "files": package.files,
        "under": package.under,
    })
}
