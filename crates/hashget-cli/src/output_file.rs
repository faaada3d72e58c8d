//! A file that a command writes at its end, opened at its beginning.
//!
//! Invariant: a name that cannot be written to is reported before the work; a regular file appears, or is replaced, when
//! it is complete, and anything else is written to.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hashget::pending_file::{PendingFile, behind_links};

/// An open file that has no contents yet.
pub(crate) struct OutputFile {
    name: String,
    kind: Kind,
}

enum Kind {
    Regular { file: PendingFile, path: PathBuf },
    Device(File),
}

impl OutputFile {
    /// Opens the file that `path` leads to.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let kind = Self::kind(path).with_context(|| format!("cannot write {name}"))?;
        Ok(Self { name, kind })
    }

    fn kind(path: &Path) -> io::Result<Kind> {
        match path.metadata() {
            Ok(found) if !found.is_file() && !found.is_dir() => {
                Ok(Kind::Device(File::options().write(true).open(path)?))
            }
            _ => {
                let path = behind_links(path);
                Ok(Kind::Regular { file: PendingFile::replacing(&path, 0o666)?, path })
            }
        }
    }

    /// Writes all of it.
    pub(crate) fn finish(self, contents: &[u8]) -> anyhow::Result<()> {
        let written = match self.kind {
            Kind::Device(mut device) => device.write_all(contents),
            Kind::Regular { mut file, path } => {
                file.write_all(contents).and_then(|()| file.commit(&path))
            }
        };
        written.with_context(|| format!("cannot write {}", self.name))
    }
}
