//! Software Heritage: the sources of nearly all free software, file by file.
//!
//! Invariant: it is asked for files of packages only that are public and that no other source has. Every file is digested before
//! it is kept.

use std::fs::File;
use std::sync::Arc;

use super::super::{FileSource, KeptFiles, WantedFile};
use super::Told;
use super::asking::{Asking, NoAnswer};
use super::lost::LostPackages;
use super::rate::Scope;
use crate::limits::Limits;
use crate::model::{Digest, counted};
use crate::monitor::{Interrupted, Monitor, ProblemKind};

/// What the service is called.
pub(super) const NAME: &str = "Software Heritage";

/// Up to so many files are asked for one by one: putting a directory together takes the service minutes.
const FEW: usize = 4;

/// The service. Its addresses are those of <https://archive.softwareheritage.org/api/1/>.
pub(super) struct SoftwareHeritage {
    pub(super) asking: Asking,
    pub(super) lost: Arc<LostPackages>,
    pub(super) gathered: KeptFiles,
    pub(super) told: Told,
    pub(super) limits: Limits,
    /// How long it may take to put one directory together.
    pub(super) cooking: std::time::Duration,
}

impl FileSource for SoftwareHeritage {
    fn file(
        &self,
        sha256: Digest,
        _size: u64,
        _monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted> {
        // What cannot be opened is not to be had here.
        Ok(self.gathered.open(&sha256).ok().flatten())
    }

    fn gather(
        &self,
        package: Digest,
        files: &[WantedFile],
        monitor: &dyn Monitor,
    ) -> Result<(), Interrupted> {
        let Some(name) = self.lost.name(&package) else { return Ok(()) };
        let wanted = self.missing(files);
        if wanted.is_empty() {
            return Ok(());
        }
        let mut stopped = None;
        if wanted.len() > FEW {
            match self.by_directory(&package, &wanted, &name, monitor) {
                Err(NoAnswer::Interrupted(interrupted)) => return Err(interrupted),
                // Its files may be there one by one.
                Err(NoAnswer::Trouble(problem)) => self.told.trouble(NAME, problem, monitor),
                Err(other) => stopped = Some(other),
                Ok(()) => {}
            }
        }
        if stopped.is_none() {
            stopped = self.by_contents(&self.missing(files), &name, monitor)?;
        }
        if let Some((why, left)) = stopped.map(|why| (why, self.missing(files).len())) {
            let problem = match why {
                NoAnswer::Limit => self.asking.rate.explained(),
                NoAnswer::Disk(error) => format!("what comes cannot be kept ({error})"),
                NoAnswer::Trouble(problem) => problem,
                NoAnswer::Interrupted(interrupted) => return Err(interrupted),
            };
            let left = counted(left, "of its files was", "of its files were");
            monitor.problem(
                ProblemKind::Note,
                name,
                format!("{left} not asked for at {NAME}: {problem}"),
            );
        }
        Ok(())
    }
}

impl SoftwareHeritage {
    /// Those of `files` that are not here yet.
    fn missing(&self, files: &[WantedFile]) -> Vec<WantedFile> {
        let mut missing: Vec<WantedFile> =
            files.iter().filter(|(sha256, _)| !self.gathered.has(sha256)).copied().collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    fn by_directory(
        &self,
        package: &Digest,
        wanted: &[WantedFile],
        name: &str,
        monitor: &dyn Monitor,
    ) -> Result<(), NoAnswer> {
        let Some(directory) = self.directory(package, monitor)? else { return Ok(()) };
        let gathered = self.gather_directory(&directory, wanted, monitor);
        let kept = wanted.len() - self.missing(wanted).len();
        if kept > 0 {
            let kept = counted(kept, "of its files comes", "of its files come");
            let problem = format!("{kept} from {NAME} ({directory})");
            monitor.problem(ProblemKind::Note, name, problem);
        }
        gathered
    }

    /// Gathers files one by one. If it stopped before the last, says why.
    fn by_contents(
        &self,
        wanted: &[WantedFile],
        name: &str,
        monitor: &dyn Monitor,
    ) -> Result<Option<NoAnswer>, Interrupted> {
        let (mut kept, mut stopped) = (0, None);
        for file in wanted {
            match self.content(*file, monitor) {
                Ok(is_kept) => kept += usize::from(is_kept),
                Err(NoAnswer::Interrupted(interrupted)) => return Err(interrupted),
                Err(why) => {
                    stopped = Some(why);
                    break;
                }
            }
        }
        if kept > 0 {
            let kept = counted(kept, "of its files comes", "of its files come");
            let problem = format!("{kept} from {NAME}, by digest");
            monitor.problem(ProblemKind::Note, name, problem);
        }
        Ok(stopped)
    }

    /// Gathers the file with this digest, if it is there.
    fn content(&self, file: WantedFile, monitor: &dyn Monitor) -> Result<bool, NoAnswer> {
        let (sha256, size) = file;
        let path = format!("/api/1/content/sha256:{sha256}/raw/");
        // A page in its place may be longer, and is passed over below.
        let most = size.saturating_add(1 << 20);
        let Some(mut found) = self.asking.bytes(Scope::Contents, &path, most, monitor)? else {
            return Ok(false);
        };
        std::io::Seek::rewind(&mut found).map_err(NoAnswer::Disk)?;
        let kept =
            self.gathered.keep(&mut found, &|found| found == file).map_err(NoAnswer::Disk)?;
        if kept.is_none() {
            let problem = format!("it gave other bytes than asked for by sha256 {sha256}");
            self.told.trouble(NAME, problem, monitor);
        }
        Ok(kept.is_some())
    }
}
