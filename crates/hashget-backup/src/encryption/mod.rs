//! Encryption of archives: by age, or by a command.
//!
//! Invariant: what is written without an error can be decrypted by whoever has the other half; what is read was authenticated by
//! age, or is what the command printed before it ended with 0. No secret is an argument.

#[cfg(feature = "age")]
mod by_age;
mod by_command;
mod error;
mod header;

use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashget::monitor::Monitor;
use hashget::storage::{ArchiveSink, RandomRead, SharedSource, StreamSource};

pub use error::EncryptionError;
pub use header::{Header, is_archive, is_encrypted};

use header::LONGEST;

/// Bytes from which it shows whether something is encrypted: those of a tar header.
pub const START: usize = 512;

/// Begins a recipient, or an identity, that is a command.
const COMMAND: &str = "exec:";

/// Begins a recipient, or an identity, that is a passphrase in a file.
const PASSPHRASE: &str = "passphrase:";

/// Ends the name of what a command has encrypted.
const BY_COMMAND: &str = ".enc";

/// What the name of an archive for these recipients ends with besides: nothing if there are none.
pub fn ending(recipients: &[String]) -> &'static str {
    match recipients {
        [] => "",
        [one, ..] if one.starts_with(COMMAND) => BY_COMMAND,
        _ => ".age",
    }
}

/// Asks for a passphrase, for this purpose; `None` if nobody answers.
pub type AskPassphrase = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What keys may ask a person.
#[derive(Clone)]
pub struct Person {
    /// Shows a message.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
    /// Asks for a passphrase.
    pub passphrase: AskPassphrase,
}

impl Person {
    /// Nobody, who answers nothing.
    pub fn nobody() -> Self {
        Self { tell: Arc::new(|_| ()), passphrase: Arc::new(|_| None) }
    }
}

/// To whom archives are encrypted.
pub struct Recipients {
    how: How,
}

enum How {
    Command(String),
    #[cfg(feature = "age")]
    Age(by_age::Recipients),
}

impl Recipients {
    /// Reads recipients: keys, files that have one in each line; or `passphrase:FILE`; or `exec:COMMAND`, each of which stands alone.
    ///
    /// # Errors
    /// One of them is none, or there are none.
    pub fn of(given: &[String], person: &Person) -> Result<Self, EncryptionError> {
        let alone = |kind: &str| given.iter().any(|text| text.starts_with(kind)) && given.len() > 1;
        if alone(COMMAND) || alone(PASSPHRASE) {
            return Err(EncryptionError::NotAlone);
        }
        let command = given.first().and_then(|text| text.strip_prefix(COMMAND));
        if let Some(command) = command {
            return Ok(Self { how: How::Command(expect_command(command)?) });
        }
        #[cfg(feature = "age")]
        return by_age::Recipients::of(given, person).map(|keys| Self { how: How::Age(keys) });
        #[cfg(not(feature = "age"))]
        {
            let _ = person;
            Err(EncryptionError::NotBuilt)
        }
    }

    /// A sink that encrypts what is written to it, into `inner`, to which it may write at once.
    ///
    /// # Errors
    /// A command or a plugin cannot be started, or `inner` cannot be written to.
    pub fn sink<'a>(
        &self,
        inner: Box<dyn ArchiveSink + 'a>,
        monitor: &'a dyn Monitor,
    ) -> Result<Box<dyn ArchiveSink + 'a>, EncryptionError> {
        Ok(match &self.how {
            How::Command(command) => by_command::sink(inner, command, monitor)?,
            #[cfg(feature = "age")]
            How::Age(recipients) => Box::new(by_age::EncryptedSink::new(inner, recipients)?),
        })
    }
}

fn expect_command(command: &str) -> Result<String, EncryptionError> {
    match command.trim().is_empty() {
        true => Err(EncryptionError::NotARecipient {
            given: COMMAND.to_owned(),
            problem: "there is no command".to_owned(),
        }),
        false => Ok(command.to_owned()),
    }
}

/// What opens encrypted archives.
pub struct Identities {
    command: Option<String>,
    #[cfg(feature = "age")]
    keys: by_age::Keys,
}

