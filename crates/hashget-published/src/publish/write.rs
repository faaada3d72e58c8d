//! Writing a layer: packs, names and keys of packages that come in order.
//!
//! Invariant: one package at a time is in memory, besides the pack that is being filled. A list that is not what its record says
//! ends everything.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use hashget::hashdb::member_list;
use hashget::limits::Limits;
use hashget::model::Digest;

use crate::error::PublishedError;
use crate::manifest::{Collection, Layer, Table};
use crate::record::PublishedRecord;
use crate::table::{PackWriter, Row, cut, name_key, url_key, write_keys};

/// Rows in a page of names, and in one of keys.
const NAMES_PAGE: usize = 1 << 10;
const KEYS_PAGE: usize = 1 << 12;

/// What is wrong with a list that has another digest, or another number of members.
pub(super) const OTHER_LIST: &str = "its member list is not the one that its record names";

/// What gets the keys of packages while these are written.
pub(super) trait Keys {
    /// Package number `package` has this key; it may have it more than once.
    fn push(&mut self, key: u64, package: u32) -> io::Result<()>;
}

/// Folders that tables are written to.
#[derive(Clone, Copy)]
pub(super) struct Target<'w> {
    pub(super) tables: &'w Path,
    pub(super) scratch: &'w Path,
}

/// Writes packs and names of packages, and passes their keys on.
pub(super) struct LayerWriter<'w, K> {
    target: Target<'w>,
    layer: Layer,
    open: Option<Open>,
    keys: K,
}

/// A collection that is being written.
#[derive(Default)]
struct Open {
    name: String,
    pack: PackWriter,
    packs: Vec<Table>,
    names: Vec<(u64, u32)>,
    kinds: BTreeSet<String>,
    first: u32,
    packages: u32,
}

/// The tables of keys of a layer, as they are written.
pub(super) struct KeyTables<'w> {
    target: Target<'w>,
    pub(super) tables: Vec<Table>,
    pub(super) rows: u64,
}

impl<'w> KeyTables<'w> {
    pub(super) fn new(target: Target<'w>) -> Self {
        Self { target, tables: Vec::new(), rows: 0 }
    }

    /// Writes one more.
    pub(super) fn write(&mut self, pairs: &[(u64, u32)]) -> io::Result<()> {
        let Target { tables, scratch } = self.target;
        self.rows += pairs.len() as u64;
        self.tables.push(write_keys(pairs, KEYS_PAGE, true, tables, scratch)?);
        Ok(())
    }
}

impl<'w, K: Keys> LayerWriter<'w, K> {
    pub(super) fn new(target: Target<'w>, keys: K) -> Self {
        Self { target, layer: Layer::default(), open: None, keys }
    }

    /// Adds a package of this collection, whose packages follow each other. If `is_read`, its record has the digest of its list.
    pub(super) fn push(
        &mut self,
        collection: &str,
        record: PublishedRecord,
        is_read: bool,
        list: Vec<u8>,
    ) -> Result<(), PublishedError> {
        if self.open.as_ref().is_none_or(|open| open.name != collection) {
            self.close()?;
            let (name, first) = (collection.to_owned(), self.layer.packages);
            self.open = Some(Open { name, first, ..Open::default() });
        }
        let open = self.open.get_or_insert_default();
        let record = add(&mut self.keys, open, record, is_read, &list)?;
        self.layer.packages += 1;
        if open.pack.push(Row { record, list }) {
            open.packs.push(open.pack.finish(self.target.tables, self.target.scratch)?);
        }
        Ok(())
    }

    /// The layer, without tables of keys, and what got the keys.
    pub(super) fn finish(mut self) -> Result<(Layer, K), PublishedError> {
        self.close()?;
        Ok((self.layer, self.keys))
    }

    /// Completes the collection that is being written.
    fn close(&mut self) -> Result<(), PublishedError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let Target { tables, scratch } = self.target;
        if !open.pack.is_empty() {
            open.packs.push(open.pack.finish(tables, scratch)?);
        }
        open.names.sort_unstable();
        open.names.dedup();
        self.layer.collections.push(Collection {
            name: open.name,
            kinds: open.kinds.into_iter().collect(),
            first: open.first,
            packages: open.packages,
            names: write_keys(&open.names, NAMES_PAGE, false, tables, scratch)?,
            packs: open.packs,
        });
        Ok(())
    }
}

/// Adds the names and keys of a package; returns its record with what its list says.
fn add(
    keys: &mut impl Keys,
    open: &mut Open,
    mut record: PublishedRecord,
    is_read: bool,
    list: &[u8],
) -> Result<PublishedRecord, PublishedError> {
    let number = open.first + open.packages;
    open.packages += 1;
    let (digest, members) = add_files(keys, number, list)?
        .map_err(|problem| PublishedError::damaged(record.urls[0].clone(), problem))?;
    if is_read && (record.list, record.members) != (digest, members) {
        return Err(PublishedError::damaged(record.urls[0].clone(), OTHER_LIST));
    }
    (record.list, record.members) = (digest, members);
    add_own(keys, number, &record)?;
    for signature in record.signatures() {
        open.names.push((name_key(&signature), number));
        open.kinds.insert(signature.kind);
    }
    Ok(record)
}

/// Adds the keys of the files in a member list, as it is stored; returns its digest and the number of members, or what is wrong with it.
pub(super) fn add_files(
    keys: &mut impl Keys,
    number: u32,
    list: &[u8],
) -> io::Result<Result<(Digest, u64), String>> {
    let (mut members, mut pushed) = (0, Ok(()));
    let most = Limits::default().entries;
    let digest = member_list::decode_and_hash(list, most, &mut |member| {
        members += 1;
        if let (Some(sha256), Ok(())) = (&member.sha256, &pushed) {
            pushed = keys.push(cut(sha256), number);
        }
    });
    pushed.map(|()| digest.map(|digest| (digest, members)))
}

/// Adds the keys of a package itself: its URLs, its digest, its statement.
pub(super) fn add_own(
    keys: &mut impl Keys,
    number: u32,
    record: &PublishedRecord,
) -> io::Result<()> {
    let urls = record.urls.iter().map(|url| url_key(url));
    for key in urls.chain([cut(&record.sha256), cut(&record.statement().digest())]) {
        keys.push(key, number)?;
    }
    Ok(())
}
