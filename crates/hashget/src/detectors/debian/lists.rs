//! apt's package lists on disk: an archive's data about the files of packages.
//!
//! Invariant: a [`Listed`] comes from a list whose bytes have the SHA-256 in the Release file beside it, in a
//! folder where apt stores only files that it has verified with the archive's key. Nothing else on disk is
//! trusted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::archives::Permanent;
use super::sources::Sources;
use super::status::Installed;
use crate::codec::{self, Codec};
use crate::detectors::{DetectError, quoted, small_files};
use crate::formats::{Paragraph, Paragraphs};
use crate::limits::Limits;
use crate::model::{Digest, HashingReader, RelPath, escaped};

/// Size limit of a Release file; a larger file is reported and ignored.
const MAX_RELEASE: u64 = 16 << 20;

/// A list's data about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its path relative to the archive's URL.
    pub(super) filename: String,
    pub(super) size: u64,
    pub(super) sha256: Digest,
    /// The archive, if it keeps packages permanently.
    pub(super) permanent: Option<Permanent>,
    /// The origin of the archive, according to its Release file.
    pub(super) origin: String,
    /// A time at which the archive had the package, `YYYYMMDDTHHMMSSZ`.
    pub(super) stamp: Option<String>,
    /// Current URLs of the file, according to the sources.
    pub(super) mirrors: Vec<String>,
}

/// A package's name, version and architecture.
type Key = (String, String, String);

/// The data of the lists about the requested packages.
#[derive(Debug, Default)]
pub(super) struct Lists {
    found: HashMap<Key, Vec<Listed>>,
    /// Lists that are not trusted, and files that cannot be read.
    pub(super) notes: Vec<DetectError>,
}

impl Lists {
    /// Reads the data about `packages` from the lists of the system at `root`.
    pub(super) fn read(root: &Path, packages: &[&Installed]) -> Self {
        let mut lists = Self::default();
        let folder = root.join("var/lib/apt/lists");
        let Ok(entries) = fs_err::read_dir(&folder) else { return lists };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let wanted = Wanted::of(packages);
        let sources = Sources::read(root, &mut |error| lists.notes.push(error));
        for release in names.iter().filter(|name| is_signed_release(name, &names)) {
            let prefix = release.trim_end_matches("InRelease").trim_end_matches("Release");
            let lists_of_it: Vec<&String> =
                names.iter().filter(|name| is_list_of(name, prefix)).collect();
            if lists_of_it.is_empty() {
                continue;
            }
            let note = &mut |error| lists.notes.push(error);
            let Some(release) = Release::read(&folder.join(release), note) else { continue };
            for name in lists_of_it {
                let path = folder.join(name);
                match release.entries(&path, &name[prefix.len()..], &wanted) {
                    Ok(entries) => {
                        let servers = sources.servers(prefix);
                        entries.iter().for_each(|entry| lists.add(entry, &release, servers));
                    }
                    Err(problem) => lists.notes.push(DetectError::new(&path, problem)),
                }
            }
        }
        lists
    }

    fn add(&mut self, entry: &Paragraph, release: &Release, servers: &[String]) {
        let Some((key, listed)) = release.listed(entry, servers) else { return };
        let known = self.found.entry(key).or_default();
        match known.iter_mut().find(|other| other.sha256 == listed.sha256) {
            Some(other) => {
                other.mirrors.extend(listed.mirrors);
                if other.permanent.is_none() && listed.permanent.is_some() {
                    *other = Listed { mirrors: std::mem::take(&mut other.mirrors), ..listed };
                }
            }
            None => known.push(listed),
        }
    }

