//! Archives in buckets and on other machines, and what opens encrypted ones.
//!
//! Invariant: the only place of the program that knows stores and keys. Nothing secret comes from the command line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hashget::fetch::OriginOptions;
use hashget::storage::ArchiveSource;
#[cfg(feature = "age")]
use hashget_backup::encryption::{DecryptedSource, Identities, Person};
use hashget_backup::store::{Address, Store, StoreError, StoreSettings, open_store};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::environment::Environment;
use crate::exit::UsageError;

/// The store and the name of a file in one, if the text is such an address.
pub(crate) fn file_in_store(text: &Path) -> Result<Option<(Address, String)>, UsageError> {
    let Some(text) = text.to_str() else { return Ok(None) };
    Address::of_file(text).map_err(|error| UsageError(error.to_string()))
}

/// Is it the address of a file in a store?
pub(crate) fn is_in_store(text: &Path) -> bool {
    text.to_str().is_some_and(|text| text.starts_with("s3://") || text.starts_with("sftp://"))
}

impl Environment<'_> {
    /// Opens a store, which is kept until the command ends.
    pub(crate) fn store(&self, address: &Address) -> anyhow::Result<&dyn Store> {
        let network = OriginOptions { proxies: self.proxies()?, ..OriginOptions::default() };
        let settings =
            StoreSettings::of_environment(self.home().as_deref(), network, |name| self.text(name));
        let store = open_store(address, &settings).map_err(classed)?;
        Ok(&**self.stores().keep(store))
    }

    /// A file of a store, to be read.
    pub(crate) fn open_in_store(
        &self,
        address: &Address,
        name: &str,
    ) -> anyhow::Result<Box<dyn ArchiveSource + '_>> {
        Ok(self.store(address)?.open(name, self.console).map_err(classed)?)
    }

    /// The archive itself, or what it decrypts to.
    #[cfg(feature = "age")]
    pub(crate) fn decrypted<'s>(
        &self,
        source: Box<dyn ArchiveSource + 's>,
    ) -> anyhow::Result<Box<dyn ArchiveSource + 's>> {
        let files: Vec<PathBuf> = match self.identity_files() {
            [] => self
                .text("HASHGET_IDENTITY")
                .filter(|file| !file.is_empty())
                .map(PathBuf::from)
                .into_iter()
                .collect(),
            files => files.to_vec(),
        };
        let identities = Identities::of(&files, &person()).map_err(std::io::Error::from)?;
        Ok(DecryptedSource::open(source, &identities).map_err(std::io::Error::from)?)
    }

    /// The archive itself: this program was built without encryption.
    #[cfg(not(feature = "age"))]
    pub(crate) fn decrypted<'s>(
        &self,
        source: Box<dyn ArchiveSource + 's>,
    ) -> anyhow::Result<Box<dyn ArchiveSource + 's>> {
        if !self.identity_files().is_empty() {
            let wrong = "this program was built without encryption: decrypt it by age first";
            return Err(UsageError(wrong.to_owned()).into());
        }
        Ok(source)
    }
}

/// The error with its class, as the rest of the program knows it.
pub(crate) fn classed(error: StoreError) -> std::io::Error {
    error.into()
}

/// Whoever sits at the terminal.
#[cfg(feature = "age")]
pub(crate) fn person() -> Person {
    let tell = |message: &str| {
        if let Ok(mut terminal) = terminal() {
            // Where nobody reads it, nobody can do what it says.
            let _ = writeln!(terminal, "{}", hashget::model::escaped(message.as_bytes()));
        }
    };
    let passphrase = |purpose: &str| ask(purpose).ok().filter(|answer| !answer.is_empty());
    Person { tell: std::sync::Arc::new(tell), passphrase: std::sync::Arc::new(passphrase) }
}

fn terminal() -> std::io::Result<File> {
    Ok(fs_err::OpenOptions::new().read(true).write(true).open("/dev/tty")?.into_parts().0)
}

/// Asks for a passphrase, which the terminal does not show.
fn ask(purpose: &str) -> anyhow::Result<String> {
    let mut terminal = terminal().context("there is no terminal to ask for a passphrase")?;
    write!(terminal, "{}: ", hashget::model::escaped(purpose.as_bytes()))?;
    let before = tcgetattr(&terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let mut answer = String::new();
    let read = BufReader::new(&terminal).read_line(&mut answer);
    tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    writeln!(terminal)?;
    read?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}
