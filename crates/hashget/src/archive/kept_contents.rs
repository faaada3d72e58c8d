//! Contents of files that a rehearsal keeps, because programs will read them.
//!
//! Invariant: only what is wanted is kept, in one file without a name; it is not believed, since what programs make of it is proven.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::sync::{Mutex, MutexGuard};

use crate::model::RelPath;
use crate::model::manifest::Manifest;
use crate::programs::{MOST_READ_BYTES, Reads, program_recipe};

/// See the top.
#[derive(Default)]
pub(crate) struct KeptContents {
    /// What the runs read.
    wanted: Vec<Reads>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    file: Option<File>,
    /// Where each begins, and its bytes.
    places: HashMap<RelPath, (u64, u64)>,
    end: u64,
}

impl KeptContents {
    /// What all programs of a manifest read.
    pub(crate) fn for_programs(manifest: &Manifest) -> Self {
        let mut wanted = Vec::new();
        for package in &manifest.packages {
            // What is wrong with it is found when it is to be carried out.
            for (number, outputs) in package.runs().unwrap_or_default() {
                let derived = &package.derived[number];
                let reads = program_recipe(&derived.recipe)
                    .and_then(|recipe| recipe.reads(&derived.parameters, &outputs).ok());
                wanted.extend(reads);
            }
        }
        Self { wanted, kept: Mutex::default() }
    }

    /// Is the file at `path` wanted?
    pub(crate) fn wants(&self, path: &RelPath) -> bool {
        self.wanted.iter().any(|reads| reads.has(path))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder of this lock panics")
    }

    /// Keeps what `read` reads of `content`, which belongs to the file at `path`.
    ///
    /// # Errors
    /// Those of `read`; or it cannot be kept.
    pub(crate) fn keep<T, E: From<io::Error>>(
        &self,
        path: &RelPath,
        content: &mut dyn Read,
        read: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut kept = self.kept();
        let file = match kept.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let begin = kept.end;
        let mut copying = Copying { content, file, at: begin, failed: None };
        copying.file.seek(SeekFrom::Start(begin))?;
        let done = read(&mut copying)?;
        let Copying { file, at, failed, .. } = copying;
        kept.file = Some(file);
        match failed {
            Some(error) if error.kind() != io::ErrorKind::FileTooLarge => return Err(error.into()),
            // Whoever reads so much gets nothing.
            Some(_) => {}
            None => {
                kept.end = at;
                kept.places.insert(path.clone(), (begin, at - begin));
            }
        }
        Ok(done)
    }

    /// The file at `path` holds the same as the one at `kept`, which is kept.
    pub(crate) fn add_copy(&self, kept: &RelPath, path: &RelPath) {
        let mut all = self.kept();
        if let Some(place) = all.places.get(kept).copied().filter(|_| self.wants(path)) {
            all.places.insert(path.clone(), place);
        }
    }

    /// What was kept of the file at `path`. Only one is read at a time.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn reader(&self, path: &RelPath) -> io::Result<Option<impl Read + use<>>> {
        let kept = self.kept();
        let (Some((begin, bytes)), Some(file)) = (kept.places.get(path), &kept.file) else {
            return Ok(None);
        };
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(*begin))?;
        Ok(Some(file.take(*bytes)))
    }
}

/// Contents that are copied while they are read.
struct Copying<'c> {
    content: &'c mut dyn Read,
    file: File,
    at: u64,
    failed: Option<io::Error>,
}

impl Read for Copying<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if self.failed.is_none() {
            let written = match self.at.saturating_add(count as u64) > MOST_READ_BYTES {
                true => Err(io::ErrorKind::FileTooLarge.into()),
                false => self.file.write_all(&buffer[..count]),
            };
            match written {
                Ok(()) => self.at += count as u64,
                Err(error) => self.failed = Some(error),
            }
        }
        Ok(count)
    }
}
