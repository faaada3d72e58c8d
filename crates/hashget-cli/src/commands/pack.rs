//! `hashget pack`: packs a folder into an archive.
//!
//! Invariant: an archive is never written to a terminal, and never contains itself.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{ArgGroup, Args, ValueEnum};
use hashget::pack::{
    HashesKept, ManifestVersion, NamesKept, PackOptions, Packer, SYSTEM_EXCLUDES, Summary,
};
use hashget::parity::Share;

use self::destination::{ArchiveFormat, Destination, Medium};
use self::series::newest_of_series;
use self::streams::Streams;
use self::tree::Tree;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::standard;
use crate::packing::{Format, Reliance, WholeSystem, pack_options, with_packer_in_any_case};
use crate::publishers::Asking;
use crate::selection::Selection;
use crate::selection::profiles::Profiles;
use crate::values;

mod destination;
mod for_job;
mod output;
mod report;
mod series;
mod streams;
mod tree;

pub(crate) use destination::without_ending;
pub(crate) use for_job::PackLine;
pub(crate) use report::unreliable;

/// Pack folders and files into an archive, without the files that public packages have
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).multiple(true).args(["file", "dry_run"]))]
#[command(
    after_help = "Example: hashget pack /srv/www -f www.tar.zst --exclude '*.log'\n         \
                        hashget pack /etc --stream pg.sql='pg_dumpall' -f etc.tar.zst"
)]
pub(crate) struct Pack {
    /// Folder to pack; or several files and folders, with their paths in the archive
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "stream"])]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    streams: Streams,

    /// Archive to write: a file, s3://BUCKET/NAME or sftp://HOST/NAME; `-` is standard output
    #[arg(short, long, value_name = "FILE|-")]
    file: Option<PathBuf>,

    /// Format of the archive [default: by the name of FILE]
    #[arg(long, value_enum, value_name = "tar|tar.gz|tar.zst|tar.xz", hide_possible_values = true)]
    format: Option<ArchiveFormat>,

    /// Encrypt to this recipient: a key of age (age1..., ssh-ed25519 ...), a file of keys, or passphrase:FILE (FILE ends with
    /// .age); or by exec:COMMAND (.enc). Repeatable
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Vec<String>,

    /// Compression level: gzip and xz 0 to 9, zstd 1 to 22
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    level: Option<i32>,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    profiles: Profiles,

    #[command(flatten)]
    whole_system: WholeSystem,

    /// Detectors to run: `all`, `none`, names, or -NAME to leave one out [default: all; for `/` without hint]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', allow_hyphen_values = true)]
    detect: Vec<String>,

    /// Index no packages; use only what the HashDB already knows
    #[arg(long)]
    no_index: bool,

    /// Earlier archive to copy from what has not changed since [default: FILE itself, or the newest file beside it whose name
    /// differs only in numbers] (.tar.zst only)
    #[arg(long, value_name = "FILE")]
    reuse: Option<PathBuf>,

    /// Copy nothing from an earlier archive
    #[arg(long, conflicts_with = "reuse")]
    no_reuse: bool,

    /// Read every file, even if it has not changed since the last run
    #[arg(long)]
    no_scan_cache: bool,

    #[command(flatten)]
    reliance: Reliance,

    #[command(flatten)]
    asking: Asking,

    /// Files whose digests go into the manifest: those of 100 KiB or more, all, or none
    #[arg(long, value_enum, default_value_t, value_name = "anchors|all|none")]
    #[arg(hide_possible_values = true)]
    hashes: Hashes,

    /// Keep the names of what packages give, for `list`: while they are less than a tenth of the archive, always, or never
    /// (.tar.zst only)
    #[arg(long, value_enum, default_value_t, value_name = "auto|all|none")]
    #[arg(hide_possible_values = true)]
    names: Names,

    /// Write parity for this share of the archive beside it, into FILE.par2: damage can be healed by `hashget repair`
    #[arg(long, value_name = "PERCENT", value_parser = values::share)]
    parity: Option<Share>,

    /// Put `restore.py` into the archive, about 26 KB: a program that restores it without hashget
    #[arg(long)]
    with_restorer: bool,

    #[command(flatten)]
    manifest: Format,

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

/// Names of what packages give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Names {
    /// While they are less than a tenth of the archive
    #[default]
    Auto,
    /// Always
    All,
    /// Never
    None,
}

/// What only jobs give to packing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ForJob<'a> {
    /// The folder of a HashDB that only this archive relies on.
    pub(crate) base: Option<&'a Path>,
    /// The folder that is read in the place of the one that is packed.
    pub(crate) snapshot: Option<&'a Path>,
}

