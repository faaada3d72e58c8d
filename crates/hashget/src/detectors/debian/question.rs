//! Finds the URL of a .deb: first in signed lists on this machine, then in the snapshots of Debian's
//! archives.
//!
//! Invariant: pure except for the lists, which are read when the first package needs them; an answer contains
//! only permanent URLs, with what proves the bytes.

use std::sync::Arc;

use super::Knowledge;
use super::archives::{self, Permanent};
use super::lists::Listed;
use super::snapshot::{self, SnapshotFile};
use super::status::Installed;
use crate::detectors::{Answer, DetectError, Question};

/// Looks in the signed lists of the tree and of this machine. Reading them takes longer than scanning a small
/// system, and is not needed for packages whose name the HashDB knows.
#[derive(Debug)]
pub(super) struct SignedLists {
    pub(super) knowledge: Arc<Knowledge>,
    /// Index of the installed package.
    pub(super) index: usize,
}

impl Question for SignedLists {
    fn look_up(&self, note: &mut dyn FnMut(DetectError)) -> Result<Option<Answer>, String> {
        self.knowledge.lists().report(note);
        self.knowledge.by_lists(self.index)
    }

    fn pages(&self) -> &[String] {
        &[]
    }

    fn answer(&self, _url: &str, _page: &[u8]) -> Result<Option<Answer>, String> {
        Ok(None)
    }
}

/// Asks the snapshots where a version of a package is: one small page.
#[derive(Debug)]
pub(super) struct Snapshots {
    page: [String; 1],
    architecture: String,
    /// The size that the package must have, if known.
    size: Option<u64>,
}

impl Snapshots {
    pub(super) fn new(package: &Installed, size: Option<u64>) -> Self {
        let page = [archives::question(&package.name, &package.version)];
        Self { page, architecture: package.architecture.clone(), size }
    }
}

impl Question for Snapshots {
    fn pages(&self) -> &[String] {
        &self.page
    }

    fn accept(&self) -> &'static str {
        "application/json"
    }

    fn answer(&self, _url: &str, page: &[u8]) -> Result<Option<Answer>, String> {
        let files = snapshot::files(page, &self.architecture, self.size)?;
        let mut answers = files.into_iter().map(|file| self.proven_by_sha1(file));
        let Some(first) = answers.next() else { return Ok(None) };
        Ok(Some(Answer { alternatives: answers.collect(), ..first }))
    }
}

impl Snapshots {
    fn proven_by_sha1(&self, file: SnapshotFile) -> Answer {
        Answer {
            url: file.url,
            also: vec![archives::BY_SHA1.url(&file.sha1)],
            size: self.size.or(Some(file.size)),
            checksum: Some(file.sha1),
            ..Answer::default()
        }
    }
}

/// The answer from `entries` of signed lists. `is_own_list`: the lists are the tree's own, so the servers in
/// its sources count as mirrors.
///
/// # Errors
/// Why the package has no permanent URL.
pub(super) fn by_list(
    package: &Installed,
    system: &str,
    entries: &[Listed],
    is_own_list: bool,
) -> Result<Option<Answer>, String> {
    // If there are different files with the same name and version, it is unknown which one was installed; but
    // what nobody vouches for does not hide the one that somebody does.
    let mut vouched = entries.iter().filter(|entry| entry.vouched.is_some());
    let listed = match (vouched.next(), vouched.next(), entries) {
        (Some(one), None, _) | (None, None, [one]) => Some(one),
        _ => None,
    };
    let answer = Answer {
        sha256: listed.map(|listed| listed.sha256),
        size: listed.map(|listed| listed.size),
        ..Answer::default()
    };
    if let Some(listed) = listed {
        let Some(permanent) = listed.permanent else {
            let origin = &listed.origin;
            return Err(format!("it is of the archive \"{origin}\", which keeps no old packages"));
        };
        let mirrors = if is_own_list { listed.mirrors.clone() } else { Vec::new() };
        let url = listed.stamp.as_deref();
        let url = url.and_then(|stamp| permanent.url_at(package, &listed.filename, stamp));
        if let Some(url) = url {
            // It is likely, but not certain, that the snapshots had the file at that time.
            let is_snapshot = matches!(permanent, Permanent::Debian(_));
            return Ok(Some(Answer {
                bulk: listed.file.bulk_place(&url),
                vouched: listed.vouched.clone(),
                url,
                mirrors,
                by_content: is_snapshot.then_some(archives::BY_SHA1),
                otherwise: is_snapshot.then(|| snapshots(package, Some(listed.size))),
                ..answer
            }));
        }
    }
    Ok(match Permanent::of_system(system) {
        Some(Permanent::Debian(_)) => {
            let url = archives::question(&package.name, &package.version);
            let question = Some(snapshots(package, answer.size));
            Some(Answer { url, question, ..answer })
        }
        Some(Permanent::Ubuntu) => Some(Answer { url: archives::launchpad(package), ..answer }),
        None => None,
    })
}

fn snapshots(package: &Installed, size: Option<u64>) -> Arc<dyn Question> {
    Arc::new(Snapshots::new(package, size))
}
