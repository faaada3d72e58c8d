//! Writes a supplement.
//!
//! Invariant: what it says comes first, and the members of packages before their files; each file is written once, whatever names it has.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::{Contents, MANIFEST, MEMBERS, PACKAGES, TREE};
use crate::model::{Digest, RelPath};

/// A supplement that is being written.
pub struct SupplementWriter<W: Write> {
    tar: Builder<W>,
    written: BTreeSet<Digest>,
}

impl<W: Write> SupplementWriter<W> {
    /// Writes what it says. `members` is an export of a HashDB with the packages of which single files follow.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(output: W, contents: &Contents, members: &[u8]) -> io::Result<Self> {
        let mut writer = Self { tar: Builder::new(output), written: BTreeSet::new() };
        let mut text = serde_json::to_vec_pretty(contents)?;
        text.push(b'\n');
        writer.entry(Path::new(MANIFEST), text.len() as u64, (0o644, 0), &mut &text[..])?;
        let members_length = members.len() as u64;
        writer.entry(Path::new(MEMBERS), members_length, (0o644, 0), &mut &members[..])?;
        Ok(writer)
    }

    /// A whole package.
    ///
    /// # Errors
    /// Those of the output and the file.
    pub fn package(&mut self, sha256: &Digest, package: &File) -> io::Result<()> {
        if !self.written.insert(*sha256) {
            return Ok(());
        }
        let size = package.metadata()?.len();
        let path = Path::new(PACKAGES).join(sha256.to_string());
        let mut content = package;
        content.rewind()?;
        self.entry(&path, size, (0o644, 0), &mut content)
    }

    /// A file of the tree with this digest and size in bytes. `how` is its mode, and the seconds since 1970 of its last change.
    ///
    /// # Errors
    /// Those of the output and the content.
    pub fn file(
        &mut self,
        path: &RelPath,
        (sha256, size): (Digest, u64),
        how: (u32, u64),
        content: &mut dyn Read,
    ) -> io::Result<()> {
        if !self.written.insert(sha256) {
            return Ok(());
        }
        let mut name = PathBuf::from(TREE);
        name.push(std::ffi::OsStr::from_bytes(path.as_bytes()));
        self.entry(&name, size, how, content)
    }

    fn entry(
        &mut self,
        path: &Path,
        size: u64,
        (mode, mtime): (u32, u64),
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(mtime);
        header.set_uid(0);
        header.set_gid(0);
        // Exactly as many bytes as the head says, or the rest could not be read.
        let mut content = content.take(size);
        self.tar.append_data(&mut header, path, &mut content)?;
        if content.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Writes the end, and gives back what it was written to.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }
}
