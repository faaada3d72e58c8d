//! The parity of an archive that is being written.
//!
//! Invariant: the old parity goes before the old archive does, and the new one comes after the new archive: whatever happens
//! between, no archive has the parity of another one.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use hashget_parity::{Layout, ParityError, Proceed, add_extra, create, extra_of};

use super::{Share, is_missing, parity_of};
use crate::archive::head_of;
use crate::limits::Limits;
use crate::model::{Digest, escaped};
use crate::monitor::{Interrupted, Monitor, ProblemKind, Step, Total};
use crate::pending_file::PendingFile;
use crate::wording::one_line;

/// Passes over the archive: for its checksums, those of its blocks, and the recovery blocks.
const PASSES: u64 = 3;

/// Writes parity for the archive at `archive`, which is complete, beside it, in place of what has its name; its size in bytes, or why there
/// is none: then nothing has changed. With `expected`, only parity of this digest is written.
///
/// # Errors
/// The monitor asked to stop.
pub fn write_parity(
    archive: &Path,
    share: Share,
    expected: Option<&Digest>,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Result<u64, String>, Interrupted> {
    let why = |error: io::Error| one_line(&error);
    let created = File::open(archive).and_then(|file| PendingParity::create(&file, archive, share));
    let parity = match created.map_err(why) {
        Ok(parity) => parity,
        Err(why) => return Ok(Err(why)),
    };
    let bytes = match parity.compute(jobs, monitor) {
        Ok(bytes) => bytes,
        Err(ParityError::Stopped) => return Err(Interrupted),
        Err(error) => return Ok(Err(one_line(&error))),
    };
    let is_expected = match expected {
        Some(expected) => parity.digest().map(|digest| digest == *expected),
        None => Ok(true),
    };
    let shown = share.percent();
    Ok(match is_expected.map_err(why) {
        Ok(true) => parity.named().map(|()| bytes).map_err(why),
        Ok(false) => Err(format!(
            "parity of {shown} % that is made anew has another SHA-256 than the record says"
        )),
        Err(why) => Err(why),
    })
}

/// Parity that has no name yet. Dropping it discards it.
pub(crate) struct PendingParity {
    archive: File,
    archive_path: PathBuf,
    share: Share,
    pending: PendingFile,
}

impl PendingParity {
    /// Parity for the archive that is written to `archive` and will be called `path`.
    ///
    /// # Errors
    /// No file can be created beside it, or none can get the name of the parity.
    pub(crate) fn create(archive: &File, path: &Path, share: Share) -> io::Result<Self> {
        // Until it is known who may read the archive, nobody may read its parity.
        let pending = PendingFile::create(&parity_of(path), 0o600)?;
        Ok(Self { archive: archive.try_clone()?, archive_path: path.to_owned(), share, pending })
    }

    /// The file that is being written.
    pub(crate) fn file(&self) -> &File {
        self.pending.file()
    }

    /// The digest of what was computed.
    fn digest(&self) -> io::Result<Digest> {
        let mut file = self.pending.file();
        file.rewind()?;
        Digest::of_reader(file)
    }

    /// Computes it, now that the archive is complete; with its size in bytes. If that fails, it is reported: the archive has no
    /// parity then.
    ///
    /// # Errors
    /// The monitor asked to stop.
    pub(crate) fn computed(
        self,
        jobs: usize,
        monitor: &dyn Monitor,
    ) -> Result<Option<(Self, u64)>, Interrupted> {
        match self.compute(jobs, monitor) {
            Ok(bytes) => Ok(Some((self, bytes))),
            Err(ParityError::Stopped) => Err(Interrupted),
            Err(error) => {
                report_without_parity(&self.archive_path, one_line(&error), monitor);
                Ok(None)
            }
        }
    }

    fn compute(&self, jobs: usize, monitor: &dyn Monitor) -> Result<u64, ParityError> {
        let size = self.archive.metadata().map_err(ParityError::Read)?.len();
        let name = self.archive_path.file_name().unwrap_or_default().as_bytes();
        let layout = Layout::new(size, self.share.percent())?;
        let total = Total::bytes(size.saturating_mul(PASSES));
        let shown = parity_of(Path::new(&*escaped(name)));
        let progress = monitor.begin(Step::Write, shown.display().to_string(), total);
        let proceed = |bytes| {
            progress.advance(bytes, 0);
            !monitor.interrupted()
        };
        create_with_head(&self.archive, name, &layout, self.pending.file(), jobs, &proceed)
    }

    /// Gives it its name, now that the archive has its own; whoever may read the archive may read it. Is it there? If not, that
    /// is reported.
    pub(crate) fn commit(self, monitor: &dyn Monitor) -> bool {
        let archive = self.archive_path.clone();
        let outcome = self.named();
        if let Err(error) = &outcome {
            report_without_parity(&archive, one_line(error), monitor);
        }
        outcome.is_ok()
    }

    fn named(self) -> io::Result<()> {
        self.pending.commit_as(&parity_of(&self.archive_path), &self.archive_path)
    }
}

/// Writes parity for an archive, and the head of that behind it; its size in bytes. `proceed` is told of the archive's bytes three times.
pub(super) fn create_with_head(
    archive: &File,
    name: &[u8],
    layout: &Layout,
    parity: &File,
    jobs: usize,
    proceed: &Proceed<'_>,
) -> Result<u64, ParityError> {
    let size = create(archive, name, layout, parity, jobs, proceed)?;
    match head_of(archive, &Limits::default()).map_err(ParityError::Read)? {
        Some(head) => add_extra(parity, size, &head),
        None => Ok(size),
    }
}

/// The head of an archive that travels with its parity, if that is there; and where the parity lies.
pub fn head_with_parity(archive: &Path) -> Option<(Vec<u8>, PathBuf)> {
    let path = parity_of(archive);
    let parity = File::open(&path).ok()?;
    let size = parity.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    Some((extra_of(&parity, size).ok()??, path))
}

/// Says that an archive has no parity.
pub fn report_without_parity(archive: &Path, problem: String, monitor: &dyn Monitor) {
    let object = escaped(archive.as_os_str().as_bytes());
    let message = format!("the archive is written, but not its parity: {problem}");
    monitor.problem(ProblemKind::Incomplete, object, message);
}

/// Removes the parity of an archive that is about to be replaced, or was there before; was there any?
///
/// # Errors
/// It cannot be removed.
pub(crate) fn remove_stale(archive: &Path) -> io::Result<bool> {
    let parity = parity_of(archive);
    match parity.symlink_metadata() {
        Ok(found) if !found.is_dir() => fs_err::remove_file(&parity).map(|()| true),
        Ok(_) => Ok(false),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
