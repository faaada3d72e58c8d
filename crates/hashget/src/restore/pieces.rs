//! Files that are made of pieces: begun before the packages are read, and put in their places when all have passed.
//!
//! Invariant: such a file gets its name only with the digest that the manifest has of it. The rests stay in the target until every
//! file that needs one is in its place, and durable.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Mutex;

use super::encoded::{NotEncoded, not_compressed, put_encoded};
use super::finish::stop;
use super::ledger::State;
use super::place::{PlaceError, TargetFolder};
use super::target::{BegunFile, PresentFile};
use super::unpacked_program::LastProgram;
use super::{RestoreError, Run};
use crate::archive::assembly::{Assembly, CopyError, Unfinished, Watch};
use crate::formats::VisitorError;
use crate::model::manifest::{
    Encoded, Manifest, Package, PiecedFile, Pieces, RESTS_NAME, rest_number, rest_path,
};
use crate::model::{Digest, Entry, Kind, RelPath};
use crate::monitor::ProblemKind;
use crate::wording::{and_more, one_line};

/// Packages that a message names.
const NAMED: usize = 3;

/// The files that are made of pieces, while they are put together.
pub(super) struct Pieced<'r> {
    pieces: &'r Pieces,
    packages: &'r [Package],
    assembly: Assembly<'r>,
    /// By their indices: the files that are being put together.
    files: Vec<Option<Begun<'r>>>,
    /// Those that a program would have to compress, and none does, with the reason.
    left: Vec<(Entry, &'static str)>,
    /// Those that were taken as a whole from what was offered.
    accepted: Mutex<BTreeSet<usize>>,
}

/// A file that is being put together.
struct Begun<'r> {
    entry: Entry,
    goes: Goes<'r>,
}

/// What becomes of what is put together.
enum Goes<'r> {
    /// It is the file.
    InPlace(Box<dyn BegunFile + 'r>),
    /// A program compresses it. It lies where the file will: no other file system needs room for it.
    Encoded(Box<dyn BegunFile + 'r>, &'r Encoded),
}

impl Begun<'_> {
    fn file(&self) -> io::Result<File> {
        match &self.goes {
            Goes::InPlace(begun) | Goes::Encoded(begun, _) => begun.file().try_clone(),
        }
    }
}

/// Gives the rest with a number, from its start.
pub(super) type Rests<'f> = &'f dyn Fn(u32) -> Result<Option<File>, PlaceError>;

/// A rest that extracting has kept, from its start.
pub(super) fn kept_rest(kept: Option<&File>) -> Result<Option<File>, PlaceError> {
    use std::io::Seek as _;
    let Some(kept) = kept else { return Ok(None) };
    let mut rest = kept.try_clone()?;
    rest.rewind()?;
    Ok(Some(rest))
}

/// Begins all files that are made of pieces and not in their places; none if the manifest has none.
pub(super) fn begin<'r>(
    run: &Run<'r>,
    manifest: &'r Manifest,
    rests: Rests<'_>,
) -> Result<Option<Pieced<'r>>, RestoreError> {
    let Some(pieces) = manifest.pieces() else { return Ok(None) };
    let (mut files, mut numbers, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (file, entry) in pieces.files().zip(manifest.pieced_entries()?) {
        run.monitor.check_interrupted()?;
        numbers.push(file.rest);
        let goes = begin_file(run, &entry, pieces.encoding(file.index)).or_else(|error| {
            not_put(run, &entry.path, error)?;
            Ok::<_, RestoreError>(None)
        })?;
        match goes {
            Some(Goes::Encoded(..)) if let Some(why) = not_compressed(run) => {
                left.push((entry, why));
                files.push(None);
            }
            goes => files.push(goes.map(|goes| Begun { entry, goes })),
        }
    }
    let assembled = manifest.assembled_entries()?;
    let wanted = files.iter().zip(assembled).map(|(begun, assembled)| {
        begun.as_ref().map(|begun| Ok((assembled, begun.file()?))).transpose()
    });
    let wanted = wanted
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| RestoreError::Target { target: run.target.path().to_path_buf(), error })?;
    let assembly = Assembly::new(pieces, wanted);
    for (index, number) in numbers.into_iter().enumerate() {
        if files[index].is_none() {
            continue;
        }
        let put = rests(number).and_then(|rest| match rest {
            Some(mut rest) => assembly.put_rest(index, &mut rest).map_err(PlaceError::from),
            None => {
                let why = "its rest is not there: unpack the archive again".to_owned();
                assembly.fail(index, why);
                Ok(())
            }
        });
        if let Err(error) = put {
            assembly.fail(index, one_line(&run.unless_fatal(error)?));
        }
    }
    let (packages, accepted) = (&manifest.packages[..], Mutex::default());
    Ok(Some(Pieced { pieces, packages, assembly, files, left, accepted }))
}

