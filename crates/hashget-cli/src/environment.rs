//! What a command works with: a HashDB, sources and limits, from the global options, the environment and the
//! configuration.
//!
//! Invariant: a HashDB or a source is opened only for commands that use it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::Context as _;
use hashget::detectors::{self, Detector, HINT, Machine, Rule, UnknownDetector};
use hashget::fetch::{
    self, Beside, BesidePlaces, Credentials, FetchOptions, ManagedPool, MirrorRule, Offline,
    OpenedPools, OriginOptions, Proxies, RetryOptions, Source, Sources, TimeOuts,
};
use hashget::hashdb::{Checks, HashDbWriter, LocalHashDb};
use hashget::limits::Limits;
use hashget::places::Policy;
use hashget_backup::encryption::Person;
use hashget_backup::store::{Store, StoreSettings};

use crate::arguments::Global;
use crate::config::{Config, KeepIn};
use crate::exit::UsageError;
use crate::kept::Kept;
use crate::keys::person;
use crate::lazy_hashdb::LazyHashDb;
use crate::logins;
use crate::output::Console;
use crate::places::Surroundings;
use crate::pools::is_opened;

/// The permission bits that new files of this process do not get.
pub(crate) fn umask() -> anyhow::Result<u32> {
    // Asking the system would set it.
    let status = fs_err::read_to_string("/proc/self/status")?;
    let value = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    let value = value.and_then(|value| u32::from_str_radix(value.trim(), 8).ok());
    value.context("/proc/self/status does not have the umask")
}

/// The size to which the cache is trimmed, unless the configuration says otherwise.
const CACHE_LIMIT: u64 = 10 << 30;

/// The number of threads, unless something else is said.
fn default_jobs(global: &Global) -> usize {
    let processors = || std::thread::available_parallelism().ok().map(usize::from);
    global.jobs.or_else(processors).unwrap_or(1)
}

/// What a command works with.
pub(crate) struct Environment<'a> {
    pub(crate) console: &'a Console,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    /// Number of threads, at least 1.
    pub(crate) jobs: usize,
    surroundings: Surroundings,
    global: &'a Global,
    hashdb: OnceLock<Arc<LocalHashDb>>,
    credentials: OnceLock<Credentials>,
    stores: Kept<Box<dyn Store>>,
    /// Where the archives lie that were opened.
    beside: BesidePlaces,
    /// Their files.
    opened: Mutex<Vec<PathBuf>>,
    /// Who is asked for passphrases.
    pub(crate) person: Person,
}

impl<'a> Environment<'a> {
    /// Reads the configuration. One that the user names is there, unless this is to write it.
    pub(crate) fn new(
        global: &'a Global,
        console: &'a Console,
        writes_configuration: bool,
    ) -> anyhow::Result<Self> {
        let surroundings = Surroundings::of_process();
        let config = match surroundings.config_file(global.config.as_deref()) {
            Some((file, is_named)) => Config::read(&file, is_named && !writes_configuration)?,
            None => Config::default(),
        };
        let jobs = default_jobs(global);
        let default = Limits::default();
        let download_bytes = config.download_limit.unwrap_or(default.download_bytes);
        let window_bytes = config.window_limit.unwrap_or(default.window_bytes);
        let limits = Limits { threads: jobs, download_bytes, window_bytes, ..default };
        let (hashdb, credentials, stores) = (OnceLock::new(), OnceLock::new(), Kept::default());
        Ok(Self {
            console,
            config,
            limits,
            jobs,
            surroundings,
            global,
            hashdb,
            credentials,
            stores,
            beside: BesidePlaces::default(),
            opened: Mutex::default(),
            person: person(console.interruption()),
        })
    }

    /// An archive lies there: what it needs may lie beside it, and is looked for there from now on.
    pub(crate) fn lies_at(&self, place: Beside) {
        self.beside.add(place);
    }

