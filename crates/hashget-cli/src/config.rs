//! The configuration file. Every setting is optional; `docs/cli.md` describes them.
//!
//! Invariant: a configuration that was read successfully is valid. An error names the file, the line and the
//! key.

mod checked;
mod fallback;
mod jobs;
mod nights;
mod policy;
mod publishers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hashget::detectors::{self, Rule, RuleConfig};
use hashget::fetch::{HostLimits, MirrorRule, Proxies};
use hashget::model::Evidence;
use hashget::places::Policy;
use hashget_backup::job::Job;
use hashget_backup::store::S3Settings;
use serde::Deserialize;

use self::checked::{
    archive_url, bytes, connections, pools, proxy, rate, url_prefix, url_prefixes,
};
use self::fallback::Fallback;
pub(crate) use self::policy::{Audit, HealInto, KeepIn};
pub(crate) use self::publishers::{Publisher, parse_hashes};
use crate::exit::UsageError;

/// The contents of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder of the HashDB.
    pub(crate) db: Option<PathBuf>,
    /// Folder of downloads.
    pub(crate) cache: Option<PathBuf>,
    /// Folder of what is remembered of backups.
    pub(crate) state: Option<PathBuf>,
    /// Pools: folders and URLs.
    #[serde(default, deserialize_with = "pools")]
    pub(crate) pool: Vec<String>,
    /// Globs of paths that are excluded from every backup.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// The weakest evidence that `pack` relies on.
    pub(crate) evidence: Option<Evidence>,
    /// Detectors to run, as for `--detect`.
    pub(crate) detect: Option<Vec<String>>,
    /// A proxy for all requests.
    #[serde(default, deserialize_with = "proxy")]
    pub(crate) proxy: Option<Proxies>,
    /// Size limit of a download whose size nothing tells in advance.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) download_limit: Option<u64>,
    /// Limit on a decoder's window or dictionary.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) window_limit: Option<u64>,
    /// Seconds that a program of a recipe may take.
    pub(crate) program_seconds: Option<u64>,
    /// Size to which the cache is trimmed.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) cache_limit: Option<u64>,
    /// Mirrors. If several match a URL, the one with the longest prefix is used.
    #[serde(default)]
    mirror: Vec<Mirror>,
    /// Permanent archives of distributions' packages.
    #[serde(default)]
    archive: Vec<Archive>,
    /// What is known about hosts, by name.
    #[serde(default)]
    host: BTreeMap<String, Host>,
    /// Public archives that are asked, while restoring, for what no other source has.
    #[serde(default)]
    pub(crate) fallback: Fallback,
    /// The user's own detectors.
    #[serde(default)]
    rule: Vec<RuleConfig>,
    /// The checked detectors.
    #[serde(skip)]
    pub(crate) rules: Vec<Rule>,
    /// The jobs of `hashget backup`.
    #[serde(default)]
    backup: jobs::Sections,
    /// What is wanted of the places of packages.
    #[serde(default)]
    policy: policy::Section,
    /// How the places of packages are audited; by `backup` only if this is there.
    pub(crate) audit: Option<Audit>,
    /// Publishers of shared knowledge, in the order in which they are asked.
    #[serde(default, deserialize_with = "publishers::distinct")]
    pub(crate) publisher: Vec<Publisher>,
    /// How many of them must say the same of a package.
    pub(crate) publishers_agree: Option<usize>,
    /// Bytes that one run may download to check what publishers said.
    #[serde(default, deserialize_with = "bytes")]
    pub(crate) spot_checks: Option<u64>,
    /// What is known about buckets, by name.
    #[serde(default)]
    pub(crate) s3: BTreeMap<String, S3Settings>,
    /// The folder of the configuration, to which its relative paths are relative.
    #[serde(skip)]
    folder: PathBuf,
}

/// URLs that are fetched from other servers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirror {
    #[serde(deserialize_with = "url_prefix")]
    prefix: String,
    #[serde(rename = "use", deserialize_with = "url_prefixes")]
    use_urls: Vec<String>,
}

/// A permanent archive of a distribution's packages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    system: String,
    #[serde(default, deserialize_with = "archive_url")]
    packages: Option<String>,
    #[serde(default, deserialize_with = "archive_url")]
    repositories: Option<String>,
}

/// Limits on requests to a host, whether everybody can reach it, and how to log in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    #[serde(default, deserialize_with = "connections")]
    connections: Option<usize>,
    #[serde(default, deserialize_with = "rate")]
    requests_per_second: Option<f64>,
    #[serde(default)]
    public: bool,
    /// A file with a bearer token.
    token_file: Option<PathBuf>,
    /// The number of independent places that packages of this host must have.
    #[serde(default, deserialize_with = "policy::sources")]
    sources: Option<usize>,
    /// Who runs it, if others of its hosts have other names.
    operator: Option<String>,
}

