//! Which archives keep Arch packages permanently, and what their URLs look like.
//!
//! Invariant: no host is hard-coded: the archive comes from the user's configuration or from pacman's own
//! servers, or it is at a fixed label beside the distribution's home page.

use std::collections::BTreeMap;

use super::super::os_release::OsRelease;
use super::super::{Archive, DetectError, public_url, small_files};
use crate::model::RelPath;
use crate::tree::TreeRoot;

/// Size limit of a configuration file; a larger file is reported and ignored.
const MAX_BYTES: u64 = 1 << 20;

/// The distribution whose archive is at the label `archive` beside its home page.
const ARCH: &str = "arch";

/// The official repositories, whose packages are in its archive, as are those of their testing and staging
/// repositories.
const OFFICIAL: [&str; 6] =
    ["core", "extra", "multilib", "community", "kde-unstable", "gnome-unstable"];

/// Where packages are kept permanently.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Archives {
    /// The URL below which all packages lie by name.
    packages: Option<String>,
    /// Is it the archive of Arch itself, which has no packages of other repositories?
    is_official: bool,
    /// Servers of repositories that never remove packages, by the repository's name.
    repositories: BTreeMap<String, String>,
}

impl Archives {
    /// The archives of the system at `tree`.
    pub(super) fn load(
        tree: &TreeRoot,
        release: &OsRelease,
        configured: &[Archive],
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let id = release.field("ID");
        let configured = || configured.iter().filter(|archive| archive.system == id);
        let mut found = Self { is_official: id == ARCH, ..Self::default() };
        found.packages = configured().find_map(|archive| base(archive.packages.as_deref()?));
        for (repository, server) in servers(tree, note) {
            let dated = dated_base(&server).map(str::to_owned);
            let kept = configured().filter_map(|archive| archive.repositories.as_deref());
            if dated.is_some()
                || kept.into_iter().any(|kept| format!("{server}/").starts_with(kept))
            {
                found.repositories.entry(repository).or_insert(server);
            }
            if let Some(dated) = dated.filter(|_| found.packages.is_none()) {
                found.packages = base(&format!("{dated}packages/"));
            }
        }
        if found.packages.is_none() && found.is_official {
            found.packages = release.service("archive", "packages/");
        }
        found
    }

    /// The URL below which the packages of a repository lie, by the first letter of their names.
    pub(super) fn packages(&self, repository: Option<&str>) -> Option<&str> {
        let is_official = |repository: &str| {
            let stem = repository.split("-testing").next().unwrap_or(repository);
            let stem = stem.split("-staging").next().unwrap_or(stem);
            OFFICIAL.contains(&stem) || matches!(stem, "testing" | "staging")
        };
        let others = self.is_official && repository.is_some_and(|name| !is_official(name));
        self.packages.as_deref().filter(|_| !others)
    }

    /// The server of a repository that never removes packages.
    pub(super) fn repository(&self, name: &str, architecture: &str) -> Option<String> {
        // Packages for any architecture lie beside those for each architecture.
        let server = self.repositories.get(name)?;
        let is_whole = architecture != "any" || !server.contains("$arch");
        is_whole.then(|| server.replace("$arch", architecture))
    }
}

/// A public URL that ends with `/`.
fn base(text: &str) -> Option<String> {
    let url = public_url(text).ok()?;
    Some(format!("{}/", url.trim_end_matches('/')))
}

/// The part before `repos/YYYY/MM/DD/`: a server with the repositories of that day, which never change.
fn dated_base(server: &str) -> Option<&str> {
    let (before, after) = server.split_once("/repos/")?;
    let mut numbers = after.split('/');
    let mut is_number = |digits: usize| {
        numbers.next().is_some_and(|number| {
            number.len() == digits && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    (is_number(4) && is_number(2) && is_number(2)).then(|| &server[..=before.len()])
}

/// The servers of each repository in pacman's configuration, in order; `$arch` is not replaced yet.
fn servers(tree: &TreeRoot, note: &mut dyn FnMut(DetectError)) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut architecture = None;
    for line in lines(tree, "etc/pacman.conf", note) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let Some((key, value)) = setting(&line) else { continue };
        let addresses = match key {
            "Architecture" if value != "auto" => {
                architecture = value.split_whitespace().next().map(str::to_owned);
                continue;
            }
            "Server" => vec![value.to_owned()],
            "Include" => included(tree, value, note),
            _ => continue,
        };
        if section == "options" {
            continue;
        }
        for address in addresses {
            let mut server = address.replace("$repo", &section);
            if let Some(architecture) = &architecture {
                server = server.replace("$arch", architecture);
            }
            if public_url(&server).is_ok() {
                found.push((section.clone(), server.trim_end_matches('/').to_owned()));
            }
        }
    }
    found
}

/// The servers in a mirror list.
fn included(tree: &TreeRoot, file: &str, note: &mut dyn FnMut(DetectError)) -> Vec<String> {
    let server = |line: &String| match setting(line) {
        Some(("Server", value)) => Some(value.to_owned()),
        _ => None,
    };
    lines(tree, file, note).iter().filter_map(server).collect()
}

fn setting(line: &str) -> Option<(&str, &str)> {
    line.split_once('=').map(|(key, value)| (key.trim(), value.trim()))
}

/// The lines of a configuration file, without comments; none if it does not exist.
fn lines(tree: &TreeRoot, file: &str, note: &mut dyn FnMut(DetectError)) -> Vec<String> {
    let path = RelPath::normalise(file.as_bytes()).ok();
    let bytes =
        path.and_then(|path| small_files::read_optional_below(tree, &path, MAX_BYTES, note));
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_day_are_known_by_their_form() {
        for (server, expected) in [
            ("https://a.example/repos/2024/01/31/core/os/x86_64", Some("https://a.example/")),
            ("https://a.example/x/repos/2024/01/31/$repo", Some("https://a.example/x/")),
            ("https://a.example/repos/last/core", None),
            ("https://a.example/repos/2024/1/31/core", None),
            ("https://a.example/core/os/x86_64", None),
        ] {
            assert_eq!(dated_base(server), expected, "{server}");
        }
    }

    #[test]
    fn arch_has_no_packages_of_others() {
        let packages = Some("https://a.example/packages/".to_owned());
        let archives = Archives { packages, is_official: true, ..Archives::default() };
        for name in ["core", "extra", "core-testing", "multilib-staging", "testing"] {
            assert!(archives.packages(Some(name)).is_some(), "{name}");
        }
        assert!(archives.packages(None).is_some());
        assert_eq!(archives.packages(Some("own")), None);
        let archives = Archives { is_official: false, ..archives };
        assert!(archives.packages(Some("own")).is_some());
    }
}
