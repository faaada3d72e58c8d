//! The jobs of the configuration: the tables `[backup.NAME]`.
//!
//! Invariant: a job that was read is valid in itself. What is not built is refused, not ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hashget::parity;
use hashget_backup::chain::FULL_EVERY;
use hashget_backup::job::{HOOK_TIME, Hooks, Job, Notices, Share, SnapshotKind};
use hashget_backup::retention::Keep;
use hashget_backup::series::check_job;
use hashget_backup::store::Address;
use serde::{Deserialize, Deserializer};

use super::checked::{bytes, checked, http};
use super::nights::{self, full_every, recipients, share, snapshot, streams};
use crate::selection::profiles::Profile;
use crate::values;

/// Names that a job cannot have: they are commands.
const COMMANDS: [&str; 8] =
    ["list", "restore", "mount", "prune", "check", "status", "rescue", "help"];

/// The jobs, by name.
pub(super) type Sections = BTreeMap<JobName, Section>;

/// A job's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct JobName(String);

impl TryFrom<String> for JobName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check_job(&name).map_err(|error| error.to_string())?;
        if COMMANDS.contains(&&*name) {
            return Err(format!("\"{name}\" is a command: give the job another name"));
        }
        Ok(Self(name))
    }
}

/// A table `[backup.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    #[serde(deserialize_with = "sources")]
    sources: Vec<PathBuf>,
    #[serde(deserialize_with = "destinations")]
    to: Vec<Address>,
    #[serde(default, deserialize_with = "recipients")]
    encrypt: Vec<String>,
    #[serde(default, deserialize_with = "some_text")]
    host: Option<String>,
    #[serde(default, deserialize_with = "streams")]
    streams: BTreeMap<String, String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default, deserialize_with = "nights::profiles")]
    profile: Vec<Profile>,
    #[serde(default)]
    exclude_caches: bool,
    #[serde(default)]
    exclude_if_present: Vec<String>,
    #[serde(default, deserialize_with = "bytes")]
    exclude_larger_than: Option<u64>,
    #[serde(default)]
    respect_nodump: bool,
    #[serde(default)]
    one_file_system: bool,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    keep: KeepSection,
    #[serde(default = "yes")]
    prune: bool,
    #[serde(default, deserialize_with = "some_text")]
    schedule: Option<String>,
    #[serde(default)]
    before: Vec<String>,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    on_failure: Vec<String>,
    #[serde(default, deserialize_with = "time")]
    hook_time: Option<Duration>,
    #[serde(default, deserialize_with = "address")]
    ping: Option<String>,
    #[serde(default, deserialize_with = "some_text")]
    mail: Option<String>,
    #[serde(default)]
    metrics: Option<PathBuf>,
    #[serde(default, deserialize_with = "snapshot")]
    snapshot: Option<SnapshotKind>,
    #[serde(default, deserialize_with = "share")]
    share: Share,
    #[serde(default, deserialize_with = "nights::parity")]
    parity: Option<parity::Share>,
    #[serde(default, deserialize_with = "full_every")]
    full_every: Option<Duration>,
    #[serde(default, deserialize_with = "time")]
    lock: Option<Duration>,
    #[serde(default)]
    limit: LimitSection,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepSection {
    #[serde(default)]
    last: u32,
    #[serde(default)]
    hourly: u32,
    #[serde(default)]
    daily: u32,
    #[serde(default)]
    weekly: u32,
    #[serde(default)]
    monthly: u32,
    #[serde(default)]
    yearly: u32,
    #[serde(default, deserialize_with = "time")]
    within: Option<Duration>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitSection {
    #[serde(default, deserialize_with = "some_bytes")]
    upload: Option<u64>,
    #[serde(default, deserialize_with = "cores")]
    cpu: Option<usize>,
}

fn yes() -> bool {
    true
}

/// The jobs, on this host; relative paths are relative to `folder`, that of the configuration.
pub(super) fn jobs(sections: &Sections, host: &str, folder: &Path) -> Vec<Job> {
    sections.iter().map(|(name, section)| section.job(&name.0, host, folder)).collect()
}

impl Section {
    fn job(&self, name: &str, host: &str, folder: &Path) -> Job {
        let in_folder = |path: &PathBuf| folder.join(path);
        let keep = &self.keep;
        Job {
            name: name.to_owned(),
            host: self.host.clone().unwrap_or_else(|| host.to_owned()),
            sources: self.sources.iter().map(in_folder).collect(),
            options: self.options_of_pack(folder),
            encrypt: self.encrypt.clone(),
            to: self.to.iter().map(|to| destination_from(to, folder)).collect(),
            keep: Keep {
                last: keep.last,
                hourly: keep.hourly,
                daily: keep.daily,
                weekly: keep.weekly,
                monthly: keep.monthly,
                yearly: keep.yearly,
                within: keep.within,
            },
            prune: self.prune,
            schedule: self.schedule.clone(),
            hooks: Hooks {
                before: self.before.clone(),
                after: self.after.clone(),
                on_failure: self.on_failure.clone(),
                time: self.hook_time.unwrap_or(HOOK_TIME),
            },
            notices: Notices {
                ping: self.ping.clone(),
                mail: self.mail.clone(),
                metrics: self.metrics.as_ref().map(in_folder),
            },
            snapshot: self.snapshot,
            share: self.share,
            parity: self.parity,
            full_every: self.full_every.unwrap_or(FULL_EVERY),
            upload: self.limit.upload,
            lock: self.lock,
            cpu: self.limit.cpu,
        }
    }

    /// The keys that are options of `pack`, as words, and then `options`.
    fn options_of_pack(&self, folder: &Path) -> Vec<String> {
        let file_systems =
            if self.one_file_system { "--one-file-system" } else { "--local-file-systems" };
        let mut words = vec![file_systems.to_owned()];
        for pattern in &self.exclude {
            words.extend(["--exclude".to_owned(), pattern.clone()]);
        }
        for profile in &self.profile {
            words.extend(["--profile".to_owned(), profile.below(folder)]);
        }
        for name in &self.exclude_if_present {
            words.extend(["--exclude-if-present".to_owned(), name.clone()]);
        }
        if let Some(bytes) = self.exclude_larger_than {
            words.extend(["--exclude-larger-than".to_owned(), bytes.to_string()]);
        }
        let flags =
            [(self.exclude_caches, "--exclude-caches"), (self.respect_nodump, "--respect-nodump")];
        words
            .extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| (*flag).to_owned()));
        for (name, command) in &self.streams {
            words.extend(["--stream".to_owned(), format!("{name}={command}")]);
        }
        words.extend(self.options.iter().cloned());
        words
    }
}

