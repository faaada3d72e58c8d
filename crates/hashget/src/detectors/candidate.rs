//! What a detector finds: a package, its URL, and what proves it.
//!
//! Invariant: nothing in a candidate is trusted: bytes are hashed before they are used, whatever it claims
//! about them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BulkPlace, DetectError, small_files};
use crate::limits::Limits;
use crate::model::{Algorithm, Checksum, Digest, Keeping, Member, Origin, RelPath, Signature};

/// A package that a tree seems to contain.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// Its permanent public URL, without credentials. With a [`question`](Self::question), the first page to
    /// request.
    pub url: String,
    /// Its digest, if this machine knows it (from an index or a lock file).
    pub sha256: Option<Digest>,
    /// Its digest by another algorithm, if this machine knows that.
    pub checksum: Option<Checksum>,
    /// Its size, if this machine knows it.
    pub size: Option<u64>,
    /// Its name in its ecosystem. A candidate with a question needs a name that no other package has.
    pub signature: Option<Signature>,
    /// The project named by a hint.
    pub project: Option<String>,
    /// The package itself, if it is on this machine. Used only if it is a regular file on a disk, `sha256` or `checksum`
    /// is known and matches its bytes; otherwise the package is fetched.
    pub local_file: Option<PathBuf>,
    /// The entry that led to it.
    pub found_at: RelPath,
    /// Who named the URL, or the digest that it is said to have: the less trustworthy of the two.
    pub origin: Origin,
    /// How long the client says that the URL is kept.
    pub keeping: Keeping,
    /// The tree, an absolute path; set by the caller of the detectors.
    pub tree: String,
    /// A client that runs for root or for whoever runs this program wrote what led to it; set by the caller of the
    /// detectors.
    pub by_client: bool,
    /// The folder that has its files, if that is not the parent of `found_at`. If all files in both are known already, the
    /// package is not worth indexing.
    pub covers: Option<RelPath>,
    /// The detector that found it first; set by the caller of the detectors, not by the detectors.
    pub found_by: String,
    /// Servers that have the same bytes now, but not permanently. They are tried before `url`, and only if
    /// `sha256` is known. They are never recorded: a mirror is no place to restore from, and its address may be
    /// of a private network.
    pub mirrors: Vec<String>,
    /// Other permanent URLs of the same bytes. They are tried after `url`, and recorded as further URLs.
    pub also: Vec<String>,
    /// The content address of the file in its archive, if `url` is likely but not certain: bytes that came
    /// from elsewhere are recorded under this URL.
    pub by_content: Option<ContentAddress>,
    /// Who vouches that `url` gives it, in the words of a message ("Debian's signed list of bookworm"): the
    /// owner of a key that this machine has verified, never a file by what it says of itself.
    pub vouched: Option<String>,
    /// A question that answers for many packages whether `url` gives them, this one among them.
    pub bulk: Option<BulkPlace>,
    /// How to find its URL, if the detector does not know it.
    pub question: Option<Arc<dyn Question>>,
    /// How to find another URL; asked if the package cannot be fetched from the known ones.
    pub otherwise: Option<Arc<dyn Question>>,
    /// Lists of digests of its single files, for evidence below `signed`: one for each place where it is
    /// installed.
    pub lists: Vec<Arc<dyn FileList>>,
}

impl Candidate {
    /// The name of the package in messages: its name in its ecosystem, otherwise its URL.
    pub fn name(&self) -> &str {
        self.signature.as_ref().map_or(&self.url, |name| &name.value)
    }

    /// The candidate, completed by the answer to one of its questions.
    #[must_use]
    pub fn answered(&self, answer: Answer) -> Self {
        let mut local_files = answer.local_files.into_iter();
        Self {
            url: answer.url,
            sha256: answer.sha256.or(self.sha256),
            checksum: answer.checksum.or_else(|| self.checksum.clone()),
            size: answer.size.or(self.size),
            local_file: self
                .local_file
                .clone()
                .or_else(|| local_files.find(|file| small_files::is_on_disk(file))),
            mirrors: answer.mirrors,
            also: answer.also,
            by_content: answer.by_content,
            vouched: answer.vouched,
            bulk: answer.bulk,
            question: answer.question,
            otherwise: answer.otherwise,
            lists: if answer.is_other { Vec::new() } else { self.lists.clone() },
            ..self.clone()
        }
    }
}

/// How an archive names files by their contents: a prefix, and the digest as hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentAddress {
    /// The part of the URL before the digits.
    pub prefix: &'static str,
    /// The digest's algorithm.
    pub algorithm: Algorithm,
}

impl ContentAddress {
    /// The URL of the file with this checksum.
    pub fn url(&self, checksum: &Checksum) -> String {
        format!("{}{}", self.prefix, hex::encode(checksum.as_bytes()))
    }
}

