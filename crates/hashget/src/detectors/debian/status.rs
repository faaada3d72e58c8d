//! What is installed according to dpkg: `var/lib/dpkg/status`, and `status.d` of images without dpkg.
//!
//! Invariant: an [`Installed`] has a name, version and architecture that can be used unchanged in a URL and a
//! file name. Other packages are reported as a note, and the rest is read.

use std::io::BufRead;

use crate::formats::{Paragraph, Paragraphs};
use crate::model::{RelPath, escaped};

/// The fields that are used. A file may end in the middle of any other one.
const FIELDS: [&str; 7] =
    ["Package", "Status", "Version", "Architecture", "Multi-Arch", "Conffiles", "Source"];

/// A package whose files are in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) name: String,
    /// With its epoch.
    pub(super) version: String,
    pub(super) architecture: String,
    /// Can it be installed for several architectures at once? Then the names of its files in `info` contain
    /// the architecture.
    pub(super) multi_arch_same: bool,
    /// Configuration files with the MD5s from the package.
    pub(super) conffiles: Vec<(RelPath, [u8; 16])>,
    /// The source package that it was built from, if that has another name or version; its version, if that is another one.
    pub(super) source: Option<(String, Option<String>)>,
}

impl Installed {
    /// Name, version and architecture, as in the package's signature.
    pub(super) fn full_name(&self) -> String {
        format!("{}_{}_{}", self.name, self.version, self.architecture)
    }
}

/// Reads all paragraphs of `reader`. Returns what is installed, and the problems of paragraphs that cannot be
/// parsed.
pub(super) fn read(reader: impl BufRead) -> std::io::Result<(Vec<Installed>, Vec<String>)> {
    let (mut installed, mut notes) = (Vec::new(), Vec::new());
    let mut paragraphs = Paragraphs::new(reader);
    while let Some(paragraph) = paragraphs.next()? {
        match understand(&paragraph) {
            Ok(Some(package)) => installed.push(package),
            Ok(None) => {}
            Err(problem) => {
                let name = escaped(paragraph.get("Package").unwrap_or("a package").as_bytes());
                let line = paragraph.line;
                notes.push(format!("line {line}: {name} is passed over: {problem}"));
            }
        }
    }
    Ok((installed, notes))
}

/// `None` for a package without files in the tree.
fn understand(paragraph: &Paragraph) -> Result<Option<Installed>, String> {
    if let Some(damage) = paragraph.damage_of(&FIELDS) {
        return Err(damage.to_owned());
    }
    if !has_files(paragraph.get("Status"))? {
        return Ok(None);
    }
    let field = |name: &'static str, allowed: &str| -> Result<String, String> {
        let value = paragraph.get(name).ok_or_else(|| format!("it has no {name}"))?;
        let plain = value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || allowed.as_bytes().contains(&byte));
        if plain && value.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            Ok(value.to_owned())
        } else {
            Err(format!("its {name} is \"{}\"", escaped(value.as_bytes())))
        }
    };
    Ok(Some(Installed {
        name: field("Package", "+-.")?,
        version: field("Version", "+-.:~")?,
        architecture: field("Architecture", "-")?,
        multi_arch_same: paragraph.get("Multi-Arch") == Some("same"),
        conffiles: paragraph.get("Conffiles").map(conffiles).unwrap_or_default(),
        source: paragraph.get("Source").map(source),
    }))
}

/// `NAME`, or `NAME (VERSION)`.
fn source(text: &str) -> (String, Option<String>) {
    let (name, version) = text.split_once(' ').unwrap_or((text, ""));
    let version = version.trim().trim_start_matches('(').trim_end_matches(')');
    (name.to_owned(), (!version.is_empty()).then(|| version.to_owned()))
}

/// Does a package in this state have its files in the tree? Without a state it comes from `status.d`.
fn has_files(status: Option<&str>) -> Result<bool, String> {
    let Some(status) = status else { return Ok(true) };
    match status.split_whitespace().nth(2) {
        Some(
            "installed" | "triggers-pending" | "triggers-awaited" | "half-configured" | "unpacked",
        ) => Ok(true),
        Some("config-files" | "not-installed") => Ok(false),
        _ => Err(format!("its state is \"{}\"", escaped(status.as_bytes()))),
    }
}

