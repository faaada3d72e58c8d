//! Who knows where a .deb is: signed lists on this machine first, then the snapshots of Debian's archives.
//!
//! Invariant: pure but for the lists, which are read when the first package asks for them; an answer names permanent
//! URLs only, with what proves the bytes.

use std::sync::Arc;

use super::Knowledge;
use super::archives::{self, Permanent};
use super::lists::Listed;
use super::snapshot::{self, SnapshotFile};
use super::status::Installed;
use crate::detectors::{Answer, DetectError, Question};

/// Asks the signed lists of the tree and of this machine. Reading them takes longer than scanning a small system does,
/// and nobody needs them for a package whose name the HashDB knows.
#[derive(Debug)]
pub(super) struct SignedLists {
    pub(super) knowledge: Arc<Knowledge>,
    /// Which of the installed packages.
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
    /// The size that it must have, where that is known.
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

/// What a signed list says of a package: `known` is what it says, if it is the only file of that name, version and
/// architecture; `servers` are those that the tree's own sources name.
///
/// # Errors
/// Why the package has no permanent URL.
pub(super) fn by_list(
    package: &Installed,
    system: &str,
    entries: &[Listed],
    is_own_list: bool,
) -> Result<Option<Answer>, String> {
    // Different files of one name and version: nobody can tell which of them was installed.
    let listed = if let [one] = entries { Some(one) } else { None };
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
            // That the snapshots had the file at that moment is likely, not certain.
            let is_snapshot = matches!(permanent, Permanent::Debian(_));
            return Ok(Some(Answer {
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
