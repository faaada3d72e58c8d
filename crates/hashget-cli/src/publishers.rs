//! Publishers of shared knowledge, as a command asks them: their options, where they are, and what is said of what was asked.
//!
//! Invariant: with `--offline` nobody is asked. What was asked is always said.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use hashget::archive::SharedForLost;
use hashget::fetch::LostPackages;
use hashget::hashdb::{AskHashes, SharedHashDb, now};
use hashget::model::Digest;
use hashget_backup::store::{Address, Patience, StoreSettings};
use hashget_published::client::{Asked, Manner, Publisher, SharedPublishers, Sharing};
use hashget_published::{Files, Folder, Memory, OnWeb, PublishedError, Remembered};
use serde_json::json;

use crate::config::{self, parse_hashes};
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{Console, safe, size};
use crate::published_in_store::InBucket;

/// How publishers are asked.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Asking {
    /// Ask publishers only for names of packages and for whole files of many packages, so that they learn nothing but the
    /// ecosystem
    #[arg(long)]
    pub(crate) private: bool,

    /// Files that publishers may be asked for by digest: large ones of the system, all, or none [default: by the configuration,
    /// else large]
    #[arg(long, value_name = "large|all|none", value_parser = parse_hashes)]
    pub(crate) ask_hashes: Option<AskHashes>,
}

/// The publishers that a command asks; none, if none is configured.
pub(crate) struct Shared<'e>(Option<Arc<SharedPublishers<'e>>>);

impl<'e> Shared<'e> {
    /// Nobody.
    pub(crate) fn nobody() -> Self {
        Self(None)
    }

    /// Those of the configuration.
    pub(crate) fn new(environment: &'e Environment<'_>, asking: &Asking) -> anyhow::Result<Self> {
        let configured = &environment.config.publisher;
        if configured.is_empty() || environment.is_offline() {
            return Ok(Self::nobody());
        }
        let mut publishers = Vec::with_capacity(configured.len());
        for one in configured {
            let hashes = match asking.ask_hashes {
                _ if asking.private => AskHashes::None,
                Some(asked) => asked,
                None => one.hashes,
            };
            publishers.push(Publisher {
                files: files(environment, &one.url)?,
                keys: one.keys.clone(),
                memory: memory(environment, one)?,
                hashes,
            });
        }
        let manner = Manner { private: asking.private };
        let agree = environment.config.publishers_agree.unwrap_or(1);
        if agree > configured.len() {
            let wrong = format!(
                "publishers_agree = {agree}, and only {} publishers are configured: nothing would ever be known",
                configured.len()
            );
            return Err(UsageError(wrong).into());
        }
        let sharing = Sharing { manner, agree, now: now() };
        let shared = SharedPublishers::new(publishers, sharing, environment.console);
        Ok(Self(Some(Arc::new(shared))))
    }

    /// What they know of packages in `lost`.
    pub(crate) fn of_lost(&self, lost: Arc<LostPackages>) -> Option<SharedForLost<'e>> {
        let shared = self.0.clone()?;
        Some(SharedForLost::new(shared, lost))
    }

    pub(crate) fn hashdb(&self) -> Option<&dyn SharedHashDb> {
        self.0.as_deref().map(|shared| shared as &dyn SharedHashDb)
    }

    /// Says what was asked, and what the publishers could learn from it.
    pub(crate) fn report(&self, console: &Console) -> anyhow::Result<()> {
        for (location, asked) in self.0.iter().flat_map(|shared| shared.asked()) {
            let Asked { requests, bytes, packages, digests, .. } = asked;
            let learned = asked.lesson();
            console.record(
                "publisher",
                json!({
                    "url": location,
                    "requests": requests,
                    "bytes": bytes,
                    "packages": packages,
                    "names": asked.names,
                    "whole_names": asked.whole_names,
                    "digests": digests,
                    "learned": learned,
                }),
            )?;
            let what = match learned.is_empty() {
                true => "It could learn nothing".to_owned(),
                false => format!("It could learn {}", learned.join("; ")),
            };
            let asked = asked.to_string().replace(&format!("{bytes} bytes"), &size(bytes));
            console.say(&format!("Asked {}: {asked}. {what}", safe(&location)));
        }
        Ok(())
    }
}

/// The files at the place of a publisher: a URL, a bucket, or a folder.
pub(crate) fn files(environment: &Environment<'_>, place: &str) -> anyhow::Result<Arc<dyn Files>> {
    if place.starts_with("s3://") {
        let address = Address::parse(place).map_err(|error| UsageError(error.to_string()))?;
        let settings =
            StoreSettings { patience: Patience::brief(), ..environment.store_settings()? };
        if let Address::S3(bucket, prefix) = address {
            return Ok(Arc::new(InBucket::new(bucket, prefix, settings)));
        }
    }
    Ok(match place.contains("://") {
        true => Arc::new(OnWeb::new(place, Arc::from(environment.network()?.web))),
        false => Arc::new(Folder::new(place)),
    })
}

/// Where what is remembered of a publisher is kept: beside the HashDB, since the records there are on its word.
fn memory(environment: &Environment<'_>, publisher: &config::Publisher) -> anyhow::Result<Memory> {
    let name = &Digest::of(publisher.name().as_bytes()).to_string()[..16];
    let file = environment.hashdb_folder()?.join("publishers").join(format!("{name}.json"));
    let cache: Option<PathBuf> = environment.cache_folder().map(|cache| cache.join("published"));
    Ok(Memory::new(file, cache))
}

/// What is remembered of a publisher, if anything is.
type Known = Result<Option<Remembered>, PublishedError>;

/// What is remembered of each publisher of the configuration, by its place.
pub(crate) fn remembered(environment: &Environment<'_>) -> anyhow::Result<Vec<(String, Known)>> {
    let of = |one: &config::Publisher| Ok((one.url.clone(), memory(environment, one)?.read()));
    environment.config.publisher.iter().map(of).collect()
}

/// Remembers that the publisher whose log has this origin said what is not so.
pub(crate) fn remember_lie(
    environment: &Environment<'_>,
    origin: &str,
    lie: &str,
) -> anyhow::Result<()> {
    for one in &environment.config.publisher {
        let memory = memory(environment, one)?;
        if let Some(known) = memory.read()?.filter(|known| known.origin == origin) {
            memory.write(&Remembered { lie: Some(lie.to_owned()), ..known })?;
        }
    }
    Ok(())
}
