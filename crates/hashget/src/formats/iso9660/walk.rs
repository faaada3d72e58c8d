//! Goes through an image: each folder, followed by what is in it.
//!
//! Invariant: all listings that are read have together no more bytes than the image, and each is read once: folders in each other end,
//! and listings that overlap do not multiply. Folders that are being read are on a stack as high as they are deep.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::entry::Entry;
use super::image::{Image, Listing, Stretch};
use super::record::Record;
use super::volume::{Names, Volume};
use super::{FORMAT, Trouble, damaged, names};
use crate::formats::content::visit;
use crate::formats::{FormatError, RandomAccess, Visitor};
use crate::limits::Limits;
use crate::model::{Kind, Member, RelPath, escaped};

/// The longest path in bytes.
const LONGEST_PATH: usize = 1 << 16;
/// What the folder in the top folder is called in which folders lie that are too deep for plain ISO 9660.
const FOR_MOVED: [&[u8]; 2] = [b"rr_moved", b".rr_moved"];

/// Goes through an image.
pub(super) struct Walk<'w> {
    image: Image<'w>,
    volume: Volume,
    wanted: &'w dyn Fn(&RelPath) -> bool,
    limits: &'w Limits,
    visitor: &'w mut dyn Visitor,
    /// The folders that are being read, and the length of the path of each.
    open: Vec<(Listing, usize)>,
    /// The path of the last of them.
    path: Vec<u8>,
    /// Where listings begin that have been, or are being, read.
    seen: HashSet<u64>,
    /// Bytes of these listings together.
    listed: u64,
    /// Folders that belong elsewhere, by where their listings begin, with their plain names.
    moved: BTreeMap<u64, Vec<u8>>,
    entries: u64,
    unpacked: u64,
}

impl<'w> Walk<'w> {
    /// At the top of an image.
    pub(super) fn new(
        bytes: &'w mut dyn RandomAccess,
        wanted: &'w dyn Fn(&RelPath) -> bool,
        limits: &'w Limits,
        visitor: &'w mut dyn Visitor,
    ) -> Result<Self, FormatError> {
        let mut image = Image::new(bytes)?;
        let volume = Volume::read(&mut image)?;
        let top = volume.top;
        let mut walk = Self {
            image,
            volume,
            wanted,
            limits,
            visitor,
            open: Vec::new(),
            path: Vec::new(),
            seen: HashSet::new(),
            listed: 0,
            moved: BTreeMap::new(),
            entries: 0,
            unpacked: 0,
        };
        walk.begin_listing(top, "the top folder")?;
        walk.open.push((Listing::new(top), 0));
        Ok(walk)
    }

    /// Counts a listing that is about to be read; `what` says whose it is. In an image that somebody uses, listings do not overlap.
    fn begin_listing(&mut self, listing: Stretch, what: &str) -> Result<(), FormatError> {
        self.image.check(listing, what)?;
        self.listed = self.listed.saturating_add(listing.length);
        if !self.seen.insert(listing.start) {
            let problem = format!("{what} lists what another folder, or it itself, has listed");
            return Err(damaged(problem));
        }
        if self.listed > self.image.length() {
            let problem = format!("its listings, up to that of {what}, are longer than the image");
            return Err(damaged(problem));
        }
        Ok(())
    }

    /// Visits everything.
    pub(super) fn visit_all(mut self) -> Result<(), FormatError> {
        while let Some((listing, path_length)) = self.open.last_mut() {
            self.path.truncate(*path_length);
            match self.image.next_entry(listing)? {
                Some(stored) => self.visit_stored(&stored)?,
                None => drop(self.open.pop()),
            }
        }
        for (start, name) in &self.moved {
            if !self.seen.contains(start) {
                let reason = "it was moved, and nothing says where it belongs";
                self.visitor.bad_member(name, reason);
            }
        }
        Ok(())
    }

