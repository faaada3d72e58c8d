//! The patterns of `--exclude` and `--skip`.
//!
//! Invariant: a pattern means the same in every option. If it begins with `/`, it is a path of the file
//! system; if it begins with `./`, a path from the top of the tree; otherwise it matches the end of any path.
//! `*` and `?` do not match `/`; `**` does. The walk also applies a match to everything below it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::ErrorClass;
use crate::model::RelPath;

/// A set of patterns.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    absolute: GlobSet,
    relative: GlobSet,
    patterns: usize,
}

/// A pattern that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("bad pattern: {0}")]
pub struct BadGlob(#[from] globset::Error);

impl Globs {
    /// Parses `patterns`.
    pub fn new<T: AsRef<str>>(patterns: &[T]) -> Result<Self, BadGlob> {
        let (mut absolute, mut relative) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let pattern = pattern.as_ref().trim_end_matches('/');
            if pattern.starts_with('/') {
                absolute.add(glob(pattern)?);
            } else if let Some(pattern) = pattern.strip_prefix("./") {
                relative.add(glob(pattern)?);
            } else {
                relative.add(glob(pattern)?);
                relative.add(glob(&format!("**/{pattern}"))?);
            }
        }
        Ok(Self {
            absolute: absolute.build()?,
            relative: relative.build()?,
            patterns: patterns.len(),
        })
    }

    /// Does a pattern match this entry of the tree at `root` (an absolute path)?
    pub fn matches(&self, root: &Path, path: &RelPath) -> bool {
        if self.patterns == 0 || path.is_root() {
            return false;
        }
        let relative = Path::new(OsStr::from_bytes(path.as_bytes()));
        self.relative.is_match(relative)
            || (!self.absolute.is_empty() && self.absolute.is_match(root.join(relative)))
    }

    /// Does a pattern match this entry, or a folder that contains it?
    pub fn matches_within(&self, root: &Path, path: &RelPath) -> bool {
        self.patterns > 0
            && std::iter::successors(Some(path.clone()), RelPath::parent)
                .any(|path| self.matches(root, &path))
    }
}

impl BadGlob {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::BadInput
    }
}

fn glob(pattern: &str) -> Result<globset::Glob, BadGlob> {
    Ok(GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build()?)
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
        }
        assert!(Globs::new(&["a["]).is_err());
    }

    #[test]
    fn what_lies_below_a_match_is_within_it() {
        let globs = Globs::new(&["cache"]).unwrap();
        let path = RelPath::new("a/cache/b/c").unwrap();
        assert!(globs.matches_within(Path::new("/"), &path));
        assert!(!globs.matches(Path::new("/"), &path));
    }
}
