//! What a detector finds: a package, where it is, and what proves it.
//!
//! Invariant: a candidate claims nothing that is believed: bytes are hashed before they count, whatever it
//! says of them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::DebPackage;
use crate::limits::Limits;
use crate::model::{Checksum, Digest, RelPath, Signature};

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
    /// Who knows its URL, where files on this machine do not tell it.
    pub question: Option<Arc<dyn Question>>,
    /// What is known of its single files, for evidence below `signed`: one for each place where it is
    /// installed.
    pub lists: Vec<Arc<dyn FileList>>,
    /// For a .deb: how to look it up, and what its files in the tree should be.
    pub deb: Option<Box<DebPackage>>,
}

impl Candidate {
    /// How the package is called in messages: its name in its ecosystem, else its URL.
    pub fn name(&self) -> &str {
        self.signature.as_ref().map_or(&self.url, |name| &name.value)
    }
}

/// A package whose URL a registry's index has to tell. It is asked while indexing, each page once.
pub trait Question: fmt::Debug + Send + Sync {
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

/// What an index says of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its permanent public URL, as [`public_url`](super::public_url) writes it.
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
    ) -> io::Result<Option<Vec<Listed>>> {
        let _ = (part, size, limits);
        Ok(None)
    }
}
