//! The patterns of `--exclude` and `--skip`.
//!
//! Invariant: a pattern means the same in every option. If it begins with `/`, it is a path of the file
//! system; if it begins with `./`, a path from the top of the tree; otherwise it matches the end of any path.
//! `*` and `?` do not match `/`; `**` does. The walk also applies a match to everything below it. A path that leads
//! through symbolic links stands for what it leads to.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::through_links::{literally, through_links};
use crate::error::ErrorClass;
use crate::model::RelPath;

/// A set of patterns.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    absolute: Set,
    relative: Set,
    /// The absolute path by which the user named the tree, if it is not its real path.
    given: Option<PathBuf>,
    /// Whether each pattern has matched anything.
    used: Arc<[AtomicBool]>,
}

/// Globs, each with the number of its pattern.
#[derive(Debug, Clone, Default)]
struct Set {
    globs: GlobSet,
    patterns: Vec<usize>,
}

/// A pattern that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("bad pattern: {0}")]
pub struct BadGlob(#[from] globset::Error);

/// Collects globs for a [`Set`].
struct Builder {
    globs: GlobSetBuilder,
    patterns: Vec<usize>,
}

impl Builder {
    fn new() -> Self {
        Self { globs: GlobSetBuilder::new(), patterns: Vec::new() }
    }

    fn add(&mut self, glob: &str, pattern: usize) -> Result<(), BadGlob> {
        let glob = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build()?;
        self.globs.add(glob);
        self.patterns.push(pattern);
        Ok(())
    }

    fn build(self) -> Result<Set, BadGlob> {
        Ok(Set { globs: self.globs.build()?, patterns: self.patterns })
    }
}

impl Set {
    fn matches(&self, path: &Path, used: &[AtomicBool]) -> bool {
        let found = self.globs.is_match(path);
        if found {
            for glob in self.globs.matches(path) {
                used[self.patterns[glob]].store(true, Ordering::Relaxed);
            }
        }
        found
    }
}

impl Set {
    /// The number of the first pattern that matches.
    fn first(&self, path: &Path) -> Option<usize> {
        self.globs.matches(path).into_iter().map(|glob| self.patterns[glob]).min()
    }
}

impl Globs {
    /// Parses `patterns`, for any tree: they are compared as they are.
    pub fn new<T: AsRef<str>>(patterns: &[T]) -> Result<Self, BadGlob> {
        Self::build(patterns.iter().map(AsRef::as_ref), None)
    }

    /// Parses `patterns` for the tree at `tree`, and follows the symbolic links in them.
    pub fn for_tree<'p>(
        patterns: impl IntoIterator<Item = &'p str>,
        tree: &Path,
    ) -> Result<Self, BadGlob> {
        // A tree that cannot be found is reported when it is opened.
        let real = fs_err::canonicalize(tree).ok();
        let given = std::path::absolute(tree).ok().filter(|given| Some(given) != real.as_ref());
        let globs = Self::build(patterns.into_iter(), real.as_deref())?;
        Ok(Self { given, ..globs })
    }

    fn build<'p>(
        patterns: impl Iterator<Item = &'p str>,
        tree: Option<&Path>,
    ) -> Result<Self, BadGlob> {
        let (mut absolute, mut relative) = (Builder::new(), Builder::new());
        let mut count = 0;
        for (number, pattern) in patterns.enumerate() {
            count = number + 1;
            let pattern = &*without_empty_names(pattern);
            let trimmed = pattern.trim_end_matches('/');
            if trimmed.starts_with('/') {
                absolute.add(trimmed, number)?;
                if let Some(real) = tree.and_then(|_| through_links(pattern)) {
                    absolute.add(&real, number)?;
                }
            } else if let Some(below) = trimmed.strip_prefix("./") {
                relative.add(below, number)?;
                let top = tree.and_then(Path::to_str).map(literally);
                let whole = top.map(|top| format!("{}/{below}", top.trim_end_matches('/')));
                if let Some(real) = whole.and_then(|whole| through_links(&whole)) {
                    absolute.add(&real, number)?;
                }
            } else {
                relative.add(trimmed, number)?;
                relative.add(&format!("**/{trimmed}"), number)?;
            }
        }
        let used = (0..count).map(|_| AtomicBool::new(false)).collect();
        let (absolute, relative) = (absolute.build()?, relative.build()?);
        Ok(Self { absolute, relative, given: None, used })
    }

    /// Are there no patterns?
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Does a pattern match this entry of the tree at `root` (an absolute path)?
    pub fn matches(&self, root: &Path, path: &RelPath) -> bool {
        if self.used.is_empty() || path.is_root() {
            return false;
        }
        let relative = Path::new(OsStr::from_bytes(path.as_bytes()));
        let mut found = self.relative.matches(relative, &self.used);
        if !self.absolute.globs.is_empty() {
            for top in std::iter::once(root).chain(self.given.as_deref()) {
                found |= self.absolute.matches(&top.join(relative), &self.used);
            }
        }
        found
    }

    /// The number of the first pattern that matches this entry of the tree at `root`. It does not count as a use.
    pub fn first_match(&self, root: &Path, path: &RelPath) -> Option<usize> {
        if self.used.is_empty() || path.is_root() {
            return None;
        }
        let relative = Path::new(OsStr::from_bytes(path.as_bytes()));
        let tops = std::iter::once(root).chain(self.given.as_deref());
        let absolute = tops.filter_map(|top| self.absolute.first(&top.join(relative))).min();
        self.relative.first(relative).into_iter().chain(absolute).min()
    }

    /// The same of this entry, or a folder that contains it.
    pub fn first_match_within(&self, root: &Path, path: &RelPath) -> Option<usize> {
        let above = std::iter::successors(Some(path.clone()), RelPath::parent);
        above.filter_map(|path| self.first_match(root, &path)).min()
    }

    /// Does a pattern match this entry, or a folder that contains it?
    pub fn matches_within(&self, root: &Path, path: &RelPath) -> bool {
        !self.used.is_empty()
            && std::iter::successors(Some(path.clone()), RelPath::parent)
                .any(|path| self.matches(root, &path))
    }

    /// Which of the patterns have matched nothing so far, by their numbers.
    pub fn unused(&self) -> impl Iterator<Item = usize> {
        let unused = |(number, used): (usize, &AtomicBool)| {
            (!used.load(Ordering::Relaxed)).then_some(number)
        };
        self.used.iter().enumerate().filter_map(unused)
    }
}

