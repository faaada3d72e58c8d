//! Names, versions and tags of wheels.
//!
//! Invariant: text accepted by [`is_name`] and [`is_version`] can be part of a URL's path unchanged, except
//! for a `+`.

use std::collections::BTreeSet;
use std::fmt;

/// Is this a valid project name?
pub(super) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.bytes().all(plain) && name.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

/// Is this a valid version, as in the names of folders?
pub(super) fn is_version(version: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+!".contains(&byte);
    version.bytes().all(plain) && version.bytes().any(|byte| byte.is_ascii_digit())
}

/// A project's name as normalised by indexes: lower case, one `-` for each run of `-`, `_` and `.`.
pub(super) fn normalised(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            letter => normal.push(letter.to_ascii_lowercase()),
        }
    }
    normal
}

/// Are these two spellings of the same version? (`_` stands for `-` in file names.)
pub(super) fn same_version(one: &str, other: &str) -> bool {
    let plain = |version: &str| version.to_ascii_lowercase().replace(['_', '-'], ".");
    plain(one) == plain(other)
}

/// The Pythons, ABIs and platforms of a wheel, and its build number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tags {
    build: String,
    tags: BTreeSet<[String; 3]>,
}

impl Tags {
    /// Parses a `WHEEL` file, which has each tag on a line. `None` if it has none.
    pub(super) fn of_wheel(wheel: &str) -> Option<Self> {
        let mut found = Self::default();
        for line in wheel.lines() {
            if let Some(tag) = line.strip_prefix("Tag:") {
                let [python, abi, platform] =
                    tag.trim().split('-').collect::<Vec<_>>().try_into().ok()?;
                found.add(python, abi, platform);
            } else if let Some(build) = line.strip_prefix("Build:") {
                build.trim().clone_into(&mut found.build);
            }
        }
        let plain = |text: &String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
            !text.is_empty() && text.bytes().all(plain)
        };
        let proper = found.tags.iter().flatten().all(plain)
            && (found.build.is_empty() || plain(&found.build));
        (!found.tags.is_empty() && proper).then_some(found)
    }

    /// Each of the three may contain several values, separated by dots.
    fn add(&mut self, pythons: &str, abis: &str, platforms: &str) {
        for python in pythons.split('.') {
            for abi in abis.split('.') {
                for platform in platforms.split('.') {
                    self.tags.insert([python, abi, platform].map(str::to_owned));
                }
            }
        }
    }

    /// Does it have a tag in common with `other`, and the same build?
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.build == other.build && !self.tags.is_disjoint(&other.tags)
    }
}

impl fmt::Display for Tags {
    /// As in the name of the wheel's file, sorted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |index: usize| {
            let part: BTreeSet<&str> = self.tags.iter().map(|tag| tag[index].as_str()).collect();
            part.into_iter().collect::<Vec<_>>().join(".")
        };
        if !self.build.is_empty() {
            write!(f, "{}-", self.build)?;
        }
        write!(f, "{}-{}-{}", part(0), part(1), part(2))
    }
}

/// The parts of a wheel's file name: the project as written there, version, tags.
pub(super) fn of_file(file: &str) -> Option<(&str, &str, Tags)> {
    let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
    let (name, version, build, rest) = match parts.as_slice() {
        [name, version, rest @ ..] if rest.len() == 3 => (name, version, "", rest),
        [name, version, build, rest @ ..] if rest.len() == 3 => (name, version, *build, rest),
        _ => return None,
    };
    let mut tags = Tags { build: build.to_owned(), ..Tags::default() };
    tags.add(rest[0], rest[1], rest[2]);
    Some((name, version, tags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_knows_its_files_name() {
        let wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n\
            Tag: cp311-cp311-manylinux_2_17_x86_64\nTag: cp311-cp311-manylinux2014_x86_64\n";
        let tags = Tags::of_wheel(wheel).unwrap();
        let file = "numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        assert_eq!(of_file(file).unwrap(), ("numpy", "1.26.4", tags.clone()));
        let shown = "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64";
        assert_eq!(tags.to_string(), shown);
        let built = Tags::of_wheel("Build: 2\nTag: py2.py3-none-any\n").unwrap();
        assert_eq!(of_file("a_b-1-2-py2.py3-none-any.whl").unwrap(), ("a_b", "1", built.clone()));
        assert_eq!(built.to_string(), "2-py2.py3-none-any");
        assert!(!built.overlaps(&Tags::of_wheel("Tag: py3-none-any").unwrap()));
        for nonsense in
            ["", "Tag: a-b", "Tag: a-b-c-d", "Tag: a-b-../x", "Tag: a--c", "Tag: a-b-c?"]
        {
            assert_eq!(Tags::of_wheel(nonsense), None, "{nonsense}");
        }
        for nonsense in ["a.whl", "a-1.whl", "a-1-b-c.whl", "a-1-2-3-b-c-d.whl", "a-1.tar.gz"] {
            assert_eq!(of_file(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn names_have_one_form() {
        assert_eq!(normalised("Foo__Bar.-baz"), "foo-bar-baz");
        assert!(same_version("1.0+cpu_2", "1.0+CPU.2") && !same_version("1.0", "1.1"));
        assert!(is_name("a.B-c_9") && !is_name("a/b") && !is_name("..") && !is_name(""));
        assert!(is_version("1!2.0.post1+local") && !is_version("1/2") && !is_version("abc"));
    }
}
