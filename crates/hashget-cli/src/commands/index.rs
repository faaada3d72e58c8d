//! `hashget index`: records the contents of packages in the HashDB.
//!
//! Invariant: if one package fails, the others are still indexed.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use hashget::detectors::{DETECTORS, Detector, is_moving};
use hashget::error::ErrorClass;
use hashget::fetch::Sources;
use hashget::hashdb::BlockStore;
use hashget::index::{IndexError, Indexed, Indexer, Request, SearchOptions};
use hashget::model::{Evidence, PackageRecord, Signature, display_name};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::pack::SYSTEM_EXCLUDES;
use hashget::tree::{FileSystems, Globs};
use hashget::wording::one_line;
use serde_json::json;

use super::pack::unreliable;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{Console, counted, named_package, safe, size};
use crate::values;

/// Download packages and record their contents in the HashDB
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["urls", "tree"]))]
#[command(after_help = "Examples: hashget index https://example.org/wordpress-6.4.zip\n          \
                        hashget index --file ./tool.tar.gz https://example.org/tool-1.0.tar.gz\n          \
                        hashget index --tree /srv/www")]
pub(crate) struct Index {
    /// Permanent public URLs of packages
    #[arg(value_name = "URL", value_parser = values::package_url)]
    urls: Vec<String>,

    /// Run the detectors on this folder and index the packages they find; `:debian` is this system
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "project", "expires", "signature", "recursive"])]
    tree: Option<PathBuf>,

    /// Detectors to run: `all`, `none`, names, or -NAME to leave one out [default: all; for `/` without hint]
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        allow_hyphen_values = true,
        conflicts_with = "urls"
    )]
    detect: Vec<String>,

    /// Do not search matching files and folders of the tree; repeatable
    #[arg(long, value_name = "GLOB", conflicts_with = "urls")]
    exclude: Vec<String>,

    /// Do not enter other file systems
    #[arg(long, conflicts_with = "urls")]
    one_file_system: bool,

    /// Read the package from this file; you vouch that the URL serves the same bytes
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,

    /// Group the packages under this name in the HashDB
    #[arg(long, value_name = "NAME")]
    project: Option<String>,

    /// Last day on which the URL is expected to work
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = values::date)]
    expires: Option<String>,

    /// Name of the package in its ecosystem, such as deb:vim_9.0_amd64; repeatable
    #[arg(long, value_name = "TYPE:VALUE")]
    signature: Vec<Signature>,

    /// Also index the packages inside the packages
    #[arg(long)]
    recursive: bool,

    /// Fetch packages again that are known already
    #[arg(long, conflicts_with = "tree")]
    again: bool,

    /// From now on, keep digests of the blocks of packages: `pack` finds these in images and other large files
    #[arg(long)]
    blocks: bool,
}

/// The result for all packages.
#[derive(Default)]
struct Outcome {
    new: u64,
    known: u64,
    failed: u64,
    /// Names of packages without a permanent URL.
    unreliable: Vec<String>,
}

/// The detector for a `tree` of the form `:NAME`, which stands for this machine's own system.
fn of_this_system(tree: &Path) -> Option<&'static dyn Detector> {
    let name = tree.to_str()?.strip_prefix(':')?;
    let is_it = |found: &&dyn Detector| found.name() == name && !found.system_paths().is_empty();
    DETECTORS.iter().copied().find(is_it)
}