    /// This file is an archive that is opened: supplements may lie beside it.
    pub(crate) fn opens(&self, archive: &Path) {
        let mut opened = self.opened.lock().expect("nothing panics while it holds this");
        if !opened.iter().any(|known| known == archive) {
            opened.push(archive.to_owned());
        }
    }

    /// The files that are archives and were opened.
    pub(crate) fn opened_archives(&self) -> Vec<PathBuf> {
        self.opened.lock().expect("nothing panics while it holds this").clone()
    }

    /// The HashDB of this machine for whoever may have a use for it. It is not created.
    pub(crate) fn lazy_hashdb(&self) -> LazyHashDb {
        LazyHashDb::new(self.hashdb_folder().ok())
    }

    /// Is there a HashDB on this machine?
    pub(crate) fn has_hashdb(&self) -> bool {
        self.hashdb_folder().is_ok_and(|folder| LocalHashDb::is_in(&folder))
    }

    /// The stores that are open.
    pub(crate) fn stores(&self) -> &Kept<Box<dyn Store>> {
        &self.stores
    }

    /// The identities that were given.
    pub(crate) fn given_identity(&self) -> &[PathBuf] {
        &self.global.identity
    }

    /// The text of a variable of the environment.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.surroundings.text(name)
    }

    /// Does hashget run as root?
    pub(crate) fn is_root(&self) -> bool {
        self.surroundings.is_root()
    }

    /// The folder of what is remembered of backups.
    pub(crate) fn backup_state(&self) -> Result<PathBuf, UsageError> {
        self.surroundings.backup_state(self.config.state.as_deref())
    }

    /// The configuration file, whether it is there or not.
    pub(crate) fn config_file(&self) -> Result<PathBuf, UsageError> {
        let file = self.surroundings.config_file(self.global.config.as_deref());
        let wrong = || UsageError("HOME is not set: give --config FILE".to_owned());
        file.map(|(file, _)| file).ok_or_else(wrong)
    }

    /// The configuration file, if the user named one.
    pub(crate) fn given_config(&self) -> Option<PathBuf> {
        let (file, is_named) = self.surroundings.config_file(self.global.config.as_deref())?;
        std::path::absolute(file).ok().filter(|_| is_named)
    }

    /// The folder of systemd's units that an administrator, or the user, has written.
    pub(crate) fn systemd_units(&self) -> Result<PathBuf, UsageError> {
        self.surroundings.systemd_units()
    }

    /// How requests are made to servers that the configuration names.
    pub(crate) fn origin_options(&self) -> Result<OriginOptions, UsageError> {
        Ok(OriginOptions { proxies: self.proxies()?, ..OriginOptions::default() })
    }

    /// What stores are opened with.
    pub(crate) fn store_settings(&self) -> Result<StoreSettings, UsageError> {
        let home = self.text("HOME").map(PathBuf::from);
        let (network, variable) = (self.origin_options()?, |name: &str| self.text(name));
        let settings = StoreSettings::of_environment(home.as_deref(), network, variable);
        Ok(StoreSettings { s3: self.config.s3.clone(), ..settings })
    }

    /// Works with so many threads, instead of as many as the options say.
    pub(crate) fn set_jobs(&mut self, jobs: Option<usize>) {
        self.jobs = jobs.unwrap_or_else(|| default_jobs(self.global));
        self.limits.threads = self.jobs;
    }

    /// Was `--offline` given?
    pub(crate) fn is_offline(&self) -> bool {
        self.global.offline
    }

    /// The HashDB.
    pub(crate) fn hashdb(&self) -> anyhow::Result<Arc<dyn HashDbWriter>> {
        Ok(self.local_hashdb()?)
    }

    /// The store for the results of checks.
    pub(crate) fn checks(&self) -> anyhow::Result<Arc<dyn Checks>> {
        Ok(self.local_hashdb()?)
    }

    /// The HashDB of this machine, for the commands that manage it. It is created if it does not exist.
    pub(crate) fn local_hashdb(&self) -> anyhow::Result<Arc<LocalHashDb>> {
        if let Some(hashdb) = self.hashdb.get() {
            return Ok(Arc::clone(hashdb));
        }
        let folder = self.hashdb_folder()?;
        let opened = LocalHashDb::open(&folder)
            .with_context(|| format!("cannot open the HashDB in {}", folder.display()))?;
        Ok(Arc::clone(self.hashdb.get_or_init(|| Arc::new(opened))))
    }

    /// The folder of the HashDB.
    pub(crate) fn hashdb_folder(&self) -> Result<PathBuf, UsageError> {
        self.surroundings.hashdb(self.global.db.as_deref(), self.config.db.as_deref())
    }

    /// The sources of packages, and the web for small questions.
    pub(crate) fn sources(&self) -> anyhow::Result<Sources> {
        made(&self.fetch_options()?)
    }

    /// The same for a backup, which can do without what does not answer soon.
    pub(crate) fn brief_sources(&self) -> anyhow::Result<Sources> {
        let retry = RetryOptions { waits: 1, ..RetryOptions::default() };
        made(&FetchOptions { time_outs: TimeOuts::brief(), retry, ..self.fetch_options()? })
    }

    /// Only the network, without the cache and pools.
    pub(crate) fn network(&self) -> anyhow::Result<Sources> {
        let (pools, opened_pools) = (Vec::new(), OpenedPools::default());
        made(&FetchOptions { cache_dir: None, pools, opened_pools, ..self.fetch_options()? })
    }

    /// Only pool folders and the cache.
    pub(crate) fn local(&self) -> anyhow::Result<Box<dyn Source>> {
        let beside = self.beside.only_folders();
        Ok(made(&FetchOptions { offline: true, beside, ..self.fetch_options()? })?.source)
    }

    /// The pools, in the order in which they are named.
    pub(crate) fn pools(&self) -> Result<Vec<String>, UsageError> {
        self.surroundings.pools(&self.global.pool, &self.config.pool)
    }

    /// What is wanted of the places of packages, with the number of places that an option gives.
    pub(crate) fn policy(&self, sources: Option<u8>) -> Result<Policy, UsageError> {
        let mut policy = self.config.policy();
        policy.sources = sources.map_or(policy.sources, usize::from);
        policy.pooled = self.in_pools()?;
        Ok(policy)
    }

    /// The pool into which packages are put that have too few places, if the configuration wants that.
    pub(crate) fn keep_in(&self) -> Result<Option<Arc<dyn ManagedPool>>, UsageError> {
        match self.config.keep_in() {
            KeepIn::Archive => Ok(None),
            KeepIn::Pool => {
                self.managed_pool().map(|pool| Some(Arc::from(pool))).map_err(|error| {
                    UsageError(format!("keep_in = \"pool\" in [policy]: {}", error.0))
                })
            }
        }
    }

    /// Where packages come from.
    pub(crate) fn fetch_options(&self) -> Result<FetchOptions, UsageError> {
        let (opened, pools): (Vec<_>, Vec<_>) =
            self.pools()?.into_iter().partition(|pool| is_opened(pool));
        let options = FetchOptions {
            cache_dir: self.cache_folder(),
            cache_limit: Some(self.cache_limit()),
            pools,
            beside: self.beside.clone(),
            mirrors: self.mirrors(),
            hosts: self.config.hosts(),
            public_hosts: self.config.public_hosts(),
            offline: self.global.offline,
            limits: self.limits.clone(),
            credentials: self.credentials()?.clone(),
            proxies: self.proxies()?,
            ..FetchOptions::default()
        };
        let opened_pools = self.opened_pools(&opened, &options)?;
        Ok(FetchOptions { opened_pools, ..options })
    }

    /// The logins for pools and mirrors. Their files are read once, and not at all if no place could need one.
    fn credentials(&self) -> Result<&Credentials, UsageError> {
        if let Some(credentials) = self.credentials.get() {
            return Ok(credentials);
        }
        let pools = self.pools()?;
        let needs_any = pools.iter().any(|pool| pool.contains("://")) || !self.mirrors().is_empty();
        let mut credentials = Credentials::default();
        for (host, file) in self.config.token_files() {
            logins::add_token(&mut credentials, host, file)?;
        }
        if let Some(netrc) = self.surroundings.netrc().filter(|_| needs_any) {
            logins::add_netrc(&mut credentials, &netrc, self.console);
        }
        Ok(self.credentials.get_or_init(|| credentials))
    }

    /// The proxy of the configuration, or those of the environment.
    fn proxies(&self) -> Result<Proxies, UsageError> {
        if let Some(proxies) = &self.config.proxy {
            return Ok(proxies.clone());
        }
        let variables = |name: &str| self.surroundings.text(name);
        Proxies::of_variables(variables)
            .map_err(|(name, error)| UsageError(format!("the variable {name}: {error}")))
    }

    /// The folder of downloads, if there is one.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        self.surroundings.cache(self.global.cache.as_deref(), self.config.cache.as_deref())
    }

    /// The size to which the cache is trimmed.
    pub(crate) fn cache_limit(&self) -> u64 {
        self.config.cache_limit.unwrap_or(CACHE_LIMIT)
    }

    /// The folder of the scan cache, if there is a cache.
    pub(crate) fn scan_cache(&self) -> Option<PathBuf> {
        self.cache_folder().map(|cache| cache.join("scan"))
    }

    /// The mirrors of the configuration.
    pub(crate) fn mirrors(&self) -> Vec<MirrorRule> {
        self.config.mirrors()
    }

    /// What detectors may use of this machine besides the tree.
    pub(crate) fn machine(&self) -> Machine {
        Machine {
            archives: self.config.archives(),
            public_hosts: self.config.public_hosts(),
            ..self.surroundings.machine()
        }
    }

    /// The detectors and rules for `tree` with these names, or, if there are none, with those of the configuration.
    ///
    /// Anybody who may write to a file of a system could name URLs in a hint. For `/`, hints are therefore used only if
    /// they are asked for by name.
    pub(crate) fn detectors(
        &self,
        names: &[String],
        tree: &Path,
    ) -> anyhow::Result<Vec<&dyn Detector>> {
        let every = ["all".to_owned()];
        let (names, place) = match &self.config.detect {
            _ if !names.is_empty() => (names, "--detect"),
            Some(configured) => (&**configured, "detect in the configuration"),
            None => (&every[..], "--detect"),
        };
        let is_system = fs_err::canonicalize(tree)? == Path::new("/");
        chosen(names, &self.config.rules, is_system)
            .map_err(|error| UsageError(format!("{place}: {error}")).into())
    }
}

