//! `hashget pack`: a folder becomes an archive.
//!
//! Invariant: an archive never goes to a terminal, and never into itself.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{ArgGroup, Args, ValueEnum};
use hashget::fetch::Sources;
use hashget::model::Evidence;
use hashget::pack::{HashesKept, ManifestVersion, Output, PackOptions, Packer, SYSTEM_EXCLUDES};
use hashget::storage::StreamSink;

use self::destination::{ArchiveFormat, Destination};
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::values;

mod destination;
mod report;

pub(crate) use report::unreliable;

/// Pack a folder into an archive, without the files that public packages have
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).multiple(true).args(["file", "dry_run"]))]
#[command(after_help = "Example: hashget pack /srv/www -f www.tar.zst --exclude '*.log'")]
pub(crate) struct Pack {
    /// Folder to pack
    #[arg(value_name = "DIR")]
    tree: PathBuf,

    /// Archive to write; `-` is standard output
    #[arg(short, long, value_name = "FILE|-")]
    file: Option<PathBuf>,

    /// Format of the archive [default: by the name of FILE]
    #[arg(long, value_enum, value_name = "tar|tar.gz|tar.zst|tar.xz", hide_possible_values = true)]
    format: Option<ArchiveFormat>,

    /// Compression level: gzip and xz 0 to 9, zstd 1 to 22
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    level: Option<i32>,

    /// Leave matching files out of the backup altogether; repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// When packing `/`, include what is excluded by default (/proc, /tmp, apt's lists, ...)
    #[arg(long)]
    no_default_excludes: bool,

    /// Archive matching files without looking for packages that have them; repeatable
    #[arg(long, value_name = "GLOB")]
    skip: Vec<String>,

    /// Exclude the contents of folders marked with a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,

    /// Do not enter other file systems
    #[arg(long)]
    one_file_system: bool,

    /// Detectors to run: `all`, `none`, or a list of names
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "all")]
    detect: Vec<String>,

    /// Index no packages; use only what the HashDB already knows
    #[arg(long)]
    no_index: bool,

    /// Read every file, even if it has not changed since the last run
    #[arg(long)]
    no_scan_cache: bool,

    /// Archive smaller files without looking for packages that have them
    #[arg(long, value_name = "BYTES", value_parser = values::bytes, default_value = "0")]
    min_size: u64,

    /// Do not use a package that costs more than N bytes of download for each byte it saves
    #[arg(long, value_name = "N", value_parser = values::ratio)]
    max_fetch_ratio: Option<f64>,

    /// Weakest acceptable evidence that a package has a file: downloaded, signed, declared or local
    /// [default: signed]
    #[arg(long, value_name = "LEVEL")]
    evidence: Option<Evidence>,

    /// Files whose digests go into the manifest: those of 100 KiB or more, all, or none
    #[arg(long, value_enum, default_value_t, value_name = "anchors|all|none")]
    #[arg(hide_possible_values = true)]
    hashes: Hashes,

    /// Version of the manifest; 1 is for the older Python tool
    #[arg(long, value_name = "2|1", value_parser = clap::value_parser!(u8).range(1..=2), default_value_t = 2)]
    manifest_version: u8,

    /// Day until which the backup must be restorable; packages that expire earlier are not used
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = values::date)]
    expires: Option<String>,

    /// Print what would be packed, and write no archive
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Digests in the manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Hashes {
    /// Of files of 100 KiB or more
    #[default]
    Anchors,
    /// Of every file
    All,
    /// Of none: the packages' own digests pin them
    None,
}

