//! Putting files together out of pieces: each of a rest, and of members that pass by in any order.
//!
//! Invariant: no byte is believed. What was put together counts only by the digest of the whole, read again from where it was
//! written; and a byte is written only within the file that it is for.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::manifest::{Pieces, Run, data_bytes};
use crate::model::{Digest, Entry, Extent, Kind, RelPath};
use crate::tree::digest_of_data;
use crate::wording::one_line;

/// Bytes that are copied at once.
const BUFFER: usize = 128 << 10;

/// Files that are being put together. Several threads may give it members at once.
pub(crate) struct Assembly<'m> {
    pieces: &'m Pieces,
    /// By the index in `pieces`; `None` of those that are not wanted.
    files: Vec<Option<Making>>,
    /// The number of the first run of each file.
    first_runs: Vec<usize>,
    /// Where each run begins in the data of its file.
    at: Vec<u64>,
    /// The runs of wanted files, by member and then by where they begin there.
    order: Vec<u32>,
    /// Where the runs of each member begin in `order`; one more at the end.
    starts: Vec<usize>,
    /// By package: its members that runs come from.
    wanted: HashMap<usize, HashMap<&'m [u8], u32>>,
    /// Members that passed. Of several with one path, the first counts.
    passed: Vec<AtomicBool>,
}

/// One file.
struct Making {
    file: File,
    extents: Option<Vec<Extent>>,
    /// Bytes of its data, holes left out.
    data: u64,
    /// Bytes of its rest.
    rest: u64,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Bytes that have not come yet, by package.
    left: BTreeMap<usize, u64>,
    has_rest: bool,
    /// Why it cannot be whole.
    failure: Option<String>,
}

/// Why a file could not be put together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// These packages, by their indices, did not give all that is needed of them.
    Packages(Vec<usize>),
    /// Something else.
    Failed(String),
}

/// Where copying failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

impl<'m> Assembly<'m> {
    /// Nothing has come yet. `files` has, for each file of the checked `pieces`, its entry and an empty file that is open for reading and
    /// writing, or `None` if it is not wanted. One that cannot get its size cannot be put together.
    pub(crate) fn new(pieces: &'m Pieces, files: Vec<Option<(Entry, File)>>) -> Self {
        let (mut at, mut order, mut first_runs) = (Vec::new(), Vec::new(), Vec::new());
        at.reserve_exact(pieces.run_count());
        let mut making = Vec::with_capacity(files.len());
        for (file, wanted) in pieces.files().zip(files) {
            first_runs.push(file.runs.start);
            let (mut end, mut left) = (0, BTreeMap::new());
            for number in file.runs.clone() {
                let Run { gap, length, member, .. } = pieces.run(number);
                at.push(end + gap);
                end += gap + length;
                if wanted.is_some() {
                    order.push(u32::try_from(number).expect("there are fewer runs"));
                    *left.entry(pieces.member(member).0).or_default() += length;
                }
            }
            making.push(match wanted {
                None => None,
                Some((entry, open)) => {
                    let size = if let Kind::File { size } = entry.kind { size } else { 0 };
                    // Its file system may have no room for such a file: the others go on.
                    let failure = open.set_len(size).err().map(|error| one_line(&error));
                    let data = data_bytes(&entry);
                    let rest = data - pieces.run_bytes(&file);
                    let progress = Mutex::new(Progress { left, failure, ..Progress::default() });
                    Some(Making { file: open, extents: entry.extents, data, rest, progress })
                }
            });
        }
        let key = |number: &u32| {
            let run = pieces.run(index(*number));
            (run.member, run.offset)
        };
        order.sort_unstable_by_key(key);
        let mut starts = Vec::with_capacity(pieces.member_count() + 1);
        let mut wanted: HashMap<usize, HashMap<&[u8], u32>> = HashMap::new();
        for member in 0..u32::try_from(pieces.member_count()).expect("there are fewer members") {
            let start = order.partition_point(|number| key(number).0 < member);
            if order.get(start).is_some_and(|number| key(number).0 == member) {
                let (package, path) = pieces.member(member);
                wanted.entry(package).or_default().insert(path, member);
            }
            starts.push(start);
        }
        starts.push(order.len());
        let passed = (0..pieces.member_count()).map(|_| AtomicBool::new(false)).collect();
        Self { pieces, files: making, first_runs, at, order, starts, wanted, passed }
    }

