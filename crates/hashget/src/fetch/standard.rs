//! The standard combination of sources: pools, cache, mirrors, retries, origin.
//!
//! Invariant: with `offline`, none of the sources can reach a server; only what the program opens itself beside an archive can.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside::BesideFirst;
use super::{
    BadTemplate, BesidePlaces, Cache, CircuitBreaker, Clock, Credentials, DirPool, Failover,
    HostLimits, HttpOrigin, HttpPool, MirrorPlace, MirrorRule, Mirrors, Offline, OriginOptions,
    Politeness, Proxies, Retry, RetryOptions, Source, SystemClock, TimeOuts, Web,
};
use crate::error::ErrorClass;
use crate::limits::Limits;

/// Where packages come from, as the program configures it.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// The cache's folder. Without one nothing is kept, and downloads use files without names.
    pub cache_dir: Option<PathBuf>,
    /// Size to which the cache is trimmed at the end.
    pub cache_limit: Option<u64>,
    /// Pools in order: the path of a folder, or an http or https URL. Folders are asked first.
    pub pools: Vec<String>,
    /// Pools that the program opened itself, such as buckets. They are asked after folders and the cache.
    pub opened_pools: OpenedPools,
    /// The places of archives, beside which what they need may lie. They are asked first.
    pub beside: BesidePlaces,
    /// Mirrors.
    pub mirrors: Vec<MirrorRule>,
    /// Politeness by host; other hosts have the default.
    pub hosts: BTreeMap<String, HostLimits>,
    /// Hosts that count as public, wherever they are, so that untrusted files may name them.
    pub public_hosts: BTreeSet<String>,
    /// Ask no server. A [`Shelf`](super::Shelf) of [`Self::beside`] is the program's own, and is asked all the same.
    pub offline: bool,
    /// Bounds on untrusted input.
    pub limits: Limits,
    /// Time-outs of requests.
    pub time_outs: TimeOuts,
    /// Tries and pauses.
    pub retry: RetryOptions,
    /// Logins for pools and mirrors.
    pub credentials: Credentials,
    /// The proxies that requests go through.
    pub proxies: Proxies,
}

/// Pools that are open.
#[derive(Clone, Default)]
pub struct OpenedPools(pub Vec<Arc<dyn Source>>);

impl fmt::Debug for OpenedPools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenedPools").field(&self.0.len()).finish()
    }
}

/// An invalid option.
#[derive(Debug, thiserror::Error)]
#[error("{option}: {problem}")]
pub struct BadOption {
    /// Which option, with its value.
    pub option: String,
    /// What is wrong with it.
    pub problem: String,
}

impl BadOption {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::BadInput
    }
}

/// The sources and the web for all stages.
pub struct Sources {
    /// Supplies packages.
    pub source: Box<dyn Source>,
    /// Answers small questions.
    pub web: Box<dyn Web>,
}

/// For packages: folders first, then the cache, which keeps what comes from HTTP pools, mirrors and origins.
/// For small questions: only mirrors and origins, and nothing is kept.
///
/// # Errors
/// A pool does not exist; a mirror rule has no places, or others than http and https, or a template that is not valid.
pub fn standard_sources(options: &FetchOptions) -> Result<Sources, BadOption> {
    check_mirrors(&options.mirrors)?;
    let (remote_pools, local_pools): (Vec<&String>, Vec<&String>) =
        options.pools.iter().partition(|pool| is_url(pool));
    let mut first: Vec<Box<dyn Source>> = Vec::new();
    for pool in local_pools {
        let opened = DirPool::open(Path::new(pool)).map_err(|error| BadOption {
            option: format!("pool {}", crate::model::escaped(pool.as_bytes())),
            problem: error.to_string(),
        })?;
        // Offline, a pool is searched completely, since there is no other source.
        first.push(Box::new(opened.thorough(options.offline)));
    }
    let Sources { source, web } = if options.offline {
        Sources { source: Box::new(Offline), web: Box::new(Offline) }
    } else {
        network(options, &remote_pools)?
    };
    first.push(match &options.cache_dir {
        Some(dir) => Box::new(Cache::new(dir.clone(), source).trimmed_to(options.cache_limit)),
        None => source,
    });
    Ok(beside(options, Failover::new(first), web))
}

