//! The profiles of `--profile`: lists of what programs make again, those of hashget and those of the user.
//!
//! Invariant: an item that was read has a reason, a command, and a pattern that matches no files of people or of the system; what is wrong is named with its file, item and key.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hashget::model::RelPath;
use hashget::model::manifest::ProfileItem;
use hashget::pack::ManifestVersion;
use hashget::tree::Globs;
use serde::Deserialize;

use crate::exit::UsageError;

/// The profiles of hashget, by name.
const PROFILES: [(&str, &str); 2] = [
    ("server", include_str!("../../profiles/server.toml")),
    ("workstation", include_str!("../../profiles/workstation.toml")),
];

/// Size limit of a profile; a larger file is none.
const MAX_BYTES: u64 = 1 << 20;

/// Number of items that a profile may have.
const MAX_ITEMS: usize = 1000;

/// Folders and files that are no caches: no pattern matches them.
const NO_CACHES: &[&str] = &[
    "boot",
    "boot/vmlinuz",
    "etc",
    "etc/passwd",
    "etc/ssh/ssh_host_ed25519_key",
    "home",
    "home/ada",
    "home/ada/.bashrc",
    "home/ada/.cache",
    "home/ada/.config",
    "home/ada/.gnupg",
    "home/ada/.local/share",
    "home/ada/.ssh/id_ed25519",
    "home/ada/Documents/letter.odt",
    "opt",
    "root",
    "srv",
    "srv/www/index.html",
    "usr",
    "usr/bin/env",
    "usr/share",
    "var",
    "var/cache",
    "var/lib",
    "var/lib/dpkg/status",
    "var/lib/postgresql/data/base",
    "var/mail/ada",
];

/// Which profiles were named.
#[derive(Debug, Args)]
pub(crate) struct Profiles {
    /// Exclude caches that programs make again: by the profile `server` or `workstation`, or one of your own; repeatable
    #[arg(long, value_name = "NAME|FILE", value_parser = profile)]
    profile: Vec<Profile>,
}

/// A profile that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Profile {
    /// One of hashget, by its name.
    Own(&'static str),
    /// A file of the user.
    File(PathBuf),
}

/// A file with a profile.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    #[serde(default)]
    includes: Vec<String>,
    #[serde(default, rename = "item")]
    items: Vec<toml::Value>,
}

/// An item in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    pattern: String,
    reason: String,
    command: String,
    #[serde(default)]
    by_itself: bool,
}

/// What a value of `--profile` names.
pub(crate) fn profile(text: &str) -> Result<Profile, String> {
    if text.contains('/') || text.ends_with(".toml") {
        return Ok(Profile::File(PathBuf::from(text)));
    }
    own(text).map(|(name, _)| Profile::Own(name)).ok_or_else(|| {
        let names = PROFILES.map(|(name, _)| name).join(", ");
        format!("there is no profile \"{text}\": expected one of {names}, or a file, such as ./{text}.toml")
    })
}

fn own(name: &str) -> Option<(&'static str, &'static str)> {
    PROFILES.into_iter().find(|(own, _)| *own == name)
}

impl Profiles {
    /// Was the option given?
    pub(crate) fn is_given(&self) -> bool {
        !self.profile.is_empty()
    }

    /// What they exclude from an archive whose manifest has this version.
    ///
    /// # Errors
    /// One of them is wrong, or the manifest cannot record them.
    pub(crate) fn items(&self, version: ManifestVersion) -> anyhow::Result<Vec<ProfileItem>> {
        if version == ManifestVersion::One && self.is_given() {
            let wrong = "--profile needs a manifest of version 2";
            return Err(UsageError(wrong.to_owned()).into());
        }
        items(&self.profile)
    }
}

impl Profile {
    /// The same, with a file below `folder`.
    pub(crate) fn below(&self, folder: &Path) -> String {
        match self {
            Self::Own(name) => (*name).to_owned(),
            Self::File(file) => folder.join(file).display().to_string(),
        }
    }