/// Begins a file, unless it is in its place, or what is there stays.
fn begin_file<'r>(
    run: &Run<'r>,
    entry: &Entry,
    encoded: Option<&'r Encoded>,
) -> Result<Option<Goes<'r>>, PlaceError> {
    let (stored, extents) = (run.stored(&entry.path), entry.extents.as_deref());
    let (Kind::File { size }, Some(sha256)) = (&entry.kind, entry.sha256) else { return Ok(None) };
    let Some(row) = run.table.position(&entry.path) else { return Ok(None) };
    let contents = (sha256, extents);
    if run.target.stays(&stored, &entry.metadata)? {
        match run.target.is_right(&stored, (&entry.kind, &entry.metadata), Some(contents))? {
            true => {
                run.ledger.archived(row, Some(sha256));
                run.ledger.kept();
            }
            false => run.ledger.left(entry.path.clone()),
        }
        return Ok(None);
    }
    if run.may_keep
        && let Some(file) = run.target.file(&stored)?
        && is_whole(&*file, *size, entry)
    {
        file.adjust(&stored, &entry.metadata, contents)?;
        run.ledger.archived(row, Some(sha256));
        run.ledger.kept();
        return Ok(None);
    }
    let begun = run.target.begin(&stored)?;
    Ok(Some(match encoded {
        None => Goes::InPlace(begun),
        Some(encoded) => Goes::Encoded(begun, encoded),
    }))
}

fn is_whole(file: &dyn PresentFile, size: u64, entry: &Entry) -> bool {
    let has_size = file.size().is_ok_and(|found| found == size);
    has_size && file.digest(entry.extents.as_deref()).is_ok_and(|found| Some(found) == entry.sha256)
}

fn not_put(run: &Run<'_>, path: &RelPath, error: PlaceError) -> Result<(), RestoreError> {
    let reason = one_line(&run.unless_fatal(error)?);
    missing(run, path, ProblemKind::Incomplete, &reason);
    Ok(())
}

fn missing(run: &Run<'_>, path: &RelPath, kind: ProblemKind, reason: &str) {
    run.monitor.problem(kind, path, reason);
    run.ledger.missing(path.clone(), reason);
}

impl<'r> Pieced<'r> {
    /// Is the file at `path` made of pieces?
    pub(super) fn has(&self, path: &RelPath) -> bool {
        self.pieces.position(path).is_some()
    }

    /// Is something wanted of the package with this index?
    pub(super) fn needs(&self, package: usize) -> bool {
        self.assembly.needs(package)
    }

    /// The package with this index has passed. Are there files that lack something of it, and that nobody has offered as a whole?
    pub(super) fn lacks(&self, run: &Run<'_>, package: usize) -> Result<bool, RestoreError> {
        for index in self.assembly.lacking(package) {
            let mut accepted = self.accepted.lock().expect("no holder of this lock panics");
            let Some(Begun { entry, .. }) = &self.files[index] else { continue };
            if !accepted.contains(&index) {
                if !accept(run, entry)? {
                    return Ok(true);
                }
                accepted.insert(index);
            }
        }
        Ok(false)
    }

    /// The contents of a member, watched while somebody reads them; `None` if nothing is wanted of it.
    pub(super) fn watch<'t>(
        &'t self,
        package: usize,
        member: &RelPath,
        content: &'t mut dyn Read,
    ) -> Option<Watch<'t, 'r>> {
        self.assembly.watch(package, member, content)
    }

    /// Reads what is wanted of a member and nobody has read.
    pub(super) fn end_watch(
        &self,
        run: &Run<'_>,
        watch: Watch<'_, '_>,
    ) -> Result<(), VisitorError> {
        match watch.finish() {
            Ok(()) => Ok(()),
            Err(CopyError::Read(error)) => Err(error.into()),
            // The files that it is for say so themselves, unless nothing can be written any more.
            Err(CopyError::Write(error)) => Ok(run.unless_fatal(error.into()).map(drop)?),
        }
    }

    /// Puts every file in its place that is whole, and names the others.
    pub(super) fn finish(self, run: &Run<'_>) -> Result<(), RestoreError> {
        let accepted = self.accepted.into_inner().expect("no holder of this lock panics");
        for (entry, why) in &self.left {
            // What was found and offered needs no program.
            if !accept(run, entry)? {
                run.ledger.not_made(&entry.path, why);
            }
        }
        let mut last = LastProgram::None;
        for (index, file) in self.files.into_iter().enumerate() {
            run.monitor.check_interrupted()?;
            let Some(begun) = file.filter(|_| !accepted.contains(&index)) else { continue };
            let Begun { entry, goes } = begun;
            let Some(sha256) = entry.sha256 else { continue };
            let expected = match &goes {
                Goes::InPlace(_) => sha256,
                Goes::Encoded(_, encoded) => encoded.sha256,
            };
            let path = &entry.path;
            let (kind, reason) = match (self.assembly.finish(index), goes) {
                (Ok(found), Goes::InPlace(begun)) if found == expected => {
                    if let Err(error) = put(run, &entry, begun, expected) {
                        not_put(run, path, error)?;
                    }
                    continue;
                }
                (Ok(found), Goes::Encoded(decoded, encoded)) if found == expected => {
                    let (file, decoded) = ((&entry, encoded), decoded.file());
                    match put_encoded(run, self.packages, file, decoded, &mut last)? {
                        None => continue,
                        Some(NotEncoded { kind, why }) => (kind, why),
                    }
                }
                (Ok(found), _) => {
                    let why = format!("its pieces give sha256 {found}, expected {expected}");
                    (ProblemKind::Verification, why)
                }
                (Err(Unfinished::Failed(why)), _) => (ProblemKind::Incomplete, why),
                (Err(Unfinished::Packages(lacking)), _) => {
                    (ProblemKind::Incomplete, lacking_pieces(self.packages, &lacking))
                }
            };
            if !accept(run, &entry)? {
                missing(run, path, kind, &reason);
            }
        }
        Ok(())
    }
}

