//! To whom archives are encrypted.
//!
//! Invariant: nothing secret is accepted, and none is ever printed.

use std::path::Path;
use std::slice::from_ref;

use age::secrecy::SecretString;
use hashget::model::escaped;

use super::super::{EncryptionError, PASSPHRASE, Person};
use super::unreadable;

/// To whom something is encrypted.
pub(in super::super) struct Recipients {
    keys: Vec<Box<dyn age::Recipient + Send>>,
}

impl Recipients {
    /// Reads recipients: keys, names of files that have one in each line, or `passphrase:FILE`.
    ///
    /// # Errors
    /// One of them is none, or there are none.
    pub(in super::super) fn of(given: &[String], person: &Person) -> Result<Self, EncryptionError> {
        let mut found = Self { keys: Vec::new() };
        for text in given {
            match text.strip_prefix(PASSPHRASE) {
                Some(file) => {
                    let passphrase = passphrase_in(Path::new(file))?;
                    found.keys.push(Box::new(age::scrypt::Recipient::new(passphrase)));
                }
                None => found.add(text, person)?,
            }
        }
        match found.keys.is_empty() {
            true => {
                Err(EncryptionError::NoRecipients { place: "the list of recipients".to_owned() })
            }
            false => Ok(found),
        }
    }

    /// The keys, as age wants them.
    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.keys.iter().map(|key| &**key as &dyn age::Recipient)
    }

    fn add(&mut self, text: &str, person: &Person) -> Result<(), EncryptionError> {
        let text = text.trim();
        if is_secret(text) {
            return Err(EncryptionError::Secret { place: String::new() });
        }
        if text.starts_with("age1") || text.starts_with("ssh-") {
            self.keys.push(key(text, person)?);
            return Ok(());
        }
        let file = Path::new(text);
        if !file.is_file() {
            return Err(wrong(text, "it is neither a key nor a file"));
        }
        let lines = read(file)?;
        let place = format!(" (in {})", file.display());
        if lines.lines().any(is_secret) {
            return Err(EncryptionError::Secret { place });
        }
        let before = self.keys.len();
        for line in
            lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            self.keys.push(key(line, person)?);
        }
        match self.keys.len() == before {
            true => Err(EncryptionError::NoRecipients { place: file.display().to_string() }),
            false => Ok(()),
        }
    }
}

/// The passphrase in the first line of a file.
pub(super) fn passphrase_in(file: &Path) -> Result<SecretString, EncryptionError> {
    let text = read(file)?;
    let place = file.display().to_string();
    let passphrase = text.lines().next().filter(|line| !line.is_empty());
    let passphrase = passphrase.ok_or(EncryptionError::NoPassphrase { place })?;
    Ok(SecretString::from(passphrase.to_owned()))
}

fn read(file: &Path) -> Result<String, EncryptionError> {
    fs_err::read_to_string(file).map_err(|error| unreadable(file, &error))
}

/// Is it an identity, or a line of one?
fn is_secret(text: &str) -> bool {
    let text = text.trim().to_ascii_uppercase();
    text.starts_with("AGE-SECRET-KEY-")
        || text.starts_with("AGE-PLUGIN-")
        || text.contains("PRIVATE KEY")
}

fn wrong(given: &str, problem: impl ToString) -> EncryptionError {
    EncryptionError::NotARecipient {
        given: escaped(given.as_bytes()),
        problem: problem.to_string(),
    }
}

/// One key.
fn key(text: &str, person: &Person) -> Result<Box<dyn age::Recipient + Send>, EncryptionError> {
    if text.starts_with("ssh-") {
        let key = text.parse::<age::ssh::Recipient>();
        return match key {
            Ok(key) => Ok(Box::new(key)),
            Err(_) => Err(wrong(text, "it is no SSH public key of a kind that age knows")),
        };
    }
    if let Ok(key) = text.parse::<age::x25519::Recipient>() {
        return Ok(Box::new(key));
    }
    if let Ok(key) = text.parse::<age::tag::Recipient>() {
        return Ok(Box::new(key));
    }
    if let Ok(key) = text.parse::<age::tagpq::Recipient>() {
        return Ok(Box::new(key));
    }
    let key = text.parse::<age::plugin::Recipient>();
    let key = key.map_err(|_| wrong(text, "it is damaged: is all of it there?"))?;
    let plugin =
        age::plugin::RecipientPluginV1::new(key.plugin(), from_ref(&key), &[], person.clone());
    match plugin {
        Ok(plugin) => Ok(Box::new(plugin)),
        Err(_) => {
            let problem = format!("the program age-plugin-{} is not installed", key.plugin());
            Err(EncryptionError::Plugin { problem: escaped(problem.as_bytes()) })
        }
    }
}