/// Finds the URL of a package if the detector does not know it. It is asked during indexing, and only for
/// packages that the HashDB does not know by name: first files on this machine, then pages of a registry's
/// index, each once in a run. An answer may lead to a further question.
pub trait Question: fmt::Debug + Send + Sync {
    /// Looks for the answer in files on this machine, if reading them would take too long for a detector.
    /// `None` if the pages must be requested. `note` receives errors in the files.
    ///
    /// # Errors
    /// Why the package has no permanent URL; then nothing else is asked.
    fn look_up(&self, note: &mut dyn FnMut(DetectError)) -> Result<Option<Answer>, String> {
        let _ = note;
        Ok(None)
    }

    /// The public URLs of the pages to request, in order, until one of them has the answer.
    fn pages(&self) -> &[String];

    /// The media types that a page may have, in the syntax of the HTTP header `Accept`.
    fn accept(&self) -> &'static str {
        "*/*"
    }

    /// The answer in the page at `url`; `None` if the page does not have it. Pure; `page` is untrusted text.
    ///
    /// # Errors
    /// What is wrong with the page.
    fn answer(&self, url: &str, page: &[u8]) -> Result<Option<Answer>, String>;
}

/// A question is only equal to itself.
impl PartialEq for dyn Question {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

impl Eq for dyn Question {}

/// The answer of an index about a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its permanent public URL, normalised by [`public_url`](super::public_url); with a further
    /// [`question`](Self::question), the first page of that.
    pub url: String,
    /// Its digest.
    pub sha256: Option<Digest>,
    /// Its digest by another algorithm.
    pub checksum: Option<Checksum>,
    /// Its size.
    pub size: Option<u64>,
    /// Paths on this machine where the package may be (a client's cache).
    pub local_files: Vec<PathBuf>,
    /// It is not the installed package, but a similar one (the source of a package built here): the lists of
    /// the installed files do not apply to it.
    pub is_other: bool,
    /// See [`Candidate::mirrors`].
    pub mirrors: Vec<String>,
    /// See [`Candidate::also`].
    pub also: Vec<String>,
    /// See [`Candidate::by_content`].
    pub by_content: Option<ContentAddress>,
    /// See [`Candidate::vouched`].
    pub vouched: Option<String>,
    /// See [`Candidate::bulk`].
    pub bulk: Option<BulkPlace>,
    /// Packages with the same name and other bytes. One of them is used if the file on this machine has its
    /// checksum.
    pub alternatives: Vec<Answer>,
    /// How to find the URL, if this answer does not have it.
    pub question: Option<Arc<dyn Question>>,
    /// See [`Candidate::otherwise`].
    pub otherwise: Option<Arc<dyn Question>>,
}

/// One file of a package, from a list of digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The path of the member, as the package's reader returns it.
    pub member: RelPath,
    /// The path where it was installed, relative to the list's folder.
    pub path: RelPath,
    /// The digest that it should have.
    pub checksum: Checksum,
}

/// The contents of the list within a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Files, each with the digest that it should have.
    pub files: Vec<Listed>,
    /// Members that were read together with the list, each with its SHA-256; they need not be in the tree.
    pub members: Vec<Member>,
}

impl From<Vec<Listed>> for Declared {
    fn from(files: Vec<Listed>) -> Self {
        Self { files, members: Vec::new() }
    }
}

/// Returns `count` bytes of a package from position `first` on; fewer only at its end.
pub type Parts<'a> = dyn FnMut(u64, u64) -> io::Result<Vec<u8>> + 'a;

/// What is known about a package's single files without downloading it. A file is relied on only if its bytes
/// have the digest in the list.
///
/// Each list is read only if the user allows its evidence, so reading belongs here and not into detection.
/// detection.
pub trait FileList: fmt::Debug + Send + Sync {
    /// The name of the [format](crate::formats::FORMATS) that reads the package.
    fn format(&self) -> &'static str;

    /// The folder in which it is installed.
    fn root(&self) -> &Path;

    /// Evidence `local`: the list on this machine. `None` if there is none.
    ///
    /// # Errors
    /// The list cannot be parsed.
    fn local(&self) -> Result<Option<Vec<Listed>>, String> {
        Ok(None)
    }

    /// Evidence `declared`: the list within the package. `part` returns any bytes of the package, `size` is
    /// the size of the whole package. `None` if packages of this kind have no list.
    ///
    /// # Errors
    /// `part` failed, or the list cannot be parsed.
    fn declared(
        &self,
        part: &mut Parts<'_>,
        size: u64,
        limits: &Limits,
    ) -> io::Result<Option<Declared>> {
        let _ = (part, size, limits);
        Ok(None)
    }
}
