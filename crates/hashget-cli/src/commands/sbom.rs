//! `hashget sbom`: the bill of materials of an archive or a folder, for other tools.
//!
//! Invariant: nothing is fetched or indexed. Nothing is written but the scan cache and the document, which gets its name once it is
//! complete.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hashget::archive::{Holder, Requirements, StoredEntries};
use hashget::detectors::Candidate;
use hashget::fetch::name_beside;
use hashget::hashdb::complete_members;
use hashget::index::detect;
use hashget::model::manifest::AnyManifest;
use hashget::model::{Digest, Entry, Kind, Member, RelPath, Signature};
use hashget::monitor::Monitor;
use hashget::sbom::{Bom, Found, Specification, cyclonedx, spdx};
use serde_json::json;

use crate::archive::Knowledge;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::looked_into::{self, LookedInto, OfArchive};
use crate::output::{counted, safe, standard};
use crate::output_file::OutputFile;

/// The variable that says when what is written was made.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Write a bill of materials (SBOM): the packages of an archive or a folder, for scanners
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget sbom www.tar.zst -o www.cdx.json\n         \
                        hashget sbom /srv/www --format spdx -o www.spdx.json")]
pub(crate) struct Sbom {
    /// Archive, its URL, or a folder
    #[arg(value_name = "FILE|DIR|URL")]
    tree: PathBuf,

    /// Format of the document, JSON; SPDX is 2.3
    #[arg(long, value_name = "cyclonedx|spdx", value_enum, default_value_t = Format::Cyclonedx)]
    format: Format,

    /// Version of CycloneDX
    #[arg(long, value_name = "1.6|1.5", value_parser = ["1.6", "1.5"], default_value = "1.6")]
    spec: String,

    /// Leave matching files of a folder out; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Document to write; `-` is standard output
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    output: PathBuf,
}

/// The format of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Cyclonedx,
    Spdx,
}

impl Sbom {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let to_stdout = self.output == Path::new("-");
        if to_stdout && console.is_json() {
            let wrong =
                "--json and the document cannot both go to standard output: name a file with -o";
            return Err(UsageError(wrong.to_owned()).into());
        }
        if to_stdout {
            standard::expect_open()?;
        }
        let output = if to_stdout { None } else { Some(OutputFile::open(&self.output)?) };
        let bom = match looked_into::is_live(&self.tree) {
            true => self.of_folder(environment)?,
            false => self.of_archive(environment)?,
        };
        let document = match (self.format, &*self.spec) {
            (Format::Spdx, _) => spdx(&bom),
            (Format::Cyclonedx, "1.5") => cyclonedx(&bom, Specification::V1_5),
            (Format::Cyclonedx, _) => cyclonedx(&bom, Specification::V1_6),
        };
        match output {
            Some(file) => file.finish(&document)?,
            None => std::io::stdout().lock().write_all(&document)?,
        }
        self.summary(&bom, environment)
    }

    fn summary(&self, bom: &Bom, environment: &Environment<'_>) -> anyhow::Result<()> {
        let by_digest = bom.components.iter().filter(|one| one.by_digest.is_some_and(|it| it > 0));
        let by_digest = by_digest.count();
        let kinds = bom.kinds();
        let body = json!({
            "output": self.output.to_string_lossy(),
            "components": bom.components.len(),
            "by_digest": by_digest,
            "kinds": kinds,
        });
        let of_kinds: Vec<String> =
            kinds.iter().map(|(kind, number)| format!("{number} {kind}")).collect();
        let of_kinds = of_kinds.join(", ");
        let between = if of_kinds.is_empty() { "" } else { ": " };
        let line = format!(
            "{}{between}{of_kinds}; of {by_digest}, files were found by their digests",
            counted(bom.components.len() as u64, "package", "packages"),
        );
        environment.console.summary("sbom", body, &[line])?;
        Ok(())
    }

    /// When it was made: as the variable says, else the time of the newest of these entries.
    fn made<'e>(
        environment: &Environment<'_>,
        entries: impl Iterator<Item = &'e Entry>,
    ) -> anyhow::Result<Option<i64>> {
        let Some(text) = environment.text(SOURCE_DATE_EPOCH).filter(|text| !text.is_empty()) else {
            return Ok(entries.map(|entry| entry.metadata.mtime.seconds).max());
        };
        let wrong = || UsageError(format!("{SOURCE_DATE_EPOCH}={}: expected seconds", safe(&text)));
        Ok(Some(text.parse().map_err(|_| wrong())?))
    }

    fn bom(&self, made: Option<i64>, found: Vec<Found>, looked: &LookedInto) -> Bom {
        let name = match self.tree.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => self.tree.display().to_string(),
        };
        Bom::new(&name, made, env!("CARGO_PKG_VERSION"), found, &looked.systems)
    }

    fn of_archive(&self, environment: &Environment<'_>) -> anyhow::Result<Bom> {
        if !self.exclude.is_empty() {
            let wrong = "--exclude is for a folder; the contents of an archive are settled";
            return Err(UsageError(wrong.to_owned()).into());
        }
        let knowledge = Knowledge::if_there(environment)?;
        looked_into::archive(&self.tree, &knowledge, environment, |looked, _| {
            let of_archive = looked.archive.as_ref().expect("it is of an archive");
            let found = given(of_archive, &looked.entries, &knowledge, environment)?;
            let held = looked.entries.iter().zip(&of_archive.holders);
            let held = held.filter(|(_, holder)| **holder == Holder::Archive);
            let made = Self::made(environment, held.map(|(entry, _)| entry))?;
            Ok(self.bom(made, found, looked))
        })
    }

    fn of_folder(&self, environment: &Environment<'_>) -> anyhow::Result<Bom> {
        let excludes = looked_into::excludes(&self.tree, &self.exclude, environment)?;
        let (looked, _) = looked_into::folder(&self.tree, &excludes, true, environment)?;
        let mut found = self.known(excludes, environment)?;
        let detectors = environment.detectors(&[], &self.tree)?;
        let paths = looked.entries.iter().map(|entry| &entry.path);
        let (machine, jobs) = (environment.machine(), environment.jobs);
        let detected = detect(&self.tree, paths, &detectors, &machine, jobs, environment.console);
        (environment.console as &dyn Monitor).check_interrupted()?;
        found.extend(detected.candidates.iter().map(named));
        let made = Self::made(environment, looked.entries.iter())?;
        Ok(self.bom(made, found, &looked))
    }

    /// The packages that the HashDB knows, and that have files of the folder: those that a backup would rely on, wherever they
    /// are.
    fn known(
        &self,
        excludes: Vec<String>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Vec<Found>> {
        let manifest = looked_into::draft(&self.tree, excludes, true, environment)?;
        let knowledge = Knowledge::new(environment, false)?;
        let listing =
            knowledge.list(&manifest, StoredEntries::default(), &|_| true, environment)?;
        let (mut entries, mut holders) = (Vec::new(), Vec::new());
        for listed in listing.entries() {
            let listed = listed?;
            entries.push(listed.entry);
            holders.push(listed.holder);
        }
        let unnamed = listing.unnamed().iter().map(|one| one.package).collect();
        drop(listing);
        let of_draft = OfArchive { manifest, holders, unnamed };
        given(&of_draft, &entries, &knowledge, environment)
    }
}

