//! The blocks of the packages that a backup may rely on, in memory.
//!
//! Invariant: a block is found only by its whole digest. At most [`MOST_BLOCKS`] are kept, each in some 60 bytes; packages that are
//! relied on anyway come first.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;

use crate::hashdb::{BLOCK_BYTES, BlockStore, MemberBlocks, block_checksum};
use crate::model::{Digest, PathList, RelPath, path_of};

/// Limit on the blocks in memory: those of 16 GiB of members, in some 250 MB.
const MOST_BLOCKS: usize = 1 << 22;

/// Of blocks that are alike, so many are looked at.
const MOST_ALIKE: usize = 64;

/// A member with blocks.
struct Known {
    /// The index of its package, as the caller counts them.
    package: usize,
    size: u64,
    /// Its first block.
    first: u32,
    tail: Option<Digest>,
}

/// Where bytes are found: a member, and the index of a block in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) member: u32,
    pub(super) block: u32,
}

/// What came of adding the blocks of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// They are known.
    All,
    /// There is no room for all of them.
    NoRoom,
    /// Their file is damaged, and nothing of it is used.
    Damaged,
}

/// Known blocks.
#[derive(Default)]
pub(super) struct Table {
    members: Vec<Known>,
    paths: PathList,
    digests: Vec<Digest>,
    /// The first block with each checksum; blocks of equal bytes have none.
    heads: HashMap<u64, u32, BuildHasherDefault<Itself>>,
    /// For each block, the one before it with the same checksum.
    next: Vec<u32>,
    uniform: Vec<u64>,
}

const NONE: u32 = u32::MAX;

/// A checksum is a hash already.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0 << 8 | u64::from(byte));
    }

    fn write_u64(&mut self, checksum: u64) {
        self.0 = checksum;
    }
}

impl Table {
    pub(super) fn new() -> Self {
        let uniform = (0..=u8::MAX).map(|byte| block_checksum(&[byte; BLOCK_BYTES])).collect();
        Self { uniform, ..Self::default() }
    }

    /// Adds the blocks of a package.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn add(
        &mut self,
        package: usize,
        sha256: &Digest,
        store: &BlockStore,
    ) -> io::Result<Added> {
        let mut has_room = true;
        let is_sound = store.read(sha256, &mut |member| {
            has_room &= self.digests.len() + member.blocks.len() <= MOST_BLOCKS;
            if has_room {
                self.add_member(package, member);
            }
        })?;
        Ok(match (has_room, is_sound) {
            (_, false) => Added::Damaged,
            (true, true) => Added::All,
            (false, true) => Added::NoRoom,
        })
    }

    fn add_member(&mut self, package: usize, member: MemberBlocks) {
        let MemberBlocks { path, size, blocks, tail } = member;
        self.members.push(Known { package, size, first: narrow(self.digests.len()), tail });
        self.paths.push(&path);
        for (checksum, digest) in blocks {
            let number = narrow(self.digests.len());
            self.digests.push(digest);
            let before = match self.uniform.contains(&checksum) {
                true => None,
                false => self.heads.insert(checksum, number),
            };
            self.next.push(before.unwrap_or(NONE));
        }
    }

    /// Is there no block?
    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The places of a block, if it is known and not of equal bytes; those that were added first come last.
    pub(super) fn places(&self, block: &[u8]) -> Vec<Place> {
        let Some(&head) = self.heads.get(&block_checksum(block)) else { return Vec::new() };
        let sha256 = Digest::of(block);
        let alike = std::iter::successors(Some(head), |&number| {
            Some(self.next[number as usize]).filter(|&next| next != NONE)
        });
        let same = alike.take(MOST_ALIKE).filter(|&number| self.digests[number as usize] == sha256);
        same.map(|number| self.place(number)).collect()
    }

    fn place(&self, number: u32) -> Place {
        let member = self.members.partition_point(|member| member.first <= number) - 1;
        Place { member: narrow(member), block: number - self.members[member].first }
    }

    /// The digest of the block after this place, if the member has another one.
    pub(super) fn following(&self, place: Place) -> Option<(Place, &Digest)> {
        let member = &self.members[place.member as usize];
        let next = Place { block: place.block + 1, ..place };
        let has_more = u64::from(next.block) < member.size / BLOCK_BYTES as u64;
        has_more.then(|| (next, &self.digests[(member.first + next.block) as usize]))
    }

    /// What comes after this place, which has the member's last whole block: number of bytes, and their digest.
    pub(super) fn tail(&self, place: Place) -> Option<(usize, &Digest)> {
        let member = &self.members[place.member as usize];
        let tail = usize::try_from(member.size % BLOCK_BYTES as u64).ok()?;
        let is_last = u64::from(place.block) + 1 == member.size / BLOCK_BYTES as u64;
        member.tail.as_ref().filter(|_| is_last).map(|digest| (tail, digest))
    }

    /// The package of a member, and its path there.
    pub(super) fn member(&self, member: u32) -> (usize, RelPath) {
        let index = member as usize;
        (self.members[index].package, path_of(self.paths.get(index)))
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("there are fewer blocks")
}
