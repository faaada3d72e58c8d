//! A command of a store while it runs.
//!
//! Invariant: nothing that it has started in its process group outlives it. It never takes the end of a file that could not be read
//! for the end of the file.

use std::fs::File;
use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hashget::model::escaped;
use hashget::monitor::Monitor;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use crate::shell::{group_of, signal};
use crate::store::outgoing::{PIECE, Pace, read_exact_at};
use crate::store::{Sending, StoreError};

/// Interruptions are noticed within this time.
const ATTENTION: Duration = Duration::from_millis(20);

/// The last bytes of what a command says that are told.
const LAST_WORDS: usize = 1000;

/// The longest list that a command may print.
const LONGEST_LIST: u64 = 64 << 20;

/// A command that runs. Dropping it kills it.
pub(super) struct Running {
    child: Child,
    listener: Option<JoinHandle<Vec<u8>>>,
    feeder: Option<JoinHandle<io::Result<()>>>,
    went: Arc<AtomicU64>,
    has_ended: bool,
    /// Was it killed, whatever it had done by then?
    was_stopped: bool,
}

impl Running {
    /// Starts a command.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(command: &mut Command) -> Result<Self, StoreError> {
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        let listener = stderr.map(|pipe| std::thread::spawn(move || last_of(pipe)));
        let went = Arc::default();
        Ok(Self { child, listener, feeder: None, went, has_ended: false, was_stopped: false })
    }

    /// Begins to give it the file; how many bytes it took.
    pub(super) fn feed(&mut self, sending: &Sending<'_>) -> Result<Arc<AtomicU64>, StoreError> {
        let (file, bytes) = (sending.file.try_clone()?, sending.bytes);
        let (stdin, pace) = (self.child.stdin.take(), Pace::new(sending.bytes_per_second));
        let (went, group) = (Arc::clone(&self.went), group_of(&self.child));
        let feeder = std::thread::spawn(move || {
            let Some(mut stdin) = stdin else { return Ok(()) };
            let fed = feed(&file, bytes, &pace, &mut stdin, &went);
            if fed.is_err() {
                signal(group, Signal::KILL);
            }
            fed
        });
        self.feeder = Some(feeder);
        Ok(Arc::clone(&self.went))
    }

    /// Begins to collect what it prints.
    pub(super) fn printed(&mut self) -> Option<JoinHandle<Vec<u8>>> {
        let pipe = self.child.stdout.take()?;
        Some(std::thread::spawn(move || {
            let mut printed = Vec::new();
            drop(pipe.take(LONGEST_LIST).read_to_end(&mut printed));
            printed
        }))
    }

    /// What it prints, as it comes.
    pub(super) fn pipe(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    fn kill(&self) {
        signal(group_of(&self.child), Signal::KILL);
    }

    /// Waits for its end; `meanwhile` is called from time to time.
    pub(super) fn wait(
        &mut self,
        monitor: &dyn Monitor,
        meanwhile: impl Fn(),
    ) -> Result<ExitStatus, StoreError> {
        loop {
            meanwhile();
            if let Err(interrupted) = monitor.check_interrupted() {
                self.kill();
                self.child.wait()?;
                (self.has_ended, self.was_stopped) = (true, true);
                return Err(interrupted.into());
            }
            if let Some(status) = self.child.try_wait()? {
                self.has_ended = true;
                meanwhile();
                return match self.feeder.take().and_then(|feeder| feeder.join().ok()) {
                    // What it did not take shows in its status, or in the count.
                    Some(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                        Err(error.into())
                    }
                    _ => Ok(status),
                };
            }
            std::thread::sleep(ATTENTION);
        }
    }

    /// Was it killed, whatever it had done by then?
    pub(super) fn was_stopped(&self) -> bool {
        self.was_stopped
    }

    /// What it said last, safe for a terminal.
    pub(super) fn words(&mut self) -> String {
        let words = self.listener.take().and_then(|listener| listener.join().ok());
        let words = String::from_utf8_lossy(&words.unwrap_or_default()).into_owned();
        let lines: Vec<String> = words.lines().map(|line| escaped(line.as_bytes())).collect();
        lines.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.kill();
            drop(self.child.wait());
        }
    }
}

/// Waits until something can be read from a pipe, or its end was reached.
///
/// # Errors
/// The monitor asked to stop.
pub(super) fn wait_for_output(pipe: &ChildStdout, monitor: &dyn Monitor) -> Result<(), StoreError> {
    let attention = Timespec { tv_sec: 0, tv_nsec: ATTENTION.subsec_nanos().into() };
    loop {
        monitor.check_interrupted()?;
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&attention)) {
            Ok(0) | Err(Errno::INTR) => {}
            // Whatever is wrong with it, reading says.
            Ok(_) | Err(_) => return Ok(()),
        }
    }
}

fn feed(
    file: &File,
    bytes: u64,
    pace: &Pace,
    to: &mut impl io::Write,
    went: &AtomicU64,
) -> io::Result<()> {
    let (mut position, mut buffer) = (0, vec![0; PIECE]);
    while position < bytes {
        let count = usize::try_from(bytes - position).unwrap_or(PIECE).min(PIECE);
        read_exact_at(file, &mut buffer[..count], position)?;
        std::thread::sleep(pace.due(count as u64));
        to.write_all(&buffer[..count])?;
        position += count as u64;
        went.store(position, Ordering::Relaxed);
    }
    Ok(())
}

/// The last bytes that come from a pipe.
fn last_of(mut pipe: impl Read) -> Vec<u8> {
    let (mut words, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        words.extend(&buffer[..count]);
        let more = words.len().saturating_sub(LAST_WORDS);
        words.drain(..more);
    }
    words
}
