//! Locations on this machine: HashDB, cache, configuration.
//!
//! Invariant: an option overrides an environment variable, which overrides the configuration, which overrides the
//! default. Nothing is created here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use hashget::detectors::Machine;

use crate::exit::UsageError;

/// The environment of the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    variables: BTreeMap<OsString, OsString>,
    is_root: bool,
}

impl Surroundings {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let home = || std::env::home_dir().filter(|home| home.is_dir());
        Self::of(std::env::vars_os().collect(), home, is_root)
    }

    /// These variables. A service has no `HOME`, but its user has a home folder: logins, keys and caches in it are found by a
    /// nightly job as they are by the user at a terminal.
    fn of(
        mut variables: BTreeMap<OsString, OsString>,
        home: impl FnOnce() -> Option<PathBuf>,
        is_root: bool,
    ) -> Self {
        if !variables.contains_key(OsStr::new("HOME"))
            && let Some(home) = home()
        {
            variables.insert("HOME".into(), home.into());
        }
        Self { variables, is_root }
    }

    /// Does the process run as root?
    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }

    /// A variable that is set and not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.get(Path::new(name).as_os_str()).filter(|value| !value.is_empty())
    }

    /// The file with the user's logins: that of `NETRC`, otherwise `~/.netrc`.
    pub(crate) fn netrc(&self) -> Option<PathBuf> {
        let named = self.variable("NETRC").map(PathBuf::from);
        named.or_else(|| Some(Path::new(self.variable("HOME")?).join(".netrc")))
    }

    /// The file in which is written down what is said and asked.
    pub(crate) fn log_file(&self, flag: Option<&Path>) -> Option<PathBuf> {
        flag.map(Path::to_owned).or_else(|| self.variable("HASHGET_LOG").map(PathBuf::from))
    }

    /// The text of a variable that is set, even if it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.variables.get(Path::new(name).as_os_str())?.to_str().map(str::to_owned)
    }

    /// What detectors may use of this machine: its root, the user's home folder, the environment.
    pub(crate) fn machine(&self) -> Machine {
        let home = self.variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        Machine {
            root: Some(PathBuf::from("/")),
            homes: home.into_iter().collect(),
            variables: self.variables.clone(),
            ..Machine::default()
        }
    }

    /// The folder of the HashDB.
    pub(crate) fn hashdb(
        &self,
        flag: Option<&Path>,
        configured: Option<&Path>,
    ) -> Result<PathBuf, UsageError> {
        self.chosen(flag, "HASHGET_DB", configured)
            .or_else(|| self.home("/var/lib", "XDG_DATA_HOME", ".local/share"))
            .ok_or_else(|| {
                UsageError(
                    "HOME is not set, so there is no place for the HashDB: give --db DIR".into(),
                )
            })
    }

    /// The folder of downloads; `None` if there is no suitable folder.
    pub(crate) fn cache(&self, flag: Option<&Path>, configured: Option<&Path>) -> Option<PathBuf> {
        self.chosen(flag, "HASHGET_CACHE", configured)
            .or_else(|| self.home("/var/cache", "XDG_CACHE_HOME", ".cache"))
    }

    /// The folder of what is remembered of backups, and of archives that wait for being sent.
    pub(crate) fn backup_state(&self, configured: Option<&Path>) -> Result<PathBuf, UsageError> {
        let default =
            || Some(self.home("/var/lib", "XDG_STATE_HOME", ".local/state")?.join("backup"));
        self.chosen(None, "HASHGET_STATE", configured).or_else(default).ok_or_else(|| {
            UsageError("HOME is not set, so there is no place for the state of backups".into())
        })
    }

    /// The folder of systemd's units that an administrator, or the user, has written.
    pub(crate) fn systemd_units(&self) -> Result<PathBuf, UsageError> {
        if self.is_root {
            return Ok(PathBuf::from("/etc/systemd/system"));
        }
        let folder = self.home("", "XDG_CONFIG_HOME", ".config").ok_or_else(|| {
            UsageError("HOME is not set, so there is no place for units of systemd".into())
        })?;
        Ok(folder.with_file_name("systemd").join("user"))
    }

    /// The configuration file, and whether it must exist (if the user named it).
    pub(crate) fn config_file(&self, flag: Option<&Path>) -> Option<(PathBuf, bool)> {
        match self.chosen(flag, "HASHGET_CONFIG", None) {
            Some(file) => Some((file, true)),
            None => self
                .home("/etc", "XDG_CONFIG_HOME", ".config")
                .map(|folder| (folder.join("config.toml"), false)),
        }
    }

    /// All pools: those of the options, of the environment and of the configuration.
    pub(crate) fn pools(
        &self,
        flags: &[String],
        configured: &[String],
    ) -> Result<Vec<String>, UsageError> {
        let mut pools = flags.to_vec();
        if let Some(pool) = self.variable("HASHGET_POOL") {
            let pool = pool
                .to_str()
                .ok_or_else(|| "it is not UTF-8".to_owned())
                .and_then(crate::values::pool)
                .map_err(|problem| UsageError(format!("HASHGET_POOL: {problem}")))?;
            pools.push(pool);
        }
        pools.extend_from_slice(configured);
        Ok(pools)
    }

    fn chosen(
        &self,
        flag: Option<&Path>,
        variable: &str,
        configured: Option<&Path>,
    ) -> Option<PathBuf> {
        flag.map(Path::to_path_buf)
            .or_else(|| self.variable(variable).map(PathBuf::from))
            .or_else(|| configured.map(Path::to_path_buf))
    }

    /// `hashget` in the system's folder for root, otherwise in the user's.
    fn home(&self, system: &str, xdg: &str, below_home: &str) -> Option<PathBuf> {
        if self.is_root {
            return Some(Path::new(system).join("hashget"));
        }
        // The XDG specification says that relative paths are ignored.
        let absolute = |variable: &str| {
            self.variable(variable).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        absolute(xdg)
            .or_else(|| absolute("HOME").map(|home| home.join(below_home)))
            .map(|folder| folder.join("hashget"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(is_root: bool, variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Surroundings { variables, is_root }
    }

    #[test]
    fn a_service_without_home_has_that_of_its_user() {
        let home = || Some(PathBuf::from("/root"));
        let netrc = |variables: BTreeMap<OsString, OsString>| {
            Surroundings::of(variables, home, true).netrc().unwrap()
        };
        assert_eq!(netrc(BTreeMap::new()), Path::new("/root/.netrc"));
        let set = BTreeMap::from([("HOME".into(), "/srv/home".into())]);
        assert_eq!(netrc(set), Path::new("/srv/home/.netrc"));
    }

    #[test]
    fn a_flag_wins_over_the_environment_that_over_the_configuration_that_over_the_default() {
        let flag = Some(Path::new("/flag"));
        let configured = Some(Path::new("/configured"));
        let with = surroundings(false, &[("HOME", "/home/u"), ("HASHGET_DB", "/variable")]);
        let without = surroundings(false, &[("HOME", "/home/u"), ("HASHGET_DB", "")]);
        assert_eq!(with.hashdb(flag, configured).unwrap(), Path::new("/flag"));
        assert_eq!(with.hashdb(None, configured).unwrap(), Path::new("/variable"));
        assert_eq!(without.hashdb(None, configured).unwrap(), Path::new("/configured"));
        assert_eq!(without.hashdb(None, None).unwrap(), Path::new("/home/u/.local/share/hashget"));
    }

    #[test]
    fn users_have_their_own_places_and_root_has_the_systems() {
        let variables =
            [("HOME", "/home/u"), ("XDG_CACHE_HOME", "/fast"), ("XDG_DATA_HOME", "rel")];
        let user = surroundings(false, &variables);
        assert_eq!(user.cache(None, None).unwrap(), Path::new("/fast/hashget"));
        assert_eq!(user.hashdb(None, None).unwrap(), Path::new("/home/u/.local/share/hashget"));
        let file = PathBuf::from("/home/u/.config/hashget/config.toml");
        assert_eq!(user.config_file(None), Some((file, false)));
        let root = surroundings(true, &variables);
        assert_eq!(root.cache(None, None).unwrap(), Path::new("/var/cache/hashget"));
        assert_eq!(root.hashdb(None, None).unwrap(), Path::new("/var/lib/hashget"));
        let file = PathBuf::from("/etc/hashget/config.toml");
        assert_eq!(root.config_file(None), Some((file, false)));
    }

    #[test]
    fn a_named_configuration_must_be_there() {
        let named = surroundings(true, &[("HASHGET_CONFIG", "/x.toml")]);
        assert_eq!(named.config_file(None), Some((PathBuf::from("/x.toml"), true)));
        let flag = named.config_file(Some(Path::new("/y.toml")));
        assert_eq!(flag, Some((PathBuf::from("/y.toml"), true)));
    }

    #[test]
    fn without_a_home_only_the_hashdb_is_missed() {
        let homeless = surroundings(false, &[]);
        assert!(homeless.hashdb(None, None).unwrap_err().to_string().contains("--db"));
        assert_eq!(homeless.cache(None, None), None);
        assert_eq!(homeless.config_file(None), None);
    }

    #[test]
    fn all_pools_count_flags_first() {
        let surroundings = surroundings(false, &[("HASHGET_POOL", "/b")]);
        let pools = surroundings.pools(&["/a".into()], &["/c".into()]).unwrap();
        assert_eq!(pools, ["/a", "/b", "/c"]);
    }
}
