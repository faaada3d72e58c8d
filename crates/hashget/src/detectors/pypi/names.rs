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

/// Limit on the tags of a wheel. Real ones have up to a few dozen.
const MOST_TAGS: usize = 1000;

/// The Pythons, ABIs and platforms of an installed wheel, and its build number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tags {
    build: String,
    tags: BTreeSet<[String; 3]>,
}

impl Tags {
    /// Parses a `WHEEL` file, which has each tag on a line. `None` if it has none, or more than [`MOST_TAGS`].
    pub(super) fn of_wheel(wheel: &str) -> Option<Self> {
        let mut found = Self::default();
        for line in wheel.lines() {
            if let Some(tag) = line.strip_prefix("Tag:") {
                found.add(&FileTags::parse(&tag.trim().split('-').collect::<Vec<_>>())?)?;
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

    /// Adds all combinations, if they are not too many.
    fn add(&mut self, tags: &FileTags<'_>) -> Option<()> {
        if self.tags.len() + tags.count()? > MOST_TAGS {
            return None;
        }
        let [pythons, abis, platforms] = &tags.parts;
        for python in pythons {
            for abi in abis {
                for platform in platforms {
                    self.tags.insert([*python, *abi, *platform].map(str::to_owned));
                }
            }
        }
        Some(())
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

/// The tags in the name of a wheel's file: three lists, all combinations of which are meant. They are never written out:
/// a short name can mean millions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FileTags<'a> {
    build: &'a str,
    parts: [BTreeSet<&'a str>; 3],
}

impl<'a> FileTags<'a> {
    /// Three lists, with dots between their values.
    fn parse(parts: &[&'a str]) -> Option<Self> {
        let parts: [&str; 3] = parts.try_into().ok()?;
        Some(Self { build: "", parts: parts.map(|part| part.split('.').collect()) })
    }

    /// The number of combinations.
    fn count(&self) -> Option<usize> {
        self.parts.iter().try_fold(1_usize, |count, part| count.checked_mul(part.len()))
    }

    fn contains(&self, tag: &[String; 3]) -> bool {
        self.parts.iter().zip(tag).all(|(part, value)| part.contains(value.as_str()))
    }

    /// Are these all tags of `wheel`, and no others?
    pub(super) fn are(&self, wheel: &Tags) -> bool {
        self.build == wheel.build
            && self.count() == Some(wheel.tags.len())
            && wheel.tags.iter().all(|tag| self.contains(tag))
    }

    /// Do they have a tag in common with `wheel`, and the same build?
    pub(super) fn overlap(&self, wheel: &Tags) -> bool {
        self.build == wheel.build && wheel.tags.iter().any(|tag| self.contains(tag))
    }
}

impl FileTags<'_> {
    /// Have they the Pythons and ABIs of `wheel`, for a system of the same kind and processor?
    pub(super) fn is_renamed(&self, wheel: &Tags) -> bool {
        let [pythons, abis, platforms] = &self.parts;
        let same = |platform: &str, other: &str| {
            let (one, other) = (kind_and_processor(platform), kind_and_processor(other));
            one.is_some() && one == other
        };
        self.build == wheel.build
            && wheel.tags.iter().any(|[python, abi, platform]| {
                pythons.contains(python.as_str())
                    && abis.contains(abi.as_str())
                    && platforms.iter().any(|of_file| same(of_file, platform))
            })
    }

    /// Are they for this Python, on Linux with this processor or on every system?
    pub(super) fn fits(&self, python: Option<&str>, processor: &str) -> bool {
        let [pythons, _, platforms] = &self.parts;
        let for_python =
            pythons.contains("py3") || python.is_none_or(|python| pythons.contains(python));
        let for_system = |platform: &&str| {
            *platform == "any" || kind_and_processor(platform) == Some(("linux", processor))
        };
        for_python && platforms.iter().any(for_system)
    }
}

/// The kind of system and the processor of a platform with the usual C library, whatever its version:
/// `manylinux_2_17_x86_64` and `linux_x86_64` are the same.
fn kind_and_processor(platform: &str) -> Option<(&str, &str)> {
    let processors =
        ["x86_64", "aarch64", "i686", "armv7l", "ppc64le", "s390x", "riscv64", "loongarch64"];
    let processor = processors.into_iter().find(|processor| platform.ends_with(processor))?;
    let is_linux = platform.starts_with("manylinux") || platform.starts_with("linux");
    is_linux.then_some(("linux", processor))
}

/// The parts of a wheel's file name: the project as written there, version, tags.
pub(super) fn of_file(file: &str) -> Option<(&str, &str, FileTags<'_>)> {
    let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
    let (name, version, build, rest) = match parts.as_slice() {
        [name, version, rest @ ..] if rest.len() == 3 => (name, version, "", rest),
        [name, version, build, rest @ ..] if rest.len() == 3 => (name, version, *build, rest),
        _ => return None,
    };
    Some((name, version, FileTags { build, ..FileTags::parse(rest)? }))
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
        let (name, version, of) = of_file(file).unwrap();
        assert_eq!(
            (name, version, of.are(&tags), of.overlap(&tags)),
            ("numpy", "1.26.4", true, true)
        );
        let shown = "cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64";
        assert_eq!(tags.to_string(), shown);
        let built = Tags::of_wheel("Build: 2\nTag: py2.py3-none-any\n").unwrap();
        let (name, version, of) = of_file("a_b-1-2-py2.py3-none-any.whl").unwrap();
        assert_eq!((name, version, of.are(&built)), ("a_b", "1", true));
        assert_eq!(built.to_string(), "2-py2.py3-none-any");
        let other = Tags::of_wheel("Tag: py3-none-any").unwrap();
        assert!(!of.overlap(&other) && !of.are(&other));
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
    fn combinations_of_tags_are_not_written_out() {
        let list = |letter: &str| {
            (0..2000).map(|number| format!("{letter}{number}")).collect::<Vec<_>>().join(".")
        };
        let many = format!("{}-{}-{}", list("a"), list("b"), list("c"));
        assert_eq!(Tags::of_wheel(&format!("Tag: {many}")), None);
        let file = format!("a-1-{many}.whl");
        let (_, _, of) = of_file(&file).unwrap();
        let few = Tags::of_wheel("Tag: a7-b7-c7").unwrap();
        assert!(of.overlap(&few) && !of.are(&few));
    }

    #[test]
    fn names_have_one_form() {
        assert_eq!(normalised("Foo__Bar.-baz"), "foo-bar-baz");
        assert!(same_version("1.0+cpu_2", "1.0+CPU.2") && !same_version("1.0", "1.1"));
        assert!(is_name("a.B-c_9") && !is_name("a/b") && !is_name("..") && !is_name(""));
        assert!(is_version("1!2.0.post1+local") && !is_version("1/2") && !is_version("abc"));
    }
}
