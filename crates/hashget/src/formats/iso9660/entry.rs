//! What an entry of a listing is: a file, a folder, a link, a device, with what is known of it.
//!
//! Invariant: the listing and Rock Ridge agree on whether something is a folder.

use rustix::fs::FileType;

use super::super::file_type::{file_type, has_type};
use super::image::Stretch;
use super::record::Record;
use super::rock_ridge::Attributes;
use crate::model::{Kind, MemberMetadata};

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
        let as_listed = if self.is_folder { FileType::Directory } else { FileType::RegularFile };
        let file_type = match self.attributes.mode.map_or(0, u64::from) {
            mode if has_type(mode) => file_type(mode),
            _ => as_listed,
        };
        if file_type.is_dir() != self.is_folder {
            return Err("its mode and its entry do not agree on whether it is a folder");
        }
        let device = self.attributes.device.ok_or("it is a device without a number");
        Ok(match file_type {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile if self.attributes.is_packed => {
                return Err("it is compressed by zisofs");
            }
            FileType::RegularFile => {
                Kind::File { size: self.stretches.iter().map(|stretch| stretch.length).sum() }
            }
            FileType::Symlink => self.link()?,
            FileType::CharacterDevice => {
                device.map(|(major, minor)| Kind::CharDevice { major, minor })?
            }
            FileType::BlockDevice => {
                device.map(|(major, minor)| Kind::BlockDevice { major, minor })?
            }
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => return Err("it is a socket"),
            FileType::Unknown => return Err("it is of no known type"),
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
