//! Linux kernel sources: an unpacked tree, recognised by its top Makefile, or the tarball itself.
//!
//! Invariant: a candidate is a tarball that kernel.org keeps permanently: a release, never a release
//! candidate. A distribution's or user's own version suffix does not change which upstream release it is.

use std::path::Path;

use super::{Candidate, DetectError, Detector, Machine, small_files};
use crate::model::{Origin, RelPath};

/// Recognises kernel sources.
pub(super) struct Kernel;

/// The URL below which releases lie.
const BASE: &str = "https://cdn.kernel.org/pub/linux/kernel";

/// The version is in the first lines of the Makefile.
const HEAD_BYTES: u64 = 4096;

impl Detector for Kernel {
    fn name(&self) -> &str {
        "kernel"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        path.file_name() == b"Makefile" || tarball_url(path.file_name()).is_some()
    }

    fn detect(
        &self,
        _machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let file = path.below(root);
        let url = match tarball_url(path.file_name()) {
            Some(url) => small_files::is_file(&file).then_some(url),
            None => tree_release(&file)?.map(|release| release.url()),
        };
        let candidate = |url| Candidate {
            url,
            origin: Origin::Client,
            sha256: None,
            size: None,
            signature: None,
            project: None,
            local_file: None,
            found_at: path.clone(),
            ..Candidate::default()
        };
        Ok(url.map(candidate).into_iter().collect())
    }
}

/// A release as kernel.org numbers it: two to four numbers.
#[derive(Debug, PartialEq, Eq)]
struct Release(Vec<u32>);

impl Release {
    /// The release with these numbers, if upstream can have published it.
    fn new(numbers: Vec<u32>) -> Option<Self> {
        let plausible = match *numbers {
            // Before 3.0 a release has three numbers, and a stable release of 2.6 has four.
            [2, patchlevel, _] => patchlevel <= 6,
            [2, 6, _, stable] => stable > 0,
            [2, 4, 37, stable] => stable > 0,
            // Since 3.0 the first release of a series has two numbers: 6.1, not 6.1.0.
            [version, _] => (3..100).contains(&version),
            [version, _, stable] => (3..100).contains(&version) && stable > 0,
            _ => false,
        };
        plausible.then_some(Self(numbers))
    }

    /// The folder on kernel.org: `v6.x`, and `v2.6` before 3.0.
    fn folder(&self) -> String {
        match *self.0 {
            [2, patchlevel, ..] => format!("v2.{patchlevel}"),
            ref numbers => format!("v{}.x", numbers[0]),
        }
    }

    fn url(&self) -> String {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        format!("{BASE}/{}/linux-{}.tar.xz", self.folder(), numbers.join("."))
    }
}

/// The URL of the tarball with this file name: `linux-6.1.192.tar.xz`.
fn tarball_url(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let stem = name.strip_prefix("linux-")?;
    let version = stem.strip_suffix(".tar.xz").or_else(|| stem.strip_suffix(".tar.gz"))?;
    let release = Release::new(version.split('.').map(parse_number).collect::<Option<_>>()?)?;
    Some(format!("{BASE}/{}/{name}", release.folder()))
}

/// A decimal number as in releases: without sign or leading zeros.
fn parse_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// The release of the kernel tree whose top Makefile is `makefile`; `None` for any other Makefile.
fn tree_release(makefile: &Path) -> Result<Option<Release>, DetectError> {
    // A tree has thousands of Makefiles, so the names beside it are checked before it is opened. Packages of
    // kernel headers have the Makefiles of all folders, but no sources.
    let Some(top) = makefile.parent().filter(|top| has_c_source(&top.join("kernel"))) else {
        return Ok(None);
    };
    let Some(head) = small_files::read_head(makefile, HEAD_BYTES)? else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&head);
    let has_name = assigned(&head, "NAME").is_some();
    if !has_name && !small_files::is_file(&top.join("Kconfig")) {
        return Ok(None);
    }
    Ok(release_of(&head))
}

fn has_c_source(folder: &Path) -> bool {
    let is_c_source =
        |entry: fs_err::DirEntry| entry.path().extension().is_some_and(|end| end == "c");
    small_files::is_folder(folder)
        && fs_err::read_dir(folder).is_ok_and(|entries| entries.flatten().any(is_c_source))
}