/// Lines of a path and an MD5. A word after the MD5 (`obsolete`, ...) means that the file no longer belongs
/// to the package.
fn conffiles(text: &str) -> Vec<(RelPath, [u8; 16])> {
    let understand = |line: &str| {
        let (path, digest) = line.trim().rsplit_once(' ')?;
        Some((RelPath::normalise(path.as_bytes()).ok()?, md5(digest.as_bytes())?))
    };
    text.lines().filter_map(understand).collect()
}

/// An MD5 in 32 hex digits.
pub(super) fn md5(hex: &[u8]) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(hex, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> (Vec<String>, Vec<String>) {
        let (installed, notes) = read(text.as_bytes()).unwrap();
        let names = installed.iter().map(|package| {
            format!("{}_{}_{}", package.name, package.version, package.architecture)
        });
        (names.collect(), notes)
    }

    #[test]
    fn every_state_and_every_kind_of_version() {
        let stanza = |name: &str, status: &str, version: &str| {
            format!(
                "Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        };
        let text = [
            stanza("vim", "install ok installed", "2:9.0.1378-2+deb12u2"),
            stanza("libstdc++6", "hold ok installed", "12.2.0-14+b1"),
            stanza("leaving", "deinstall ok installed", "1.0~rc1"),
            stanza("waiting", "install ok triggers-awaited", "1"),
            stanza("gone", "deinstall ok config-files", "1"),
            stanza("never", "unknown ok not-installed", "1"),
            stanza("half", "install reinstreq half-installed", "1"),
            "Package: without\nStatus: install ok installed\nArchitecture: all\n\n".to_owned(),
            stanza("../evil", "install ok installed", "1"),
            stanza("evil", "install ok installed", "1/../../x"),
            "Package: image\nVersion: 3\nArchitecture: all\n\n".to_owned(),
        ]
        .concat();
        let (found, notes) = names(&text);
        let expected = [
            "vim_2:9.0.1378-2+deb12u2_amd64",
            "libstdc++6_12.2.0-14+b1_amd64",
            "leaving_1.0~rc1_amd64",
            "waiting_1_amd64",
            "image_3_all",
        ];
        assert_eq!(found, expected);
        assert_eq!(notes.len(), 4, "{notes:?}");
        assert!(notes[1].contains("without is passed over: it has no Version"), "{notes:?}");
    }

    #[test]
    fn a_file_that_is_cut_off_gives_what_is_whole() {
        let whole = "Package: a\nVersion: 1\nArchitecture: all\n\nPackage: b\nVersion: 1.25\n\
                     Architecture: all\n\n";
        for length in 0..whole.len() {
            let (found, _) = names(&whole[..length]);
            assert!(
                found.iter().all(|name| name == "a_1_all" || name == "b_1.25_all"),
                "{found:?}"
            );
        }
        assert_eq!(names(whole).0, ["a_1_all", "b_1.25_all"]);
    }

    #[test]
    fn the_last_line_need_not_end() {
        let text = "Package: a\nVersion: 1\nArchitecture: all\nDescription: cut of";
        assert_eq!(names(text), (vec!["a_1_all".to_owned()], Vec::new()));
        assert_eq!(names("Package: a\nArchitecture: all\nVersion: 1.2").1.len(), 1);
    }

    #[test]
    fn conffiles_come_with_their_digests() {
        let text = "Package: a\nVersion: 1\nArchitecture: all\nConffiles:\n \
                    /etc/a b.conf 900150983cd24fb0d6963f7d28e17f72\n \
                    /etc/old 900150983cd24fb0d6963f7d28e17f72 obsolete\n /etc/new newconffile\n";
        let (installed, _) = read(text.as_bytes()).unwrap();
        let paths: Vec<String> =
            installed[0].conffiles.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(paths, ["etc/a b.conf"]);
    }
}
