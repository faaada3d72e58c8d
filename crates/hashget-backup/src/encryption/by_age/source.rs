//! Decrypting an archive as it is read: in order, or only the chunks that are asked for.
//!
//! Invariant: a chunk is given out only after it was authenticated. Where it can be read in any order, the end is
//! authenticated before anything else, so that a cut archive is not taken for a whole one.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Mutex;

use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use hashget::storage::{ArchiveSource, RandomRead, SharedSource};

use super::Keys;
use crate::encryption::{EncryptionError, Header};

/// Bytes that are read ahead: four chunks.
const AHEAD: usize = 256 * 1024;

/// Decrypts what another source supplies.
struct DecryptedSource<'a> {
    inner: Inner<'a>,
}

enum Inner<'a> {
    /// Decrypted size, where reading in order stands, and the reader.
    Random(u64, u64, Mutex<StreamReader<BufReader<Place<'a>>>>),
    InOrder(StreamReader<BufReader<Box<dyn SharedSource + 'a>>>),
}

/// What an encrypted source decrypts to.
///
/// # Errors
/// No key opens it, or it is damaged.
pub(in super::super) fn decrypted<'a>(
    source: Box<dyn SharedSource + 'a>,
    keys: &Keys,
    header: &Header,
) -> Result<Box<dyn SharedSource + 'a>, EncryptionError> {
    if source.random().is_none() {
        let reader = BufReader::with_capacity(AHEAD, source);
        let inner = Inner::InOrder(opened(reader, keys, header)?);
        return Ok(Box::new(DecryptedSource { inner }));
    }
    let reader = BufReader::with_capacity(AHEAD, Place { source, position: 0 });
    let mut stream = opened(reader, keys, header)?;
    let size = stream.seek(SeekFrom::End(0)).map_err(damaged)?;
    Ok(Box::new(DecryptedSource { inner: Inner::Random(size, 0, Mutex::new(stream)) }))
}

fn opened<R: io::BufRead>(
    reader: R,
    keys: &Keys,
    header: &Header,
) -> Result<StreamReader<R>, EncryptionError> {
    let decryptor = Decryptor::new_buffered(reader).map_err(|error| of_age(error, header))?;
    if decryptor.is_scrypt() {
        let passphrase = keys.passphrase().ok_or(EncryptionError::WrongPassphrase)?;
        let only = std::iter::once(&passphrase as &dyn age::Identity);
        return decryptor.decrypt(only).map_err(|error| of_age(error, header));
    }
    if keys.is_empty() {
        return Err(EncryptionError::NoIdentity { recipients: header.shown() });
    }
    decryptor.decrypt(keys.keys()).map_err(|error| of_age(error, header))
}

fn of_age(error: DecryptError, header: &Header) -> EncryptionError {
    match error {
        DecryptError::NoMatchingKeys => {
            EncryptionError::WrongIdentity { recipients: header.shown() }
        }
        DecryptError::KeyDecryptionFailed => EncryptionError::WrongPassphrase,
        DecryptError::DecryptionFailed if header.is_passphrase() => {
            EncryptionError::WrongPassphrase
        }
        DecryptError::ExcessiveWork { required, target } => {
            EncryptionError::TooMuchWork { required, most: target }
        }
        DecryptError::Io(error) => damaged(error),
        error @ (DecryptError::Plugin(_) | DecryptError::PluginResolve(_)) => {
            EncryptionError::Plugin {
                problem: hashget::model::escaped(error.to_string().as_bytes()),
            }
        }
        error => EncryptionError::Damaged { problem: error.to_string() },
    }
}

/// What an error of reading means: bytes that are not authentic, or an error of what they come from.
fn damaged(error: io::Error) -> EncryptionError {
    let is_of_age = error.raw_os_error().is_none()
        && error.get_ref().is_none_or(|inner| hashget::classify::class_of(inner).is_none());
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof if is_of_age => {
            EncryptionError::Damaged { problem: error.to_string() }
        }
        _ => EncryptionError::Io(error),
    }
}

impl Read for DecryptedSource<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::InOrder(stream) => Ok(stream.read(buffer).map_err(damaged)?),
            Inner::Random(size, position, stream) => {
                let count = read_at(stream, *size, buffer, *position)?;
                *position += count as u64;
                Ok(count)
            }
        }
    }
}

fn read_at(
    stream: &Mutex<StreamReader<BufReader<Place<'_>>>>,
    size: u64,
    buffer: &mut [u8],
    first: u64,
) -> io::Result<usize> {
    let left = usize::try_from(size.saturating_sub(first)).unwrap_or(usize::MAX);
    let count = buffer.len().min(left);
    if count == 0 {
        return Ok(0);
    }
    let mut stream = stream.lock().expect("nothing panics while it reads");
    if stream.stream_position().map_err(damaged)? != first {
        stream.seek(SeekFrom::Start(first)).map_err(damaged)?;
    }
    stream.read_exact(&mut buffer[..count]).map_err(damaged)?;
    Ok(count)
}

impl ArchiveSource for DecryptedSource<'_> {
    fn size(&self) -> Option<u64> {
        match &self.inner {
            Inner::Random(size, ..) => Some(*size),
            Inner::InOrder(_) => None,
        }
    }

    fn random(&self) -> Option<&dyn RandomRead> {
        match &self.inner {
            Inner::Random(..) => Some(self),
            Inner::InOrder(_) => None,
        }
    }
}

impl RandomRead for DecryptedSource<'_> {
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
        match &self.inner {
            Inner::Random(size, _, stream) => read_at(stream, *size, buffer, first),
            Inner::InOrder(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// A place in a source that can be read in any order.
struct Place<'a> {
    source: Box<dyn SharedSource + 'a>,
    position: u64,
}

impl Read for Place<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let random = self.source.random().ok_or(io::ErrorKind::Unsupported)?;
        let count = random.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Place<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let size = self.source.size().unwrap_or(0);
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
