//! Archives on this machine that are not in all of their destinations yet.
//!
//! Invariant: what has the name of an archive here is whole. It is removed when it is everywhere, or given up, and nothing else is.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use fs_err::{File, OpenOptions};
use hashget::archive::head_of;
use hashget::limits::Limits;
use hashget::parity::parity_of;
use hashget::pending_file::PendingFile;
use jiff::Timestamp;

use crate::manifest_copy;
use crate::record::{Packed, Record, Sealed};
use crate::series::{ArchiveName, Series};
use crate::store::digest_of;

/// The name of the folder, hidden, in a destination that is one.
pub const FOLDER_IN_DESTINATION: &str = ".hashget-spool";

/// So many later archives may be waiting before one is given up.
const OVERTAKEN: usize = 3;

/// Archives are as confidential as what is in them.
const MODE: u32 = 0o600;

/// So is the folder: the mode of what is written there depends on the user.
const FOLDER_MODE: u32 = 0o700;

/// The archives of one series that wait for being sent.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    series: Series,
}

/// An archive that waits.
#[derive(Debug)]
pub struct Spooled {
    /// Its name.
    pub name: ArchiveName,
    /// What is known of it.
    pub record: Record,
    /// The line that follows the record; empty if there is none.
    copy: Vec<u8>,
    folder: PathBuf,
}

impl Spool {
    /// The spool in `folder`, which is made if it is not there. What killed runs of this series have left half-written is removed:
    /// the job's lock must be held.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: &Path, series: &Series) -> io::Result<Self> {
        if let Some(above) = folder.parent() {
            fs_err::create_dir_all(above)?;
        }
        match std::fs::DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let unfinished = format!(".{series}_");
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&unfinished) && name.ends_with(".part") {
                fs_err::remove_file(entry.path())?;
            }
        }
        Ok(Self { folder: folder.to_owned(), series: series.clone() })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of an archive that is being made.
    pub fn path(&self, name: &ArchiveName) -> PathBuf {
        self.folder.join(name.to_string())
    }

    /// Adds an archive that was written to its [`Self::path`]: from now on, it is not lost.
    ///
    /// # Errors
    /// It cannot be read, or the record not be written.
    pub fn add(
        &self,
        name: &ArchiveName,
        packed: &Packed,
        ended: Timestamp,
        version: &str,
    ) -> io::Result<Spooled> {
        let sealed = seal(&self.path(name))?;
        let mut record = Record::new(name, sealed, packed, ended, version);
        // What lies beside an encrypted archive says no more than its size does, and the length of a manifest would.
        let head = match name.is_encrypted() {
            true => None,
            false => head_of(&File::open(self.path(name))?, &Limits::default())?,
        };
        record.manifest = head.as_deref().map(manifest_copy::sealed);
        let copy = head.as_deref().map(manifest_copy::line).unwrap_or_default();
        write_record(&self.folder, name, &record, &copy)?;
        Ok(Spooled { name: name.clone(), record, copy, folder: self.folder.clone() })
    }

    /// Those that wait, the oldest first. What has no record that can be read was never finished, and is removed.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn waiting(&self) -> io::Result<Vec<Spooled>> {
        let mut waiting = Vec::new();
        for entry in fs_err::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().and_then(ArchiveName::parse) else { continue };
            if *name.series() != self.series {
                continue;
            }
            let folder = self.folder.clone();
            let bytes = fs_err::read(self.folder.join(name.record())).unwrap_or_default();
            match Record::parse(&bytes, &name) {
                Ok(record) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
                    let copy = end.map(|end| bytes[end..].to_vec()).unwrap_or_default();
                    waiting.push(Spooled { name, record, copy, folder });
                }
                Err(_) => remove(&self.folder, &name)?,
            }
        }
        waiting.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(waiting)
    }

    /// The archives that those need which wait in `folder`, whose names are of `series`. What cannot be read needs nothing.
    pub fn needed(folder: &Path, series: &Series) -> BTreeSet<String> {
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        let records = entries.filter_map(|entry| {
            let name = ArchiveName::parse(entry.file_name().to_str()?)?;
            let bytes = fs_err::read(folder.join(name.record())).ok()?;
            Record::parse(&bytes, &name).ok().filter(|_| name.series() == series)
        });
        records.filter_map(|record| record.base).collect()
    }

    /// How many of so many that wait have been overtaken by too many later ones.
    pub fn overtaken(waiting: usize) -> usize {
        waiting.saturating_sub(OVERTAKEN)
    }
}

impl Spooled {
    /// Adds to the record that the archive's parity is beside it.
    ///
    /// # Errors
    /// The parity cannot be read, or the record not be written: it is as before.
    pub fn add_parity(&mut self) -> io::Result<()> {
        let mut record = self.record.clone();
        record.parity = Some(seal(&parity_of(&self.path()))?);
        write_record(&self.folder, &self.name, &record, &self.copy)?;
        self.record = record;
        Ok(())
    }

    /// Writes the record anew, with what `packed` says by now of problems.
    ///
    /// # Errors
    /// It cannot be written: it is as before.
    pub fn add_problems(&mut self, packed: &Packed) -> io::Result<()> {
        let mut record = self.record.clone();
        record.add_problems(packed);
        write_record(&self.folder, &self.name, &record, &self.copy)?;
        self.record = record;
        Ok(())
    }