/// Why a file is missing of which these packages have not given their pieces.
fn lacking_pieces(packages: &[Package], lacking: &[usize]) -> String {
    let names: Vec<String> =
        lacking.iter().take(NAMED).map(|&index| packages[index].shown_name()).collect();
    let more = and_more(lacking.len() - names.len());
    format!("it is made of pieces, and not all came from {}{more}", names.join(", "))
}

fn put(
    run: &Run<'_>,
    entry: &Entry,
    begun: Box<dyn BegunFile + '_>,
    sha256: Digest,
) -> Result<(), PlaceError> {
    let (Kind::File { size }, Some(row)) = (&entry.kind, run.table.position(&entry.path)) else {
        return Ok(());
    };
    let staged = begun.complete(sha256, *size, entry.extents.as_deref());
    staged.put(&run.stored(&entry.path), &entry.metadata)?;
    run.ledger.archived(row, Some(sha256));
    Ok(())
}

/// Takes the whole file from what was offered, if it is there.
fn accept(run: &Run<'_>, entry: &Entry) -> Result<bool, RestoreError> {
    let (Some(accepting), Kind::File { size }, Some(sha256), None) =
        (run.accepting, &entry.kind, entry.sha256, &entry.extents)
    else {
        return Ok(false);
    };
    let Some(mut file) = accepting.files.file(sha256, *size, run.monitor)? else {
        return Ok(false);
    };
    put_whole(run, entry, &mut file).or_else(|error| run.unless_fatal(error).map(|_| false))
}

/// Puts a file without holes in its place, if this is its contents; false if it is not.
pub(super) fn put_whole(
    run: &Run<'_>,
    entry: &Entry,
    contents: &mut dyn Read,
) -> Result<bool, PlaceError> {
    let Kind::File { size } = entry.kind else { return Ok(false) };
    let stored = run.stored(&entry.path);
    let staged = run.target.stage(&stored, size, contents)?;
    let is_right = staged.size() == size && Some(staged.sha256()) == entry.sha256;
    if is_right {
        staged.put(&stored, &entry.metadata)?;
        run.archived_as_stated(entry);
    }
    Ok(is_right)
}

/// The rest with this number in a folder into which an archive was unpacked.
pub(super) fn rest_in(folder: &TargetFolder, number: u32) -> Result<Option<File>, PlaceError> {
    folder.open_file(&rest_path(number))
}

/// Removes the rests from a folder that is restored as a whole, if every file that needs one is in its place.
pub(super) fn remove_needless_rests(
    run: &Run<'_>,
    target: &TargetFolder,
    manifest: &Manifest,
    state: &State<'_>,
) -> Result<(), RestoreError> {
    let row = |file: PiecedFile| manifest.archived.position(&file.path);
    let mut rows = manifest.pieces().into_iter().flat_map(Pieces::files).map(row);
    let are_needless = rows.all(|row| row.is_some_and(|row| state.is_in_place(row)));
    match run.part.is_none() && are_needless {
        true => remove_rests(target, manifest),
        false => Ok(()),
    }
}

/// Removes the rests, which have numbers for names; what else lies beside them is somebody else's, and stays.
pub(super) fn remove_rests(target: &TargetFolder, manifest: &Manifest) -> Result<(), RestoreError> {
    let rests = RelPath::new(RESTS_NAME).expect("it is one component");
    let failed = |error| stop(target, error);
    if !manifest.has_pieces() || target.find(&rests).map_err(failed)?.is_none() {
        return Ok(());
    }
    target.sync().map_err(failed)?;
    // Also those of files that changed while they were packed, of which the manifest says nothing.
    target.remove_files_in(&rests, |path| rest_number(path).is_some()).map_err(failed)?;
    target.remove_if_empty(&rests).map_err(failed)
}

impl From<CopyError> for PlaceError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Read(error) => Self::Read(error),
            CopyError::Write(error) => Self::Io(error),
        }
    }
}
