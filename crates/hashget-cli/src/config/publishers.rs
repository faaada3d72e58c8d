//! Publishers of shared knowledge (`[[publisher]]`).
//!
//! Invariant: what was read is valid: a place, and at least one key; all keys of a publisher have its name, which no other one has.

use std::collections::HashSet;
use std::path::Path;

use hashget::hashdb::AskHashes;
use hashget_published::PublicKey;
use serde::{Deserialize, Deserializer};

use super::checked::checked;

/// A publisher.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publisher {
    /// Where its files are: a URL, a bucket, or a folder.
    #[serde(deserialize_with = "place")]
    pub(crate) url: String,
    /// Its key, or several while it changes keys.
    #[serde(rename = "key", deserialize_with = "keys")]
    pub(crate) keys: Vec<PublicKey>,
    /// What it may be asked by digest.
    #[serde(default, deserialize_with = "hashes")]
    pub(crate) hashes: AskHashes,
}

impl Publisher {
    /// Its name: the origin of its log, which is in each of its keys.
    pub(crate) fn name(&self) -> &str {
        self.keys.first().map_or("", PublicKey::name)
    }

    /// Makes its folder relative to that of the configuration.
    pub(super) fn place_below(&mut self, folder: &Path) {
        if !self.url.contains("://")
            && let Some(joined) = folder.join(&self.url).to_str()
        {
            self.url = joined.to_owned();
        }
    }
}

/// Publishers, none of them twice.
pub(super) fn distinct<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Publisher>, D::Error> {
    checked(deserializer, |publishers: Vec<Publisher>| {
        let mut names = HashSet::new();
        match publishers.iter().find(|one| !names.insert(one.name())) {
            Some(twice) => Err(format!(
                "\"{}\" is here twice: expected each publisher once, with all of its keys",
                twice.name()
            )),
            None => Ok(publishers),
        }
    })
}

fn place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, |text: String| {
        let is_known = ["https://", "http://", "s3://"].iter().any(|start| text.starts_with(start));
        match text.contains("://") {
            true if !is_known => {
                Err(format!("\"{text}\": expected https://..., http://..., s3://... or a folder"))
            }
            true if text.split('/').nth(2).is_some_and(|host| host.contains('@')) => {
                Err("expected a URL without a login: what is published is for everybody".to_owned())
            }
            _ if text.is_empty() => Err("expected a URL or a folder".to_owned()),
            _ => Ok(text),
        }
    })
}

/// One key, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PublicKey>, D::Error> {
    checked(deserializer, |keys: OneOrMore| {
        let keys = match keys {
            OneOrMore::One(key) => vec![key],
            OneOrMore::More(keys) => keys,
        };
        if keys.is_empty() {
            return Err("expected at least one key".to_owned());
        }
        let keys = keys
            .iter()
            .map(|key| key.parse().map_err(|bad: hashget_published::BadKey| bad.to_string()))
            .collect::<Result<Vec<PublicKey>, String>>()?;
        match keys.iter().any(|key| key.name() != keys[0].name()) {
            true => Err("the keys have several names: expected those of one publisher".to_owned()),
            false => Ok(keys),
        }
    })
}

fn hashes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AskHashes, D::Error> {
    checked(deserializer, |text: String| parse_hashes(&text))
}

/// What may be asked by digest, by its word.
pub(crate) fn parse_hashes(text: &str) -> Result<AskHashes, String> {
    match text {
        "large" => Ok(AskHashes::Large),
        "all" => Ok(AskHashes::All),
        "none" => Ok(AskHashes::None),
        _ => Err(format!("\"{text}\": expected large, all or none")),
    }
}
