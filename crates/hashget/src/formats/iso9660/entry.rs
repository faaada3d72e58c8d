//! What an entry of a listing is: a file, a folder, a link, a device, with what is known of it.
//!
//! Invariant: the listing and Rock Ridge agree on whether something is a folder.

use super::image::Stretch;
use super::record::Record;
use super::rock_ridge::Attributes;
use crate::model::{Kind, MemberMetadata};

const TYPE: u32 = 0o170_000;
const FIFO: u32 = 0o010_000;
const CHAR_DEVICE: u32 = 0o020_000;
const DIRECTORY: u32 = 0o040_000;
const BLOCK_DEVICE: u32 = 0o060_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const SOCKET: u32 = 0o140_000;

/// An entry of a listing.
pub(super) struct Entry {
    pub(super) attributes: Attributes,
    pub(super) metadata: MemberMetadata,
    /// Its contents, or the listing of a folder.
    pub(super) stretches: Vec<Stretch>,
    is_folder: bool,
}

impl Entry {
    /// What `record` lists, with these attributes and contents.
    pub(super) fn new(
        record: &Record<'_>,
        attributes: Attributes,
        stretches: Vec<Stretch>,
    ) -> Self {
        let metadata = MemberMetadata {
            mode: attributes.mode.map(|mode| mode & 0o7777),
            uid: attributes.owner.map(|owner| owner.0),
            gid: attributes.owner.map(|owner| owner.1),
            mtime: attributes.mtime.or(record.mtime),
            ..MemberMetadata::default()
        };
        Self { attributes, metadata, stretches, is_folder: record.is_folder() }
    }

    /// Its listing, if it is a folder.
    pub(super) fn folder(&self) -> Option<Stretch> {
        self.stretches.first().copied().filter(|_| self.is_folder)
    }

    /// What it is, or why it cannot be a member.
    pub(super) fn kind(&self) -> Result<Kind, &'static str> {
        let as_listed = if self.is_folder { DIRECTORY } else { FILE };
        let file_type = match self.attributes.mode.map_or(0, |mode| mode & TYPE) {
            0 => as_listed,
            file_type => file_type,
        };
        if (file_type == DIRECTORY) != self.is_folder {
            return Err("its mode and its entry do not agree on whether it is a folder");
        }
        let device = self.attributes.device.ok_or("it is a device without a number");
        Ok(match file_type {
            DIRECTORY => Kind::Directory,
            FILE if self.attributes.is_packed => return Err("it is compressed by zisofs"),
            FILE => Kind::File { size: self.stretches.iter().map(|stretch| stretch.length).sum() },
            SYMLINK => self.link()?,
            CHAR_DEVICE => device.map(|(major, minor)| Kind::CharDevice { major, minor })?,
            BLOCK_DEVICE => device.map(|(major, minor)| Kind::BlockDevice { major, minor })?,
            FIFO => Kind::Fifo,
            SOCKET => return Err("it is a socket"),
            _ => return Err("it is of no known type"),
        })
    }

    fn link(&self) -> Result<Kind, &'static str> {
        match self.attributes.target.as_deref() {
            None | Some(b"") => Err("it is a link without a target"),
            Some(target) if target.contains(&0) => Err("its target has a NUL byte"),
            Some(target) => Ok(Kind::Symlink { target: target.into() }),
        }
    }
}
