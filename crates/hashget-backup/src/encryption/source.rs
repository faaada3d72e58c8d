//! Decrypting an archive as it is read: in order, or only the chunks that are asked for.
//!
//! Invariant: a chunk is given out only after it was authenticated. Where it can be read in any order, the end is
//! authenticated before anything else, so that a cut archive is not taken for a whole one.

use std::io::{self, BufReader, Chain, Cursor, Read, Seek, SeekFrom};
use std::sync::Mutex;

use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use hashget::storage::{ArchiveSource, RandomRead};

use super::header::LONGEST;
use super::{EncryptionError, Header, Identities, is_encrypted};

/// Bytes that are read ahead: four chunks.
const AHEAD: usize = 256 * 1024;

/// Decrypts what another source supplies.
pub struct DecryptedSource<'a> {
    inner: Inner<'a>,
}

enum Inner<'a> {
    /// Decrypted size, where reading in order stands, and the reader.
    Random(u64, u64, Mutex<StreamReader<BufReader<Place<'a>>>>),
    InOrder(StreamReader<Begun<'a>>),
}

/// A stream whose first bytes were read already.
type Begun<'a> = BufReader<Chain<Cursor<Vec<u8>>, Box<dyn ArchiveSource + 'a>>>;

/// Either the archive as it is, or the same decrypted.
pub type Opened<'a> = Box<dyn ArchiveSource + 'a>;

impl<'a> DecryptedSource<'a> {
    /// The source itself if it is not encrypted, else what it decrypts to.
    ///
    /// # Errors
    /// No identity opens it, or it is damaged.
    pub fn open(
        mut source: Box<dyn ArchiveSource + 'a>,
        identities: &Identities,
    ) -> Result<Opened<'a>, EncryptionError> {
        if let Some(random) = source.random() {
            let mut first = vec![0; LONGEST];
            let count = random.read_at(&mut first, 0)?;
            first.truncate(count);
            if !is_encrypted(&first) {
                return Ok(source);
            }
            return Self::random(source, identities, &Header::of(&first))
                .map(|opened| Box::new(opened) as _);
        }
        let mut first = vec![0; 32];
        let count = fill(&mut source, &mut first)?;
        first.truncate(count);
        if !is_encrypted(&first) {
            return Ok(Box::new(hashget::storage::StreamSource::new(
                Cursor::new(first).chain(source),
            )));
        }
        let rest = fill_more(&mut source, &mut first)?;
        let header = Header::of(&first[..rest]);
        let reader = BufReader::with_capacity(AHEAD, Cursor::new(first).chain(source));
        let stream = decrypted(reader, identities, &header)?;
        Ok(Box::new(DecryptedSource { inner: Inner::InOrder(stream) }))
    }

    fn random(
        source: Box<dyn ArchiveSource + 'a>,
        identities: &Identities,
        header: &Header,
    ) -> Result<Self, EncryptionError> {
        let reader = BufReader::with_capacity(AHEAD, Place { source, position: 0 });
        let mut stream = decrypted(reader, identities, header)?;
        let size = stream.seek(SeekFrom::End(0)).map_err(damaged)?;
        Ok(Self { inner: Inner::Random(size, 0, Mutex::new(stream)) })
    }
}

/// Fills the buffer as far as the source goes.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match source.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Reads on until the head must have come; how many bytes there are then.
fn fill_more(source: &mut dyn Read, first: &mut Vec<u8>) -> io::Result<usize> {
    source.take(LONGEST as u64).read_to_end(first)?;
    Ok(first.len())
}

fn decrypted<R: io::BufRead>(
    reader: R,
    identities: &Identities,
    header: &Header,
) -> Result<StreamReader<R>, EncryptionError> {
    let decryptor = Decryptor::new_buffered(reader).map_err(|error| of_age(error, header))?;
    if decryptor.is_scrypt() {
        let passphrase = identities.passphrase().ok_or(EncryptionError::WrongPassphrase)?;
        let keys = std::iter::once(&passphrase as &dyn age::Identity);
        return decryptor.decrypt(keys).map_err(|error| of_age(error, header));
    }
    if identities.is_empty() {
        return Err(EncryptionError::NoIdentity { recipients: header.shown() });
    }
    decryptor.decrypt(identities.keys()).map_err(|error| of_age(error, header))
}

fn of_age(error: DecryptError, header: &Header) -> EncryptionError {
    match error {
        DecryptError::NoMatchingKeys => {
            EncryptionError::WrongIdentity { recipients: header.shown() }
        }
        DecryptError::KeyDecryptionFailed => EncryptionError::WrongPassphrase,
        DecryptError::DecryptionFailed if header.recipients.contains_key("scrypt") => {
            EncryptionError::WrongPassphrase
        }
        DecryptError::Io(error) => damaged(error),
        error @ (DecryptError::Plugin(_) | DecryptError::PluginResolve(_)) => {
            EncryptionError::Plugin {
                problem: hashget::model::escaped(error.to_string().as_bytes()),
            }
        }
        error @ (DecryptError::DecryptionFailed
        | DecryptError::ExcessiveWork { .. }
        | DecryptError::InvalidHeader
        | DecryptError::InvalidMac
        | DecryptError::UnknownFormat) => EncryptionError::Damaged { problem: error.to_string() },
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
    source: Box<dyn ArchiveSource + 'a>,
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
