//! Healing an archive from its parity, and the parity from its archive.
//!
//! Invariant: a name refers to the old file or to the healed one, whose checksum is right; the damaged archive is kept.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use hashget_parity::{Layout, ParityError, Scanned, Set};

use super::known_archive::{KnownArchive, Overlaid};
use super::pending::{create_with_head, head_with_parity};
use super::replacing::{expect_place, replace};
use super::{RepairError, is_missing, parity_of};
use crate::archive::{read_manifest, verify_stored};
use crate::limits::Limits;
use crate::model::manifest::AnyManifest;
use crate::model::{Digest, counted, escaped};
use crate::monitor::{Monitor, ProblemKind, Running, Silent, Step, Total};
use crate::pending_file::{PendingFile, behind_links};
use crate::wording::{and_more, one_line};

/// Damaged stretches that are named.
const NAMED: usize = 10;

/// What repairing needs.
pub struct Repairer<'a> {
    /// Limits on untrusted input.
    pub limits: &'a Limits,
    /// Number of threads; at least 1.
    pub jobs: usize,
    /// What is known of the archive besides its bytes.
    pub known: Option<KnownArchive>,
}

/// What was found, and done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Blocks of the archive.
    pub blocks: u64,
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Blocks that were damaged or missing.
    pub damaged: u64,
    /// Recovery blocks that could be used.
    pub recoveries: u64,
    /// Where the healed archive is; `None` if there was nothing to heal.
    pub healed: Option<PathBuf>,
    /// Where the damaged archive is kept, if the healed one has its name.
    pub kept: Option<PathBuf>,
    /// Was its head damaged, and came from a copy?
    pub head_was_damaged: bool,
    /// Was the parity damaged?
    pub parity_was_damaged: bool,
    /// Was the parity made anew?
    pub parity_is_renewed: bool,
}

/// An archive beside its parity.
struct Pair<'r> {
    repairer: &'r Repairer<'r>,
    archive: Overlaid,
    archive_path: PathBuf,
    archive_size: u64,
    parity: File,
    parity_path: PathBuf,
    set: Set,
    monitor: &'r dyn Monitor,
}

impl Repairer<'_> {
    /// Heals the archive at `archive`, or writes what it was to `output`, if that is given. If the archive is whole, or is so
    /// again, its parity is made anew if it is damaged.
    ///
    /// # Errors
    /// It could not be healed. Then it is as it was before; what is damaged in it was reported to the monitor.
    pub fn repair(
        &self,
        archive: &Path,
        output: Option<&Path>,
        monitor: &dyn Monitor,
    ) -> Result<Repaired, RepairError> {
        let path = behind_links(archive);
        let known = self.known.as_ref().filter(|known| self.has_other_head(&path, known));
        let mut pair = match (self.open(&path, monitor), known) {
            (Err(RepairError::NoParity { .. } | RepairError::Unusable { .. }), Some(known)) => {
                return self.heal_head(&path, output, known, monitor);
            }
            (pair, _) => pair?,
        };
        let mut scanned = pair.scan()?;
        let head = || match known {
            Some(known) => Some(known.head.clone()),
            None => head_with_parity(&path).map(|(head, _)| head),
        };
        if let Some(head) = (!scanned.is_whole()).then(head).flatten() {
            pair.archive.head = head;
            let with_copy = pair.scan()?;
            match with_copy.missing().len() < scanned.missing().len() {
                true => scanned = with_copy,
                false => pair.archive.head.clear(),
            }
        }
        let head_was_damaged = !pair.archive.head.is_empty();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let mut repaired = Repaired {
            blocks: count(pair.set.layout().blocks()),
            block_bytes: pair.set.layout().block_bytes(),
            damaged: count(scanned.missing().len()),
            recoveries: count(pair.set.recoveries_left()),
            head_was_damaged,
            parity_was_damaged: !pair.set.is_whole(),
            ..Repaired::default()
        };
        if scanned.is_whole() && !head_was_damaged {
            if output.is_none() {
                pair.renew(&pair.archive.file, &mut repaired)?;
            }
            return Ok(repaired);
        }
        pair.check(&scanned, output)?;
        match output {
            Some(output) => pair.heal_to(output, &scanned, &mut repaired)?,
            None => pair.heal_in_place(&scanned, &mut repaired)?,
        }
        Ok(repaired)
    }

    fn open<'r>(
        &'r self,
        archive_path: &Path,
        monitor: &'r dyn Monitor,
    ) -> Result<Pair<'r>, RepairError> {
        let parity_path = parity_of(archive_path);
        let (archive, archive_size) = opened(archive_path)?;
        let (parity, parity_size) = match opened(&parity_path) {
            Err(RepairError::Read { path, error }) if is_missing(&error) => {
                return Err(RepairError::NoParity { path });
            }
            opened => opened?,
        };
        let set = match Set::read(&parity, parity_size) {
            Ok(set) => set,
            Err(ParityError::ReadParity(error)) => {
                return Err(RepairError::Read { path: parity_path, error });
            }
            Err(error) => return Err(RepairError::Unusable { path: parity_path, error }),
        };
        let archive_path = archive_path.to_owned();
        let repairer = self;
        Ok(Pair {
            repairer,
            archive: Overlaid { file: archive, head: Vec::new() },
            archive_path,
            archive_size,
            parity,
            parity_path,
            set,
            monitor,
        })
    }
}