/// The detectors and rules with these names; for the whole system, hints only if they are asked for.
fn chosen<'a>(
    names: &[String],
    rules: &'a [Rule],
    is_system: bool,
) -> Result<Vec<&'a dyn Detector>, UnknownDetector> {
    let mut chosen = detectors::select(names, rules)?;
    if is_system && names.iter().all(|name| name != HINT) {
        chosen.retain(|detector| detector.name() != HINT);
    }
    Ok(chosen)
}

/// For commands that only look at the HashDB: whether pools are there does not matter to them.
pub(crate) fn no_sources() -> Sources {
    Sources { source: Box::new(Offline), web: Box::new(Offline) }
}

fn made(options: &FetchOptions) -> anyhow::Result<Sources> {
    Ok(fetch::standard_sources(options).map_err(|error| UsageError(error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_of_a_whole_system_are_used_only_if_they_are_asked_for() {
        for (names, is_system, expected) in [
            (&["all"][..], false, true),
            (&["all"], true, false),
            (&["all", "hint"], true, true),
            (&["hint"], true, true),
            (&["-cargo"], true, false),
            (&["hint", "-hint"], true, false),
        ] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let chosen = chosen(&names, &[], is_system).unwrap();
            let has_hint = chosen.iter().any(|detector| detector.name() == HINT);
            assert_eq!(has_hint, expected, "{names:?} {is_system}");
        }
    }
}
