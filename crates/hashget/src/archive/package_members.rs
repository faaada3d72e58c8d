//! What is in the packages of an archive, without fetching them if possible.
//!
//! Invariant: members come from a HashDB that knows all of them, or from a package whose bytes are proven.

use std::collections::BTreeMap;
use std::io::Read;

use super::package_plan::PackagePlan;
use crate::error::ErrorClass;
use crate::fetch::{FetchError, Source, Wanted};
use crate::formats::{self, FormatError, Input, PATH_SEPARATOR, Visitor, VisitorError};
use crate::hashdb::{HashDb, HashDbError, complete_members_by};
use crate::limits::Limits;
use crate::model::manifest::{ManifestError, Package};
use crate::model::{Digest, Evidence, Kind, Member, RelPath};
use crate::monitor::{Interrupted, Monitor, ProblemKind};
use crate::wording::one_line;

/// All members of packages, by their digests.
pub type KnownMembers = BTreeMap<Digest, Vec<Member>>;

/// Knows the members of some packages.
pub trait KnowsMembers: Sync {
    /// All members of the package with this digest, in the package's own order; `None` if they are not known. What is wrong is reported.
    ///
    /// # Errors
    /// The monitor asked to stop.
    fn members_of(
        &self,
        package: &Digest,
        monitor: &dyn Monitor,
    ) -> Result<Option<Vec<Member>>, Interrupted>;
}

/// Knows what is in packages.
#[derive(Clone, Copy)]
pub struct PackageMembers<'a> {
    /// A HashDB that may know it.
    pub hashdb: &'a dyn HashDb,
    /// What must be known there of a package: whoever puts files in their places relies on nobody's word.
    pub least: Evidence,
    /// What supplements know of it.
    pub supplements: Option<&'a dyn KnowsMembers>,
    /// Where a package comes from that the HashDB does not know: the cache and pools alone, or the network, too.
    pub source: &'a dyn Source,
    /// Is a package that the source cannot give a problem? Otherwise its members are just not known.
    pub must_have: bool,
    /// Are the digests of files wanted, too? Then packages that the HashDB does not know are read whole.
    pub digests: bool,
    /// Bounds on foreign input.
    pub limits: &'a Limits,
}

/// Why it cannot be found out what is in a package.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    /// The manifest contradicts the format.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The HashDB failed.
    #[error(transparent)]
    HashDb(#[from] HashDbError),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl MembersError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Manifest(error) => error.class(),
            Self::HashDb(error) => error.class(),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

impl PackageMembers<'_> {
    /// All members of a package of a manifest, in the package's own order, then those that are derived from them; `None` if they are
    /// not known.
    ///
    /// # Errors
    /// See [`MembersError`]. A package that cannot be had is reported to `monitor` if it must be.
    pub fn of(
        &self,
        package: &Package,
        monitor: &dyn Monitor,
    ) -> Result<Option<Vec<Member>>, MembersError> {
        let Some(mut members) = self.own_members(package, monitor)? else { return Ok(None) };
        members.extend(package.derived_members()?);
        Ok(Some(members))
    }

    /// The same without derived members.
    fn own_members(
        &self,
        package: &Package,
        monitor: &dyn Monitor,
    ) -> Result<Option<Vec<Member>>, MembersError> {
        if let Some(members) = complete_members_by(self.hashdb, &package.sha256, self.least)? {
            return Ok(Some(members));
        }
        if let Some(supplements) = self.supplements
            && let Some(members) = supplements.members_of(&package.sha256, monitor)?
        {
            return Ok(Some(members));
        }
        let wanted = Wanted::from(package);
        let inner = PackagePlan::new(package)?.inner_packages().clone();
        let recurse =
            |path: &RelPath| inner.contains(&[path.as_bytes(), PATH_SEPARATOR.as_bytes()].concat());
        let problem = match self.source.fetch(&wanted, monitor) {
            Ok(fetched) => {
                let mut collector =
                    Collector { members: Vec::new(), digests: self.digests, monitor };
                let input = Input::File(&fetched.file);
                let read = formats::read_package_as(
                    &package.format,
                    input,
                    &recurse,
                    self.limits,
                    &mut collector,
                );
                match read {
                    Ok(_) => return Ok(Some(collector.members)),
                    Err(FormatError::Visitor(error)) if error.is::<Interrupted>() => {
                        return Err(Interrupted.into());
                    }
                    Err(error) => (ProblemKind::Incomplete, one_line(&error)),
                }
            }
            Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => (error.class().problem_kind(), one_line(&error)),
        };
        if self.must_have {
            monitor.problem(problem.0, package.shown_name(), problem.1);
        }
        Ok(None)
    }
}

/// Collects members; reads their contents only for their digests.
struct Collector<'m> {
    members: Vec<Member>,
    digests: bool,
    monitor: &'m dyn Monitor,
}

impl Visitor for Collector<'_> {
    fn visit(&mut self, mut member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted()?;
        if self.digests && matches!(member.kind, Kind::File { .. }) {
            member.sha256 = Some(Digest::of_reader(content)?);
        }
        self.members.push(member);
        Ok(())
    }
}