    /// Is something wanted of the package with this index?
    pub(crate) fn needs(&self, package: usize) -> bool {
        self.wanted.contains_key(&package)
    }

    /// The packages that something is wanted of, by their indices.
    pub(crate) fn needed(&self) -> Vec<usize> {
        let mut needed: Vec<usize> = self.wanted.keys().copied().collect();
        needed.sort_unstable();
        needed
    }

    /// The files, by their indices, for which the package with this index has not given all that is wanted of it.
    pub(crate) fn lacking(&self, package: usize) -> Vec<usize> {
        let lacks = |file: &Making| file.progress().left.contains_key(&package);
        let files = self.files.iter().enumerate();
        let lacking = files.filter(|(_, file)| file.as_ref().is_some_and(lacks));
        lacking.map(|(index, _)| index).collect()
    }

    /// The file with this index cannot be put together.
    pub(crate) fn fail(&self, file: usize, why: String) {
        if let Some(Some(making)) = self.files.get(file) {
            making.progress().failure.get_or_insert(why);
        }
    }

    /// Puts the rest of the file with this index in its places.
    ///
    /// # Errors
    /// It cannot be read, or written. If it has another length than it should, the file cannot be put together.
    pub(crate) fn put_rest(&self, file: usize, rest: &mut dyn Read) -> Result<(), CopyError> {
        let Some(Some(making)) = self.files.get(file) else { return Ok(()) };
        let runs = self.pieces.runs_of(file).unwrap_or_default();
        let mut end = 0;
        for number in runs {
            let gap = self.pieces.run(number).gap;
            if !making.copy(rest, end, gap)? {
                return Ok(());
            }
            end = self.at[number] + self.pieces.run(number).length;
        }
        if making.copy(rest, end, making.data - end)? {
            let more = rest.read(&mut [0]).map_err(CopyError::Read)?;
            match more {
                0 => making.progress().has_rest = true,
                _ => making.has_other_rest(),
            }
        }
        Ok(())
    }

    /// The contents of the member at `path` of the package with this index, watched while somebody reads them; `None` if nothing is
    /// wanted of it.
    pub(crate) fn watch<'t>(
        &'t self,
        package: usize,
        path: &RelPath,
        content: &'t mut dyn Read,
    ) -> Option<Watch<'t, 'm>> {
        let member = *self.wanted.get(&package)?.get(path.as_bytes())?;
        if self.passed[index(member)].swap(true, Ordering::Relaxed) {
            return None;
        }
        let (next, end) = (self.starts[index(member)], self.starts[index(member) + 1]);
        let running = Vec::new();
        Some(Watch { assembly: self, content, next, end, running, position: 0, failure: None })
    }

    /// The digest of the data of the file with this index, when everything has come.
    ///
    /// # Errors
    /// Not everything came, or it cannot be read again.
    pub(crate) fn finish(&self, file: usize) -> Result<Digest, Unfinished> {
        let failed = |why: &str| Err(Unfinished::Failed(why.to_owned()));
        let Some(Some(making)) = self.files.get(file) else { return failed("it is not wanted") };
        let progress = making.progress();
        if let Some(failure) = &progress.failure {
            return failed(failure);
        }
        if !progress.left.is_empty() {
            return Err(Unfinished::Packages(progress.left.keys().copied().collect()));
        }
        if !progress.has_rest {
            return failed("its rest is not there");
        }
        let digest = digest_of_data(&making.file, making.extents.as_deref());
        digest.map_err(|error| Unfinished::Failed(format!("it cannot be read again: {error}")))
    }

    /// Writes bytes of the run with this number, from `skipped` on.
    fn write(&self, number: u32, skipped: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.first_runs.partition_point(|first| *first <= index(number)) - 1;
        // Files without runs begin where the next one does.
        let Some(making) = &self.files[file] else { return Ok(()) };
        if let Err(error) = making.write_data(self.at[index(number)] + skipped, bytes) {
            making.progress().failure.get_or_insert(format!("it cannot be written: {error}"));
            return Err(error);
        }
        let package = self.pieces.member(self.pieces.run(index(number)).member).0;
        let mut progress = making.progress();
        if let Some(left) = progress.left.get_mut(&package) {
            *left = left.saturating_sub(bytes.len() as u64);
            if *left == 0 {
                progress.left.remove(&package);
            }
        }
        Ok(())
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("an index fits into memory")
}