    /// Its items, with those that it includes.
    fn items(&self) -> anyhow::Result<Vec<ProfileItem>> {
        match self {
            Self::Own(name) => {
                let (name, text) = own(name).with_context(|| format!("the profile {name}"))?;
                Ok(parse(text, name, &format!("the profile {name}"))?)
            }
            Self::File(file) => {
                let shown = file.display().to_string();
                let mut text = String::new();
                let opened = fs_err::File::open(file).context("cannot read the profile")?;
                let read = opened.take(MAX_BYTES + 1).read_to_string(&mut text);
                read.with_context(|| format!("cannot read the profile {shown}"))?;
                if text.len() as u64 > MAX_BYTES {
                    return Err(UsageError(format!("{shown}: a profile has at most 1 MiB")).into());
                }
                let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                Ok(parse(&text, &stem, &shown)?)
            }
        }
    }
}

/// The items of these profiles. Of several with the same pattern, the first one counts.
fn items(profiles: &[Profile]) -> anyhow::Result<Vec<ProfileItem>> {
    let mut items: Vec<ProfileItem> = Vec::new();
    for profile in profiles {
        for item in profile.items()? {
            if !items.iter().any(|known| known.pattern == item.pattern) {
                items.push(item);
            }
        }
    }
    Ok(items)
}

/// Reads the text of the profile `name`, which messages call `shown`.
fn parse(text: &str, name: &str, shown: &str) -> Result<Vec<ProfileItem>, UsageError> {
    let wrong = |problem: &str| UsageError(format!("{shown}: {}", problem.trim_end()));
    let file: ProfileFile = toml::from_str(text).map_err(|error| wrong(&error.to_string()))?;
    let mut items = Vec::new();
    for included in &file.includes {
        let known = own(included).filter(|(own, _)| *own != name);
        let Some((_, text)) = known else {
            let names = PROFILES.map(|(name, _)| name).join(" or ");
            return Err(wrong(&format!("includes: expected {names}, found \"{included}\"")));
        };
        items.extend(parse(text, name, &format!("the profile {included}"))?);
    }
    if file.items.len() > MAX_ITEMS {
        return Err(wrong(&format!("a profile has at most {MAX_ITEMS} items")));
    }
    for (number, value) in (1..).zip(file.items) {
        let wrong = |problem: String| wrong(&format!("item {number}: {problem}"));
        let item: Item = value.try_into().map_err(|error: toml::de::Error| {
            wrong(error.message().trim_end().replace('\n', " "))
        })?;
        items.push(checked(item, name).map_err(wrong)?);
    }
    Ok(items)
}

