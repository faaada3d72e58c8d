//! The packages of registries in the lock files of yarn and pnpm.
//!
//! Invariant: a name or version that cannot be part of a URL's path is skipped, and so are packages from a
//! repository, a folder or a file.

use crate::detectors::yaml;

/// A package in a lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Locked {
    pub(super) name: String,
    pub(super) version: String,
    /// The URL of its tarball, if the file has it.
    pub(super) resolved: Option<String>,
    /// Its digests, in the format of subresource integrity.
    pub(super) integrity: Option<String>,
    pub(super) place: InstalledAt,
}

/// Where the package is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum InstalledAt {
    /// In a folder of its own name.
    #[default]
    OwnName,
    /// In a folder of this name, by which others require it.
    Named(String),
    /// Exactly here, relative to the folder of the project.
    At(String),
}

impl Locked {
    /// `None` if it is not from a registry, or its name or version is invalid.
    pub(super) fn proper(self) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+".contains(&byte);
        let is_word =
            |word: &str| !word.is_empty() && !word.starts_with('.') && word.bytes().all(plain);
        let is_name = match self.name.strip_prefix('@') {
            Some(name) => name.split_once('/').is_some_and(|(a, b)| is_word(a) && is_word(b)),
            None => is_word(&self.name),
        };
        // Most registries name tarballs so that they can be recognised; what others give is recognised by its digest.
        let of_registry = self.resolved.as_deref().is_none_or(|url| {
            let path = url.split(['?', '#']).next().unwrap_or(url);
            let is_tarball = path.ends_with(".tgz") || path.ends_with(".tar.gz");
            let is_web = url.starts_with("http://") || url.starts_with("https://");
            is_web && (is_tarball || self.integrity.is_some()) && !path.ends_with(".git")
        });
        let is_version = is_word(&self.version) && self.version.as_bytes()[0].is_ascii_digit();
        (is_name && is_version && of_registry).then_some(self)
    }
}

/// `yarn.lock`. Since version 2 it is YAML, which is recognised by its contents.
///
/// # Errors
/// What is wrong with the YAML; `found` has the packages before the error.
pub(super) fn yarn(text: &str, found: &mut Vec<Locked>) -> Result<(), String> {
    if text.lines().any(|line| line.starts_with("__metadata:")) {
        return yarn_berry(text, found);
    }
    yarn_classic(text, found);
    Ok(())
}

/// Version 1 of `yarn.lock`, which has its own format: paragraphs of a key and indented fields.
fn yarn_classic(text: &str, found: &mut Vec<Locked>) {
    let mut current = Locked::default();
    for line in text.lines().chain(["end:"]) {
        let line = line.trim_end();
        if !line.starts_with([' ', '\t', '#']) && !line.is_empty() {
            found.extend(std::mem::take(&mut current).proper());
            current = of_yarn_key(line.trim_end_matches(':'));
        } else if line.starts_with("  ") && !line.starts_with("   ") {
            let Some((field, value)) = line.trim().split_once(' ') else { continue };
            let value = value.trim().trim_matches('"').to_owned();
            match field.trim_end_matches(':') {
                "version" => current.version = value,
                "resolved" => current.resolved = Some(value),
                "integrity" => current.integrity = Some(value),
                _ => {}
            }
        }
    }
}

/// Later versions of `yarn.lock`: a mapping of keys to fields.
fn yarn_berry(text: &str, found: &mut Vec<Locked>) -> Result<(), String> {
    let mut current = Locked::default();
    let outcome = yaml::read(text, &mut |keys, value| match (keys, value) {
        ([key], _) => {
            found.extend(std::mem::take(&mut current).proper());
            if *key != "__metadata" {
                current = of_yarn_key(key);
            }
        }
        ([_, "version"], Some(value)) => value.clone_into(&mut current.version),
        // "NAME@npm:VERSION"; anything else is not from a registry, and is skipped since its name is cleared.
        ([_, "resolution"], Some(value)) if !value.contains("@npm:") => current.name.clear(),
        _ => {}
    });
    found.extend(current.proper().filter(|_| outcome.is_ok()));
    outcome
}

/// `NAME@RANGE, ...`: the first name.
fn of_yarn_key(key: &str) -> Locked {
    let key = key.split(',').next().unwrap_or_default();
    let (place, range) = split_at_version(key.trim().trim_matches('"'));
    let name = match range.strip_prefix("npm:") {
        Some(alias) if alias.contains('@') => split_at_version(alias).0,
        _ => place,
    };
    Locked {
        name: name.to_owned(),
        place: InstalledAt::Named(place.to_owned()),
        ..Locked::default()
    }
}

/// `pnpm-lock.yaml`: below `packages` a key for each package, and its `resolution`.
///
/// # Errors
/// What is wrong with the YAML; `found` has the packages before the error.
pub(super) fn pnpm(text: &str, found: &mut Vec<Locked>) -> Result<(), String> {
    let mut current = Locked::default();
    let outcome = yaml::read(text, &mut |keys, value| match (keys, value) {
        (["packages", key], _) => {
            found.extend(std::mem::take(&mut current).proper());
            current = of_key(key);
        }
        (["packages", _, "resolution", field], Some(value)) => match *field {
            "integrity" => current.integrity = Some(value.to_owned()),
            "tarball" => current.resolved = Some(value.to_owned()),
            // From a repository or a folder: skipped since its name is cleared.
            "commit" | "directory" => current.name.clear(),
            _ => {}
        },
        _ => {}
    });
    found.extend(current.proper().filter(|_| outcome.is_ok()));
    outcome
}

