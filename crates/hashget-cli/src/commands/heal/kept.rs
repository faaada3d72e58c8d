//! Where supplements go: beside an archive, or into the destinations of a job.
//!
//! Invariant: a supplement never replaces anything, and is read back before it gets its name.

use std::fs::File;
use std::io::{Seek as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hashget::archive::PackageMembers;
use hashget::codec::{Codec, encoder};
use hashget::model::HashingReader;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::pending_file::PendingFile;
use hashget::storage::{ArchiveSink, SharedSource, StreamSink};
use hashget::supplement::{Contents, Found, Supplement, is_supplement, name_for};
use hashget::wording::messages;
use hashget_backup::audits;
use hashget_backup::encryption::ending;
use hashget_backup::job::Job;
use hashget_backup::run::Destination;
use hashget_backup::store::{Sending, StoreError};
use jiff::Timestamp;

use crate::archive::open_of;
use crate::commands::backup::destinations::{of_job, problem};
use crate::commands::without_ending;
use crate::environment::Environment;
use crate::exit::UsageError;

/// The name of a new supplement beside the only archive.
pub(super) fn file_beside(archives: &[PathBuf]) -> Option<PathBuf> {
    let [archive] = archives else { return None };
    let name = archive.file_name()?.to_str()?;
    let stem = without_ending(name.as_bytes()).and_then(|stem| std::str::from_utf8(stem).ok());
    let names = (1..).map(|number| archive.with_file_name(name_for(stem.unwrap_or(name), number)));
    names.into_iter().find(|path| fs_err::symlink_metadata(path).is_err())
}

/// Writes a supplement under a new name.
pub(super) fn write_file(
    found: &Found,
    file: &Path,
    members: &PackageMembers<'_>,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !is_supplement(name.as_bytes()) || !name.ends_with(".tar.zst") {
        let wrong = format!(
            "{}: a supplement's name ends with .sup.tar.zst, by which it is found beside the archive",
            file.display()
        );
        return Err(UsageError(wrong).into());
    }
    let cannot = || format!("cannot write {}", file.display());
    let mode = if environment.is_root() { 0o600 } else { 0o666 };
    let mut pending = PendingFile::create(file, mode).with_context(cannot)?;
    compressed(found, &mut pending, &name, members, environment)?;
    read_back(pending.file(), &name, environment)?;
    pending.commit_new(file).with_context(cannot)
}

/// Sends a supplement to each destination of a job; encrypted, if the job's archives are.
pub(super) fn send(
    found: &Found,
    job: &Job,
    members: &PackageMembers<'_>,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H%M%SZ");
    let name = name_for(&format!("{}_{}_{now}", job.host, job.name), 1);
    let mut plain = tempfile::tempfile().context("cannot make a temporary file")?;
    compressed(found, &mut plain, &name, members, environment)?;
    let contents = read_back(&plain, &name, environment)?;
    let (file, name) = match job.encrypt.is_empty() {
        true => (plain, name),
        false => (encrypted(plain, job, environment)?, name + ending(&job.encrypt)),
    };
    let (sha256, bytes) = digest(&file)?;
    let sending = Sending {
        file: &file,
        bytes,
        sha256: &sha256,
        lock_until: None,
        bytes_per_second: job.upload,
    };
    let console = environment.console;
    let (mut sent, mut failed) = (0, Vec::new());
    for destination in of_job(job, environment)? {
        let store = &*destination.store;
        match store.send(&name, &sending, console) {
            Ok(_) => {
                sent += 1;
                console.say(&format!("Supplement  {name} sent to {}", store.shown()));
            }
            Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => {
                let problem = format!("the supplement was not sent: {}", problem(store, &error));
                (console as &dyn Monitor).problem(ProblemKind::Unreachable, store.shown(), problem);
                failed.push(store.shown().to_owned());
            }
        }
    }
    // Audits need not read it, or be able to.
    let state = environment.backup_state()?;
    audits::remember_supplement(&state, &job.name, &name, &contents).ok();
    anyhow::ensure!(sent > 0, "the supplement is in no destination: {}", failed.join(", "));
    Ok(())
}

fn encrypted(mut plain: File, job: &Job, environment: &Environment<'_>) -> anyhow::Result<File> {
    let cannot = "cannot encrypt the supplement";
    let file = tempfile::tempfile().context("cannot make a temporary file")?;
    let recipients = environment.recipients(&job.encrypt)?;
    let into = Box::new(StreamSink::new(file.try_clone()?));
    let sink = recipients.sink(into, environment.console).map_err(std::io::Error::from);
    let mut sink: Box<dyn ArchiveSink + '_> = sink.context(cannot)?;
    plain.rewind()?;
    std::io::copy(&mut plain, &mut sink).context(cannot)?;
    sink.commit().context(cannot)?;
    Ok(file)
}

fn compressed(
    found: &Found,
    output: &mut (dyn Write + Send),
    name: &str,
    members: &PackageMembers<'_>,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let mut encoder = encoder(Codec::Zstd, Box::new(&mut *output), None, environment.jobs)?;
    found.write(&mut encoder, name, members, environment.console)?;
    encoder.finish().with_context(|| format!("cannot write {name}"))?;
    output.flush().with_context(|| format!("cannot write {name}"))
}

/// Reads what was written as a restore would.
fn read_back(file: &File, name: &str, environment: &Environment<'_>) -> anyhow::Result<Contents> {
    let before = environment.console.problems().verification;
    let mut start = file;
    start.rewind()?;
    let read = Supplement::read(file, name, &environment.limits, environment.console)
        .context("the supplement would not come back")?;
    let is_whole = environment.console.problems().verification == before;
    anyhow::ensure!(is_whole, "the supplement would not come back: no file of its name was left");
    Ok(read.contents().clone())
}

fn digest(file: &File) -> anyhow::Result<(String, u64)> {
    let mut start = file;
    start.rewind()?;
    let mut reader = HashingReader::new(start);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    let (sha256, bytes) = reader.finish();
    Ok((sha256.to_string(), bytes))
}

/// Opens an archive, in the first destination that has it; `None` if that is not possible anywhere, which is reported.
pub(super) fn open_archive<'d>(
    name: &str,
    destinations: &'d [Destination],
    environment: &'d Environment<'_>,
) -> anyhow::Result<Option<Box<dyn SharedSource + 'd>>> {
    let monitor: &dyn Monitor = environment.console;
    let mut problems = Vec::new();
    for destination in destinations {
        monitor.check_interrupted()?;
        match open_of(&*destination.store, name, environment) {
            Ok(source) => return Ok(Some(source)),
            Err(error) => problems.push(messages(error.as_ref()).join(": ")),
        }
    }
    let why = format!("it is not healed, since it cannot be read: {}", problems.join("; "));
    monitor.problem(ProblemKind::Incomplete, name, why);
    Ok(None)
}
