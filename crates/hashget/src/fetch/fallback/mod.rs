//! Fall-backs: public archives that are asked for what no other source has, while restoring and at no other time.
//!
//! Invariant: they are asked only for packages that anybody may know of, and their files, after everything else failed; and
//! each use is named to the user.

mod asking;
mod lost;
mod rate;
mod software_heritage;
mod vault;
mod wayback;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::asking::Asking;
pub use self::lost::LostPackages;
use self::lost::Public;
use self::rate::Rate;
use self::software_heritage::SoftwareHeritage;
use self::wayback::Wayback;
use super::fetch_url::FetchUrl;
use super::last_resort::{from_elsewhere, is_of_its_places, name_of};
use super::standard::hosts;
use super::{
    BadOption, Cache, CircuitBreaker, Clock, Credentials, FetchError, FetchOptions, Fetched,
    FileSource, HostLimits, HttpOrigin, KeptFiles, OriginOptions, Politeness, Retry, RetryOptions,
    Source, SystemClock, Wanted, shown,
};
use crate::model::{Checksum, Digest};
use crate::monitor::{Interrupted, Monitor, ProblemKind};

/// Where Software Heritage answers programs: <https://archive.softwareheritage.org/api/>.
pub const SOFTWARE_HERITAGE: &str = "https://archive.softwareheritage.org";

/// Where the Wayback Machine lists its copies (`/cdx/search/cdx`) and gives them back (`/web/`):
/// <https://github.com/internetarchive/wayback/tree/master/wayback-cdx-server>.
pub const WAYBACK: &str = "https://web.archive.org";

/// What is said of each service's own address: 24 lists a minute are answered by the Wayback Machine; Software Heritage asks for
/// restraint without a number.
const SPARED: &[(&str, HostLimits)] = &[
    (WAYBACK, HostLimits { connections: 1, requests_per_second: Some(0.4) }),
    (SOFTWARE_HERITAGE, HostLimits { connections: 2, requests_per_second: Some(2.0) }),
];

/// Tells URLs of hosts that are not everybody's.
type IsPrivate = dyn Fn(&str) -> bool + Send + Sync;

/// Which fall-backs there are.
pub struct FallbackOptions {
    /// The base address of Software Heritage, if it is to be asked.
    pub software_heritage: Option<String>,
    /// The base address of the Wayback Machine, if it is to be asked.
    pub wayback: Option<String>,
    /// A token for Software Heritage, which raises its limits.
    pub token: Option<String>,
    /// How long to wait in all until a limit of requests is lifted.
    pub wait: Duration,
    /// How long Software Heritage may take to put one directory together.
    pub cooking: Duration,
    /// Will others be asked for what is lost? Then it is found out what is public, even if none of the above is asked.
    pub publishers: bool,
    /// Tells URLs of hosts for which this machine's clients have credentials: nobody else is told of them.
    pub is_private: Box<IsPrivate>,
}

impl Default for FallbackOptions {
    fn default() -> Self {
        Self {
            software_heritage: Some(SOFTWARE_HERITAGE.to_owned()),
            wayback: Some(WAYBACK.to_owned()),
            token: None,
            wait: Duration::from_secs(600),
            cooking: Duration::from_secs(600),
            publishers: false,
            is_private: Box::new(|_| false),
        }
    }
}

impl fmt::Debug for FallbackOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the token.
        f.debug_struct("FallbackOptions")
            .field("software_heritage", &self.software_heritage)
            .field("wayback", &self.wayback)
            .finish_non_exhaustive()
    }
}

/// A source that ends in fall-backs, and what goes with it.
pub struct WithFallbacks {
    /// The source, and after it the fall-backs for packages.
    pub source: Box<dyn Source>,
    /// The fall-back for single files, if there is one: it is asked only for files of packages that are lost.
    pub files: Option<Box<dyn FileSource>>,
    /// The public packages that the source was asked for and did not have.
    pub lost: Arc<LostPackages>,
}

