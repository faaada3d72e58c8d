//! The digests of a package's files: from dpkg's list of MD5s on this machine, or from the one in the
//! package's control part.
//!
//! Invariant: no byte after the control part of a package is fetched, and the control file proves that it is
//! the right package. Lines that cannot be parsed are skipped: their files are archived.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Knowledge, status};
use crate::detectors::{Declared, FileList, Listed, Parts, small_files};
use crate::formats::{control_end, control_members, own_name};
use crate::limits::Limits;
use crate::model::{Algorithm, Checksum, MemberMetadata, RelPath};
use crate::tree::TreeRoot;

/// Size of the first request for a .deb: four out of five control parts are smaller.
const FIRST_BYTES: u64 = 4096;

/// Size limit of the control part; of a larger one the start is read.
const MOST_BYTES: u64 = 64 << 20;

/// Size limit of dpkg's list; a larger one is an error.
const MAX_LIST: u64 = 64 << 20;

/// An installed package.
#[derive(Debug)]
pub(super) struct Md5Sums {
    pub(super) knowledge: Arc<Knowledge>,
    /// Index of the installed package.
    pub(super) index: usize,
}

impl FileList for Md5Sums {
    fn format(&self) -> &'static str {
        "deb"
    }

    fn root(&self) -> &Path {
        &self.knowledge.root
    }

    fn local(&self) -> Result<Option<Vec<Listed>>, String> {
        let knowledge = &self.knowledge;
        let tree = TreeRoot::open(&knowledge.root).map_err(|error| error.to_string())?;
        let path = knowledge.md5sums(self.index);
        let list = small_files::read_below(&tree, &path, MAX_LIST);
        let Some(list) = list.map_err(|error| error.to_string())? else { return Ok(None) };
        let mut expected = md5sums(&list);
        expected.extend(knowledge.installed[self.index].conffiles.iter().cloned());
        Ok(Some(self.listed(&expected)))
    }

    fn declared(
        &self,
        part: &mut Parts<'_>,
        size: u64,
        limits: &Limits,
    ) -> io::Result<Option<Declared>> {
        let mut head = part(0, FIRST_BYTES.min(size))?;
        let end = control_end(&head).map_err(io::Error::other)?.unwrap_or(0);
        let missing = end.min(size).min(MOST_BYTES).saturating_sub(head.len() as u64);
        if missing > 0 {
            head.extend(part(head.len() as u64, missing)?);
        }
        let control = control_members(&mut &head[..], limits).map_err(io::Error::other)?;
        let found = own_name(&control).map_err(io::Error::other)?.value;
        let wanted = self.knowledge.installed[self.index].full_name();
        if found != wanted {
            let problem = format!("it is the package {found}, expected {wanted}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let list = control.iter().find(|(member, _)| member.path.as_bytes() == b"control/md5sums");
        let files = self.listed(&list.map(|(_, list)| md5sums(list)).unwrap_or_default());
        let mut members: Vec<_> = control.into_iter().map(|(member, _)| member).collect();
        for member in &mut members {
            member.metadata = MemberMetadata::default();
        }
        Ok(Some(Declared { files, members }))
    }
}

impl Md5Sums {
    /// The files with these MD5s, by their path in the tree.
    fn listed(&self, expected: &[(RelPath, [u8; 16])]) -> Vec<Listed> {
        let own_name = &self.knowledge.installed[self.index].name;
        let listed = |(path, md5): &(RelPath, [u8; 16])| {
            let path_in_tree = match self.knowledge.diversions.get(path) {
                Some((to, owner)) if owner.as_deref() != Some(own_name) => to,
                _ => path,
            };
            let member = RelPath::new([b"data/", path.as_bytes()].concat()).ok()?;
            let checksum = Checksum::new(Algorithm::Md5, md5)?;
            Some(Listed { member, path: path_in_tree.clone(), checksum })
        };
        expected.iter().filter_map(listed).collect()
    }
}

/// Lines of an MD5 and a path.
fn md5sums(list: &[u8]) -> Vec<(RelPath, [u8; 16])> {
    let understand = |line: &[u8]| {
        let (digest, path) = line.split_at_checked(32)?;
        let path = path.strip_prefix(b"  ").or_else(|| path.strip_prefix(b" *"))?;
        Some((RelPath::normalise(path).ok()?, status::md5(digest)?))
    };
    list.split(|&byte| byte == b'\n').filter_map(understand).collect()
}