impl Identities {
    /// Reads identities: files of age, SSH private keys, files of age that are encrypted with a passphrase;
    /// `passphrase:FILE`; `exec:COMMAND`.
    ///
    /// # Errors
    /// A file cannot be read, or has none; there are two commands.
    pub fn of(given: &[PathBuf], person: &Person) -> Result<Self, EncryptionError> {
        let command = |path: &Path| path.to_str()?.strip_prefix(COMMAND).map(str::to_owned);
        let mut commands: Vec<String> = given.iter().filter_map(|path| command(path)).collect();
        if commands.len() > 1 {
            return Err(EncryptionError::NotAlone);
        }
        let files: Vec<&Path> =
            given.iter().filter(|path| command(path).is_none()).map(PathBuf::as_path).collect();
        let command = commands.pop().as_deref().map(expect_command).transpose()?;
        #[cfg(feature = "age")]
        return Ok(Self { command, keys: by_age::Keys::of(&files, person)? });
        #[cfg(not(feature = "age"))]
        match (files.is_empty(), person) {
            (true, _) => Ok(Self { command }),
            (false, _) => Err(EncryptionError::NotBuilt),
        }
    }

    #[cfg(feature = "age")]
    fn of_age<'a>(
        &self,
        source: Box<dyn SharedSource + 'a>,
        header: &Header,
    ) -> Result<Box<dyn SharedSource + 'a>, EncryptionError> {
        by_age::decrypted(source, &self.keys, header)
    }

    #[cfg(not(feature = "age"))]
    fn of_age<'a>(
        &self,
        _source: Box<dyn SharedSource + 'a>,
        _header: &Header,
    ) -> Result<Box<dyn SharedSource + 'a>, EncryptionError> {
        Err(EncryptionError::NotBuilt)
    }
}

/// What an encrypted source says of itself without any key; `None` if age has not encrypted it, or it cannot be read in any order.
///
/// # Errors
/// It cannot be read.
pub fn header_of(source: &dyn SharedSource) -> Result<Option<Header>, EncryptionError> {
    let Some(random) = source.random() else { return Ok(None) };
    let first = first_bytes(random, LONGEST)?;
    Ok(is_encrypted(&first).then(|| Header::of(&first)))
}

/// The first bytes, `most` of them.
fn first_bytes(random: &dyn RandomRead, most: usize) -> io::Result<Vec<u8>> {
    let mut first = vec![0; most];
    let count = random.read_at(&mut first, 0)?;
    first.truncate(count);
    Ok(first)
}

/// The source of this name itself if it is not encrypted, else what it decrypts to. Identities are asked for only if they are
/// needed.
///
/// # Errors
/// No identity opens it, or it is damaged.
pub fn decrypted<'a>(
    mut source: Box<dyn SharedSource + 'a>,
    name: &str,
    identities: impl FnOnce() -> Result<Identities, EncryptionError>,
    monitor: &'a dyn Monitor,
) -> Result<Box<dyn SharedSource + 'a>, EncryptionError> {
    // Asked once: whether a file can be read in any order is what the system says each time.
    let random = source.random().map(|random| first_bytes(random, START)).transpose()?;
    let first = match random {
        Some(first) => first,
        None => {
            let mut first = Vec::new();
            (&mut source).take(START as u64).read_to_end(&mut first)?;
            if is_encrypted(&first) {
                (&mut source).take(LONGEST as u64).read_to_end(&mut first)?;
            }
            source = Box::new(StreamSource::new(Cursor::new(first.clone()).chain(source)));
            first
        }
    };
    if is_archive(&first) {
        return Ok(source);
    }
    let identities = identities()?;
    match (is_encrypted(&first), &identities.command) {
        (true, _) => {
            let header = header_of(&*source)?.unwrap_or_else(|| Header::of(&first));
            identities.of_age(source, &header)
        }
        (false, Some(command)) => by_command::source(source, command, monitor),
        (false, None) if name.ends_with(BY_COMMAND) => Err(EncryptionError::NoCommand),
        (false, None) => Ok(source),
    }
}