/// Before these, what lies beside the archives that need it.
fn beside(options: &FetchOptions, inner: Failover, web: Box<dyn Web>) -> Sources {
    let (places, copies) = (options.beside.clone(), options.cache_dir.clone());
    let inner_web: Arc<dyn Web> = Arc::from(web);
    let web = BesideFirst { places: places.clone(), inner: inner_web, copies: None };
    let source = BesideFirst { places, inner, copies };
    Sources { source: Box::new(source), web: Box::new(web) }
}

/// The sources that use the network.
fn network(options: &FetchOptions, pools: &[&String]) -> Result<Sources, BadOption> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let breaker = CircuitBreaker::new(Arc::clone(&clock), options.retry.cool_down);
    let origin = HttpOrigin::new(OriginOptions {
        partial_dir: options.cache_dir.as_deref().map(Cache::partial_dir),
        keep_name: options.cache_dir.is_some(),
        limits: options.limits.clone(),
        politeness: Arc::new(Politeness::new(hosts(options), Arc::clone(&clock))),
        breaker: Arc::new(breaker.with_waits(options.retry.waits)),
        credentials: options.credentials.clone(),
        time_outs: options.time_outs,
        proxies: options.proxies.clone(),
        public_hosts: options.public_hosts.clone(),
        ..OriginOptions::default()
    });
    let patient = Arc::new(Retry::with_clock(origin, options.retry, clock));
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    for pool in &options.opened_pools.0 {
        sources.push(Box::new(Arc::clone(pool)));
    }
    for pool in pools {
        sources.push(Box::new(HttpPool::new(pool, Arc::<Retry<HttpOrigin>>::clone(&patient))));
    }
    let bad = |error: BadTemplate| BadOption {
        option: "a mirror".to_owned(),
        problem: error.to_string(),
    };
    let mirrors = Arc::new(Mirrors::new(options.mirrors.clone(), patient).map_err(bad)?);
    sources.push(Box::new(Arc::clone(&mirrors)));
    Ok(Sources { source: Box::new(Failover::new(sources)), web: Box::new(mirrors) })
}

/// Default limits for hosts that ask clients for restraint.
const SPARED: &[(&str, HostLimits)] =
    &[("snapshot.debian.org", HostLimits { connections: 2, requests_per_second: Some(2.0) })];

/// The limits by host: the user's, and those that hosts are known to ask for.
pub(super) fn hosts(options: &FetchOptions) -> BTreeMap<String, HostLimits> {
    let spared = SPARED.iter().map(|(host, limits)| ((*host).to_owned(), *limits));
    spared.chain(options.hosts.clone()).collect()
}

fn is_url(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.starts_with("http://") || text.starts_with("https://")
}

fn check_mirrors(rules: &[MirrorRule]) -> Result<(), BadOption> {
    for rule in rules {
        let bad = |problem: String| BadOption {
            option: format!("mirror of {}", crate::model::escaped(rule.prefix.as_bytes())),
            problem,
        };
        if rule.prefix.is_empty() {
            return Err(bad("its prefix is empty".to_owned()));
        }
        if rule.use_urls.is_empty() {
            return Err(bad("it names no place to fetch from".to_owned()));
        }
        if let Some(place) = rule.use_urls.iter().find(|place| !is_url(place)) {
            let place = super::fetch_url::shown(place);
            return Err(bad(format!("{place} is not an http or https URL")));
        }
        for place in &rule.use_urls {
            let checked = MirrorPlace::parse(place);
            checked.map_err(|error| bad(format!("{}: {error}", super::fetch_url::shown(place))))?;
        }
    }
    Ok(())
}