/// Opens a regular file; with its size.
fn opened(path: &Path) -> Result<(File, u64), RepairError> {
    let read = |error| RepairError::Read { path: path.to_owned(), error };
    let file = File::open(path).map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    if !metadata.is_file() {
        return Err(read(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
    }
    Ok((file, metadata.len()))
}

impl Pair<'_> {
    fn name(&self) -> String {
        escaped(self.archive_path.as_os_str().as_bytes())
    }

    /// Begins a step that passes over the archive so many times.
    fn begin(&self, step: Step, passes: u64) -> Running<'_> {
        let total = Total::bytes(self.set.layout().bytes().saturating_mul(passes));
        self.monitor.begin(step, self.name(), total)
    }

    fn scan(&self) -> Result<Scanned, RepairError> {
        let progress = self.begin(Step::Read, 1);
        let jobs = self.repairer.jobs;
        let scanned = self.set.scan(&self.archive, self.archive_size, jobs, &|bytes| {
            progress.advance(bytes, 0);
            !self.monitor.interrupted()
        });
        scanned.map_err(|error| self.error(error, &self.archive_path))
    }

    /// What an error of computing means; `written` is what was being written.
    fn error(&self, error: ParityError, written: &Path) -> RepairError {
        let (path, parity) = (self.archive_path.clone(), self.parity_path.clone());
        match error {
            ParityError::Stopped => crate::monitor::Interrupted.into(),
            ParityError::Read(error) => RepairError::Read { path, error },
            ParityError::ReadParity(error) => RepairError::Read { path: parity, error },
            ParityError::Write(error) => RepairError::Write { path: written.to_owned(), error },
            ParityError::TooDamaged { missing, blocks, recoveries } => {
                let [missing, blocks, recoveries] =
                    [missing, blocks, recoveries].map(|it| u64::try_from(it).unwrap_or(u64::MAX));
                RepairError::TooDamaged { path, missing, blocks, recoveries }
            }
            error => RepairError::Unusable { path: parity, error },
        }
    }

    /// Can it be healed, and may the healed archive get its name? If there is too much damage, all of it is reported.
    fn check(&self, scanned: &Scanned, output: Option<&Path>) -> Result<(), RepairError> {
        if scanned.missing().len() == self.set.layout().blocks() && output.is_none() {
            let problem = "none of the blocks that it is for is in this one";
            return Err(RepairError::OfAnother { path: self.parity_path.clone(), problem });
        }
        if let Err(error) = self.set.check_healable(scanned) {
            self.report(scanned);
            return Err(self.error(error, &self.archive_path));
        }
        expect_place(&self.archive_path, output)
    }

    /// Reports the damaged stretches, and which entries lie in them.
    fn report(&self, scanned: &Scanned) {
        let (missing, layout) = (scanned.missing(), self.set.layout());
        let stretches: Vec<String> = missing
            .chunk_by(|one, next| one + 1 == *next)
            .map(|stretch| {
                let (first, last) = (stretch[0] as u64, stretch[stretch.len() - 1] as u64);
                let end = ((last + 1) * layout.block_bytes()).min(layout.bytes());
                format!("{} to {}", first * layout.block_bytes(), end - 1)
            })
            .collect();
        let named = stretches.len().min(NAMED);
        let more = and_more(stretches.len() - named);
        let blocks = counted(missing.len() as u64, "block is", "blocks are");
        let message = format!("{blocks} damaged: bytes {}{more}", stretches[..named].join(", "));
        self.monitor.problem(ProblemKind::Verification, self.name(), message);
        let Ok(mut archive) = File::open(&self.archive_path) else { return };
        let (name, limits) = (self.name(), self.repairer.limits);
        if let Err(error) = verify_stored(&mut archive, &name, limits, self.monitor) {
            self.monitor.problem(ProblemKind::Verification, name, one_line(&error));
        }
    }

    /// The healed archive, which has no name yet.
    fn healed(&self, scanned: &Scanned, path: &Path) -> Result<PendingFile, RepairError> {
        let write = |error| RepairError::Write { path: path.to_owned(), error };
        let pending = PendingFile::create(path, 0o600).map_err(write)?;
        // Copying, computing, and reading it once more.
        let progress = self.begin(Step::Write, 3);
        let proceed = |bytes| {
            progress.advance(bytes, 0);
            !self.monitor.interrupted()
        };
        let (file, jobs) = (pending.file(), self.repairer.jobs);
        self.set
            .heal(&self.archive, scanned, &self.parity, file, jobs, &proceed)
            .map_err(|error| self.error(error, path))?;
        Ok(pending)
    }

    fn heal_to(
        &self,
        output: &Path,
        scanned: &Scanned,
        repaired: &mut Repaired,
    ) -> Result<(), RepairError> {
        let path = behind_links(output);
        let pending = self.healed(scanned, &path)?;
        self.expect_known(pending.file(), &path)?;
        let committed = pending.commit_as(&path, &self.archive_path);
        committed.map_err(|error| RepairError::Write { path, error })?;
        repaired.healed = Some(output.to_owned());
        Ok(())
    }

    /// Is what was healed the archive that is known, if one is?
    fn expect_known(&self, healed: &File, path: &Path) -> Result<(), RepairError> {
        let write = |error| RepairError::Write { path: path.to_owned(), error };
        let known = self.repairer.known.as_ref();
        if known.map_or(Ok(true), |known| known.is(healed)).map_err(write)? {
            return Ok(());
        }
        let problem = "what it would make of this one has another SHA-256 than its record says";
        Err(RepairError::OfAnother { path: self.parity_path.clone(), problem })
    }

    fn heal_in_place(&self, scanned: &Scanned, repaired: &mut Repaired) -> Result<(), RepairError> {
        let path = &self.archive_path;
        let write = |error| RepairError::Write { path: path.clone(), error };
        let pending = self.healed(scanned, path)?;
        let healed = pending.file().try_clone().map_err(write)?;
        self.expect_known(&healed, path)?;
        // An archive that was written under the same name later shares blocks with the one before.
        if let (Some(before), Some(after)) = (self.tree(&self.archive.file), self.tree(&healed))
            && before != after
        {
            let problem =
                "what it would make of this one is a backup of another tree, or of another time";
            return Err(RepairError::OfAnother { path: self.parity_path.clone(), problem });
        }
        let kept = replace(path, pending)?;
        repaired.healed = Some(path.clone());
        repaired.kept = Some(kept);
        self.renew(&healed, repaired)
    }

    /// The digest of the tree that an archive says it is of.
    fn tree(&self, archive: &File) -> Option<Digest> {
        let mut archive = archive.try_clone().ok()?;
        archive.rewind().ok()?;
        match read_manifest(&mut archive, "", self.repairer.limits, &Silent) {
            Ok(AnyManifest::V2(manifest)) => Some(manifest.tree.sha256),
            Ok(AnyManifest::V1(_)) | Err(_) => None,
        }
    }

    /// Makes the parity anew from the archive, which is whole, if it is damaged.
    fn renew(&self, archive: &File, repaired: &mut Repaired) -> Result<(), RepairError> {
        if self.set.is_whole() {
            return Ok(());
        }
        let path = &self.parity_path;
        let write = |error| RepairError::Write { path: path.clone(), error };
        let pending = PendingFile::create(path, 0o600).map_err(write)?;
        let progress = self.begin(Step::Write, 3);
        let proceed = |bytes| {
            progress.advance(bytes, 0);
            !self.monitor.interrupted()
        };
        let (layout, jobs): (&Layout, _) = (self.set.layout(), self.repairer.jobs);
        create_with_head(archive, self.set.name(), layout, pending.file(), jobs, &proceed)
            .map_err(|error| self.error(error, path))?;
        pending.commit_as(path, &self.archive_path).map_err(write)?;
        repaired.parity_is_renewed = true;
        Ok(())
    }
}