    fn visit_stored(&mut self, stored: &[u8]) -> Result<(), FormatError> {
        let record = Record::parse(stored)?;
        if record.is_itself() {
            return Ok(());
        }
        let mut name = self.volume.plain_name(&record);
        match self.visit_record(&record, &mut name) {
            Ok(()) => Ok(()),
            Err(Trouble::Entry(reason)) => {
                self.visitor.bad_member(&self.path_to(&name), reason);
                Ok(())
            }
            Err(Trouble::Image(error)) => Err(error),
        }
    }

    /// Visits what `record` lists; `name` becomes its name by Rock Ridge, if it has one.
    fn visit_record(&mut self, record: &Record<'_>, name: &mut Vec<u8>) -> Result<(), Trouble> {
        // Before anything else, so that no part of a file counts as another file.
        let stretches = self.stretches(record)?;
        let attributes = self.volume.attributes(&mut self.image, record)?;
        if let Some(own) = &attributes.name {
            name.clone_from(own);
        }
        let mut entry = Entry::new(record, attributes, stretches?);
        // The folder in which they are may itself be said to be moved, so that Linux does not show it.
        let holds_moved = self.path.is_empty() && FOR_MOVED.contains(&&name[..]);
        if entry.attributes.is_relocated && !holds_moved {
            let start = entry.folder().ok_or("it is said to be moved, and is no folder")?.start;
            self.moved.entry(start).or_insert_with(|| record.name.to_vec());
            return Ok(());
        }
        if let Some(child) = entry.attributes.child {
            entry = self.moved_folder(child, &entry)?;
        }
        if self.volume.names == Names::Joliet {
            *name = names::joliet(record.name)?;
        }
        names::check(name)?;
        let path = self.path_to(name);
        if path.len() > LONGEST_PATH {
            return Err("its path is longer than 64 KiB".into());
        }
        self.visit_entry(path, entry)
    }

    fn visit_entry(&mut self, path: Vec<u8>, entry: Entry) -> Result<(), Trouble> {
        let kind = entry.kind()?;
        let what = escaped(&path);
        let listing = entry.folder().filter(|listing| listing.length > 0);
        let has_contents = matches!(kind, Kind::File { .. } | Kind::Directory);
        for stretch in entry.stretches.iter().filter(|stretch| has_contents && stretch.length > 0) {
            self.image.check(*stretch, &what)?;
        }
        let mut is_hidden = false;
        if let Some(listing) = listing {
            self.begin_listing(listing, &what)?;
            let may_be_hidden =
                FOR_MOVED.contains(&&path[..]) && matches!(self.volume.names, Names::RockRidge(_));
            is_hidden = may_be_hidden && self.has_only_moved(listing)?;
        }
        let member_path = RelPath::new(path.clone()).map_err(|error| error.reason())?;
        if !is_hidden && (self.wanted)(&member_path) {
            let Entry { metadata, stretches, .. } = entry;
            let member = Member { path: member_path, kind, metadata, sha256: None, extents: None };
            self.visit_member(member, &stretches)?;
        }
        if let Some(listing) = listing {
            self.open.push((Listing::new(listing), path.len()));
            self.path = path;
        }
        Ok(())
    }

    fn visit_member(&mut self, member: Member, stretches: &[Stretch]) -> Result<(), FormatError> {
        if !matches!(member.kind, Kind::File { .. }) {
            return visit(FORMAT, self.visitor, member, &mut io::empty());
        }
        self.unpacked = self.unpacked.saturating_add(member.size());
        let limits = self.limits;
        if self.unpacked > limits.unpacked_bytes {
            let what = "unpacked bytes".into();
            return Err(FormatError::Limit { what, limit: limits.unpacked_bytes });
        }
        // Files may have the same bytes.
        let ratio = self.unpacked / self.image.length().max(1);
        if self.unpacked > Limits::RATIO_FLOOR && ratio > limits.ratio {
            let what = "unpacked bytes for each byte of an image".into();
            return Err(FormatError::Limit { what, limit: limits.ratio });
        }
        visit(FORMAT, self.visitor, member, &mut self.image.contents(stretches))
    }

