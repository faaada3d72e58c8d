//! Encryption by a command that reads its standard input and writes its standard output.
//!
//! Invariant: what the command printed counts only after it has ended with 0; nothing that it has started outlives it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use hashget::error::LayerError;
use hashget::model::escaped;
use hashget::monitor::Monitor;
use hashget::storage::{ArchiveSink, ArchiveSource, SharedSource};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::Signal;

use super::EncryptionError;
use crate::shell::{group_of, shell, signal};

/// Interruptions are noticed within this time.
const ATTENTION: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Bytes that pass at once.
const PIECE: usize = 64 << 10;

/// The last bytes of what a command says that are told.
const LAST_WORDS: usize = 1000;

/// A sink whose bytes pass through a command into `inner`.
///
/// # Errors
/// The command cannot be started.
pub(super) fn sink<'a>(
    inner: Box<dyn ArchiveSink + 'a>,
    command: &str,
    monitor: &'a dyn Monitor,
) -> Result<Box<dyn ArchiveSink + 'a>, EncryptionError> {
    let filter = Filter::start(command, monitor)?;
    Ok(Box::new(FilterSink { filter, inner, failed: false }))
}

/// A source whose bytes passed through a command.
///
/// # Errors
/// The command cannot be started.
pub(super) fn source<'a>(
    inner: Box<dyn SharedSource + 'a>,
    command: &str,
    monitor: &'a dyn Monitor,
) -> Result<Box<dyn SharedSource + 'a>, EncryptionError> {
    let filter = Filter::start(command, monitor)?;
    Ok(Box::new(FilterSource { filter, inner, piece: Vec::new(), given: 0 }))
}

/// A command that runs. Dropping it kills it.
struct Filter<'a> {
    command: String,
    child: Child,
    /// `None` after the end of what it was given.
    input: Option<File>,
    /// `None` after the end of what it printed.
    output: Option<File>,
    errors: Option<File>,
    words: Vec<u8>,
    has_ended: bool,
    monitor: &'a dyn Monitor,
}

/// What can be done with a command without waiting.
struct Ready {
    takes: bool,
    gives: bool,
}

impl<'a> Filter<'a> {
    fn start(command: &str, monitor: &'a dyn Monitor) -> Result<Self, EncryptionError> {
        let mut shell = shell(command);
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let errors = child.stderr.take();
        let mut filter = Self {
            command: escaped(command.as_bytes()),
            child,
            input: None,
            output: None,
            errors: None,
            words: Vec::new(),
            has_ended: false,
            monitor,
        };
        filter.input = input.map(|pipe| without_waiting(pipe.into())).transpose()?;
        filter.output = output.map(|pipe| without_waiting(pipe.into())).transpose()?;
        filter.errors = errors.map(|pipe| without_waiting(pipe.into())).transpose()?;
        Ok(filter)
    }

