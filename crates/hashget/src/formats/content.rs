//! How readers get the bytes of a package, and pass contents to visitors.
//!
//! Invariant: an error while reading a member's contents is reported as one of the package, even if the
//! visitor wraps it in an error of its own.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{FormatError, Input, Visitor};
use crate::codec::LimitExceeded;
use crate::model::Member;

impl<'a> Input<'a> {
    /// All bytes, from the start.
    pub(super) fn into_reader(self) -> Box<dyn Read + 'a> {
        match self {
            Self::Stream(stream) => Box::new(stream),
            Self::File(file) => buffered(FileReader::new(file, None)),
            Self::Watched(file, position) => buffered(FileReader::new(file, Some(position))),
        }
    }

    /// Calls `read` with a seekable reader. A stream is first spooled to a file, at most `limit` bytes of it.
    pub(super) fn with_file<T>(
        self,
        limit: u64,
        format: &'static str,
        read: impl FnOnce(FileReader<'_>) -> Result<T, FormatError>,
    ) -> Result<T, FormatError> {
        match self {
            Self::File(file) => read(FileReader::new(file, None)),
            Self::Watched(file, position) => read(FileReader::new(file, Some(position))),
            Self::Stream(stream) => {
                let file = spool(&mut stream.take(limit)).map_err(|error| error.explain(format))?;
                read(FileReader::new(&file, None))
            }
        }
    }
}

fn buffered(reader: FileReader<'_>) -> Box<dyn Read + '_> {
    Box::new(BufReader::with_capacity(1 << 16, reader))
}

/// Reads a file without moving its shared cursor, so that several readers can use one open file.
pub(super) struct FileReader<'a> {
    file: &'a File,
    position: u64,
    watched: Option<&'a AtomicU64>,
}

impl<'a> FileReader<'a> {
    /// At the start of `file`; the number of bytes read is kept in `watched`.
    fn new(file: &'a File, watched: Option<&'a AtomicU64>) -> Self {
        Self { file, position: 0, watched }
    }

    /// The size of the file in bytes.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        if let Some(watched) = self.watched {
            watched.store(self.position, Ordering::Relaxed);
        }
        Ok(count)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length()?.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a position before the start of the file")
        })?;
        Ok(self.position)
    }
}

/// The first bytes of a reader that can still be read as a whole.
pub(super) struct Head<R> {
    /// The first bytes.
    pub(super) bytes: Vec<u8>,
    rest: R,
}

impl<R: Read> Head<R> {
    /// Reads up to `count` bytes.
    pub(super) fn read(mut reader: R, count: usize) -> io::Result<Self> {
        let mut bytes = Vec::new();
        reader.by_ref().take(count as u64).read_to_end(&mut bytes)?;
        Ok(Self { bytes, rest: reader })
    }

    /// Everything, the first bytes included.
    pub(super) fn into_reader(self) -> impl Read {
        Cursor::new(self.bytes).chain(self.rest)
    }
}

/// All of `reader` in an unnamed file, which is deleted when it is closed.
pub(super) fn spool(reader: &mut dyn Read) -> Result<File, SpoolError> {
    let mut file = tempfile::tempfile().map_err(SpoolError::Spool)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(count) => file.write_all(&buffer[..count]).map_err(SpoolError::Spool)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SpoolError::Reader(error)),
        }
    }
}

/// Why something could not be spooled.
pub(super) enum SpoolError {
    /// It could not be read.
    Reader(io::Error),
    /// The temporary file could not be written (the disk is full).
    Spool(io::Error),
}

impl SpoolError {
    /// As an error of `format`.
    pub(super) fn explain(self, format: &'static str) -> FormatError {
        match self {
            Self::Reader(error) => FormatError::reading(format, error),
            Self::Spool(error) => {
                let problem = format!("cannot keep a copy in the temporary folder: {error}");
                FormatError::Io(io::Error::new(error.kind(), problem))
            }
        }
    }
}

/// Passes `member` to the visitor.
pub(super) fn visit(
    format: &'static str,
    visitor: &mut dyn Visitor,
    member: Member,
    content: &mut dyn Read,
) -> Result<(), FormatError> {
    let mut content = Remembering { content, failure: None };
    let outcome = visitor.visit(member, &mut content);
    match content.failure {
        Some(failure) => Err(FormatError::reading(format, failure)),
        None => outcome.map_err(FormatError::Visitor),
    }
}

/// Remembers the error that stopped reading.
struct Remembering<'a> {
    content: &'a mut dyn Read,
    failure: Option<io::Error>,
}

impl Read for Remembering<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(io::Error::new(failure.kind(), failure.to_string()));
        }
        match self.content.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failure = Some(error);
                Err(told)
            }
            outcome => outcome,
        }
    }
}

impl FormatError {
    /// An error from reading or decompressing a package's bytes.
    pub(super) fn reading(format: &'static str, error: io::Error) -> Self {
        if let Some(exceeded) = LimitExceeded::in_io(&error) {
            return Self::Limit { what: exceeded.what.clone(), limit: exceeded.limit };
        }
        let damaged = matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
        );
        if damaged && error.raw_os_error().is_none() {
            return Self::Damaged { format, problem: error.to_string() };
        }
        Self::Io(error)
    }
}

impl FormatError {
    /// The same error, for a package of `format` that contains other formats.
    pub(super) fn of_format(self, format: &'static str) -> Self {
        match self {
            Self::Damaged { problem, .. } => Self::Damaged { format, problem },
            Self::Unsupported { problem, .. } => Self::Unsupported { format, problem },
            other => other,
        }
    }

    /// The same error, with the part of the package in its message.
    pub(super) fn in_part(self, part: &str) -> Self {
        match self {
            Self::Damaged { format, problem } => {
                Self::Damaged { format, problem: format!("{part}: {problem}") }
            }
            Self::Unsupported { format, problem } => {
                Self::Unsupported { format, problem: format!("{part}: {problem}") }
            }
            other => other,
        }
    }
}

impl From<io::Error> for FormatError {
    fn from(error: io::Error) -> Self {
        match LimitExceeded::in_io(&error) {
            Some(exceeded) => Self::Limit { what: exceeded.what.clone(), limit: exceeded.limit },
            None => Self::Io(error),
        }
    }
}
