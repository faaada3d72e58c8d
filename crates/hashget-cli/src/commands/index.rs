//! `hashget index`: what is inside these packages goes into the HashDB.
//!
//! Invariant: a package that fails does not keep the others from being indexed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use hashget::fetch;
use hashget::index::{IndexError, Indexed, Indexer, Request};
use hashget::model::Signature;
use hashget::monitor::{Interrupted, Monitor};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::{UsageError, problem_kind};
use crate::output::{counted, safe, size};
use crate::{causes, values};

/// Fetch packages and record what is inside them
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["urls", "tree"]))]
#[command(after_help = "Examples: hashget index https://example.org/wordpress-6.4.zip\n          \
                        hashget index --file ./tool.tar.gz https://example.org/tool-1.0.tar.gz\n          \
                        hashget index --tree /srv/www")]
pub(crate) struct Index {
    /// Permanent public URLs of packages
    #[arg(value_name = "URL", value_parser = values::package_url)]
    urls: Vec<String>,

    /// Run the detectors on this folder and index what they find
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "project", "expires", "signature", "recursive"])]
    tree: Option<PathBuf>,

    /// Which detectors look for packages in the folder: `all`, `none`, or names
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "all",
        requires = "tree"
    )]
    detect: Vec<String>,

    /// Take the bytes from this file; you vouch that the URL gives them
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,

    /// Your own grouping in the HashDB
    #[arg(long, value_name = "NAME")]
    project: Option<String>,

    /// The day after which the URL may be gone
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = values::date)]
    expires: Option<String>,

    /// The package's name in its ecosystem, such as deb:vim_9.0_amd64; repeatable
    #[arg(long, value_name = "TYPE:VALUE")]
    signature: Vec<Signature>,

    /// Read packages inside the packages too
    #[arg(long)]
    recursive: bool,
}

/// What came of it all.
#[derive(Default)]
struct Outcome {
    new: u64,
    known: u64,
    failed: u64,
}

impl Index {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        for (option, given) in
            [("--file", self.file.is_some()), ("--signature", !self.signature.is_empty())]
        {
            if given && self.urls.len() != 1 {
                let wrong = format!("{option} belongs to one package: give one URL with it");
                return Err(UsageError(wrong).into());
            }
        }
        let hashdb = environment.hashdb()?;
        let source = environment.source()?;
        let indexer = Indexer {
            hashdb: &hashdb,
            source: &*source,
            limits: &environment.limits,
            jobs: environment.jobs,
        };
        let outcome = match &self.tree {
            Some(tree) => self.index_tree(&indexer, tree, environment)?,
            None => self.index_urls(&indexer, environment)?,
        };
        let line = format!(
            "{} indexed, {} known before, {} failed",
            counted(outcome.new, "package", "packages"),
            outcome.known,
            outcome.failed
        );
        let record =
            json!({ "new": outcome.new, "known": outcome.known, "failed": outcome.failed });
        environment.console.summary("index", record, &[line])?;
        Ok(())
    }

    fn index_urls(
        &self,
        indexer: &Indexer<'_>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let mirrors = environment.mirrors();
        for url in &self.urls {
            let request = Request {
                url: fetch::public_url(&mirrors, url),
                file: self.file.clone(),
                signatures: self.signature.clone(),
                project: self.project.clone(),
                expires: self.expires.clone(),
                recursive: self.recursive,
                ..Request::default()
            };
            match indexer.index(&request, environment.console) {
                Ok(indexed) => self.tell(indexer, &indexed, environment, &mut outcome)?,
                Err(IndexError::HashDb(error)) => return Err(error.into()),
                Err(error) => {
                    if self.urls.len() == 1 || is_interruption(&error) {
                        return Err(error).with_context(|| format!("cannot index {}", safe(url)));
                    }
                    outcome.failed += 1;
                    let kind = problem_kind(&error);
                    let message = causes::messages(&error.into()).join(": ");
                    (environment.console as &dyn Monitor).problem(kind, safe(url), message);
                }
            }
        }
        if outcome.new + outcome.known == 0 {
            anyhow::bail!("none of {} packages could be indexed", self.urls.len());
        }
        Ok(outcome)
    }

    fn tell(
        &self,
        indexer: &Indexer<'_>,
        indexed: &Indexed,
        environment: &Environment<'_>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let console = environment.console;
        match indexed {
            Indexed::New { record, members, .. } => {
                outcome.new += 1;
                let number = u64::try_from(*members).unwrap_or(u64::MAX);
                console.record(
                    "package",
                    json!({ "state": "new", "members": members, "record": record }),
                )?;
                console.say(&format!(
                    "Indexed {}: {}, {}, format {}",
                    safe(&record.url),
                    size(record.size),
                    counted(number, "member", "members"),
                    record.format
                ));
            }
            Indexed::Known(id) => {
                outcome.known += 1;
                if let Some(record) = indexer.hashdb.package(*id)? {
                    console.say(&format!("Known already: {}", safe(&record.url)));
                    console.record("package", json!({ "state": "known", "record": record }))?;
                }
            }
        }
        Ok(())
    }

    fn index_tree(
        &self,
        indexer: &Indexer<'_>,
        tree: &Path,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Outcome> {
        if !fs_err::metadata(tree).context("cannot look for packages")?.is_dir() {
            return Err(UsageError(format!("{} is not a folder", tree.display())).into());
        }
        let console = environment.console;
        let detectors = environment.detectors(&self.detect)?;
        let indexed = indexer
            .index_tree(tree, &detectors, console)
            .with_context(|| format!("cannot index what is in {}", tree.display()))?;
        for candidate in &indexed.candidates {
            console.detail(&format!("{}: {}", candidate.found_at, safe(&candidate.url)));
            console.record(
                "candidate",
                json!({
                    "url": candidate.url,
                    "found_at": candidate.found_at,
                    "signature": candidate.signature.as_ref().map(ToString::to_string),
                }),
            )?;
        }
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Ok(Outcome {
            new: number(indexed.new),
            known: number(indexed.known),
            failed: number(indexed.failed.len()),
        })
    }
}

fn is_interruption(error: &IndexError) -> bool {
    causes::causes(error).iter().any(|cause| cause.is::<Interrupted>())
}