    /// The data about one package; several entries if archives have different files with this name and
    /// version.
    pub(super) fn entries(&self, package: &Installed) -> &[Listed] {
        let key = (package.name.clone(), package.version.clone(), package.architecture.clone());
        self.found.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// The names and versions to look for.
struct Wanted<'a> {
    names: HashSet<&'a [u8]>,
    versions: HashSet<(&'a str, &'a str)>,
}

impl<'a> Wanted<'a> {
    fn of(packages: &[&'a Installed]) -> Self {
        Self {
            names: packages.iter().map(|package| package.name.as_bytes()).collect(),
            versions: packages.iter().map(|package| (&*package.name, &*package.version)).collect(),
        }
    }

    /// Can `line` be the first one of a wanted package? In lists, each package begins with its name.
    fn may_be(&self, line: &[u8]) -> bool {
        line.strip_prefix(b"Package:").is_none_or(|name| self.names.contains(name.trim_ascii()))
    }
}

/// apt stores `InRelease`, or `Release` with `Release.gpg` beside it. A `Release` alone was not verified.
fn is_signed_release(name: &str, names: &[String]) -> bool {
    let has = |other: String| names.binary_search(&other).is_ok();
    name.ends_with("_InRelease")
        || (name.ends_with("_Release")
            && has(format!("{name}.gpg"))
            && !has(name.replace("_Release", "_InRelease")))
}

fn is_list_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .and_then(|rest| rest.split('.').next())
        .is_some_and(|rest| rest == "Packages" || rest.ends_with("_Packages"))
}

/// A Release file.
struct Release {
    origin: String,
    permanent: Option<Permanent>,
    stamp: Option<String>,
    /// Digests by the list's name as apt writes it, without the prefix.
    digests: BTreeMap<String, Digest>,
}

impl Release {
    fn read(path: &Path, note: &mut dyn FnMut(DetectError)) -> Option<Self> {
        let bytes = small_files::read_optional(path, MAX_RELEASE, note)?;
        let mut paragraphs = Paragraphs::new(signed_text(&bytes));
        let fields = paragraphs.next().ok()??;
        let field = |name| fields.get(name).unwrap_or_default();
        let digests = field("SHA256").lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let digest: Digest = words.next()?.parse().ok()?;
            Some((words.nth(1)?.replace('/', "_"), digest))
        });
        Some(Self {
            origin: escaped(field("Origin").as_bytes()),
            permanent: Permanent::of_release(field("Origin"), field("Label")),
            stamp: stamp_after(field("Date")),
            digests: digests.collect(),
        })
    }

    /// The paragraphs that may be wanted of the list at `path`, if the list is the one in this Release file.
    fn entries(
        &self,
        path: &Path,
        name: &str,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Paragraph>, String> {
        let plain = name.split_once('.').map_or(name, |(plain, _)| plain);
        let failed = |error: io::Error| format!("it cannot be read: {error}");
        if !small_files::is_file(path) {
            return Err("it is not a file".to_owned());
        }
        let mut packed = HashingReader::new(File::open(path).map_err(failed)?);
        let (entries, unpacked) = read_list(&mut packed, wanted).map_err(failed)?;
        let is = |name: &str, digest| self.digests.get(name) == Some(&digest);
        if is(plain, unpacked) || is(name, packed.finish().0) {
            return Ok(entries);
        }
        let problem = "it is not the list that the signed Release file beside it names";
        Err(problem.to_owned())
    }

    fn listed(&self, entry: &Paragraph, servers: &[String]) -> Option<(Key, Listed)> {
        let field = |name| entry.get(name).map(str::to_owned);
        let key = (field("Package")?, field("Version")?, field("Architecture")?);
        let filename = field("Filename")?;
        let filename = filename.strip_prefix("./").unwrap_or(&filename).to_owned();
        RelPath::try_from(&*filename).ok()?;
        let mirrors = servers.iter().map(|server| format!("{server}{}", quoted(&filename)));
        let listed = Listed {
            size: entry.get("Size")?.parse().ok()?,
            sha256: entry.get("SHA256")?.parse().ok()?,
            permanent: self.permanent,
            origin: self.origin.clone(),
            stamp: self.stamp.clone(),
            mirrors: mirrors.collect(),
            filename,
        };
        Some((key, listed))
    }
}

/// The wanted paragraphs, and the digest of the decompressed list.
fn read_list(
    packed: &mut (dyn Read + Send),
    wanted: &Wanted<'_>,
) -> io::Result<(Vec<Paragraph>, Digest)> {
    let mut head = Vec::new();
    packed.take(16).read_to_end(&mut head)?;
    let codec = Codec::recognise(&head);
    let whole = io::Cursor::new(head).chain(packed);
    let decoder = codec::decoder(codec, Box::new(whole), &Limits::default(), 1)?;
    let mut paragraphs =
        Paragraphs::new(BufReader::with_capacity(1 << 16, HashingReader::new(decoder)));
    let mut entries = Vec::new();
    while let Some(entry) = paragraphs.next_if(|line| wanted.may_be(line))? {
        let version = entry.get("Package").zip(entry.get("Version"));
        if version.is_some_and(|version| wanted.versions.contains(&version)) {
            entries.push(entry);
        }
    }
    Ok((entries, paragraphs.into_inner().into_inner().finish().0))
}

/// The text between the markers of a clear-signed file; the whole text of any other file.
fn signed_text(bytes: &[u8]) -> &[u8] {
    if !bytes.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
        return bytes;
    }
    let find = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let begin = find(b"\n\n").map_or(bytes.len(), |at| at + 2);
    let end = find(b"\n-----BEGIN PGP SIGNATURE-----").map_or(bytes.len(), |at| at + 1);
    bytes.get(begin..end).unwrap_or_default()
}

/// One day after `date`: by then, everything in the list had entered the archive and had not left it yet.
fn stamp_after(date: &str) -> Option<String> {
    let date = date.strip_suffix(" UTC").or_else(|| date.strip_suffix(" GMT"))?;
    let moment = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S", date).ok()?;
    let later = moment.checked_add(jiff::Span::new().days(1)).ok()?;
    Some(later.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_a_day_later() {
        let stamp = stamp_after("Thu, 31 Dec 2026 10:16:37 UTC");
        assert_eq!(stamp.as_deref(), Some("20270101T101637Z"));
        assert_eq!(stamp_after("some day"), None);
    }

    #[test]
    fn only_what_apt_has_verified_counts() {
        let names: Vec<String> =
            ["a_InRelease", "b_Release", "b_Release.gpg", "c_Release"].map(str::to_owned).into();
        let signed: Vec<&String> =
            names.iter().filter(|name| is_signed_release(name, &names)).collect();
        assert_eq!(signed, ["a_InRelease", "b_Release"]);
    }

    #[test]
    fn a_clear_signed_text_is_what_stands_between_the_marks() {
        let text = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: x\nDate: y\n\
            -----BEGIN PGP SIGNATURE-----\nOrigin: forged\n";
        assert_eq!(signed_text(text), b"Origin: x\nDate: y\n");
        assert_eq!(signed_text(b"Origin: x\n"), b"Origin: x\n");
    }
}
