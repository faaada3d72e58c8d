//! The secrets that open archives.
//!
//! Invariant: they come from files and from a person, never from the command line.

use std::path::{Path, PathBuf};

use super::{EncryptionError, Person, is_encrypted};

/// What opens archives.
pub struct Identities {
    keys: Vec<Box<dyn age::Identity>>,
    person: Person,
}

impl Identities {
    /// Reads identities: files of age, SSH private keys, and files of age that are encrypted with a passphrase.
    ///
    /// # Errors
    /// A file cannot be read, or has none.
    pub fn of(files: &[PathBuf], person: &Person) -> Result<Self, EncryptionError> {
        let mut keys = Vec::new();
        for file in files {
            keys.extend(in_file(file, person)?);
        }
        Ok(Self { keys, person: person.clone() })
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, as age wants them.
    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| &**key)
    }

    /// A passphrase for what is encrypted with one.
    pub(super) fn passphrase(&self) -> Option<age::scrypt::Identity> {
        let passphrase = (self.person.passphrase)("Passphrase of the archive")?;
        Some(age::scrypt::Identity::new(age::secrecy::SecretString::from(passphrase)))
    }
}

fn in_file(file: &Path, person: &Person) -> Result<Vec<Box<dyn age::Identity>>, EncryptionError> {
    let name = file.display().to_string();
    let wrong = |problem: &str| EncryptionError::NotAnIdentity {
        file: name.clone(),
        problem: problem.to_owned(),
    };
    let bytes = fs_err::read(file).map_err(|error| EncryptionError::Unreadable {
        file: name.clone(),
        problem: hashget::wording::plain(&error.kind().to_string()),
    })?;
    if is_encrypted(&bytes) {
        let bytes = std::io::Cursor::new(bytes);
        let found =
            age::encrypted::Identity::from_buffer(bytes, Some(name.clone()), person.clone(), None);
        let found = found.map_err(|_| wrong("it is damaged"))?;
        let found = found.ok_or_else(|| wrong("it is encrypted, but not with a passphrase"))?;
        return Ok(vec![Box::new(found)]);
    }
    if bytes.starts_with(b"-----BEGIN ") {
        let found = age::ssh::Identity::from_buffer(&bytes[..], Some(name.clone()));
        let found = found.map_err(|_| wrong("it is no SSH private key"))?;
        if matches!(found, age::ssh::Identity::Unsupported(_)) {
            return Err(wrong("its kind of SSH key cannot decrypt: ssh-ed25519 and ssh-rsa can"));
        }
        return Ok(vec![Box::new(found.with_callbacks(person.clone()))]);
    }
    let found =
        age::IdentityFile::from_buffer(&bytes[..]).map_err(|_| wrong("it has other lines"))?;
    let found = found.with_callbacks(person.clone()).into_identities().map_err(|_| {
        EncryptionError::Plugin { problem: format!("a program that {name} needs is not installed") }
    })?;
    if found.is_empty() {
        return Err(wrong("it is empty"));
    }
    Ok(found.into_iter().map(|key| key as Box<dyn age::Identity>).collect())
}
