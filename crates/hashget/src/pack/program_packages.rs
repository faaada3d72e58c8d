//! The packages that the program of a recipe consists of.
//!
//! Invariant: a program comes out of packages that were read, that the backup may rely on, and that archives of packages have which this
//! machine knows.

use std::cell::OnceCell;
use std::collections::{HashSet, VecDeque};
use std::fs::File;

use super::PackError;
use super::known::{KnownPackage, add_checks};
use super::programs::{Failed, Search};
use crate::fetch::FetchError;
use crate::hashdb::{Key, PackageId};
use crate::limits::Limits;
use crate::model::{Digest, Evidence};
use crate::places::wanted;
use crate::programs::{
    MOST_PACKAGES, ProgramError, Unpacked, described, is_for_this_machine, is_of_archive,
    signature, unpack,
};
use crate::wording::one_line;

/// Packages of a name that are looked at.
const MOST_NAMED: u32 = 1000;

/// A program, with what it consists of.
pub(super) struct Program {
    /// The package with the program first.
    pub(super) packages: Vec<Part>,
    /// Their bytes, in the same order, and what is in them, once it is needed.
    files: Vec<File>,
    unpacked: OnceCell<Unpacked>,
}

impl Program {
    /// The digests of its packages.
    pub(super) fn digests(&self) -> Vec<Digest> {
        self.packages.iter().map(|part| part.known.record.sha256).collect()
    }

    /// Its packages, unpacked.
    ///
    /// # Errors
    /// One is damaged, or the folder cannot be written.
    pub(super) fn unpacked(&self, limits: &Limits) -> Result<&Unpacked, ProgramError> {
        if self.unpacked.get().is_none() {
            let (unpacked, _) = unpack(&self.files, limits)?;
            let _ = self.unpacked.set(unpacked);
        }
        Ok(self.unpacked.get().expect("it was unpacked"))
    }
}

/// A package of a program.
pub(super) struct Part {
    pub(super) known: KnownPackage,
    /// Does the backup rely on it anyway?
    pub(super) is_chosen: bool,
}

impl Search<'_, '_> {
    /// The program in a package of one of these names, with what it depends on.
    pub(super) fn program(&self, names: &[String]) -> Result<Option<Program>, Failed> {
        let mut parts: Vec<(Part, File)> = Vec::new();
        let mut seen: HashSet<String> = names.iter().cloned().collect();
        let mut waiting: VecDeque<Vec<String>> = VecDeque::from([names.to_vec()]);
        while let Some(alternatives) = waiting.pop_front() {
            let mut found = None;
            for name in &alternatives {
                found = self.package(name)?;
                if found.is_some() {
                    break;
                }
            }
            let Some(part) = found else {
                // Nothing comes of a program that is not there; perhaps something without a library.
                if parts.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            let package = wanted(&part.known.record);
            let file = match self.packer.source.fetch(&package, self.monitor) {
                Ok(fetched) => fetched.file,
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) => {
                    let name = part.known.record.display_name();
                    let why = format!("{name}: {}", one_line(&error));
                    return Err(Failed::Program(ProgramError::Fetch(why)));
                }
            };
            let described = described(&file, self.packer.limits).map_err(Failed::Program)?;
            parts.push((part, file));
            let is_library =
                |alternatives: &Vec<String>| alternatives.iter().any(|name| name.contains("lib"));
            for alternatives in described.depends.into_iter().filter(is_library) {
                if !alternatives.iter().any(|name| seen.contains(name))
                    && seen.len() < MOST_PACKAGES
                {
                    seen.extend(alternatives.iter().cloned());
                    waiting.push_back(alternatives);
                }
            }
        }
        let (packages, files): (Vec<Part>, Vec<File>) = parts.into_iter().unzip();
        Ok(Some(Program { packages, files, unpacked: OnceCell::new() }))
    }

    /// Are all places of a package's bytes that the HashDB knows in archives of packages? A restore refuses a program if the manifest names
    /// another one, and the plan may rely on the package under any of its URLs.
    fn is_of_archives_alone(&self, sha256: &Digest) -> Result<bool, PackError> {
        let hashdb = self.packer.hashdb;
        let ids: Vec<PackageId> = hashdb.find(&[Key::Package(*sha256)])?.concat();
        let mut records = hashdb.records(&ids)?.into_iter().flatten();
        Ok(records.all(|record| is_of_archive(&record.url, &self.programs.archives)))
    }

    /// The package of this name: one that the backup relies on, or the newest in the HashDB that it could rely on.
    fn package(&self, name: &str) -> Result<Option<Part>, PackError> {
        let (kind, beginning) = signature(name);
        let is_named = |known: &&KnownPackage| {
            known.record.signatures.iter().any(|one| {
                one.kind == kind
                    && one.value.starts_with(&beginning)
                    && is_for_this_machine(&one.value)
            })
        };
        let is_known =
            |known: &&KnownPackage| is_of_archive(&known.record.url, &self.programs.archives);
        for known in self.chosen.iter().filter(is_named).filter(is_known) {
            if self.is_of_archives_alone(&known.record.sha256)? {
                let known = KnownPackage::new(known.id, known.record.clone(), Vec::new());
                return Ok(Some(Part { known, is_chosen: true }));
            }
        }
        let hashdb = self.packer.hashdb;
        let ids: Vec<PackageId> = hashdb.named(kind, &beginning, MOST_NAMED)?;
        let records = hashdb.records(&ids)?;
        let known = ids.iter().zip(records);
        let known =
            known.filter_map(|(id, record)| Some(KnownPackage::new(*id, record?, Vec::new())));
        let may_be = |known: &KnownPackage| {
            known.record.evidence >= Evidence::Signed && is_named(&known) && is_known(&known)
        };
        let mut known: Vec<KnownPackage> = known.filter(may_be).collect();
        add_checks(hashdb, &mut known)?;
        known.retain(|one| self.requirements.is_usable(one));
        let mut newest: Vec<KnownPackage> =
            known.into_iter().max_by_key(|one| one.id).into_iter().collect();
        let (packer, wanted) = (self.packer, &[0][..newest.len()]);
        while packer.ask_places(&mut newest, wanted, self.requirements, self.monitor)? {}
        newest.retain(|one| self.requirements.obstacle(&one.record, &one.checks).is_none());
        if let Some(one) = newest.first()
            && !self.is_of_archives_alone(&one.record.sha256)?
        {
            return Ok(None);
        }
        Ok(newest.pop().map(|known| Part { known, is_chosen: false }))
    }
}
