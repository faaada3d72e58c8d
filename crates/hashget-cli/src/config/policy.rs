//! What the user wants of the places of packages (`[policy]`), and how they are audited (`[audit]`).
//!
//! Invariant: what was read is valid; a number of places is at least 1.

use std::collections::BTreeMap;
use std::time::Duration;

use hashget::archive::AtMost;
use hashget::places::Policy;
use serde::{Deserialize, Deserializer};

use super::Host;
use super::checked::checked;
use crate::values;

/// The table `[policy]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    #[serde(default, deserialize_with = "sources")]
    sources: Option<usize>,
    #[serde(default)]
    keep_in: KeepIn,
    #[serde(default)]
    min_age: BTreeMap<String, Age>,
    #[serde(default)]
    ecosystem: BTreeMap<String, Ecosystem>,
}

/// What becomes of files whose packages have too few places.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeepIn {
    /// They are archived.
    #[default]
    Archive,
    /// Their packages are put into the pool.
    Pool,
}

/// What holds for packages of one ecosystem.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ecosystem {
    #[serde(deserialize_with = "sources")]
    sources: Option<usize>,
}

/// A time, in seconds.
#[derive(Debug, Clone, Copy)]
struct Age(i64);

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = checked(deserializer, |text: String| values::time(&text))?.as_secs();
        Ok(Self(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }
}

/// The table `[audit]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Audit {
    /// How often each place is asked.
    #[serde(default = "month", deserialize_with = "time")]
    pub(crate) every: Duration,
    /// How often each package is downloaded and proven; never if absent.
    #[serde(default, deserialize_with = "some_time")]
    pub(crate) deep_every: Option<Duration>,
    /// What one run may take.
    #[serde(default, deserialize_with = "at_most")]
    pub(crate) at_most: Option<AtMost>,
    /// Where what is lost or at risk is kept after each run; nowhere if absent.
    pub(crate) heal: Option<HealInto>,
    /// When a timer of its own audits: a time of the day, or a calendar expression of systemd.
    pub(crate) schedule: Option<String>,
}

/// Where what is lost or at risk is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealInto {
    /// In the pool: whole packages.
    Pool,
    /// In supplements beside the archives.
    Supplement,
}

impl Default for Audit {
    fn default() -> Self {
        Self { every: month(), deep_every: None, at_most: None, heal: None, schedule: None }
    }
}

/// How long the answer of a server counts when packing, too.
fn month() -> Duration {
    Duration::from_secs(30 * 24 * 60 * 60)
}

impl Section {
    /// What becomes of files whose packages have too few places.
    pub(super) fn keep_in(&self) -> KeepIn {
        self.keep_in
    }

    /// The policy, with what is said of `hosts`; nothing is in a pool yet.
    pub(super) fn policy(&self, hosts: &BTreeMap<String, Host>) -> Policy {
        let mut policy = Policy::default();
        policy.sources = self.sources.unwrap_or(policy.sources);
        policy.min_age.extend(self.min_age.iter().map(|(kind, age)| (kind.clone(), age.0)));
        let of_kind = self.ecosystem.iter();
        policy.sources_of_kind = of_kind
            .filter_map(|(kind, ecosystem)| Some((kind.clone(), ecosystem.sources?)))
            .collect();
        for (name, host) in hosts {
            let name = name.to_ascii_lowercase();
            if let Some(sources) = host.sources {
                policy.sources_of_host.insert(name.clone(), sources);
            }
            if let Some(operator) = &host.operator {
                policy.operators.insert(name, operator.clone());
            }
        }
        policy
    }
}

pub(super) fn sources<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    checked(deserializer, |number: usize| match number {
        1..=9 => Ok(Some(number)),
        _ => Err("expected from 1 to 9 independent places".to_owned()),
    })
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    checked(deserializer, |text: String| match values::time(&text) {
        Ok(Duration::ZERO) => Err("expected more than no time, such as 30d".to_owned()),
        other => other,
    })
}

fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    time(deserializer).map(Some)
}

fn at_most<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<AtMost>, D::Error> {
    checked(deserializer, |text: String| values::at_most(&text).map(Some))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::check(text, Path::new("config.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_policy_is_read() {
        let config = parse(
            r#"
            [policy]
            sources = 2
            keep_in = "pool"
            min_age = { npm = "1d", pypi = "7d" }
            ecosystem.deb.sources = 1

            [host."Mirror.example"]
            sources = 3
            operator = "we"

            [audit]
            every = "10d"
            deep_every = "180d"
            at_most = "1G"
            heal = "supplement"
            "#,
        )
        .unwrap();
        let policy = config.policy();
        assert_eq!((policy.sources, config.keep_in()), (2, KeepIn::Pool));
        assert_eq!((policy.min_age["npm"], policy.min_age["pypi"]), (86_400, 7 * 86_400));
        assert_eq!(policy.min_age["crate"], 72 * 3600);
        assert_eq!(policy.sources_of_kind["deb"], 1);
        assert_eq!(policy.sources_of_host["mirror.example"], 3);
        assert_eq!(policy.operators["mirror.example"], "we");
        let audit = config.audit.unwrap();
        assert_eq!(audit.every.as_secs(), 864_000);
        assert_eq!(audit.heal, Some(HealInto::Supplement));
        assert_eq!(audit.at_most, Some(AtMost::Bytes(1 << 30)));
        assert_eq!(parse("").unwrap().policy().sources, 1);
    }

    #[test]
    fn what_no_policy_can_be_is_named() {
        for (text, expected) in [
            ("[policy]\nsources = 0", "from 1 to 9"),
            ("[policy]\nsources = \"two\"", "line 2"),
            ("[policy]\nkeep_in = \"cellar\"", "archive"),
            ("[policy]\nmin_age = { npm = \"soon\" }", "expected a time"),
            ("[policy]\nsource = 2", "sources"),
            ("[policy]\necosystem.npm.sources = 10", "from 1 to 9"),
            ("[audit]\nevery = \"0s\"", "more than no time"),
            ("[audit]\nat_most = \"much\"", "expected bytes"),
            ("[audit]\nheal = \"us\"", "supplement"),
            ("[host.\"a.example\"]\nsources = -1", "line 2"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
