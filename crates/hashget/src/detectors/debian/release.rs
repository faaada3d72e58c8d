//! A Release file: what an archive says about itself and its lists, and who vouches for that.
//!
//! Invariant: the words of a Release file never make anybody vouch for it; a signature by an archive key does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::archives::Permanent;
use super::bulk::{self, ReleaseFile};
use super::lists::{Wanted, read_list};
use super::signed_text::SignedText;
use super::signers::Signers;
use crate::detectors::{DetectError, small_files};
use crate::formats::{Paragraph, Paragraphs};
use crate::model::{Digest, HashingReader, escaped};

/// Size limit of a Release file; a larger file is reported and ignored.
const MAX_BYTES: u64 = 16 << 20;

/// A Release file.
pub(super) struct Release {
    /// The origin of the archive, safe for a terminal.
    pub(super) origin: String,
    /// The archive, if it keeps packages permanently.
    pub(super) permanent: Option<Permanent>,
    /// One day after its date, `YYYYMMDDTHHMMSSZ`.
    pub(super) stamp: Option<String>,
    /// Who vouches for its packages.
    pub(super) vouched: Option<String>,
    /// The file itself.
    pub(super) file: Arc<ReleaseFile>,
    /// Digests by the list's name as apt writes it, without the prefix.
    digests: BTreeMap<String, Digest>,
}

impl Release {
    /// Reads the file at `path`, whose name begins with `prefix`. A signature is verified by `signers`.
    pub(super) fn read(
        path: &Path,
        prefix: &str,
        signers: Option<&Signers>,
        note: &mut dyn FnMut(DetectError),
    ) -> Option<Self> {
        let bytes = small_files::read_optional(path, MAX_BYTES, note)?;
        let mut signed = SignedText::split(&bytes);
        let is_detached = signed.signature.is_empty();
        if is_detached {
            let mut file = OsString::from(path);
            file.push(".gpg");
            let signature = small_files::read_optional(Path::new(&file), MAX_BYTES, note);
            signed.signature = signature.unwrap_or_default();
        }
        let fields = Paragraphs::new(&signed.text[..]).next().ok()??;
        let field = |name| fields.get(name).unwrap_or_default();
        let digests = field("SHA256").lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let digest: Digest = words.next()?.parse().ok()?;
            Some((words.nth(1)?.replace('/', "_"), digest))
        });
        let permanent = Permanent::of_release(field("Origin"), field("Label"));
        let codename = fields.get("Codename").or_else(|| fields.get("Suite")).unwrap_or("a suite");
        let vouched = match (permanent, signers) {
            (Some(permanent), Some(signers)) => {
                vouched(path, &signed, signers, (permanent, codename), note)
            }
            _ => None,
        };
        Some(Self {
            origin: escaped(field("Origin").as_bytes()),
            permanent,
            stamp: stamp_after(field("Date")),
            vouched,
            file: Arc::new(ReleaseFile {
                name: if is_detached { "Release" } else { "InRelease" },
                suite: bulk::suite_of(prefix),
                sha256: Digest::of(&bytes),
                size: bytes.len() as u64,
            }),
            digests: digests.collect(),
        })
    }

    /// The paragraphs that may be wanted of the list at `path`, if the list is the one in this Release file.
    pub(super) fn entries(
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
}

/// Who vouches for the archive with this code name, if an archive key signed the text.
fn vouched(
    path: &Path,
    signed: &SignedText,
    signers: &Signers,
    (permanent, codename): (Permanent, &str),
    note: &mut dyn FnMut(DetectError),
) -> Option<String> {
    let distribution = permanent.distribution();
    if signers.vouch(signed, permanent.system()) {
        let codename = escaped(codename.as_bytes());
        return Some(format!("{distribution}'s signed list of {codename}"));
    }
    match signers.is_able() {
        Ok(()) => note(DetectError::new(
            path,
            format!("no archive key of {distribution} vouches for it: its packages are asked for"),
        )),
        Err(Some(reason)) => note(DetectError::new(
            path,
            format!("its signature cannot be verified ({reason}): its packages are asked for"),
        )),
        Err(None) => {}
    }
    None
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
}