/// `source` with the fall-backs. With `offline`, or if nobody is to be asked, there are none, and nothing counts as lost.
///
/// # Errors
/// A base address is no http or https URL; the token has characters that no token has.
pub fn with_fallbacks(
    source: Box<dyn Source>,
    fetch: &FetchOptions,
    options: FallbackOptions,
) -> Result<WithFallbacks, BadOption> {
    let lost = Arc::new(LostPackages::default());
    let is_asked = options.software_heritage.is_some() || options.wayback.is_some();
    if fetch.offline || !(is_asked || options.publishers) {
        return Ok(WithFallbacks { source, files: None, lost });
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let made =
        |base: &str, token: Option<&str>| Ok(HttpOrigin::new(origin(fetch, base, token, &clock)?));
    let wayback = match &options.wayback {
        Some(base) => Some(packages(base, made(base, None)?, fetch, &clock)),
        None => None,
    };
    let files: Option<Box<dyn FileSource>> = match &options.software_heritage {
        Some(base) => Some(Box::new(SoftwareHeritage {
            asking: Asking {
                base: base.trim_end_matches('/').to_owned(),
                origin: made(base, options.token.as_deref())?,
                rate: Rate::new(Arc::clone(&clock), options.wait, options.token.is_some()),
                clock: Arc::clone(&clock),
            },
            lost: Arc::clone(&lost),
            gathered: KeptFiles::default(),
            told: Told::default(),
            limits: fetch.limits.clone(),
            cooking: options.cooking,
        })),
        None => None,
    };
    let public = Public {
        hosts: fetch.public_hosts.clone(),
        credentials: fetch.credentials.clone(),
        is_private: options.is_private,
    };
    let (put_off, shared) = (Mutex::default(), Arc::clone(&lost));
    let source = Box::new(AfterAll { inner: source, wayback, lost: shared, public, put_off });
    Ok(WithFallbacks { source, files, lost })
}

/// The copies of packages at `base`; what comes from there is kept in the cache.
fn packages(
    base: &str,
    origin: HttpOrigin,
    fetch: &FetchOptions,
    clock: &Arc<dyn Clock>,
) -> Box<dyn Source> {
    let inner = Retry::with_clock(origin, retry(fetch), Arc::clone(clock));
    let base = base.trim_end_matches('/').to_owned();
    let wayback = Wayback { base, inner, told: Told::default() };
    match &fetch.cache_dir {
        Some(dir) => {
            Box::new(Cache::new(dir.clone(), Box::new(wayback)).trimmed_to(fetch.cache_limit))
        }
        None => Box::new(wayback),
    }
}

/// A service that others pay for is asked less often, and not waited for as long, as the place where a package belongs.
fn retry(fetch: &FetchOptions) -> RetryOptions {
    let longest_retry_after = Duration::from_secs(30).min(fetch.retry.longest_retry_after);
    RetryOptions { tries: 3, longest_retry_after, ..fetch.retry }
}

/// How requests are made to the service at `base`.
fn origin(
    fetch: &FetchOptions,
    base: &str,
    token: Option<&str>,
    clock: &Arc<dyn Clock>,
) -> Result<OriginOptions, BadOption> {
    let bad =
        |problem: String| BadOption { option: format!("the fall-back {}", shown(base)), problem };
    let target = FetchUrl::parse(base).map_err(|error| bad(error.to_string()))?;
    let mut credentials = Credentials::default();
    if token.is_some_and(|token| !credentials.add_token(&target.host(), token)) {
        return Err(bad("its token has characters that no token has".to_owned()));
    }
    let mut hosts = hosts(fetch);
    if let Some((_, limits)) = SPARED.iter().find(|(own, _)| *own == base) {
        hosts.entry(target.host()).or_insert(*limits);
    }
    let breaker = CircuitBreaker::new(Arc::clone(clock), fetch.retry.cool_down).with_waits(1);
    Ok(OriginOptions {
        partial_dir: fetch.cache_dir.as_deref().map(Cache::partial_dir),
        keep_name: fetch.cache_dir.is_some(),
        limits: fetch.limits.clone(),
        politeness: Arc::new(Politeness::new(hosts, Arc::clone(clock))),
        breaker: Arc::new(breaker),
        credentials,
        time_outs: fetch.time_outs,
        proxies: fetch.proxies.clone(),
        public_hosts: fetch.public_hosts.clone(),
        ..OriginOptions::default()
    })
}

/// A source, and after it the fall-back for packages. The error is always that of the source itself.
struct AfterAll {
    inner: Box<dyn Source>,
    wayback: Option<Box<dyn Source>>,
    lost: Arc<LostPackages>,
    public: Public,
    /// Packages whose host may answer later, and was not asked again yet.
    put_off: Mutex<BTreeSet<Digest>>,
}

impl Source for AfterAll {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let error = match self.inner.fetch(wanted, monitor) {
            Err(error) => error,
            fetched => return fetched,
        };
        let Some(sha256) = wanted.sha256 else { return Err(error) };
        let put_off = || self.put_off.lock().expect("nothing panics while it looks").insert(sha256);
        // Whoever restores asks again later: then it counts.
        if !is_of_its_places(&error) || (error.again().is_some() && put_off()) {
            return Err(error);
        }
        let urls = self.public.urls(wanted);
        let Some(url) = urls.first() else { return Err(error) };
        self.lost.add(sha256, &name_of(wanted, url), wanted);
        match &self.wayback {
            Some(wayback) => {
                from_elsewhere(error, wanted, (&**wayback, urls), "no other source has it", monitor)
            }
            None => Err(error),
        }
    }

    fn at_hand_by_checksum(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Interrupted> {
        self.inner.at_hand_by_checksum(checksum, wanted, monitor)
    }

    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        self.inner.is_at_hand(wanted, monitor)
    }
}

/// What was said of a service, so that nothing is said twice.
#[derive(Debug, Default)]
struct Told(Mutex<BTreeSet<String>>);

impl Told {
    /// Says what is wrong with the service called `service`, unless that was said.
    fn trouble(&self, service: &str, problem: String, monitor: &dyn Monitor) {
        let mut said = self.0.lock().expect("nothing panics while it looks");
        if said.insert(problem.clone()) {
            monitor.problem(ProblemKind::Note, service, problem);
        }
    }
}

/// What is wrong, without a URL, which differs for each request.
fn reason(error: &FetchError) -> String {
    match error {
        FetchError::Unreachable { problem, .. } | FetchError::Transient { problem, .. } => {
            problem.clone()
        }
        FetchError::NotAsked { problem, .. } => format!("given up for now ({problem})"),
        FetchError::Denied { status, .. } => format!("it refuses access ({status})"),
        error => error.to_string(),
    }
}
