//! An entry: one path of a tree with all that must come back, and the digest over a whole tree.
//!
//! Invariant: two trees have the same tree digest exactly if every path, type, content, link,
//! owner, mode, time and attribute is the same; `docs/format.md` fixes the bytes that are hashed.

use sha2::{Digest as _, Sha256};

use super::{Digest, Extent, Kind, Metadata, RelPath};

/// One path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is; the empty path is the top folder.
    pub path: RelPath,
    /// What it is. Further names of a hard-linked file are [`Kind::HardLink`] to one that is a file.
    pub kind: Kind,
    /// Its metadata. For a hard link: that of the file, or unused.
    pub metadata: Metadata,
    /// The digest of a regular file's contents, once known.
    pub sha256: Option<Digest>,
    /// The data of a file with holes, in order.
    pub extents: Option<Vec<Extent>>,
}

impl Entry {
    /// The logical size of a regular file; 0 for anything else.
    pub fn size(&self) -> u64 {
        if let Kind::File { size } = self.kind { size } else { 0 }
    }
}

/// The permission bits that count for an entry: symbolic links have none of their own on Linux.
pub fn effective_mode(kind: &Kind, mode: u32) -> u32 {
    if matches!(kind, Kind::Symlink { .. }) { 0o777 } else { mode }
}

/// The digest of the record of the entry at `path`. `file` is the entry itself or, for a hard link,
/// the file that it names; `first_name` is the first path, by bytes, of its hard-link group.
pub fn entry_digest(path: &RelPath, file: &Entry, first_name: &RelPath) -> Digest {
    let Entry { kind, metadata, sha256, extents, .. } = file;
    let mut record = Record(Vec::with_capacity(256));
    record.field(path.as_bytes());
    record.field(kind.letter().as_bytes());
    record.number(effective_mode(kind, metadata.mode).into());
    record.number(metadata.uid.into());
    record.number(metadata.gid.into());
    record.signed(metadata.mtime.seconds);
    record.number(metadata.mtime.nanoseconds.into());
    match kind {
        Kind::File { size } => {
            record.number(*size);
            match sha256 {
                Some(digest) => record.digest(digest),
                None => record.field(b""),
            }
            for extent in extents.iter().flatten() {
                record.number(extent.offset);
                record.number(extent.length);
            }
        }
        Kind::Symlink { target } => record.field(target),
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            record.number((*major).into());
            record.number((*minor).into());
        }
        Kind::Directory | Kind::Fifo | Kind::Socket | Kind::HardLink { .. } => {}
    }
    if *kind != Kind::Directory {
        record.field(first_name.as_bytes());
    }
    for (name, value) in &metadata.xattrs {
        record.field(name);
        record.number(value.len() as u64);
        record.field(value);
    }
    Digest::of(&record.0)
}

/// The bytes of a record: fields, each followed by a NUL.
struct Record(Vec<u8>);

impl Record {
    fn field(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        self.0.push(0);
    }

    /// Written by hand: each entry of a tree has six or more, and the machinery of formatting would take
    /// longer than the digest.
    fn number(&mut self, number: u64) {
        let mut digits = [0; 20];
        let (mut at, mut rest) = (digits.len(), number);
        loop {
            at -= 1;
            digits[at] = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.field(&digits[at..]);
    }

    fn signed(&mut self, number: i64) {
        if number < 0 {
            self.0.push(b'-');
        }
        self.number(number.unsigned_abs());
    }

    fn digest(&mut self, digest: &Digest) {
        let mut digits = [0; 64];
        hex::encode_to_slice(digest.as_bytes(), &mut digits).expect("it is twice as long");
        self.field(&digits);
    }
}

/// Gathers entry digests, in any order, into a tree digest.
#[derive(Debug, Default)]
pub struct TreeDigest<'p> {
    entries: Vec<(&'p [u8], Digest)>,
}

impl<'p> TreeDigest<'p> {
    /// Adds the entry at the path with these bytes.
    pub fn add(&mut self, path: &'p [u8], entry: Digest) {
        self.entries.push((path, entry));
    }

    /// The digest over all entries that were added.
    pub fn finish(mut self) -> Digest {
        self.entries.sort_unstable();
        Self::of_sorted(self.entries.iter().map(|(_, digest)| digest))
    }

    /// The digest over entries whose own digests come sorted by path.
    pub fn of_sorted<'a>(entries: impl Iterator<Item = &'a Digest>) -> Digest {
        let mut hasher = Sha256::new();
        for digest in entries {
            hasher.update(digest.as_bytes());
        }
        Digest::from_bytes(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn digest_of(kind: &Kind, metadata: &Metadata) -> Digest {
        let path = RelPath::new("a").unwrap();
        let entry = Entry {
            path: path.clone(),
            kind: kind.clone(),
            metadata: metadata.clone(),
            sha256: Some(Digest::of(b"x")),
            extents: None,
        };
        entry_digest(&path, &entry, &path)
    }

    /// The record of docs/format.md, written out.
    #[test]
    fn the_record_is_the_documented_one() {
        let metadata = Metadata {
            mode: 0o644,
            uid: 0,
            gid: 4_294_967_294,
            mtime: Timestamp { seconds: -1, nanoseconds: 5 },
            xattrs: [(b"user.k"[..].into(), b"v\0"[..].into())].into(),
        };
        let sha256 = Digest::of(b"x");
        let text = format!("a\0f\0420\00\04294967294\0-1\05\01\0{sha256}\0a\0user.k\02\0v\0\0");
        assert_eq!(digest_of(&Kind::File { size: 1 }, &metadata), Digest::of(text.as_bytes()));
    }

    #[test]
    fn every_field_counts_and_the_order_of_adding_does_not() {
        let base = Metadata::default();
        let kinds = [
            Kind::File { size: 1 },
            Kind::File { size: 2 },
            Kind::Directory,
            Kind::Fifo,
            Kind::Symlink { target: b"t"[..].into() },
            Kind::CharDevice { major: 1, minor: 2 },
            Kind::BlockDevice { major: 1, minor: 2 },
        ];
        let digests: std::collections::HashSet<_> =
            kinds.iter().map(|kind| digest_of(kind, &base)).collect();
        assert_eq!(digests.len(), kinds.len());

        let (a, b) = (RelPath::new("a").unwrap(), RelPath::new("b").unwrap());
        let mut forward = TreeDigest::default();
        forward.add(a.as_bytes(), Digest::of(b"1"));
        forward.add(b.as_bytes(), Digest::of(b"2"));
        let mut backward = TreeDigest::default();
        backward.add(b.as_bytes(), Digest::of(b"2"));
        backward.add(a.as_bytes(), Digest::of(b"1"));
        assert_eq!(forward.finish(), backward.finish());
    }
}
