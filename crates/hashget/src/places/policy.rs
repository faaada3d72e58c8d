//! What the user wants of the places of packages beyond one that is certain: how many independent ones, and how old a package is to be.
//!
//! Invariant: pure. Two URLs of one operator are one place, since what makes one of them go takes the other along.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use url::{Host, Url};

use crate::hashdb::Check;
use crate::model::{Digest, PackageRecord};

/// Seconds of an hour, and of a day.
const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// How long a registry lets the owner of a version take it back without further conditions: npm's unpublish policy (72 hours), the
/// Cargo registry's rules for deleting crates (72 hours), RubyGems (30 days).
const MIN_AGE: &[(&str, i64)] = &[("npm", 72 * HOUR), ("crate", 72 * HOUR), ("gem", 30 * DAY)];

/// What is wanted of the places of packages.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The number of independent places that a package must have; at least 1.
    pub sources: usize,
    /// The same for packages with a signature of this kind (`deb`, `npm`, ...).
    pub sources_of_kind: BTreeMap<String, usize>,
    /// The same for packages that the host of their URL alone would give.
    pub sources_of_host: BTreeMap<String, usize>,
    /// The seconds for which a package with a signature of this kind must have been published, if its server says when that was.
    pub min_age: BTreeMap<String, i64>,
    /// Who runs a host, where its name does not say it.
    pub operators: BTreeMap<String, String>,
    /// The packages that lie in the user's own pools.
    pub pooled: InPool,
    /// The packages of which supplements have all that is needed.
    pub supplemented: InPool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            sources: 1,
            sources_of_kind: BTreeMap::new(),
            sources_of_host: BTreeMap::new(),
            min_age: MIN_AGE.iter().map(|(kind, age)| ((*kind).to_owned(), *age)).collect(),
            operators: BTreeMap::new(),
            pooled: InPool::default(),
            supplemented: InPool::default(),
        }
    }
}

/// Tells packages that lie in the user's own pools.
#[derive(Clone, Default)]
pub struct InPool {
    is_there: Option<Arc<IsInPool>>,
    /// What was added since.
    added: Arc<Mutex<BTreeSet<Digest>>>,
}

/// Is this package there, with this size in bytes if it is known?
type IsInPool = dyn Fn(&Digest, Option<u64>) -> bool + Send + Sync;

impl InPool {
    /// Packages for which `is_there` is true lie in a pool.
    pub fn new(is_there: impl Fn(&Digest, Option<u64>) -> bool + Send + Sync + 'static) -> Self {
        Self { is_there: Some(Arc::new(is_there)), added: Arc::default() }
    }

    /// Is this package there, with this size in bytes if it is known?
    pub fn has(&self, sha256: &Digest, size: Option<u64>) -> bool {
        let is_there = || self.is_there.as_ref().is_some_and(|is_there| is_there(sha256, size));
        self.added().contains(sha256) || is_there()
    }

    /// This package was added.
    pub fn add(&self, sha256: Digest) {
        self.added().insert(sha256);
    }

    fn added(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.added.lock().expect("nothing panics while it holds this")
    }
}

impl fmt::Debug for InPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InPool")
    }
}

