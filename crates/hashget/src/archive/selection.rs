//! Which entries of an archive's tree are meant: the patterns of the commands that look into one.
//!
//! Invariant: a pattern means what it means for `--exclude`. A tree in an archive lies nowhere in the file system: its top is `/`.

use std::path::Path;

use crate::model::RelPath;
use crate::tree::{BadGlob, Globs};

/// The top of the tree.
const TOP: &str = "/";

/// The entries that patterns select.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `None`: all.
    include: Option<Globs>,
    patterns: Vec<String>,
    exclude: Globs,
    /// Instead of patterns: this entry alone.
    only: Option<RelPath>,
}

impl Selection {
    /// What one of `patterns` matches, with everything below it (if there are none: everything), without what one of
    /// `exclude` matches.
    ///
    /// # Errors
    /// A pattern cannot be parsed.
    pub fn new(patterns: &[String], exclude: &[String]) -> Result<Self, BadGlob> {
        let is_top = |pattern: &String| {
            !pattern.is_empty()
                && pattern.bytes().all(|byte| matches!(byte, b'.' | b'/'))
                && !pattern.contains("..")
        };
        let all = patterns.is_empty() || patterns.iter().any(is_top);
        let include = if all { None } else { Some(Globs::new(patterns)?) };
        Ok(Self { include, patterns: patterns.to_vec(), exclude: Globs::new(exclude)?, only: None })
    }

    /// The entry at `path` alone.
    pub fn only(path: RelPath) -> Self {
        Self { only: Some(path), ..Self::default() }
    }

    /// Is it all of the tree?
    pub fn is_everything(&self) -> bool {
        self.include.is_none() && self.exclude.is_empty() && self.only.is_none()
    }

    /// Is this entry selected?
    pub fn has(&self, path: &RelPath) -> bool {
        if let Some(only) = &self.only {
            return only == path;
        }
        let top = Path::new(TOP);
        self.include.as_ref().is_none_or(|globs| globs.matches_within(top, path))
            && !self.exclude.matches_within(top, path)
    }

    /// May an entry be selected whose path begins with these bytes?
    pub fn may_have(&self, beginning: &[u8]) -> bool {
        let is_within = |literal: &[u8]| {
            let common = literal.len().min(beginning.len());
            literal[..common] == beginning[..common]
        };
        if let Some(only) = &self.only {
            return is_within(only.as_bytes());
        }
        self.include.is_none() || self.patterns.iter().any(|pattern| is_within(&literal(pattern)))
    }

    /// The patterns that have matched nothing so far.
    pub fn unmatched(&self) -> impl Iterator<Item = &str> {
        self.include.iter().flat_map(Globs::unused).map(|number| &*self.patterns[number])
    }
}

/// The bytes with which every path begins that the pattern matches.
fn literal(pattern: &str) -> Vec<u8> {
    let anchored = pattern.strip_prefix("./").or_else(|| pattern.strip_prefix('/'));
    let Some(anchored) = anchored else { return Vec::new() };
    let rest = anchored.trim_start_matches('/');
    let is_plain = |character: &char| !"*?[]{}\\".contains(*character);
    let plain: String = rest.chars().take_while(is_plain).collect();
    // Names that name nothing are not taken out here.
    let odd = plain.contains("//") || plain.contains("/./");
    if odd { Vec::new() } else { plain.trim_end_matches('/').as_bytes().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(patterns: &[&str], exclude: &[&str]) -> Selection {
        let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(patterns), &owned(exclude)).unwrap()
    }

    #[test]
    fn patterns_select_as_excluding_does_with_all_below() {
        let cases: [(&[&str], &[&str], &str, bool); 11] = [
            (&[], &[], "a/b", true),
            (&["a"], &[], "a/b", true),
            (&["a"], &[], "x/a/b", true),
            (&["/a"], &[], "a/b", true),
            (&["/a"], &[], "x/a/b", false),
            (&["./a/"], &[], "a", true),
            (&["*.c", "b"], &[], "a/x.c", true),
            (&["*.c"], &["a"], "a/x.c", false),
            (&["."], &["a"], "b", true),
            (&["/"], &[], "b", true),
            (&["b"], &[], "a", false),
        ];
        for (patterns, exclude, path, expected) in cases {
            let path = RelPath::new(path).unwrap();
            let selected = selection(patterns, exclude).has(&path);
            assert_eq!(selected, expected, "{patterns:?} {exclude:?} {path}");
        }
        assert!(Selection::new(&["a[".to_owned()], &[]).is_err());
    }

    #[test]
    fn a_pattern_that_matched_nothing_is_named() {
        let selection = selection(&["a", "b"], &["c"]);
        assert!(selection.has(&RelPath::new("x/a").unwrap()));
        assert_eq!(selection.unmatched().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn a_beginning_that_no_pattern_can_match_is_known() {
        for (pattern, beginning, expected) in [
            ("/usr/bin", "usr/", true),
            ("/usr/bin", "usr/bin/x", true),
            ("/usr/bin", "etc/", false),
            ("./usr/*", "usr/lib/", true),
            ("/u*", "etc/", false),
            ("bin", "etc/", true),
            ("/usr//bin", "etc/", true),
            ("/", "etc/", true),
        ] {
            let may = selection(&[pattern], &[]).may_have(beginning.as_bytes());
            assert_eq!(may, expected, "{pattern} {beginning}");
        }
    }
}
