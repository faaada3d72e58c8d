//! What scripts of packages do to their own files: many packages set modes and owners when they are installed.
//!
//! Invariant: a script counts only if its bytes are those of the package, by SHA-256: what the tree has could say anything.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::PackageFiles;
use super::claims::Claim;
use crate::detectors::TreeFiles;
use crate::model::{Digest, RelPath};

/// What scripts set modes and owners with.
const SETTING: [&str; 4] = ["chmod", "chown", "chgrp", "statoverride"];

/// What they remove with.
const REMOVING: [&str; 2] = ["rm", "rmdir"];

/// The scripts of packages, read when they are needed.
pub(super) struct Scripts<'s, 'a> {
    packages: &'s [PackageFiles<'a>],
    files: &'s dyn TreeFiles,
    read: RefCell<HashMap<usize, Rc<str>>>,
}

impl<'s, 'a> Scripts<'s, 'a> {
    pub(super) fn new(packages: &'s [PackageFiles<'a>], files: &'s dyn TreeFiles) -> Self {
        Self { packages, files, read: RefCell::default() }
    }

    /// Does a script of the package set the mode or the owner of this file?
    pub(super) fn set(&self, claim: &Claim) -> bool {
        names(&self.of(claim.package), &claim.in_system, &SETTING)
    }

    /// Does it remove it?
    pub(super) fn remove(&self, claim: &Claim) -> bool {
        names(&self.of(claim.package), &claim.in_system, &REMOVING)
    }

    /// All scripts of a package, one after the other.
    fn of(&self, package: usize) -> Rc<str> {
        if let Some(known) = self.read.borrow().get(&package) {
            return Rc::clone(known);
        }
        let text: Rc<str> = self.proven(&self.packages[package]).into();
        self.read.borrow_mut().insert(package, Rc::clone(&text));
        text
    }

    fn proven(&self, package: &PackageFiles<'_>) -> String {
        let Some((system, of)) = package.of_system else { return String::new() };
        let mut text = String::new();
        for (member, place) in &of.scripts {
            let known = package.members.iter().find(|one| one.path == *member);
            let Some(expected) = known.and_then(|one| one.sha256) else { continue };
            let place = system.folder.join(place.as_bytes()).ok();
            let bytes = place.and_then(|place| self.files.read(&place));
            if let Some(bytes) = bytes.filter(|bytes| Digest::of(bytes) == expected) {
                text.push_str(&String::from_utf8_lossy(&bytes));
                text.push('\n');
            }
        }
        text
    }
}

/// Has a script the absolute path, as a whole, and one of these words?
fn names(script: &str, path: &RelPath, words: &[&str]) -> bool {
    let path = format!("/{path}");
    let continues = |next: char| next.is_ascii_alphanumeric() || "/._-+".contains(next);
    let has_path = script.match_indices(&*path).any(|(at, _)| {
        !script[at + path.len()..].starts_with(continues) && may_begin_after(&script[..at])
    });
    let is_word = |word: &&str| {
        script.split(|next: char| !next.is_ascii_alphanumeric()).any(|part| part == *word)
    };
    has_path && words.iter().any(is_word)
}

/// May an absolute path begin after this text? A variable before it is the root of another system.
fn may_begin_after(text: &str) -> bool {
    let is_part = |last: char| last.is_ascii_alphanumeric() || "_${}/.".contains(last);
    let before = &text[text.trim_end_matches(is_part).len()..];
    before.is_empty() || before.starts_with('$') && !before.contains('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_must_have_the_whole_path() {
        let script = "chmod 2755 /usr/bin/crontab\nrm -f \"$DPKG_ROOT/etc/old\" /usr/lib/x.so\n";
        for (path, words, expected) in [
            ("usr/bin/crontab", &SETTING[..], true),
            ("usr/bin/cron", &SETTING, false),
            ("bin/crontab", &SETTING, false),
            ("usr/bin/crontab", &REMOVING, true),
            ("usr/lib/x", &REMOVING, false),
            ("usr/lib/x.so", &["mv"], false),
            ("etc/old", &REMOVING, true),
        ] {
            let found = names(script, &RelPath::new(path).unwrap(), words);
            assert_eq!(found, expected, "{path} {words:?}");
        }
    }
}
