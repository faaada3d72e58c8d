//! What an archive is made of: every file of the packed tree, its bytes, and who gives it back.
//!
//! Invariant: nothing is fetched. The HashDB says what is in a package; the files of a package that it does
//! not know are counted, but not named.

mod folders;

pub use folders::{Folder, Subtree};

use crate::error::ErrorClass;
use crate::hashdb::{HashDb, HashDbError, complete_packages, whole};
use crate::model::manifest::{
    EntryTable, Manifest, ManifestError, Package, Pieces, PlacementCursor,
};
use crate::model::{Amount, Digest, Evidence, Kind, Member, RelPath, total_bytes};

/// What an archive is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The regular files, by path.
    pub files: Vec<SurveyedFile>,
    /// The packages, in the order of the manifest.
    pub packages: Vec<SurveyedPackage>,
    /// Bytes of archived files that come from packages, since the files are made of pieces.
    pub pieces: u64,
    /// Files that packages give back which the HashDB does not know.
    pub unnamed: Amount,
}

/// A file of the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SurveyedFile {
    /// Where it is in the tree.
    pub path: RelPath,
    /// Its bytes; none for further names of a file.
    pub bytes: u64,
    /// The index of the package that gives it back; `None` if the archive holds it.
    pub given_by: Option<usize>,
}

/// What a package does for the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedPackage {
    /// Its URL.
    pub url: String,
    /// What downloading it takes.
    pub size: u64,
    /// How it was known that the URL gives the bytes.
    pub evidence: Evidence,
    /// `YYYY-MM-DD`, after which it may be gone.
    pub expires: Option<String>,
    /// The files that are known to come from it.
    pub gives: Amount,
    /// Are these all, or does the HashDB not know what is in it?
    pub is_complete: bool,
}

/// What the archive of `manifest` is made of, as far as `hashdb` knows the packages.
///
/// # Errors
/// When the HashDB fails or a field of the manifest contradicts the format.
pub fn survey(manifest: &Manifest, hashdb: &dyn HashDb) -> Result<Survey, SurveyError> {
    let mut survey = Survey::default();
    let digests: Vec<Digest> = manifest.packages.iter().map(|package| package.sha256).collect();
    let complete = complete_packages(hashdb, &digests)?;
    hashdb.prefetch_members(&complete.iter().flatten().copied().collect::<Vec<_>>())?;
    for (index, (package, known)) in manifest.packages.iter().zip(complete).enumerate() {
        let known = known.map(|id| whole(hashdb, id)).transpose()?.flatten();
        let before = survey.files.len();
        survey.add_table(&package.files, Some(index))?;
        let is_complete = match known {
            Some((_, members)) => survey.add_placements(package, index, &members),
            None => package.placements.is_empty(),
        };
        survey.packages.push(SurveyedPackage {
            url: package.url.clone(),
            size: package.size,
            evidence: package.evidence,
            expires: package.expires.clone(),
            gives: survey.files[before..].iter().map(SurveyedFile::amount).sum(),
            is_complete,
        });
    }
    survey.add_table(&manifest.archived, None)?;
    if let Some(pieces) = manifest.pieces() {
        survey.take_pieces(pieces, manifest);
    }
    let named: Amount = survey.files.iter().map(SurveyedFile::amount).sum();
    let links = u64::try_from(manifest.links.len()).unwrap_or(u64::MAX);
    survey.unnamed = Amount {
        files: manifest.tree.files.saturating_sub(named.files.saturating_add(links)),
        bytes: manifest.tree.bytes.saturating_sub(total_bytes([named.bytes, survey.pieces])),
    };
    survey.files.sort_unstable();
    Ok(survey)
}

/// What is wrong with the manifest or the HashDB.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// A field of the manifest contradicts the format.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The HashDB failed.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
}

impl SurveyError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Manifest(error) => error.class(),
            Self::HashDb(error) => error.class(),
        }
    }
}

impl Survey {
    fn add_table(
        &mut self,
        table: &EntryTable,
        given_by: Option<usize>,
    ) -> Result<(), ManifestError> {
        for entry in table.entries() {
            let (entry, _) = entry?;
            if let Kind::File { size } = entry.kind {
                self.files.push(SurveyedFile { path: entry.path, bytes: size, given_by });
            }
        }
        Ok(())
    }

    /// Counts what is made of pieces with the packages that give these.
    fn take_pieces(&mut self, pieces: &Pieces, manifest: &Manifest) {
        for file in self.files.iter_mut().filter(|file| file.given_by.is_none()) {
            if let Some(piece) = pieces.file(&file.path) {
                file.bytes = file.bytes.saturating_sub(pieces.left_out_of(&piece, file.bytes));
            }
        }
        self.pieces = manifest.amount_of_pieces().bytes;
        for (package, bytes) in self.packages.iter_mut().zip(manifest.bytes_of_pieces()) {
            package.gives.add(0, bytes);
        }
    }

    /// Adds what the placements of a package give. False if the members do not fit them.
    fn add_placements(&mut self, package: &Package, index: usize, members: &[Member]) -> bool {
        for placement in &package.placements {
            let mut cursor = PlacementCursor::new(placement);
            for member in members {
                let Ok(given) = cursor.next(member) else { return false };
                let (path, bytes) = match given {
                    Some(given) => match given.kind {
                        Kind::File { size } => (given.path, size),
                        Kind::HardLink { .. } => (given.path, 0),
                        _ => continue,
                    },
                    None => continue,
                };
                self.files.push(SurveyedFile { path, bytes, given_by: Some(index) });
            }
        }
        true
    }

    /// What packages give back, all together.
    pub fn given(&self) -> Amount {
        let given = self.files.iter().filter(|file| file.given_by.is_some());
        let pieces = Amount { files: 0, bytes: self.pieces };
        given.map(SurveyedFile::amount).chain([self.unnamed, pieces]).sum()
    }

    /// What the archive holds.
    pub fn archived(&self) -> Amount {
        self.files.iter().filter(|file| file.given_by.is_none()).map(SurveyedFile::amount).sum()
    }
}

impl SurveyedFile {
    fn amount(&self) -> Amount {
        Amount { files: 1, bytes: self.bytes }
    }
}
