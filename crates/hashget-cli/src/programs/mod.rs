//! Running programs out of packages, confined: see `docs/derived.md`.
//!
//! Invariant: a program that is not confined is not run, and none runs any more when its run has ended.

mod confinement;

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hashget::model::escaped;
use hashget::monitor::Monitor;
use hashget::programs::{ProgramCall, ProgramError, ProgramInput, RunProgram};
use rustix::fs::{AtFlags, Gid, Uid};
use rustix::process::{Pid, Signal, kill_process_group};

pub(crate) use confinement::{ARGUMENT, become_program};

/// How many seconds a program may take by default while a tree is packed, and how many of processor time at least.
const MOST_SECONDS: u64 = 300;
const LEAST_PROCESSOR_SECONDS: u64 = 120;
/// How many times as many it may take while a tree is restored, perhaps by a slower machine: what was made once must be made again.
const SLOWER: u64 = 4;
/// Bytes that it may have written in all at a time.
const MOST_BYTES: u64 = 2 << 30;
/// How often it is looked at, and how often what it has written is counted.
const LOOK: Duration = Duration::from_millis(10);
const COUNT: Duration = Duration::from_millis(500);
/// Bytes of its last words that are read, and that a message has.
const MOST_READ: u64 = 4096;
const MOST_WORDS: usize = 200;

/// Runs programs in processes of their own, which give everything up first.
#[derive(Debug)]
pub(crate) struct Confined {
    most_time: Duration,
    /// Seconds.
    most_processor_time: u64,
}

impl Confined {
    /// Stops programs after so many seconds, while a tree is packed.
    pub(crate) fn for_packing(most_seconds: Option<u64>) -> Self {
        Self::stopping_after(most_seconds, 1)
    }

    /// Stops programs after four times as many, while a tree is restored.
    pub(crate) fn for_restoring(most_seconds: Option<u64>) -> Self {
        Self::stopping_after(most_seconds, SLOWER)
    }

    fn stopping_after(most_seconds: Option<u64>, times: u64) -> Self {
        let seconds = most_seconds.unwrap_or(MOST_SECONDS);
        let most_processor_time = LEAST_PROCESSOR_SECONDS.max(seconds / 2).saturating_mul(times);
        let most_time = Duration::from_secs(seconds.saturating_mul(times));
        Self { most_time, most_processor_time }
    }
}

impl RunProgram for Confined {
    fn run(&self, program: &ProgramCall<'_>, monitor: &dyn Monitor) -> Result<(), ProgramError> {
        // While nobody else can reach into the folder.
        let input = standard_input(&program.input)?;
        let mut words = tempfile::tempfile()?;
        let output = match &program.output {
            Some(path) => Stdio::from(File::create_new(path)?),
            None => Stdio::from(words.try_clone()?),
        };
        give_away(&program.work, 0o700, &program.packages)?;
        // The same user looks into it anyway; nobody else is to find programs there.
        if confinement::owner().is_some() {
            fs_err::set_permissions(&program.packages, Permissions::from_mode(0o755))?;
        }
        let variable = program.variable.as_ref();
        let variable = variable.map(|(name, value)| format!("{name}={}", value.display()));
        let mut child = Command::new(own_program()?)
            .arg(ARGUMENT)
            .arg(self.most_processor_time.to_string())
            .args([&program.packages, &program.work])
            .arg(if program.own_root { confinement::OWN_ROOT } else { "" })
            .arg(variable.unwrap_or_default())
            .arg(&program.program)
            .args(&program.arguments)
            .env_clear()
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::from(words.try_clone()?))
            .process_group(0)
            .spawn()?;
        let status = self.watch(&mut child, program, &words, monitor);
        if status.is_err() {
            stop(&mut child);
        }
        let status = status?;
        if status.success() {
            return Ok(());
        }
        Err(ProgramError::Ended { how: ended(status), words: last_words(&mut words)? })
    }
}

impl Confined {
    /// Waits for its end, as long as it behaves.
    fn watch(
        &self,
        child: &mut Child,
        program: &ProgramCall<'_>,
        words: &File,
        monitor: &dyn Monitor,
    ) -> Result<ExitStatus, ProgramError> {
        let begun = Instant::now();
        let mut counted = begun;
        loop {
            monitor.check_interrupted()?;
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if begun.elapsed() > self.most_time {
                return Err(ProgramError::Slow(self.most_time.as_secs()));
            }
            if counted.elapsed() > COUNT {
                let written = bytes_in(&program.work, &program.packages);
                if written.saturating_add(words.metadata()?.len()) > MOST_BYTES {
                    return Err(ProgramError::Large(MOST_BYTES));
                }
                counted = Instant::now();
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn standard_input(input: &ProgramInput<'_>) -> io::Result<File> {
    match input {
        ProgramInput::File(path) => File::open(path),
        ProgramInput::Bytes(bytes) => {
            let mut input = tempfile::tempfile()?;
            input.write_all(bytes)?;
            input.rewind()?;
            Ok(input)
        }
    }
}

/// The program that is running, also if its file was replaced since.
fn own_program() -> io::Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    if own.exists() { Ok(own.to_path_buf()) } else { std::env::current_exe() }
}

/// What lies in the folder is that of whoever runs the program, who may write over it, and so is the folder; but not what is in `except`.
fn give_away(folder: &Path, mode: u32, except: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true if entry.path() == except => {}
            true => give_away(&entry.path(), 0o755, except)?,
            false => give(&entry.path())?,
        }
    }
    give(folder)?;
    fs_err::set_permissions(folder, Permissions::from_mode(mode))
}

fn give(path: &Path) -> io::Result<()> {
    let Some(owner) = confinement::owner() else { return Ok(()) };
    let (uid, gid) = (Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)));
    Ok(rustix::fs::chownat(rustix::fs::CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn stop(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

/// What it said last, after a colon, safe for a terminal; nothing if it said nothing.
fn last_words(words: &mut File) -> io::Result<String> {
    words.seek(io::SeekFrom::Start(words.metadata()?.len().saturating_sub(MOST_READ)))?;
    let mut end = Vec::new();
    words.take(MOST_READ).read_to_end(&mut end)?;
    let line = end.split(|&byte| byte == b'\n').rfind(|line| !line.trim_ascii().is_empty());
    let line = line.map(|line| escaped(&line[..line.len().min(MOST_WORDS)]));
    Ok(line.map_or(String::new(), |line| format!(": {line}")))
}

/// Bytes of the files in a folder, but not in `except`; of what disappears meanwhile, none.
fn bytes_in(folder: &Path, except: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() && entry.path() != except => bytes_in(&entry.path(), except),
        Ok(found) if found.is_dir() => 0,
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    bytes.fold(0, u64::saturating_add)
}