impl Config {
    /// Reads the file. If it is missing, the configuration is empty, unless it `must_exist`.
    pub(crate) fn read(file: &Path, must_exist: bool) -> anyhow::Result<Self> {
        let text = match fs_err::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                return Ok(Self::default());
            }
            Err(error) => {
                let wrong = UsageError(format!("cannot read the configuration: {error}"));
                return Err(wrong.into());
            }
        };
        Ok(Self::parse(&text, file)?)
    }

    /// The configuration that a file with this text would be.
    ///
    /// # Errors
    /// It is not valid.
    pub(crate) fn check(text: &str, file: &Path) -> Result<Self, UsageError> {
        Self::parse(text, file)
    }

    fn parse(text: &str, file: &Path) -> Result<Self, UsageError> {
        let mut config: Self = toml::from_str(text).map_err(|error| explain(&error, text, file))?;
        config.rules = Rule::compile_all(&config.rule)
            .map_err(|error| UsageError(format!("{}: {error}", file.display())))?;
        // Relative paths are relative to the folder of the configuration.
        let folder = file.parent().unwrap_or(Path::new(""));
        for place in [&mut config.db, &mut config.cache, &mut config.state].into_iter().flatten() {
            *place = folder.join(&*place);
        }
        for token_file in config.host.values_mut().filter_map(|host| host.token_file.as_mut()) {
            *token_file = folder.join(&*token_file);
        }
        config.publisher.iter_mut().for_each(|publisher| publisher.place_below(folder));
        config.fallback.place_below(folder);
        for file in config.s3.values_mut().filter_map(|bucket| bucket.credentials_file.as_mut()) {
            *file = folder.join(&*file);
        }
        for pool in config.pool.iter_mut().filter(|pool| !pool.contains("://")) {
            if let Some(joined) = folder.join(&*pool).to_str() {
                *pool = joined.to_owned();
            }
        }
        config.folder = folder.to_owned();
        Ok(config)
    }

    /// The mirrors, as the library expects them.
    pub(crate) fn mirrors(&self) -> Vec<MirrorRule> {
        self.mirror
            .iter()
            .map(|mirror| MirrorRule {
                prefix: mirror.prefix.clone(),
                use_urls: mirror.use_urls.clone(),
            })
            .collect()
    }

    /// The archives, as detectors expect them.
    pub(crate) fn archives(&self) -> Vec<detectors::Archive> {
        self.archive
            .iter()
            .map(|archive| detectors::Archive {
                system: archive.system.clone(),
                packages: archive.packages.clone(),
                repositories: archive.repositories.clone(),
            })
            .collect()
    }

    /// The jobs of `hashget backup`, by name, for this host.
    pub(crate) fn jobs(&self, host: &str) -> Vec<Job> {
        jobs::jobs(&self.backup, host, &self.folder)
    }

    /// What is wanted of the places of packages; nothing is in a pool yet.
    pub(crate) fn policy(&self) -> Policy {
        self.policy.policy(&self.host)
    }

    /// What becomes of files whose packages have too few places.
    pub(crate) fn keep_in(&self) -> KeepIn {
        self.policy.keep_in()
    }

    /// The limits on requests, as the library expects them.
    pub(crate) fn hosts(&self) -> BTreeMap<String, HostLimits> {
        self.host
            .iter()
            .map(|(name, host)| {
                let default = HostLimits::default();
                let limits = HostLimits {
                    connections: host.connections.unwrap_or(default.connections),
                    requests_per_second: host.requests_per_second.or(default.requests_per_second),
                };
                (name.to_ascii_lowercase(), limits)
            })
            .collect()
    }

    /// The hosts that count as public, wherever they are.
    pub(crate) fn public_hosts(&self) -> BTreeSet<String> {
        let public = self.host.iter().filter(|(_, host)| host.public);
        public.map(|(name, _)| name.to_ascii_lowercase()).collect()
    }

    /// The hosts that have a token, each with the file that holds it.
    pub(crate) fn token_files(&self) -> impl Iterator<Item = (&str, &Path)> {
        let hosts = self.host.iter();
        hosts.filter_map(|(name, host)| Some((name.as_str(), host.token_file.as_deref()?)))
    }
}

/// File, line and what is wrong; the line itself shows the key.
fn explain(error: &toml::de::Error, text: &str, file: &Path) -> UsageError {
    let message = error.message().replace('\n', "; ").replace('`', "\"");
    let message = without_logins(&message);
    let Some(span) = error.span() else {
        return UsageError(format!("{}: {message}", file.display()));
    };
    let before = &text.as_bytes()[..span.start.min(text.len())];
    let number = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let line = without_logins(text.lines().nth(number - 1).unwrap_or("").trim());
    UsageError(format!("{}, line {number}: {message}, in: {line}", file.display()))
}