    /// Counts an entry that has been read, be it a member or a part of one.
    fn count_entry(&mut self) -> Result<(), FormatError> {
        self.entries += 1;
        let limit = self.limits.entries;
        match self.entries > limit {
            true => Err(FormatError::Limit { what: "entries".into(), limit }),
            false => Ok(()),
        }
    }

    /// Where the contents lie whose first entry is `record`; the others, which follow it, are read. Or why they cannot be read.
    fn stretches(
        &mut self,
        record: &Record<'_>,
    ) -> Result<Result<Vec<Stretch>, &'static str>, FormatError> {
        self.count_entry()?;
        let mut goes_on = record.goes_on();
        let mut found = match record.is_folder() && goes_on {
            true => Err("it is a folder in several parts"),
            false => record.stretch(self.volume.block_bytes).map(|stretch| vec![stretch]),
        };
        while goes_on {
            let listing = self.open.last_mut().map(|(listing, _)| listing);
            let next = listing.map(|listing| self.image.next_entry(listing)).transpose()?.flatten();
            let next = next.as_deref().map(Record::parse).transpose()?;
            let Some(next) = next.filter(|next| next.name == record.name) else {
                let name = escaped(&self.path_to(&self.volume.plain_name(record)));
                return Err(damaged(format!("{name} goes on, and there is no more of it")));
            };
            self.count_entry()?;
            goes_on = next.goes_on();
            match (&mut found, next.stretch(self.volume.block_bytes)) {
                (Ok(stretches), Ok(stretch)) => append(stretches, stretch),
                (Ok(_), Err(reason)) => found = Err(reason),
                (Err(_), _) => {}
            }
        }
        Ok(found)
    }

    /// The folder that belongs where `entry` is, and whose listing begins at this block. What is known of it is in its entry for
    /// itself.
    fn moved_folder(&mut self, block: u32, entry: &Entry) -> Result<Entry, Trouble> {
        const WRONG: &str = "it stands for a folder, and there is none where it should be";
        if entry.folder().is_some() {
            return Err("it is a folder, and stands for another one".into());
        }
        let block_bytes = self.volume.block_bytes;
        let start = u64::from(block) * block_bytes;
        let mut first = Listing::new(Stretch { start, length: block_bytes });
        let stored = self.image.next_entry(&mut first)?.ok_or(WRONG)?;
        let record = Record::parse(&stored)?;
        let stretch = record.stretch(block_bytes)?;
        if !record.is_itself() || !record.is_folder() || stretch.start != start {
            return Err(WRONG.into());
        }
        let attributes = self.volume.attributes(&mut self.image, &record)?;
        Ok(Entry::new(&record, attributes, vec![stretch]))
    }

    /// Is there nothing in a folder but folders that belong elsewhere? It is no folder of those who made the image, then.
    fn has_only_moved(&mut self, listing: Stretch) -> Result<bool, FormatError> {
        let mut listing = Listing::new(listing);
        while let Some(stored) = self.image.next_entry(&mut listing)? {
            let record = Record::parse(&stored)?;
            let is_moved = record.is_itself()
                || match self.volume.attributes(&mut self.image, &record) {
                    Ok(attributes) => attributes.is_relocated,
                    Err(Trouble::Entry(_)) => false,
                    Err(Trouble::Image(error)) => return Err(error),
                };
            if !is_moved {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The path of what is called `name` in the folder that is read.
    fn path_to(&self, name: &[u8]) -> Vec<u8> {
        match self.path.is_empty() {
            true => name.to_vec(),
            false => [&self.path, &b"/"[..], name].concat(),
        }
    }
}

/// Adds a stretch to those of a file. Parts that are empty, or follow each other, take no memory.
fn append(stretches: &mut Vec<Stretch>, next: Stretch) {
    match stretches.last_mut() {
        _ if next.length == 0 => {}
        Some(last) if last.length == 0 => *last = next,
        Some(last) if last.start + last.length == next.start => last.length += next.length,
        _ => stretches.push(next),
    }
}