    /// Opens the archive, to be sent.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn archive(&self) -> io::Result<File> {
        File::open(self.path())
    }

    /// Opens its parity, to be sent.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn parity(&self) -> io::Result<File> {
        File::open(self.folder.join(self.name.parity()))
    }

    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.name.to_string())
    }

    /// Opens the record, to be sent, and says what its bytes are.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn record_file(&self) -> io::Result<(File, Sealed)> {
        let path = self.folder.join(self.name.record());
        Ok((File::open(&path)?, seal(&path)?))
    }

    /// Does a destination, as it is called in messages, have the archive and its record?
    pub fn is_sent(&self, destination: &str) -> bool {
        self.has_noted(&self.name.sent_list(), destination)
    }

    /// Is there no parity, or does a destination need it no more?
    pub fn is_parity_sent(&self, destination: &str) -> bool {
        self.record.parity.is_none() || self.has_noted(&self.name.parity_sent_list(), destination)
    }

    /// Notes that a destination has the archive and its record.
    ///
    /// # Errors
    /// That cannot be written: it is found out by asking the destination.
    pub fn note_sent(&self, destination: &str) -> io::Result<()> {
        self.note(&self.name.sent_list(), destination)
    }

    /// Notes that a destination needs the parity no more.
    ///
    /// # Errors
    /// That cannot be written: it is found out by asking the destination.
    pub fn note_parity_sent(&self, destination: &str) -> io::Result<()> {
        self.note(&self.name.parity_sent_list(), destination)
    }

    /// Removes it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        remove(&self.folder, &self.name)
    }

    /// Is a destination in this list?
    fn has_noted(&self, list: &str, destination: &str) -> bool {
        let list = fs_err::read_to_string(self.folder.join(list)).unwrap_or_default();
        list.lines().any(|line| line == destination)
    }

    fn note(&self, list: &str, destination: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut list = options.append(true).create(true).open(self.folder.join(list))?;
        writeln!(list, "{destination}")
    }
}

/// Removes an archive and what lies beside it; the archive last: one without a record is removed by the next run.
fn remove(folder: &Path, name: &ArchiveName) -> io::Result<()> {
    let lists = [name.sent_list(), name.parity_sent_list()];
    for file in [name.record()].into_iter().chain(lists).chain([name.parity(), name.to_string()]) {
        match fs_err::remove_file(folder.join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

fn write_record(folder: &Path, name: &ArchiveName, record: &Record, copy: &[u8]) -> io::Result<()> {
    let path = folder.join(name.record());
    let mut pending = PendingFile::create(&path, MODE)?;
    pending.write_all(&record.to_bytes())?;
    pending.write_all(copy)?;
    pending.commit(&path)
}

/// Size and digest of a file.
fn seal(path: &Path) -> io::Result<Sealed> {
    let mut file = File::open(path)?;
    let (sha256, bytes) = digest_of(|buffer| file.read(buffer))?;
    Ok(Sealed { bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(folder: &Path) -> Spool {
        Spool::open(folder, &Series::new("h", "j").unwrap()).unwrap()
    }

    fn name(second: i64) -> ArchiveName {
        Series::new("h", "j").unwrap().at(Timestamp::from_second(second).unwrap(), "")
    }

    #[test]
    fn what_waits_is_found_again_and_what_was_never_finished_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let first = spool(folder.path());
        for second in [2, 1] {
            fs_err::write(first.path(&name(second)), "archive").unwrap();
            fs_err::write(folder.path().join(name(second).parity()), "parity").unwrap();
            let ended = Timestamp::from_second(second).unwrap();
            first.add(&name(second), &Packed::default(), ended, "1").unwrap().add_parity().unwrap();
        }
        fs_err::write(first.path(&name(3)), "no record").unwrap();
        fs_err::write(folder.path().join(name(3).parity()), "parity").unwrap();
        fs_err::write(folder.path().join(format!(".{}.77.x.part", name(4))), "half").unwrap();
        let others = ["other_j_1970-01-01T000001Z.tar.zst", ".other.part", "notes"];
        for other in others {
            fs_err::write(folder.path().join(other), "").unwrap();
        }
        let waiting = spool(folder.path()).waiting().unwrap();
        let names: Vec<_> = waiting.iter().map(|spooled| spooled.name.clone()).collect();
        assert_eq!(names, [name(1), name(2)]);
        assert_eq!(waiting[0].record.bytes, 7);
        assert_eq!(waiting[0].record.parity.as_ref().map(|parity| parity.bytes), Some(6));
        waiting[0].note_sent("/srv/a").unwrap();
        waiting[0].note_sent("s3://b").unwrap();
        waiting[0].note_parity_sent("/srv/a").unwrap();
        let sent = |one| (waiting[0].is_sent(one), waiting[0].is_parity_sent(one));
        let expected = [(true, true), (true, false), (false, false)];
        assert_eq!(["/srv/a", "s3://b", "s3://"].map(sent), expected);
        for spooled in &waiting {
            spooled.remove().unwrap();
        }
        let mut left: Vec<String> = fs_err::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".other.part", "notes", "other_j_1970-01-01T000001Z.tar.zst"]);
    }

    #[test]
    fn few_wait() {
        assert_eq!([1, 3, 4, 7].map(Spool::overtaken), [0, 0, 1, 4]);
    }
}