/// The text with `...` for what stands before its last `@`, from the first address or quotation mark on: it may be a
/// password.
fn without_logins(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else { return text.to_owned() };
    let address = before.find("://").map(|position| position + 3);
    let start = address.or_else(|| before.find(['"', '\'']).map(|position| position + 1));
    format!("{}...@{after}", &before[..start.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/hashget/config.toml"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn all_of_it_is_understood() {
        let config = parse(
            r#"
            db      = "/srv/hashdb"
            cache   = "downloads"
            state   = "state"
            pool    = ["/srv/pool", "pool", "https://example.org/pool/"]
            exclude = ["/proc", "/sys"]
            evidence = "downloaded"
            proxy   = "http://proxy.example:3128"
            download_limit = "2GiB"
            window_limit = "2G"
            program_seconds = 60
            cache_limit = "10G"

            [[mirror]]
            prefix = "https://snapshot.example/"
            use    = ["http://mirror.example/snapshot/", "https://snapshot.example/"]

            [[archive]]
            system   = "fedora"
            packages = "https://Archive.example/packages"

            [host."Snapshot.example"]
            connections = 2
            requests_per_second = 2

            [host."Packages.internal:8080"]
            public = true
            token_file = "packages.token"

            [[rule]]
            name = "our-builds"
            path = "opt/*/VERSION"
            url  = "https://builds.example/a.tar.gz"
            "#,
        )
        .unwrap();
        assert_eq!(config.db.as_deref(), Some(Path::new("/srv/hashdb")));
        assert_eq!(config.cache.as_deref(), Some(Path::new("/etc/hashget/downloads")));
        assert_eq!(config.state.as_deref(), Some(Path::new("/etc/hashget/state")));
        assert_eq!(config.pool, ["/srv/pool", "/etc/hashget/pool", "https://example.org/pool/"]);
        assert_eq!(config.evidence, Some(Evidence::Downloaded));
        assert_eq!(config.mirrors()[0].use_urls.len(), 2);
        let archive = &config.archives()[0];
        assert_eq!(archive.packages.as_deref(), Some("https://archive.example/packages/"));
        assert_eq!((&*archive.system, &archive.repositories), ("fedora", &None));
        assert_eq!(config.hosts()["snapshot.example"].connections, 2);
        assert!(config.public_hosts().iter().eq(["packages.internal:8080"]));
        let token_file = Path::new("/etc/hashget/packages.token");
        assert!(config.token_files().eq([("Packages.internal:8080", token_file)]));
        assert_eq!((config.download_limit, config.cache_limit), (Some(2 << 30), Some(10 << 30)));
        assert_eq!(config.window_limit, Some(2 << 30));
        assert_eq!(config.program_seconds, Some(60));
        assert_eq!(config.rules.len(), 1);
    }

    #[test]
    fn no_message_has_a_password() {
        for text in [
            "proxy = \"ftp://user:s3cret@proxy\"",
            "proxy = \"user:s3cret@\"",
            "proxy = 'http://user:s3cret@proxy' x",
            "proxy = \"http://user:s3cret@proxy",
            "proxy = \"ftp://user:'s3cret@proxy\"",
            "proxy = [\"http://user:s3cret@proxy\"]",
            "pool = \"http://user:s3cret@pool.example/\"",
            "pool = [\"ftp://user:s3cret@pool.example/\"]",
            "[[mirror]]\nprefix = \"https://a.example/\"\nuse = [\"ftp://user:s3cr@et@b.example/\"]",
            "[[mirror]]\nprefix = \"https://a.example/\"\nuse = \"http://user:s3cr@et@b.example/\"",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("s3cr") && !error.contains("et@"), "{text}: {error}");
        }
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        let config = parse("# nothing\n").unwrap();
        assert!(config.pool.is_empty() && config.rules.is_empty() && config.evidence.is_none());
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, expected) in [
            ("\n\npol = []\n", ["config.toml, line 3:", "pol", "expected one of"]),
            ("pool = 3\n", ["config.toml, line 1:", "pool = 3", "sequence"]),
            ("cache_limit = \"much\"", ["line 1:", "cache_limit", "number of bytes"]),
            ("evidence = \"hearsay\"", ["line 1:", "hearsay", "downloaded"]),
            ("[host.\"a\"]\nconnections = 0\n", ["line 2:", "connections = 0", "1 to 64"]),
            ("[[mirror]]\nprefix = \"x\"\nuse = []\n", ["line 2:", "prefix = \"x\"", "http://"]),
            (
                "[[mirror]]\nprefix = \"https://a.example/\"\nuse = [\"https://b.example/{sha1}\"]\n",
                ["line 3:", "has no meaning", "expected sha256"],
            ),
            ("[[archive]]\nsystem = \"a\"\npackages = \"x\"\n", ["line 3:", "packages", "http://"]),
            ("[[rule]]\nnome = \"x\"\n", ["line 2:", "nome", "unknown field"]),
            ("pool = [\"ftp://x\"]", ["line 1:", "ftp://", "not supported"]),
            ("exclude = [\n", ["line ", "exclude", "config.toml"]),
        ] {
            let error = parse(text).unwrap_err();
            for part in expected {
                assert!(error.contains(part), "{text:?} gave {error:?} without {part:?}");
            }
            assert!(!error.contains('\n'), "{error:?}");
        }
    }
}