/// The value that a Makefile assigns to `name`.
fn assigned<'a>(makefile: &'a str, name: &str) -> Option<&'a str> {
    makefile.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.trim_start();
        Some(rest.strip_prefix(":=").or_else(|| rest.strip_prefix('='))?.trim())
    })
}

fn release_of(makefile: &str) -> Option<Release> {
    let version = parse_number(assigned(makefile, "VERSION")?)?;
    let patchlevel = parse_number(assigned(makefile, "PATCHLEVEL")?)?;
    let sublevel = parse_number(assigned(makefile, "SUBLEVEL")?)?;
    let extra = assigned(makefile, "EXTRAVERSION").unwrap_or("");
    let before_a_release = ["-rc", "-pre", "-test"].iter().any(|mark| {
        extra
            .match_indices(mark)
            .any(|(at, _)| extra[at + mark.len()..].starts_with(|next: char| next.is_ascii_digit()))
    });
    if before_a_release {
        return None;
    }
    let mut numbers = vec![version, patchlevel, sublevel];
    if version >= 3 && sublevel == 0 {
        numbers.pop();
    }
    // Stable releases of 2.6 have the fourth number in EXTRAVERSION: ".71".
    if let Some(rest) = extra.strip_prefix('.').filter(|_| version == 2) {
        let end = rest.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(rest.len());
        numbers.push(parse_number(&rest[..end])?);
    }
    Release::new(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn makefile_url(
        version: &str,
        patchlevel: &str,
        sublevel: &str,
        extra: &str,
    ) -> Option<String> {
        let text = format!(
            "# SPDX-License-Identifier: GPL-2.0\nVERSION = {version}\nPATCHLEVEL = {patchlevel}\n\
             SUBLEVEL = {sublevel}\nEXTRAVERSION ={extra}\nNAME = Some Animal\n"
        );
        let url = release_of(&text)?.url();
        Some(url.strip_prefix(BASE).unwrap().to_owned())
    }

    #[test]
    fn makefiles_tell_the_release() {
        for (numbers, extra, expected) in [
            (["6", "1", "192"], "", Some("/v6.x/linux-6.1.192.tar.xz")),
            (["6", "1", "0"], "", Some("/v6.x/linux-6.1.tar.xz")),
            (["3", "0", "0"], "", Some("/v3.x/linux-3.0.tar.xz")),
            (["6", "1", "90"], " -amd64", Some("/v6.x/linux-6.1.90.tar.xz")),
            (["6", "2", "0"], " -rc3", None),
            (["6", "2", "0"], " -rc3-next", None),
            (["6", "2", "1"], " -rc-car", Some("/v6.x/linux-6.2.1.tar.xz")),
            (["2", "6", "32"], " .71", Some("/v2.6/linux-2.6.32.71.tar.xz")),
            (["2", "6", "32"], " .71-mine", Some("/v2.6/linux-2.6.32.71.tar.xz")),
            (["2", "6", "0"], " -test11", None),
            (["2", "6", "39"], "", Some("/v2.6/linux-2.6.39.tar.xz")),
            (["2", "4", "37"], " .11", Some("/v2.4/linux-2.4.37.11.tar.xz")),
            (["2023", "01", ""], "", None),
            (["1", "36", "1"], "", None),
            (["$(shell x)", "1", "1"], "", None),
        ] {
            let [version, patchlevel, sublevel] = numbers;
            let url = makefile_url(version, patchlevel, sublevel, extra);
            assert_eq!(url.as_deref(), expected, "{numbers:?} {extra}");
        }
    }

    #[test]
    fn tarballs_are_known_by_their_exact_names() {
        for (name, expected) in [
            ("linux-6.1.192.tar.xz", Some("/v6.x/linux-6.1.192.tar.xz")),
            ("linux-5.10.tar.gz", Some("/v5.x/linux-5.10.tar.gz")),
            ("linux-2.6.39.4.tar.gz", Some("/v2.6/linux-2.6.39.4.tar.gz")),
            ("linux-6.1.0.tar.xz", None),
            ("linux-6.1-rc3.tar.gz", None),
            ("linux-6.tar.xz", None),
            ("linux-6.01.tar.xz", None),
            ("linux-source-6.1.tar.xz", None),
            ("linux-6.1.192.tar.xz.sig", None),
            ("linux-6.1.99999999999.tar.xz", None),
        ] {
            let url = tarball_url(name.as_bytes());
            assert_eq!(url, expected.map(|rest| format!("{BASE}{rest}")), "{name}");
        }
    }
}