impl Making {
    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().expect("no holder of this lock panics")
    }

    fn has_other_rest(&self) {
        let why = format!("its rest has another length than the expected {} bytes", self.rest);
        self.progress().failure.get_or_insert(why);
    }

    /// Copies the next `count` bytes of `from` to a place of the data; false if there are not so many.
    fn copy(&self, from: &mut dyn Read, mut at: u64, count: u64) -> Result<bool, CopyError> {
        let mut left = count;
        let mut buffer = vec![0; usize::try_from(count).map_or(BUFFER, |count| count.min(BUFFER))];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = match from.read(&mut buffer[..most]) {
                Ok(0) => {
                    self.has_other_rest();
                    return Ok(false);
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CopyError::Read(error)),
            };
            self.write_data(at, &buffer[..read]).map_err(CopyError::Write)?;
            at += read as u64;
            left -= read as u64;
        }
        Ok(true)
    }

    /// Writes bytes to a place of the data, holes left out.
    fn write_data(&self, at: u64, mut bytes: &[u8]) -> io::Result<()> {
        let Some(extents) = &self.extents else { return self.file.write_all_at(bytes, at) };
        let mut skipped = at;
        for extent in extents {
            if bytes.is_empty() {
                return Ok(());
            }
            if skipped >= extent.length {
                skipped -= extent.length;
                continue;
            }
            let room = usize::try_from(extent.length - skipped).unwrap_or(usize::MAX);
            let (first, rest) = bytes.split_at(room.min(bytes.len()));
            self.file.write_all_at(first, extent.offset + skipped)?;
            (bytes, skipped) = (rest, 0);
        }
        match bytes.is_empty() {
            true => Ok(()),
            false => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// The contents of a member while they pass: what runs want of them is written.
pub(crate) struct Watch<'t, 'm> {
    assembly: &'t Assembly<'m>,
    content: &'t mut dyn Read,
    /// The runs that have not begun yet, in the order of the assembly.
    next: usize,
    end: usize,
    /// Those that have begun and not ended.
    running: Vec<u32>,
    position: u64,
    /// Why something could not be written.
    failure: Option<io::Error>,
}

impl Watch<'_, '_> {
    /// Reads on until no run wants anything more.
    ///
    /// # Errors
    /// The contents cannot be read, or something could not be written.
    pub(crate) fn finish(mut self) -> Result<(), CopyError> {
        let mut buffer = vec![0; BUFFER];
        while self.next < self.end || !self.running.is_empty() {
            match self.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CopyError::Read(error)),
            }
        }
        self.failure.map_or(Ok(()), |error| Err(CopyError::Write(error)))
    }

    fn pass(&mut self, bytes: &[u8]) {
        let (from, to) = (self.position, self.position.saturating_add(bytes.len() as u64));
        let Self { assembly, running, .. } = self;
        let run = |number: u32| assembly.pieces.run(index(number));
        while self.next < self.end && run(assembly.order[self.next]).offset < to {
            running.push(assembly.order[self.next]);
            self.next += 1;
        }
        let failure = &mut self.failure;
        running.retain(|&number| {
            let Run { length, offset, .. } = run(number);
            let (first, last) = (offset.max(from), (offset + length).min(to));
            let part = |at: u64| usize::try_from(at - from).expect("it lies in the buffer");
            let bytes = &bytes[part(first)..part(last.max(first))];
            if let Err(error) = assembly.write(number, first - offset, bytes) {
                failure.get_or_insert(error);
            }
            offset + length > to
        });
        self.position = to;
    }
}

impl Read for Watch<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.pass(&buffer[..count]);
        Ok(count)
    }
}