impl Policy {
    /// The number of independent places that a package of these kinds and URLs must have. Of several rules the strictest counts, and
    /// one for a kind or a host before the general one.
    pub fn sources_for<'a>(&self, kinds: impl Iterator<Item = &'a str>, url: &str) -> usize {
        let of_kind = kinds.filter_map(|kind| self.sources_of_kind.get(kind));
        let host = host_of(url).unwrap_or_default();
        let special = of_kind.chain(self.sources_of_host.get(&host)).max();
        special.copied().unwrap_or(self.sources).max(1)
    }

    /// The number of operators of these URLs.
    pub fn operators_of<'a>(&self, urls: impl Iterator<Item = &'a str>) -> usize {
        urls.map(|url| self.operator_of(url)).collect::<BTreeSet<String>>().len()
    }

    /// Who runs the host of a URL: as the configuration says, else the domain that was registered.
    fn operator_of(&self, url: &str) -> String {
        let host = host_of(url).unwrap_or_default();
        match self.operators.get(&host) {
            Some(operator) => format!("={operator}"),
            None => registered(&host).to_owned(),
        }
    }

    /// The number of the user's own places that have this package, with this size in bytes if it is known: a pool, and a supplement.
    pub fn own_places(&self, sha256: &Digest, size: Option<u64>) -> usize {
        let has = |place: &InPool| usize::from(place.has(sha256, size));
        has(&self.pooled) + has(&self.supplemented)
    }

    /// Was a package with signatures of these kinds published too lately to rely on it? Only if its server has said when that was. What
    /// has been known here since `known_since` for as long as it must be old is old enough.
    pub fn is_young<'a>(
        &self,
        kinds: impl Iterator<Item = &'a str>,
        known_since: Option<i64>,
        checks: &[Check],
        now: i64,
    ) -> bool {
        let Some(min_age) = self.min_age_of(kinds, known_since, now) else { return false };
        let published = checks.iter().filter_map(|check| check.published_at).min();
        published.is_some_and(|at| now.saturating_sub(at) < min_age)
    }

    /// Should its server be asked when the package was published?
    pub fn wants_age(&self, record: &PackageRecord, checks: &[Check], now: i64) -> bool {
        // A server that was asked, and did not say, would not say it now.
        self.min_age_of(record.kinds(), Some(record.indexed_at), now).is_some()
            && checks.iter().all(|check| check.published_at.is_none() && check.deep)
    }

    /// The age that a package of these kinds must have, unless it has been known here for as long.
    fn min_age_of<'a>(
        &self,
        kinds: impl Iterator<Item = &'a str>,
        known_since: Option<i64>,
        now: i64,
    ) -> Option<i64> {
        let min_age = *kinds.filter_map(|kind| self.min_age.get(kind)).max()?;
        let is_known_long = |since: i64| now.saturating_sub(since) >= min_age;
        (!known_since.is_some_and(is_known_long)).then_some(min_age)
    }
}

fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// The part of a host's name that somebody registered: the last two labels, or three where the last but one is one under which a
/// country's names are registered (`co.uk`).
fn registered(host: &str) -> &str {
    if !matches!(Host::parse(host), Ok(Host::Domain(_))) {
        return host;
    }
    let labels: Vec<&str> = host.trim_end_matches('.').rsplit('.').collect();
    let is_country = |top: &str, second: &str| top.len() == 2 && second.len() <= 3;
    let wanted = match labels[..] {
        [top, second, _, ..] if is_country(top, second) => 3,
        _ => 2,
    };
    let length = labels.iter().take(wanted).map(|label| label.len() + 1).sum::<usize>();
    let host = host.trim_end_matches('.');
    &host[host.len().saturating_sub(length.saturating_sub(1))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_operator_are_one() {
        let policy = Policy {
            operators: [
                ("a.example".to_owned(), "we".to_owned()),
                ("b.example".to_owned(), "we".to_owned()),
            ]
            .into(),
            ..Policy::default()
        };
        for (urls, operators) in [
            (&["https://one.host.example/a", "https://two.host.example/a"][..], 1),
            (&["https://host.example/a", "https://other.example/a"], 2),
            (&["https://x.co.uk/a", "https://y.co.uk/a"], 2),
            (&["https://a.x.co.uk/a", "https://b.x.co.uk/a"], 1),
            (&["http://10.0.0.1/a", "http://10.0.0.2/a"], 2),
            (&["http://localhost:1/a", "http://localhost:2/a"], 1),
            (&["https://a.example/a", "https://b.example/a"], 1),
            (&["https://host.example/a", "https://host.example/b"], 1),
            (&[], 0),
        ] {
            assert_eq!(policy.operators_of(urls.iter().copied()), operators, "{urls:?}");
        }
    }

    #[test]
    fn a_rule_for_a_kind_or_a_host_comes_before_the_general_one() {
        let policy = Policy {
            sources: 2,
            sources_of_kind: [("deb".to_owned(), 1), ("npm".to_owned(), 3)].into(),
            sources_of_host: [("host.example".to_owned(), 4)].into(),
            ..Policy::default()
        };
        for (kinds, url, sources) in [
            (&["crate"][..], "https://other.example/a", 2),
            (&["deb"], "https://other.example/a", 1),
            (&["deb", "npm"], "https://other.example/a", 3),
            (&["deb"], "https://host.example/a", 4),
        ] {
            assert_eq!(policy.sources_for(kinds.iter().copied(), url), sources, "{kinds:?} {url}");
        }
    }
}