impl Pack {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        let kept =
            "packages that were indexed and what was downloaded are kept: the same command goes on";
        match &self.file {
            _ if self.dry_run => kept.to_owned(),
            Some(file) if file == Path::new("-") => {
                format!("the archive on standard output is incomplete; {kept}")
            }
            _ => format!("no archive was written; {kept}"),
        }
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let tree = Tree::of_paths_or_nothing(&self.paths)?;
        let destination = self.destination(console.is_json())?;
        let summary = self.packed(&tree, &destination, ForJob::default(), environment)?;
        let reported = report::print(console, &tree, &destination, &summary);
        match reported {
            // The archive is there, and the exit code is about the archive.
            Err(error) if !self.dry_run => console.warn(&format!(
                "the archive was written, but not what was to be reported about it: {error:#}"
            )),
            reported => return reported,
        }
        Ok(())
    }

    /// Packs, and reports nothing about it.
    fn packed(
        &self,
        tree: &Tree,
        destination: &Destination,
        for_job: ForJob<'_>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Summary> {
        let console = environment.console;
        if self.parity.is_some() {
            destination.expect_room_beside()?;
        }
        if destination.target == Medium::StandardOutput {
            standard::expect_open()?;
        }
        let mut options = self.options(tree, environment)?;
        if let Some(format) = destination.format {
            options.codec = format.codec();
            options.level = format.checked_level(self.level)?;
        }
        options.reuse = self.earlier_archive(destination)?;
        options.exclude_by_default.extend(destination.exclusion(tree)?);
        if tree.is_whole() && self.whole_system.exclude(&tree.folder, &mut options)? {
            console.say(&format!(
                "Excluded by default (see --no-default-excludes): {}",
                SYSTEM_EXCLUDES.join(" ")
            ));
        }
        options.snapshot = for_job.snapshot.map(Path::to_owned);
        options.supplied = self.streams.taken(destination.folder(), environment)?;
        if !self.streams.is_empty() && self.paths.is_empty() {
            // The folder in which nothing lies is another one each time.
            options.scan_cache = None;
        }
        // Before the destination: opening a FIFO waits for its reader.
        let sources = environment.brief_sources()?;
        let output = output::open(destination, self.parity, environment)?;
        let pack = |packer: &Packer<'_>, options: PackOptions<'_>| {
            let context = || format!("cannot pack {} into {}", tree.name, destination.name);
            packer.pack(&tree.folder, output, &options, console).with_context(context)
        };
        with_packer_in_any_case(environment, sources, &self.asking, for_job.base, options, pack)
    }

    fn destination(&self, json: bool) -> Result<Destination, UsageError> {
        match &self.file {
            _ if self.dry_run => Ok(Destination::nowhere()),
            Some(file) if file == Path::new("-") && json => Err(UsageError(
                "the archive and the --json records cannot both go to standard output: \
                 give a FILE"
                    .to_owned(),
            )),
            Some(file) => Destination::new(file, self.format)?.encrypted_to(&self.recipient),
            None => Err(UsageError("expected -f FILE".to_owned())),
        }
    }

    /// The archive from which is copied what has not changed.
    fn earlier_archive(&self, destination: &Destination) -> anyhow::Result<Option<PathBuf>> {
        // What is encrypted has no byte in common with anything else.
        let is_plain = destination.recipients.is_empty();
        let can_copy = destination.format == Some(ArchiveFormat::TarZst) && is_plain;
        match &self.reuse {
            Some(_) if !can_copy && !self.dry_run => {
                let problem = format!(
                    "--reuse: {} is no .tar.zst, and only a .tar.zst can copy",
                    destination.name
                );
                Err(UsageError(problem).into())
            }
            Some(file) => {
                let expected = "--reuse: expected an archive that can be read";
                if !fs_err::metadata(file).context(expected)?.is_file() {
                    let problem = format!("--reuse: {} is no regular file", file.display());
                    return Err(UsageError(problem).into());
                }
                fs_err::File::open(file).context(expected)?;
                Ok(Some(file.clone()))
            }
            None => Ok(match &destination.target {
                Medium::File(file) if can_copy && !self.no_reuse => newest_of_series(file),
                _ => None,
            }),
        }
    }

    fn options<'a>(
        &self,
        tree: &Tree,
        environment: &'a Environment<'_>,
    ) -> anyhow::Result<PackOptions<'a>> {
        let options = pack_options(environment, &self.selection, &self.reliance)?;
        if self.with_restorer && self.manifest.version() == ManifestVersion::One {
            let wrong = "--with-restorer needs a manifest of version 2";
            return Err(UsageError(wrong.to_owned()).into());
        }
        Ok(PackOptions {
            keep_in: environment.keep_in()?,
            hashes: match self.hashes {
                Hashes::Anchors => HashesKept::Anchors,
                Hashes::All => HashesKept::All,
                Hashes::None => HashesKept::None,
            },
            names: match self.names {
                Names::Auto => NamesKept::Auto,
                Names::All => NamesKept::All,
                Names::None => NamesKept::None,
            },
            profile: self.profiles.items(self.manifest.version())?,
            with_restorer: self.with_restorer,
            manifest_version: self.manifest.version(),
            detectors: environment.detectors(&self.detect, &tree.folder)?,
            selected: tree.selected.clone(),
            index: !self.no_index,
            scan_cache: options.scan_cache.clone().filter(|_| !self.no_scan_cache),
            ..options
        })
    }
}