/// The pattern without names that name nothing: `a//b` and `a/./b` are `a/b`. A `./` at its start stays.
fn without_empty_names(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains("//") && !pattern.contains("/./") {
        return Cow::Borrowed(pattern);
    }
    let mut kept = String::with_capacity(pattern.len());
    for part in pattern.split_inclusive('/') {
        if kept.is_empty() || (part != "/" && part != "./") {
            kept.push_str(part);
        }
    }
    Cow::Owned(kept)
}

impl BadGlob {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::BadInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_the_documentation_says() {
        let cases = [
            ("*.pyc", "a/b.pyc", true),
            ("*.pyc", "b.pyc", true),
            ("*.pyc", "b.pyc.txt", false),
            ("node_modules", "x/node_modules", true),
            ("x/tmp", "a/x/tmp", true),
            ("./tmp", "tmp", true),
            ("./tmp", "a/tmp", false),
            ("/srv/t/tmp", "tmp", true),
            ("//srv/.//t///tmp/", "tmp", true),
            ("./a//./b", "a/b", true),
            ("a//b", "x/a/b", true),
            ("/proc", "proc", false),
            ("a*c", "a/c", false),
            ("a/**/c", "a/b/b/c", true),
            ("tmp/", "tmp", true),
            ("\\[1\\]", "[1]", true),
        ];
        for (pattern, path, expected) in cases {
            let globs = Globs::new(&[pattern]).unwrap();
            let path = RelPath::new(path).unwrap();
            assert_eq!(globs.matches(Path::new("/srv/t"), &path), expected, "{pattern} {path}");
            assert_eq!(globs.unused().count(), usize::from(!expected), "{pattern} {path}");
        }
        assert!(Globs::new(&["a["]).is_err());
    }

    #[test]
    fn the_first_pattern_that_matches_is_known() {
        let globs = Globs::new(&["none", "/top/a/*", "b", "./a/b"]).unwrap();
        let first = |path: &str| globs.first_match(Path::new("/top"), &RelPath::new(path).unwrap());
        assert_eq!(
            [first("a/b"), first("b"), first("a"), first("c/b/d")],
            [Some(1), Some(2), None, None]
        );
        let within = globs.first_match_within(Path::new("/top"), &RelPath::new("c/b/d").unwrap());
        assert_eq!((within, globs.unused().count()), (Some(2), 4));
    }

    #[test]
    fn what_lies_below_a_match_is_within_it() {
        let globs = Globs::new(&["cache"]).unwrap();
        let path = RelPath::new("a/cache/b/c").unwrap();
        assert!(globs.matches_within(Path::new("/"), &path));
        assert!(!globs.matches(Path::new("/"), &path));
    }

    #[test]
    fn a_path_through_links_stands_for_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs_err::canonicalize(folder.path()).unwrap();
        let tree = top.join("real[1]");
        fs_err::create_dir_all(tree.join("a/tmp")).unwrap();
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, top.join(name)).unwrap();
        };
        link("real[1]", "link");
        link("a", "real[1]/b");
        let at = |rest: &str| format!("{}/{rest}", top.to_str().unwrap());
        for (pattern, path, expected) in [
            (at("link/a/tmp"), "a/tmp", true),
            (at("link/b/tmp"), "a/tmp", true),
            (at("link/b/t*"), "a/tmp", true),
            (at("link/b/*/x"), "a/tmp/x", true),
            (at("link/b/new/x"), "a/new/x", true),
            (at("l?nk/a/tmp"), "a/tmp", true),
            ("./b/tmp".to_owned(), "a/tmp", true),
            (at("link/b"), "b", true),
            // A link is not what it leads to, unless the pattern says so.
            (at("link/b"), "a", false),
            (at("link/b/"), "a", true),
            (at("link/b/tmp"), "a/tm", false),
        ] {
            let globs = Globs::for_tree([&*pattern], &top.join("link")).unwrap();
            let path = RelPath::new(path).unwrap();
            assert_eq!(globs.matches(&tree, &path), expected, "{pattern} {path}");
        }
    }
}
