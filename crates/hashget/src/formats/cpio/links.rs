//! Hard links of a cpio archive: names of one file have the same device and inode, and in the newer forms only the last one
//! has the contents.
//!
//! Invariant: a name without contents is a hard link only to a name whose contents are in the archive; names of a file that is
//! empty come last.

use std::collections::HashMap;

use super::super::FormatError;
use super::header::Form;
use super::reader::NamedEntry;
use crate::model::{Kind, Member, RelPath};

/// Limit on the size of the names that wait for their contents.
const MOST_NAME_BYTES: usize = 256 << 20;

/// Device and inode of a file.
type Group = ((u64, u64), u64);

/// The names of files that have several.
#[derive(Default)]
pub(super) struct Links {
    groups: HashMap<Group, Names>,
    /// Number of the names, and the size in bytes of those that wait.
    count: usize,
    bytes: usize,
}

/// Names of one file.
enum Names {
    /// The contents have not been seen yet; the number of the first name.
    Waiting(usize, Vec<Member>),
    /// This name had the contents.
    Visited(RelPath),
}

impl Links {
    /// What to visit for the file `member`, which is `entry`: the one with the contents first. `None`: it waits.
    ///
    /// # Errors
    /// Too many names wait.
    pub(super) fn resolve(
        &mut self,
        mut member: Member,
        entry: &NamedEntry,
    ) -> Result<Option<Vec<Member>>, FormatError> {
        // In the older forms every name has the contents, and inode numbers are cut off.
        if !matches!(entry.form, Form::New { .. }) || entry.fields.links < 2 {
            return Ok(Some(vec![member]));
        }
        self.count += 1;
        let group = (entry.fields.device, entry.fields.inode);
        if entry.size() == 0 {
            if let Some(Names::Visited(target)) = self.groups.get(&group) {
                member.kind = Kind::HardLink { target: target.clone() };
                return Ok(Some(vec![member]));
            }
            self.bytes += member.path.as_bytes().len();
            if self.bytes > MOST_NAME_BYTES {
                let what = "bytes of the names of hard links".into();
                return Err(FormatError::Limit { what, limit: MOST_NAME_BYTES as u64 });
            }
            let names = self.groups.entry(group);
            if let Names::Waiting(_, names) =
                names.or_insert_with(|| Names::Waiting(self.count, Vec::new()))
            {
                names.push(member);
            }
            return Ok(None);
        }
        let earlier = self.groups.insert(group, Names::Visited(member.path.clone()));
        let waiting = match earlier {
            Some(Names::Waiting(_, names)) => names,
            _ => Vec::new(),
        };
        Ok(Some(file_and_links(member, waiting)))
    }

    /// The names that still wait, in their order: those of empty files.
    pub(super) fn without_contents(self) -> Vec<Member> {
        let mut waiting: Vec<_> = self
            .groups
            .into_values()
            .filter_map(|names| match names {
                Names::Waiting(first, names) => Some((first, names)),
                Names::Visited(_) => None,
            })
            .collect();
        waiting.sort_by_key(|(first, _)| *first);
        let groups = waiting.into_iter().map(|(_, names)| names.into_iter());
        groups
            .flat_map(|mut names| {
                let first = names.next();
                first.map(|first| file_and_links(first, names.collect())).unwrap_or_default()
            })
            .collect()
    }
}

/// `file`, and the other names as hard links to it.
fn file_and_links(file: Member, others: Vec<Member>) -> Vec<Member> {
    let target = file.path.clone();
    let link = |mut name: Member| {
        name.kind = Kind::HardLink { target: target.clone() };
        name
    };
    let links: Vec<_> = others.into_iter().map(link).collect();
    std::iter::once(file).chain(links).collect()
}