impl Index {
    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        "packages that were indexed are in the HashDB, and downloads are kept: the same command continues"
            .to_owned()
    }

    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        for (option, given) in
            [("--file", self.file.is_some()), ("--signature", !self.signature.is_empty())]
        {
            if given && self.urls.len() != 1 {
                let wrong = format!("{option} describes one package: give exactly one URL");
                return Err(UsageError(wrong).into());
            }
        }
        if self.blocks {
            let folder = environment.hashdb_folder()?;
            BlockStore::keep_in(&folder)
                .with_context(|| format!("cannot keep blocks in {}", folder.display()))?;
        }
        let hashdb = environment.hashdb()?;
        let Sources { source, web } = environment.sources()?;
        let mirrors = environment.mirrors();
        let indexer = Indexer {
            hashdb: &*hashdb,
            source: &*source,
            web: &*web,
            shared: None,
            mirrors: &mirrors,
            limits: &environment.limits,
            jobs: environment.jobs,
            evidence: Evidence::Downloaded,
        };
        let outcome = match &self.tree {
            Some(tree) => self.index_tree(&indexer, tree, environment)?,
            None => self.index_urls(&indexer, environment)?,
        };
        let line = format!(
            "{} indexed, {} already known, {} failed",
            counted(outcome.new, "package", "packages"),
            outcome.known,
            outcome.failed
        );
        let record = json!({
            "new": outcome.new,
            "known": outcome.known,
            "failed": outcome.failed,
            "unreliable": outcome.unreliable,
        });
        let mut lines = vec![line];
        if !outcome.unreliable.is_empty() {
            lines.push(unreliable(&outcome.unreliable, environment.console.is_verbose()));
        }
        environment.console.summary("index", record, &lines)?;
        Ok(())
    }

    fn index_urls(
        &self,
        indexer: &Indexer<'_>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Outcome> {
        for url in self.urls.iter().filter(|url| is_moving(url)) {
            let note = "URLs of this form give other bytes from time to time: what is left out because of this package \
                        may not come back";
            (environment.console as &dyn Monitor).problem(ProblemKind::Note, safe(url), note);
        }
        let requests: Vec<Request> = self
            .urls
            .iter()
            .map(|url| Request {
                url: url.clone(),
                file: self.file.clone(),
                signatures: self.signature.clone(),
                project: self.project.clone(),
                expires: self.expires.clone(),
                recursive: self.recursive,
                again: self.again,
                ..Request::default()
            })
            .collect();
        let outcome = Mutex::new(Outcome::default());
        indexer.index_several(&requests, environment.console, |request, indexed| {
            let indexed =
                report_outcome(indexer, request, indexed, requests.len() == 1, environment)?;
            outcome.lock().expect("counting does not panic").count(indexed.as_ref());
            anyhow::Ok(())
        })?;
        let outcome = outcome.into_inner().expect("counting does not panic");
        if outcome.new + outcome.known == 0 {
            anyhow::bail!("none of {} packages could be indexed", self.urls.len());
        }
        Ok(outcome)
    }

    fn index_tree(
        &self,
        indexer: &Indexer<'_>,
        tree: &Path,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Outcome> {
        let console = environment.console;
        let machine = environment.machine();
        let indexed = if let Some(detector) = of_this_system(tree) {
            indexer.index_system(Path::new("/"), &[detector], &machine, console)
        } else {
            if !fs_err::metadata(tree)?.is_dir() {
                return Err(UsageError(format!("{} is not a folder", tree.display())).into());
            }
            let detectors = environment.detectors(&self.detect, tree)?;
            let options = self.search_options(tree, environment)?;
            indexer.index_part(tree, &options, &detectors, &machine, console)
        };
        let indexed =
            indexed.with_context(|| format!("cannot index what is in {}", tree.display()))?;
        for candidate in &indexed.candidates {
            let signature = candidate.signature.as_ref().map(ToString::to_string);
            let package = named_package(signature.as_slice(), &candidate.url);
            console.detail(&format!("{}: {package}", candidate.found_at));
            console.record(
                "candidate",
                json!({
                    "url": candidate.url,
                    "found_at": candidate.found_at,
                    "name": display_name(signature.as_slice(), &candidate.url),
                    "signature": signature,
                }),
            )?;
        }
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Outcome {
            new: number(indexed.new),
            known: number(indexed.known),
            failed: number(indexed.failed.len()),
            unreliable: indexed.unreliable,
        })
    }
}

impl Index {
    /// What of `tree` is searched: what a backup of it would hold, unless the options say otherwise.
    fn search_options(
        &self,
        tree: &Path,
        environment: &Environment<'_>,
    ) -> anyhow::Result<SearchOptions> {
        let is_system = fs_err::canonicalize(tree)? == Path::new("/");
        let by_default = SYSTEM_EXCLUDES.iter().copied().filter(|_| is_system);
        let own = self.exclude.iter().chain(&environment.config.exclude).map(String::as_str);
        let exclude = Globs::for_tree(own.chain(by_default), tree)
            .map_err(|error| UsageError(error.to_string()))?;
        let file_systems = if self.one_file_system { FileSystems::One } else { FileSystems::All };
        Ok(SearchOptions { exclude, file_systems })
    }
}

impl Outcome {
    /// Counts a package; `None` is one that failed.
    fn count(&mut self, indexed: Option<&Indexed>) {
        match indexed {
            Some(Indexed::New { .. }) => self.new += 1,
            Some(Indexed::Known(_)) => self.known += 1,
            None => self.failed += 1,
        }
    }
}

/// Reports the result for one package. `None` if it failed and the others continue.
fn report_outcome(
    indexer: &Indexer<'_>,
    request: &Request,
    indexed: Result<Indexed, IndexError>,
    is_only_one: bool,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<Indexed>> {
    let url = safe(&request.url);
    match indexed {
        Ok(indexed) => {
            report(indexer, &indexed, environment.console)?;
            Ok(Some(indexed))
        }
        Err(IndexError::HashDb(error)) => Err(error.into()),
        Err(error) if is_only_one || error.class() == ErrorClass::Interrupted => {
            Err(error).with_context(|| format!("cannot index {url}"))
        }
        Err(error) => {
            let kind = error.class().problem_kind();
            let message = one_line(&error);
            (environment.console as &dyn Monitor).problem(kind, url, message);
            Ok(None)
        }
    }
}

fn report(indexer: &Indexer<'_>, indexed: &Indexed, console: &Console) -> anyhow::Result<()> {
    match indexed {
        Indexed::New { record, members, .. } => {
            let name = record.display_name();
            let body =
                json!({ "state": "new", "name": name, "members": members, "record": record });
            console.record("package", body)?;
            console.say(&format!(
                "Indexed {}: {}, {}, format {}",
                named_record(record),
                size(record.size),
                counted(*members, "member", "members"),
                record.format
            ));
        }
        Indexed::Known(id) => {
            if let Some(record) = indexer.hashdb.record(*id)? {
                console.say(&format!("Already known: {}", named_record(&record)));
                let name = record.display_name();
                let body = json!({ "state": "known", "name": name, "record": record });
                console.record("package", body)?;
            }
        }
    }
    Ok(())
}

/// The package's name and URL.
fn named_record(record: &PackageRecord) -> String {
    let signatures: Vec<String> = record.signatures.iter().map(ToString::to_string).collect();
    named_package(&signatures, &record.url)
}