/// `NAME@VERSION`, `/NAME@VERSION(PEER)`, or `/NAME/VERSION_PEER`.
fn of_key(key: &str) -> Locked {
    let plain = key.strip_prefix('/').unwrap_or(key);
    let plain = plain.split('(').next().unwrap_or(plain);
    let (mut name, mut version) = split_at_version(plain);
    // A name with a scope has one slash, any other name has none; the version follows a further slash.
    let slashes = usize::from(plain.starts_with('@'));
    if let Some((at, _)) = name.match_indices('/').nth(slashes) {
        name = &plain[..at];
        version = plain[at + 1..].split('_').next().unwrap_or_default();
    }
    Locked { name: name.to_owned(), version: version.to_owned(), ..Locked::default() }
}

/// The name, which may begin with `@`, and the part after the next `@`.
fn split_at_version(text: &str) -> (&str, &str) {
    let scope = usize::from(text.starts_with('@'));
    match text[scope..].find('@') {
        Some(at) => (&text[..scope + at], &text[scope + at + 1..]),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &[Locked]) -> Vec<String> {
        let line = |locked: &Locked| {
            let resolved = locked.resolved.as_deref().unwrap_or("-");
            let integrity = locked.integrity.as_deref().unwrap_or("-");
            format!("{} {} {resolved} {integrity}", locked.name, locked.version)
        };
        found.iter().map(line).collect()
    }

    fn yarn(text: &str) -> Vec<Locked> {
        let mut found = Vec::new();
        super::yarn(text, &mut found).unwrap();
        found
    }

    fn pnpm(text: &str) -> Vec<Locked> {
        let mut found = Vec::new();
        super::pnpm(text, &mut found).unwrap();
        found
    }

    #[test]
    fn yarns_files_are_read() {
        let one = "# yarn lockfile v1\n\n\n\"@s/a@^1.0.0\", \"@s/a@~1.0\":\n  version \"1.0.0\"\n  \
            resolved \"https://r.example/a.tgz#0123\"\n  integrity sha512-x\n  dependencies:\n    \
            b \"^2\"\n\nb@^2:\n  version \"2.0.0\"\n\ng@user/repo:\n  version \"1.0.0\"\n  resolved \
            \"git+https://g.example/x\"\n";
        let expected = ["@s/a 1.0.0 https://r.example/a.tgz#0123 sha512-x", "b 2.0.0 - -"];
        assert_eq!(shown(&yarn(one)), expected);
        let later = "__metadata:\n  version: 8\n\n\"@s/a@npm:^1.0.0\":\n  version: 1.0.0\n  resolution: \
            \"@s/a@npm:1.0.0\"\n  checksum: 10/abc\n\n\"x@npm:real@^2\":\n  version: 2.0.0\n  resolution: \
            \"real@npm:2.0.0\"\n\n\"w@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"w@workspace:.\"\n";
        assert_eq!(shown(&yarn(later)), ["@s/a 1.0.0 - -", "real 2.0.0 - -"]);
        assert_eq!(yarn("\0\n@@@:\n  version\n:\n  version 1"), []);
    }

    #[test]
    fn pnpms_files_are_read() {
        let nine = "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies: {}\n\npackages:\n\n  \
            '@s/a@1.0.0':\n    resolution: {integrity: sha512-x==}\n    engines: {node: '>=6'}\n\n  b@2.0.0:\n    \
            resolution: {integrity: sha512-y, tarball: https://r.example/b.tgz}\n\n  \
            g@https://g.example/x:\n    resolution: {commit: abc, repo: https://g.example/x, type: git}\n\n\
            snapshots:\n\n  c@3.0.0: {}\n";
        let expected = ["@s/a 1.0.0 - sha512-x==", "b 2.0.0 https://r.example/b.tgz sha512-y"];
        assert_eq!(shown(&pnpm(nine)), expected);
        let older = "packages:\n\n  /@s/a@1.0.0(b@2.0.0):\n    resolution: {integrity: sha512-x}\n\n  \
            /b/2.0.0_c@3:\n    resolution: {integrity: sha512-y}\n";
        assert_eq!(shown(&pnpm(older)), ["@s/a 1.0.0 - sha512-x", "b 2.0.0 - sha512-y"]);
        assert_eq!(pnpm("packages:\n  :\n  x:\n   resolution:\n"), []);
        // In several YAML notations.
        let flow = "packages: {\"@s/a@1.0.0\": {resolution: {integrity: 'sha512-x', tarball:\n  https://r.example/a.tgz}}}";
        let block = "packages:\n    ? b@2.0.0\n    : resolution:\n        integrity: |-\n            sha512-y\n";
        assert_eq!(shown(&pnpm(flow)), ["@s/a 1.0.0 https://r.example/a.tgz sha512-x"]);
        assert_eq!(shown(&pnpm(block)), ["b 2.0.0 - sha512-y"]);
    }

    #[test]
    fn what_stands_before_damage_counts() {
        let mut found = Vec::new();
        let text = "packages:\n  a@1.0.0:\n    resolution: {integrity: x}\n  b@1.0.0:\n    resolution: {\n";
        assert!(super::pnpm(text, &mut found).is_err());
        assert_eq!(shown(&found), ["a 1.0.0 - x"]);
        let text =
            "__metadata:\n  version: 8\n\na@npm:1:\n  version: 1.0.0\n\nb@npm:1:\n  version: '\n";
        found.clear();
        assert!(super::yarn(text, &mut found).is_err());
        assert_eq!(shown(&found), ["a 1.0.0 - -"]);
    }
}