/// The packages that an archive relies on, each with the number of files that it gives.
fn given(
    of_archive: &OfArchive,
    entries: &[Entry],
    knowledge: &Knowledge,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<Found>> {
    let requirements = Requirements::from_manifest(&of_archive.manifest)?;
    let mut files = vec![0_u64; requirements.packages.len()];
    for (entry, holder) in entries.iter().zip(&of_archive.holders) {
        if let (Holder::Package(package), Kind::File { .. } | Kind::HardLink { .. }) =
            (holder, &entry.kind)
        {
            files[*package] += 1;
        }
    }
    let unnamed: BTreeSet<usize> = of_archive.unnamed.iter().copied().collect();
    let is_version_1 = matches!(of_archive.manifest, AnyManifest::V1(_));
    let packages = requirements.packages.iter().enumerate();
    let packages = packages.filter(|(_, package)| name_beside(&package.url).is_none());
    let mut found = Vec::new();
    for (index, package) in packages {
        (environment.console as &dyn Monitor).check_interrupted()?;
        found.push(Found {
            signatures: package.signatures.iter().filter_map(|name| name.parse().ok()).collect(),
            urls: package.urls().map(str::to_owned).collect(),
            sha256: Some(package.sha256),
            by_digest: (!is_version_1 && !unnamed.contains(&index)).then_some(files[index]),
            files: files_in(&package.sha256, knowledge)?,
            is_recorded: false,
            places: places(&of_archive.manifest, index),
        });
    }
    Ok(found)
}

/// The number of files that a package has, if the HashDB knows all that is in it.
fn files_in(package: &Digest, knowledge: &Knowledge) -> anyhow::Result<Option<u64>> {
    let members = complete_members(&*knowledge.hashdb(), package)?;
    let is_file =
        |member: &&Member| matches!(member.kind, Kind::File { .. } | Kind::HardLink { .. });
    let number = members.map(|members| members.iter().filter(is_file).count());
    Ok(number.map(|number| u64::try_from(number).unwrap_or(u64::MAX)))
}

/// Where a package of a manifest is laid down.
fn places(manifest: &AnyManifest, package: usize) -> Vec<RelPath> {
    let AnyManifest::V2(manifest) = manifest else { return Vec::new() };
    let placements = manifest.packages.get(package).map(|package| &*package.placements);
    let folder = |to: &[u8]| RelPath::normalise(to.strip_suffix(b"/")?).ok();
    let placements = placements.unwrap_or_default().iter();
    placements.filter_map(|placement| folder(&placement.to.0)).collect()
}

/// What a detector found.
fn named(candidate: &Candidate) -> Found {
    let signatures: Vec<Signature> = candidate.signature.iter().cloned().collect();
    // With a question, the URL is that of a page.
    let is_certain = candidate.question.is_none();
    let urls = std::iter::once(&candidate.url).chain(&candidate.also);
    Found {
        signatures,
        urls: urls.filter(|_| is_certain).cloned().collect(),
        sha256: candidate.sha256,
        by_digest: None,
        files: None,
        is_recorded: true,
        places: vec![candidate.found_at.clone()],
    }
}