impl Pack {
    /// What is kept when it is interrupted, and how to go on.
    pub(super) fn after_interruption(&self) -> String {
        let kept =
            "packages that were indexed and what was downloaded are kept: the same command goes on";
        match &self.file {
            _ if self.dry_run => kept.to_owned(),
            Some(file) if file == Path::new("-") => {
                format!("what went to standard output is no whole archive; {kept}")
            }
            _ => format!("no archive was written; {kept}"),
        }
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        if !fs_err::metadata(&self.tree)?.is_dir() {
            let tree = self.tree.display();
            return Err(UsageError(format!("{tree} is not a folder: pack takes a folder")).into());
        }
        let destination = self.destination(console.is_json())?;
        let mut options = self.options(environment)?;
        if let Some(format) = destination.format {
            options.codec = format.codec();
            options.level = format.checked_level(self.level)?;
        }
        options.exclude.extend(destination.exclusion(&self.tree)?);
        if !self.no_default_excludes && fs_err::canonicalize(&self.tree)? == Path::new("/") {
            options.exclude.extend(SYSTEM_EXCLUDES.iter().map(|&pattern| pattern.to_owned()));
            console.say(&format!(
                "Not in a backup of / (see --no-default-excludes): {}",
                SYSTEM_EXCLUDES.join(" ")
            ));
        }

        let hashdb = environment.hashdb()?;
        let Sources { source, web } = environment.sources()?;
        let mirrors = environment.mirrors();
        let packer = Packer {
            hashdb: &*hashdb,
            source: &*source,
            web: &*web,
            mirrors: &mirrors,
            limits: &environment.limits,
            jobs: environment.jobs,
        };
        let summary =
            packer.pack(&self.tree, destination.open()?, &options, console).with_context(|| {
                format!("cannot pack {} into {}", self.tree.display(), destination.name)
            })?;
        report::print(console, &self.tree, &destination, &summary)
    }

    fn destination(&self, json: bool) -> Result<Destination, UsageError> {
        match &self.file {
            _ if self.dry_run => Ok(Destination::nowhere()),
            Some(file) if file == Path::new("-") && json => Err(UsageError(
                "the archive and the --json records cannot both go to standard output: \
                 give a FILE"
                    .to_owned(),
            )),
            Some(file) => Destination::new(file, self.format),
            None => Err(UsageError("expected -f FILE".to_owned())),
        }
    }

    fn options<'a>(&self, environment: &'a Environment<'_>) -> Result<PackOptions<'a>, UsageError> {
        let config = &environment.config;
        let mut options = PackOptions {
            exclude: config.exclude.iter().chain(&self.exclude).cloned().collect(),
            skip: self.skip.clone(),
            exclude_caches: self.exclude_caches,
            one_file_system: self.one_file_system,
            min_size: self.min_size,
            hashes: match self.hashes {
                Hashes::Anchors => HashesKept::Anchors,
                Hashes::All => HashesKept::All,
                Hashes::None => HashesKept::None,
            },
            manifest_version: match self.manifest_version {
                1 => ManifestVersion::One,
                _ => ManifestVersion::Two,
            },
            expires: self.expires.clone(),
            evidence: self.evidence.or(config.evidence).unwrap_or(Evidence::Signed),
            detectors: environment.detectors(&self.detect)?,
            machine: environment.machine(),
            index: !self.no_index,
            scan_cache: environment.scan_cache().filter(|_| !self.no_scan_cache),
            ..PackOptions::default()
        };
        if let Some(ratio) = self.max_fetch_ratio {
            options.max_fetch_ratio = ratio;
        }
        Ok(options)
    }
}

impl Destination {
    /// Opens what the library writes to.
    fn open(&self) -> anyhow::Result<Output<'static>> {
        use destination::Medium;
        Ok(match &self.target {
            Medium::Nowhere => Output::Nothing,
            Medium::File(file) => Output::File(file.clone()),
            Medium::Device(file) => {
                let device = fs_err::OpenOptions::new().write(true).open(file)?;
                Output::Sink(Box::new(StreamSink::new(device)))
            }
            Medium::StandardOutput => {
                // The descriptor itself: an archive has no lines to be buffered by.
                let descriptor = std::io::stdout().as_fd().try_clone_to_owned()?;
                Output::Sink(Box::new(StreamSink::new(std::fs::File::from(descriptor))))
            }
        })
    }
}
