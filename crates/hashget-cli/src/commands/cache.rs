//! `hashget cache`: the folder of downloads, which can be deleted at any time.
//!
//! Invariant: nothing is removed while another hashget uses the cache.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hashget::fetch::{CacheFolder, Clean};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{columns, counted, size};
use crate::values;

/// Look at the downloads that are kept, or delete them
#[derive(Debug, Args)]
pub(crate) struct Cache {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// How much is kept
    Status,
    /// Delete downloads: all of them, or those that were not used for long
    #[command(after_help = "Example: hashget cache clean --older-than 30d")]
    Clean {
        /// Only what was not used for this time (30d, 12h, 30min)
        #[arg(long, value_name = "TIME", value_parser = values::time)]
        older_than: Option<Duration>,

        /// Only what was not used for longest, until this size is left (10G)
        #[arg(long, value_name = "SIZE", value_parser = values::bytes)]
        larger_than: Option<u64>,
    },
}

impl Cache {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let dir = environment.cache_folder().ok_or_else(|| {
            UsageError("HOME is not set, so there is no cache: give --cache DIR".to_owned())
        })?;
        let folder = CacheFolder::new(&dir);
        match self.action {
            Action::Status => status(&folder, environment)
                .with_context(|| format!("cannot read the cache {}", dir.display())),
            Action::Clean { older_than, larger_than } => {
                let clean = match (older_than, larger_than) {
                    (None, None) => Clean::All,
                    (older_than, larger_than) => Clean::Some { older_than, larger_than },
                };
                let removed = folder
                    .clean(clean)
                    .with_context(|| format!("cannot clean the cache {}", dir.display()))?
                    .with_context(|| {
                        format!(
                            "another hashget uses the cache {}: nothing is removed",
                            dir.display()
                        )
                    })?;
                cleaned(&folder, removed, environment)
            }
        }
    }
}

fn status(folder: &CacheFolder, environment: &Environment<'_>) -> anyhow::Result<()> {
    let contents = folder.contents()?;
    let limit = environment.cache_limit();
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    let oldest = contents.oldest.map(seconds);
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let mut rows = vec![
        row("packages", format!("{}, {}", contents.packages, size(contents.bytes))),
        row("unfinished", format!("{}, {}", contents.unfinished, size(contents.unfinished_bytes))),
        row("limit", size(limit)),
    ];
    if let Some(oldest) = oldest {
        rows.insert(1, row("last used", format!("since {}", crate::output::day(oldest))));
    }
    let record = json!({
        "packages": contents.packages, "bytes": contents.bytes,
        "unfinished": contents.unfinished, "unfinished_bytes": contents.unfinished_bytes,
        "limit": limit, "oldest": oldest,
    });
    environment.console.summary("cache status", record, &columns("ll", &rows))?;
    Ok(())
}

fn cleaned(
    folder: &CacheFolder,
    (packages, bytes): (u64, u64),
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let left = folder.contents()?;
    let line = format!(
        "{} removed, {}; {} left, {}",
        counted(packages, "package", "packages"),
        size(bytes),
        counted(left.packages, "package", "packages"),
        size(left.bytes),
    );
    let record = json!({
        "removed": packages, "removed_bytes": bytes, "packages": left.packages, "bytes": left.bytes,
    });
    environment.console.summary("cache clean", record, &[line])?;
    Ok(())
}
