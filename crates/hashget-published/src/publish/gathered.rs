//! Lines of what a cluster gathered, out of many files in order.
//!
//! Invariant: one line is in memory, and no longer one than it may be. A folder that is not complete is not read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use hashget::codec::{Codec, decoder};
use hashget::limits::Limits;

use crate::error::PublishedError;

/// What Spark puts into a folder once everything in it is written.
const COMPLETE: &str = "_SUCCESS";

/// Bytes that are enough to recognise a compression.
const HEAD: u64 = 4096;

/// The lines of all files of a folder, in the order of the files' paths.
pub(super) struct Lines {
    root: PathBuf,
    /// Files that were not opened yet; the next one is the last.
    files: Vec<PathBuf>,
    open: Option<Box<dyn BufRead>>,
    /// The file that is read, below `root`.
    name: String,
    line: u64,
    buffer: Vec<u8>,
    /// Bytes of the longest line.
    most: u64,
}

impl Lines {
    /// Those of the folder `name` in `root`. No line may be longer than `most` bytes.
    pub(super) fn new(root: &Path, name: &str, most: u64) -> Result<Self, PublishedError> {
        let folder = root.join(name);
        if !folder.join(COMPLETE).exists() {
            let problem = format!(
                "there is no {COMPLETE} in it: wait until the job that writes it has ended, or run it again"
            );
            return Err(PublishedError::damaged(folder.display().to_string(), problem));
        }
        let mut files = Vec::new();
        add_files(&folder, &mut files)?;
        files.sort_unstable_by(|one, other| other.cmp(one));
        let (root, name) = (root.to_owned(), format!("{name}/"));
        Ok(Self { root, files, open: None, name, line: 0, buffer: Vec::new(), most })
    }

    /// The next line, without its end.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, PublishedError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(file) = self.files.pop() else { return Ok(None) };
                self.open = Some(opened(&file)?);
                let name = file.strip_prefix(&self.root).unwrap_or(&file);
                (self.name, self.line) = (name.display().to_string(), 0);
                continue;
            };
            self.buffer.clear();
            self.line += 1;
            let read = open.take(self.most + 1).read_until(b'\n', &mut self.buffer);
            if let Err(error) = read {
                return Err(self.damaged(format!("it cannot be read: {error}")));
            }
            if self.buffer.is_empty() {
                self.open = None;
                continue;
            }
            if self.buffer.pop_if(|byte| *byte == b'\n').is_none() {
                let problem = match self.buffer.len() as u64 > self.most {
                    true => format!("it is longer than {} bytes", self.most),
                    false => "the file ends within it".to_owned(),
                };
                return Err(self.damaged(problem));
            }
            return Ok(Some(&self.buffer));
        }
    }

    /// The line that was read last is wrong.
    pub(super) fn damaged(&self, problem: impl AsRef<str>) -> PublishedError {
        let problem = format!("line {}: {}", self.line, problem.as_ref());
        PublishedError::damaged(self.name.clone(), problem)
    }
}

/// All files below a folder but those with names by which Spark marks its own.
fn add_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let is_mark = entry.file_name().as_encoded_bytes().starts_with(b"_");
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        match entry.file_type()?.is_dir() {
            _ if is_mark || is_hidden => {}
            true => add_files(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}

fn opened(file: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file: File = fs_err::File::open(file)?.into_file();
    let mut head = Vec::new();
    (&mut file).take(HEAD).read_to_end(&mut head)?;
    let codec = Codec::recognise(&head);
    let whole = Box::new(io::Cursor::new(head).chain(file));
    Ok(Box::new(BufReader::with_capacity(1 << 18, decoder(codec, whole, &Limits::default(), 1)?)))
}
