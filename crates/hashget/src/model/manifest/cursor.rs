//! What a placement means: follows a package's members in order and says what each gives.
//!
//! Invariant: this is the only place that interprets prefixes, exceptions, positions and
//! assignments; `pack` replays its own manifest through it before it writes, `restore` acts on it.

use super::table::xattrs_from_map;
use super::{Assignment, ManifestError, OneOrMany, Placement};
use crate::model::{Digest, Kind, Member, Metadata, RelPath, Timestamp};

/// What a member gives: the entry at `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Where.
    pub path: RelPath,
    /// What. A hard link's target is a path of the tree.
    pub kind: Kind,
    /// With which metadata. For a hard link it is not used.
    pub metadata: Metadata,
    /// The digest that the manifest has for this file, if any.
    pub sha256: Option<Digest>,
}

/// Follows the members of a package for one placement.
#[derive(Debug)]
pub struct PlacementCursor<'a> {
    placement: &'a Placement,
    position: usize,
    mode: Vec<Pointer<'a>>,
    uid: Vec<Pointer<'a>>,
    gid: Vec<Pointer<'a>>,
    mtime: Vec<(Pointer<'a>, i64)>,
    xattrs: Pointer<'a>,
    sha256: Pointer<'a>,
}

/// Walks an `at` column: says which value is meant for ascending positions.
#[derive(Debug, Clone, Copy)]
struct Pointer<'a> {
    at: Option<&'a [u32]>,
    next: usize,
}

impl<'a> Pointer<'a> {
    fn new(at: Option<&'a [u32]>) -> Self {
        Self { at, next: 0 }
    }

    /// The index of the value for `position`, if it is chosen.
    fn index(&mut self, position: usize) -> Option<usize> {
        let Some(at) = self.at else { return Some(position) };
        if at.get(self.next).is_some_and(|&wanted| wanted as usize == position) {
            self.next += 1;
            return Some(self.next - 1);
        }
        None
    }
}

fn pointers(assignments: &[Assignment]) -> Vec<Pointer<'_>> {
    assignments.iter().map(|assignment| Pointer::new(assignment.at.as_deref())).collect()
}

impl<'a> PlacementCursor<'a> {
    /// Starts before the first member.
    pub fn new(placement: &'a Placement) -> Self {
        Self {
            placement,
            position: 0,
            mode: pointers(&placement.mode),
            uid: pointers(&placement.uid),
            gid: pointers(&placement.gid),
            mtime: placement.mtime.iter().map(|one| (Pointer::new(one.at.as_deref()), 0)).collect(),
            xattrs: Pointer::new(placement.xattrs.as_ref().and_then(|xattrs| xattrs.at.as_deref())),
            sha256: Pointer::new(placement.sha256.as_ref().map(|digests| digests.at.as_slice())),
        }
    }

    /// Where the placement puts the member at `path`, if it lies under `from` and is not excepted.
    fn place(&self, path: &RelPath) -> Result<Option<RelPath>, ManifestError> {
        let placement = self.placement;
        let Some(rest) = placement.from.rest_of(path).filter(|rest| !placement.excepts(rest))
        else {
            return Ok(None);
        };
        RelPath::new([&*placement.to.0, rest].concat())
            .map(Some)
            .map_err(|error| ManifestError::field("to", error.to_string()))
    }

    /// What the next member gives, if the placement gives it. Call it for every member of the package, in
    /// order.
    ///
    /// # Errors
    /// When the manifest does not fit the package: a path that leaves the tree, a hard link whose
    /// target is not given, metadata that neither the package nor the manifest has.
    pub fn next(&mut self, member: &Member) -> Result<Option<Given>, ManifestError> {
        let Some(path) = self.place(&member.path)? else { return Ok(None) };
        let position = self.position;
        self.position += 1;
        let kind = match &member.kind {
            Kind::HardLink { target } => match self.place(target)? {
                Some(target) => Kind::HardLink { target },
                None => {
                    return Err(ManifestError::field(
                        "trees",
                        format!("{path} is given as a hard link to {target}, which is not given"),
                    ));
                }
            },
            kind => kind.clone(),
        };
        let metadata = self.metadata(position, member, &path)?;
        let sha256 = match (&self.placement.sha256, self.sha256.index(position)) {
            (Some(digests), Some(index)) => digests.is.get(index).copied(),
            _ => None,
        };
        Ok(Some(Given { path, kind, metadata, sha256 }))
    }

    fn metadata(
        &mut self,
        position: usize,
        member: &Member,
        path: &RelPath,
    ) -> Result<Metadata, ManifestError> {
        let own = &member.metadata;
        let placement = self.placement;
        let link = matches!(member.kind, Kind::HardLink { .. });
        let missing = |field: &str| {
            ManifestError::field(field, format!("neither package nor manifest has it for {path}"))
        };
        let umasked = own.mode.map(|mode| mode & !placement.umask.unwrap_or(0));
        let mode = assigned(&mut self.mode, &placement.mode, position, umasked)?;
        let uid = assigned(&mut self.uid, &placement.uid, position, own.uid)?;
        let gid = assigned(&mut self.gid, &placement.gid, position, own.gid)?;
        let mtime = self.mtime(position, own.mtime)?;
        let xattrs = match (&placement.xattrs, self.xattrs.index(position)) {
            (Some(assignment), Some(index)) => match assignment.is.get(index) {
                Some(map) => xattrs_from_map(map)?,
                None => return Err(missing("xattrs")),
            },
            _ => own.xattrs.clone(),
        };
        if link {
            return Ok(Metadata::default());
        }
        let symlink = matches!(member.kind, Kind::Symlink { .. });
        Ok(Metadata {
            mode: if symlink { 0o777 } else { mode.ok_or_else(|| missing("mode"))? & 0o7777 },
            uid: uid.ok_or_else(|| missing("uid"))?,
            gid: gid.ok_or_else(|| missing("gid"))?,
            mtime: mtime.ok_or_else(|| missing("mtime"))?,
            xattrs,
        })
    }

    fn mtime(
        &mut self,
        position: usize,
        own: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, ManifestError> {
        let mut mtime = own;
        for ((pointer, sum), assignment) in self.mtime.iter_mut().zip(&self.placement.mtime) {
            let Some(index) = pointer.index(position) else { continue };
            if let Some(shift) = assignment.shift {
                mtime = own.map(|own| Timestamp {
                    seconds: own.seconds.saturating_add(shift),
                    nanoseconds: own.nanoseconds,
                });
            } else if let Some(seconds) = &assignment.seconds {
                let difference = *seconds.get(index).ok_or_else(too_short)?;
                *sum = sum.wrapping_add(difference);
                let nanoseconds = match &assignment.nanoseconds {
                    Some(column) => *column.get(index).ok_or_else(too_short)?,
                    None => 0,
                };
                mtime = Some(Timestamp { seconds: *sum, nanoseconds });
            }
        }
        Ok(mtime)
    }
}

fn too_short() -> ManifestError {
    ManifestError::field("trees", "a column has fewer values than the package has members")
}

fn assigned(
    pointers: &mut [Pointer<'_>],
    assignments: &[Assignment],
    position: usize,
    own: Option<u32>,
) -> Result<Option<u32>, ManifestError> {
    let mut value = own;
    for (pointer, assignment) in pointers.iter_mut().zip(assignments) {
        if let Some(index) = pointer.index(position) {
            value = Some(match &assignment.is {
                OneOrMany::One(one) => *one,
                OneOrMany::Many(many) => *many.get(index).ok_or_else(too_short)?,
            });
        }
    }
    Ok(value)
}
