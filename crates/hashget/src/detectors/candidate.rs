//! What a detector finds: a package, where it is, and what proves it.
//!
//! Invariant: a candidate claims nothing that is believed: bytes are hashed before they count, whatever it
//! says of them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DetectError, small_files};
use crate::limits::Limits;
use crate::model::{Algorithm, Checksum, Digest, Member, RelPath, Signature};

/// A package that a tree seems to be made of.
#[derive(Debug, Clone, Default)]
pub struct Candidate {
    /// Its permanent public URL, without credentials. With a [`question`](Self::question) the first page that
    /// is asked.
    pub url: String,
    /// Its digest, where the machine knows it (an index, a lock file).
    pub sha256: Option<Digest>,
    /// Its digest by another algorithm, where the machine knows that one.
    pub checksum: Option<Checksum>,
    /// Its size, where the machine knows it.
    pub size: Option<u64>,
    /// Its name in its ecosystem. Whoever has a question needs one that no other package has.
    pub signature: Option<Signature>,
    /// The grouping that a hint asks for.
    pub project: Option<String>,
    /// The package itself, where it lies on this machine. Used only if `sha256` or `checksum` is known and
    /// matches its bytes; otherwise the URL is asked.
    pub local_file: Option<PathBuf>,
    /// The entry that led to it.
    pub found_at: RelPath,
    /// The detector that was the first to name it; detectors leave this to whoever asks them.
    pub found_by: String,
    /// Servers that have the same bytes today, but not for ever. They are asked before `url`, and only where `sha256`
    /// is known; they are recorded as further URLs.
    pub mirrors: Vec<String>,
    /// Other permanent URLs of the same bytes. They are asked after `url`, and recorded as further URLs.
    pub also: Vec<String>,
    /// Where the archive has the file by its contents, if `url` is likely but not certain: bytes that came from
    /// somewhere else are recorded under this URL.
    pub by_content: Option<ContentAddress>,
    /// Who knows its URL, where the detector does not.
    pub question: Option<Arc<dyn Question>>,
    /// Who may know another URL; asked when the package cannot be fetched from the ones that are known.
    pub otherwise: Option<Arc<dyn Question>>,
    /// What is known of its single files, for evidence below `signed`: one for each place where it is
    /// installed.
    pub lists: Vec<Arc<dyn FileList>>,
}

impl Candidate {
    /// How the package is called in messages: its name in its ecosystem, else its URL.
    pub fn name(&self) -> &str {
        self.signature.as_ref().map_or(&self.url, |name| &name.value)
    }

    /// The candidate with what an answer to one of its questions says.
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
                .or_else(|| local_files.find(|file| small_files::is_file(file))),
            mirrors: answer.mirrors,
            also: answer.also,
            by_content: answer.by_content,
            question: answer.question,
            otherwise: answer.otherwise,
            lists: if answer.is_other { Vec::new() } else { self.lists.clone() },
            ..self.clone()
        }
    }
}

/// How an archive names files by their contents: a prefix, and the digest in hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentAddress {
    /// What stands before the digits.
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

/// A package whose URL the detector does not know. It is asked while indexing, and only for packages that the HashDB does
/// not know by name: first what this machine says, then pages of a registry's index, each once in a run. An answer may
/// lead to a further question.
pub trait Question: fmt::Debug + Send + Sync {
    /// What files of this machine say, where reading them takes too long for a detector. `None` if the pages have to
    /// be asked. `note` takes what is wrong with the files.
    ///
    /// # Errors
    /// Why the package has no permanent URL: nobody else is asked then.
    fn look_up(&self, note: &mut dyn FnMut(DetectError)) -> Result<Option<Answer>, String> {
        let _ = note;
        Ok(None)
    }

    /// The pages to ask, in turn, until one of them has the answer: public URLs.
    fn pages(&self) -> &[String];

    /// The media types that a page may have, as HTTP's header `Accept` writes them.
    fn accept(&self) -> &'static str {
        "*/*"
    }

    /// What the page at `url` says of the package; `None` if it does not have it. Pure: `page` is foreign
    /// text.
    ///
    /// # Errors
    /// What is wrong with the page.
    fn answer(&self, url: &str, page: &[u8]) -> Result<Option<Answer>, String>;
}

/// A question is equal to itself alone.
impl PartialEq for dyn Question {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

impl Eq for dyn Question {}

/// What an index says of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its permanent public URL, as [`public_url`](super::public_url) writes it; with a further
    /// [`question`](Self::question) the first page of that.
    pub url: String,
    /// Its digest.
    pub sha256: Option<Digest>,
    /// Its digest by another algorithm.
    pub checksum: Option<Checksum>,
    /// Its size.
    pub size: Option<u64>,
    /// Places on this machine where it may lie (a client's cache).
    pub local_files: Vec<PathBuf>,
    /// It is not what was installed, but comes near it (the source of what was built here): what lists say of
    /// the installed files says nothing of it.
    pub is_other: bool,
    /// As [`Candidate::mirrors`].
    pub mirrors: Vec<String>,
    /// As [`Candidate::also`].
    pub also: Vec<String>,
    /// As [`Candidate::by_content`].
    pub by_content: Option<ContentAddress>,
    /// Packages of the same name with other bytes. One of them is taken if the file on this machine has its checksum.
    pub alternatives: Vec<Answer>,
    /// Who knows the URL, if this answer does not say it.
    pub question: Option<Arc<dyn Question>>,
    /// As [`Candidate::otherwise`].
    pub otherwise: Option<Arc<dyn Question>>,
}

/// One file of a package, as a list of digests has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The path of the member, as the package's reader names it.
    pub member: RelPath,
    /// Where it was installed, below the list's folder.
    pub path: RelPath,
    /// The digest that it should have.
    pub checksum: Checksum,
}

/// What the list within a package says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Files, each with the digest that it should have.
    pub files: Vec<Listed>,
    /// Members that were read together with the list, each with its SHA-256; the tree need not have them.
    pub members: Vec<Member>,
}

impl From<Vec<Listed>> for Declared {
    fn from(files: Vec<Listed>) -> Self {
        Self { files, members: Vec::new() }
    }
}

/// Gives `count` bytes of a package from `first` on; fewer only at its end.
pub type Parts<'a> = dyn FnMut(u64, u64) -> io::Result<Vec<u8>> + 'a;

/// What is known of a package's single files without the package. Only files whose bytes have the digest that a
/// list gives are relied on.
///
/// Each list is asked for only where the user allows its evidence, so reading belongs in here, and not into
/// detection.
pub trait FileList: fmt::Debug + Send + Sync {
    /// The name of the [format](crate::formats::FORMATS) that reads the package.
    fn format(&self) -> &'static str;

    /// The folder in which it is installed.
    fn root(&self) -> &Path;

    /// Evidence `local`: the list that this machine keeps. `None` if it keeps none.
    ///
    /// # Errors
    /// When there is one that cannot be understood.
    fn local(&self) -> Result<Option<Vec<Listed>>, String> {
        Ok(None)
    }

    /// Evidence `declared`: the list within the package, of which `part` gives any bytes, and `size` is the
    /// size of it all. `None` if packages of this kind have none.
    ///
    /// # Errors
    /// What `part` failed with; or when the list cannot be understood.
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