/// A destination; a folder with its whole path.
fn destination_from(to: &Address, folder: &Path) -> Address {
    match to {
        Address::Folder(path) => Address::Folder(folder.join(path)),
        other => other.clone(),
    }
}

fn sources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    checked(deserializer, |sources: Vec<PathBuf>| match sources.is_empty() {
        true => Err("expected at least one folder or file".to_owned()),
        false => Ok(sources),
    })
}

fn destinations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
    checked(deserializer, |to: Vec<Address>| {
        if to.is_empty() {
            return Err("expected at least one destination".to_owned());
        }
        for (position, destination) in to.iter().enumerate() {
            if to[..position].iter().any(|other| other.shown() == destination.shown()) {
                return Err(format!("the destination {} is there twice", destination.shown()));
            }
        }
        Ok(to)
    })
}

fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, |text: String| {
        let is_line = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if is_line { Ok(Some(text)) } else { Err("expected a text in one line".to_owned()) }
    })
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, |text: String| http(&text).map(Some))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    checked(deserializer, |text: String| values::time(&text).map(Some))
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match bytes(deserializer)? {
        Some(0) => Err(serde::de::Error::custom("expected more than 0 bytes in a second")),
        some => Ok(some),
    }
}

fn cores<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    checked(deserializer, |cores: usize| match cores {
        1..=1024 => Ok(Some(cores)),
        _ => Err("expected from 1 to 1024 cores".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Vec<Job>, String> {
        let config = Config::parse(text, Path::new("/etc/hashget/config.toml"));
        config.map(|config| config.jobs("web1")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_is_read_with_all_its_keys() {
        let jobs = parse(
            r#"
            [backup.system]
            sources = ["/", "own"]
            to = ["/srv/backup", "backup", "s3://bucket/web1", { send = "cat", list = "ls" }]
            exclude = ["/var/tmp"]
            exclude_caches = true
            exclude_if_present = [".nobackup"]
            exclude_larger_than = "1G"
            respect_nodump = true
            options = ["--level", "19"]
            streams = { "var/backups/pg.sql" = "pg_dumpall" }
            keep = { last = 3, daily = 7, weekly = 4, monthly = 12, yearly = 3, within = "2d" }
            encrypt = ["age1example"]
            prune = false
            schedule = "02:30"
            before = ["true"]
            after = ["true", "true"]
            on_failure = ["false"]
            hook_time = "10min"
            snapshot = "btrfs"
            ping = "https://hc.example.org/uuid"
            mail = "root"
            metrics = "/var/lib/prometheus"
            share = "full"
            full_every = "14d"
            parity = "5%"
            lock = "14d"
            limit = { upload = "10M", cpu = 1 }

            [backup.home]
            sources = ["/home"]
            to = ["/srv"]
            one_file_system = true
            "#,
        )
        .unwrap();
        let [home, system] = &jobs[..] else { panic!("{jobs:?}") };
        assert_eq!((&*home.host, &*home.name), ("web1", "home"));
        assert_eq!(home.options, ["--one-file-system"]);
        assert!(home.keep.is_everything() && home.prune && home.hooks == Hooks::default());
        assert_eq!(system.sources, [Path::new("/"), Path::new("/etc/hashget/own")]);
        let shown: Vec<String> = system.to.iter().map(Address::shown).collect();
        assert_eq!(shown, ["/srv/backup", "/etc/hashget/backup", "s3://bucket/web1", "exec:cat"]);
        assert_eq!((system.keep.daily, system.hooks.time), (7, Duration::from_secs(600)));
        assert_eq!(system.encrypt, ["age1example"]);
        assert_eq!((system.snapshot, home.snapshot), (Some(SnapshotKind::Btrfs), None));
        let fourteen_days = Duration::from_secs(14 * 86_400);
        assert_eq!((system.lock, system.full_every), (Some(fourteen_days), fourteen_days));
        assert_eq!((system.parity, home.parity), (parity::Share::new(5), None));
        assert_eq!((home.share, home.full_every), (Share::Reflink, FULL_EVERY));
        assert_eq!(
            (system.upload, system.cpu, system.share),
            (Some(10 << 20), Some(1), Share::Full)
        );
        let words = system.options.join(" ");
        let expected = "--local-file-systems --exclude /var/tmp --exclude-if-present .nobackup \
                        --exclude-larger-than 1073741824 --exclude-caches --respect-nodump \
                        --stream var/backups/pg.sql=pg_dumpall --level 19";
        assert_eq!(words, expected);
    }

    #[test]
    fn profiles_are_options_and_their_files_lie_beside_the_configuration() {
        let job = "[backup.a]\nsources = [\"/\"]\nto = [\"/srv\"]\nprofile = [\"server\", \"own.toml\"]\n";
        let words = parse(job).unwrap()[0].options.join(" ");
        let expected = "--local-file-systems --profile server --profile /etc/hashget/own.toml";
        assert_eq!(words, expected);
    }

    #[test]
    fn a_command_encrypts_as_a_text_of_its_own() {
        let job = "[backup.a]\nsources = [\"/\"]\nto = [\"/srv\"]\nencrypt = \"gpg -e\"\n";
        assert_eq!(parse(job).unwrap()[0].encrypt, ["exec:gpg -e"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let with = |line: &str| format!("[backup.a]\nsources = [\"/\"]\nto = [\"/srv\"]\n{line}\n");
        for (text, expected) in [
            ("[backup.A]\n".to_owned(), ["line 1", "name of a job"]),
            (
                "[backup.list]\nsources = [\"/\"]\nto = [\"/a\"]\n".to_owned(),
                ["line 1", "is a command"],
            ),
            ("[backup.a]\nsources = [\"/\"]\n".to_owned(), ["line 1", "missing field"]),
            (
                "[backup.a]\nto = [\"/\"]\nsources = []\n".to_owned(),
                ["line 3", "at least one folder"],
            ),
            (
                "[backup.a]\nsources = [\"/\"]\nto = []\n".to_owned(),
                ["line 3", "at least one dest"],
            ),
            (
                "[backup.a]\nsources = [\"/\"]\nto = [\"/a\", \"/a\"]\n".to_owned(),
                ["line 3", "twice"],
            ),
            (
                "[backup.a]\nsources = [\"/\"]\nto = [\"ftp://a\"]\n".to_owned(),
                ["line 3", "ftp://a"],
            ),
            (with("kep = {}"), ["line 4", "unknown field"]),
            (with("keep = { dayly = 7 }"), ["line 4", "dayly"]),
            (with("keep = { daily = -1 }"), ["line 4", "daily"]),
            (with("keep = { within = \"soon\" }"), ["line 4", "expected a time"]),
            (with("profile = [\"desktop\"]"), ["line 4", "server, workstation"]),
            (with("share = \"chains\""), ["line 4", "expected \"reflink\""]),
            (with("streams = { \"/a\" = \"true\" }"), ["line 4", "absolute"]),
            (with("streams = { a = \" \" }"), ["line 4", "expected a command"]),
            (with("full_every = \"10min\""), ["line 4", "at least 1h"]),
            (with("parity = \"0%\""), ["line 4", "from 1% to 100%"]),
            (with("snapshot = \"hfs\""), ["line 4", "expected \"btrfs\""]),
            (with("ping = \"hc.example.org\""), ["line 4", "http://"]),
            (with("limit = { upload = \"0\" }"), ["line 4", "more than 0"]),
            (with("limit = { cpu = 0 }"), ["line 4", "1 to 1024"]),
            (with("encrypt = []"), ["line 4", "at least one recipient"]),
            (with("encrypt = \"age1abc\""), ["line 4", "write a list"]),
            (with("encrypt = 3"), ["line 4", "list of recipients"]),
            (with("mail = \"a\\nBcc: b\""), ["line 4", "one line"]),
        ] {
            let error = parse(&text).unwrap_err();
            for part in expected {
                assert!(error.contains(part), "{text:?} gave {error:?} without {part:?}");
            }
        }
    }
}