    /// Waits until the command takes or gives something, or will not do so any more; what it says meanwhile is remembered.
    fn ready(&mut self) -> io::Result<Ready> {
        loop {
            self.expect_uninterrupted()?;
            let pipes = [
                (&self.input, PollFlags::OUT),
                (&self.output, PollFlags::IN),
                (&self.errors, PollFlags::IN),
            ];
            let open =
                pipes.iter().filter_map(|&(pipe, flags)| Some(PollFd::new(pipe.as_ref()?, flags)));
            let mut open: Vec<PollFd<'_>> = open.collect();
            match poll(&mut open, Some(&ATTENTION)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let mut ready = open.iter().map(|pipe| !pipe.revents().is_empty());
            let [takes, gives, speaks] =
                pipes.map(|(pipe, _)| pipe.is_some() && ready.next() == Some(true));
            if speaks {
                self.listen();
            }
            if takes || gives {
                return Ok(Ready { takes, gives });
            }
        }
    }

    fn expect_uninterrupted(&self) -> io::Result<()> {
        let interrupted = self.monitor.check_interrupted();
        Ok(interrupted.map_err(|interrupted| LayerError::new(interrupted.class(), interrupted))?)
    }

    /// Takes what it says; its end, too.
    fn listen(&mut self) {
        let mut buffer = [0; 1024];
        let Some(errors) = &mut self.errors else { return };
        match errors.read(&mut buffer) {
            Ok(count @ 1..) => {
                self.words.extend(&buffer[..count]);
                let more = self.words.len().saturating_sub(LAST_WORDS);
                self.words.drain(..more);
            }
            Err(error) if is_not_yet(&error) => {}
            Ok(_) | Err(_) => self.errors = None,
        }
    }

    /// Gives it some bytes; how many it took. `None` if it takes no more.
    fn give(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let Some(input) = &mut self.input else { return Ok(None) };
        match input.write(bytes) {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_not_yet(&error) => Ok(Some(0)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.input = None;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes some of what it prints: how many bytes, 0 if there are none yet. `None` after the end.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(output) = &mut self.output else { return Ok(None) };
        match output.read(buffer) {
            Ok(0) => {
                self.output = None;
                Ok(None)
            }
            Ok(count) => Ok(Some(count)),
            Err(error) if is_not_yet(&error) => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Waits for its end, which must be a good one.
    fn end(&mut self) -> io::Result<()> {
        self.input = None;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            self.expect_uninterrupted()?;
            self.listen();
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        self.has_ended = true;
        if status.success() {
            return Ok(());
        }
        self.listen();
        let words = String::from_utf8_lossy(&self.words).into_owned();
        let words = words.lines().last().map(|line| format!(": {}", escaped(line.as_bytes())));
        let (command, status) = (self.command.clone(), status.to_string());
        let words = words.unwrap_or_default();
        Err(EncryptionError::Command { command, status, words }.into())
    }

    /// It took no more, although there was more.
    fn ended_early(&mut self) -> io::Error {
        let (command, words) = (self.command.clone(), String::new());
        let status = "success before it had taken all of the archive".to_owned();
        let early = EncryptionError::Command { command, status, words };
        self.end().err().unwrap_or_else(|| early.into())
    }
}

impl Drop for Filter<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        signal(group_of(&self.child), Signal::KILL);
        drop(self.child.wait());
    }
}

/// The pipe, which makes nobody wait.
fn without_waiting(pipe: OwnedFd) -> io::Result<File> {
    let flags = fcntl_getfl(&pipe)?;
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    Ok(File::from(pipe))
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

struct FilterSink<'a> {
    filter: Filter<'a>,
    inner: Box<dyn ArchiveSink + 'a>,
    failed: bool,
}

impl FilterSink<'_> {
    fn passed(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let ready = self.filter.ready()?;
            if ready.gives {
                self.pass_on()?;
            }
            if ready.takes {
                match self.filter.give(bytes)? {
                    Some(0) => {}
                    Some(count) => return Ok(count),
                    None => return Err(self.filter.ended_early()),
                }
            }
        }
    }

    /// Passes on some of what the command printed.
    fn pass_on(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let count = self.filter.take(&mut buffer)?.unwrap_or(0);
        self.inner.write_all(&buffer[..count])
    }

    fn finished(&mut self) -> io::Result<()> {
        self.filter.input = None;
        while self.filter.output.is_some() {
            if self.filter.ready()?.gives {
                self.pass_on()?;
            }
        }
        self.filter.end()
    }
}

impl Write for FilterSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let result = self.passed(bytes);
        self.failed |= result.is_err();
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ArchiveSink for FilterSink<'_> {
    fn commit(mut self: Box<Self>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("it is incomplete: writing it failed"));
        }
        self.finished()?;
        self.inner.commit()
    }
}

struct FilterSource<'a> {
    filter: Filter<'a>,
    inner: Box<dyn SharedSource + 'a>,
    /// What was read, of which the first `given` bytes were given to the command.
    piece: Vec<u8>,
    given: usize,
}

impl FilterSource<'_> {
    /// Gives the command what it takes.
    fn feed(&mut self) -> io::Result<()> {
        if self.given == self.piece.len() {
            self.piece.resize(PIECE, 0);
            let count = self.inner.read(&mut self.piece)?;
            self.piece.truncate(count);
            self.given = 0;
            if count == 0 {
                self.filter.input = None;
                return Ok(());
            }
        }
        self.given += self.filter.give(&self.piece[self.given..])?.unwrap_or(0);
        Ok(())
    }
}

impl Read for FilterSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.filter.has_ended {
            return Ok(0);
        }
        loop {
            let ready = self.filter.ready()?;
            if ready.takes {
                self.feed()?;
            }
            if ready.gives {
                match self.filter.take(buffer)? {
                    Some(0) => {}
                    Some(count) => return Ok(count),
                    None => {
                        self.filter.end()?;
                        return Ok(0);
                    }
                }
            }
        }
    }
}

impl ArchiveSource for FilterSource<'_> {}