fn checked(item: Item, profile: &str) -> Result<ProfileItem, String> {
    let Item { pattern, reason, command, by_itself } = item;
    for (key, text) in [("pattern", &pattern), ("reason", &reason), ("command", &command)] {
        let is_line = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !is_line || text.len() > 1000 {
            return Err(format!("{key}: expected a text in one line, of at most 1000 bytes"));
        }
    }
    if pattern.trim_matches(['.', '/', '*', '?']).is_empty() {
        return Err(format!("pattern: \"{pattern}\" names nothing: expected the path of a cache"));
    }
    let globs = Globs::new(&[&pattern]).map_err(|error| format!("pattern: {error}"))?;
    let matched = NO_CACHES.iter().find(|path| {
        RelPath::new(**path).is_ok_and(|path| globs.matches_within(Path::new("/"), &path))
    });
    match matched {
        Some(path) => Err(format!("pattern: \"{pattern}\" matches /{path}, which is no cache")),
        None => {
            Ok(ProfileItem { profile: profile.to_owned(), pattern, reason, command, by_itself })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items_of(name: &str) -> Vec<ProfileItem> {
        items(&[profile(name).unwrap()]).unwrap()
    }

    #[test]
    fn the_profiles_of_hashget_are_valid_and_one_includes_the_other() {
        let patterns = |name: &str| -> Vec<String> {
            items_of(name).into_iter().map(|item| item.pattern).collect()
        };
        let (server, workstation) = (patterns("server"), patterns("workstation"));
        assert!(server.len() > 10 && workstation.len() > server.len());
        assert_eq!(workstation[..server.len()], server);
        // One pattern, one reason.
        let distinct: std::collections::BTreeSet<&String> = workstation.iter().collect();
        assert_eq!(distinct.len(), workstation.len());
        assert!(items_of("workstation").iter().all(|item| item.profile == "workstation"));
    }

    #[test]
    fn nothing_precious_is_in_a_list() {
        let items = items_of("workstation");
        let globs =
            Globs::new(&items.iter().map(|item| &item.pattern).collect::<Vec<_>>()).unwrap();
        let precious = include_str!("precious.txt");
        let precious = precious.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut count = 0;
        for path in precious.chain(NO_CACHES.iter().copied()) {
            let found = globs.first_match_within(Path::new("/"), &RelPath::new(path).unwrap());
            assert_eq!(found.map(|item| &items[item]), None, "{path}");
            count += 1;
        }
        assert!(count > 80, "{count}");
    }

    #[test]
    fn what_is_wrong_is_named_with_file_item_and_key() {
        let item = |line: &str| {
            format!(
                "[[item]]\npattern = \"a/*\"\nreason = \"r\"\ncommand = \"c\"\n[[item]]\n{line}\n"
            )
        };
        let all = |pattern: &str| {
            item(&format!("pattern = \"{pattern}\"\nreason = \"r\"\ncommand = \"c\""))
        };
        for (text, expected) in [
            ("includes = 3\n".to_owned(), ["www.toml:", "includes"]),
            ("includes = [\"desktop\"]\n".to_owned(), ["includes", "server or workstation"]),
            ("[[items]]\n".to_owned(), ["www.toml:", "unknown field `items`"]),
            (item("paturn = \"x\""), ["item 2:", "unknown field `paturn`"]),
            (item("pattern = \"x\"\nreason = \"r\""), ["item 2:", "missing field `command`"]),
            (
                item("pattern = \"x\"\nreason = \"r\"\ncommand = \" \""),
                ["item 2:", "command: expected"],
            ),
            (
                item("pattern = \"x\"\nreason = \"\"\ncommand = \"c\""),
                ["item 2:", "reason: expected"],
            ),
            (item("pattern = 3"), ["item 2:", "string"]),
            (all("a["), ["item 2:", "pattern: bad pattern"]),
            (all(""), ["item 2:", "pattern: expected"]),
            (all("/"), ["item 2:", "pattern: \"/\" names nothing"]),
            (all("./"), ["item 2:", "names nothing"]),
            (all("*"), ["item 2:", "names nothing"]),
            (all("[a-z]*"), ["item 2:", "matches /boot"]),
            (all("/**"), ["item 2:", "names nothing"]),
            (all("/etc/*"), ["item 2:", "matches /etc/passwd"]),
            (all("cache"), ["item 2:", "matches /var/cache"]),
            (all("/home"), ["item 2:", "matches /home"]),
        ] {
            let error = parse(&text, "www", "www.toml").unwrap_err().to_string();
            for part in expected.iter().chain(&["www.toml"]) {
                assert!(error.contains(part), "{text:?} gave {error:?} without {part:?}");
            }
        }
    }

    #[test]
    fn a_value_is_a_name_or_a_file() {
        assert_eq!(profile("server"), Ok(Profile::Own("server")));
        assert_eq!(profile("own.toml"), Ok(Profile::File("own.toml".into())));
        assert_eq!(
            profile("./own").unwrap().below(Path::new("/etc/hashget")),
            "/etc/hashget/./own"
        );
        let error = profile("desktop").unwrap_err();
        assert!(
            error.contains("server, workstation, or a file, such as ./desktop.toml"),
            "{error}"
        );
    }
}
