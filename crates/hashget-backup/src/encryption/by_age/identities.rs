//! The secrets that open archives.
//!
//! Invariant: they come from files and from a person, never from the command line.

use std::path::Path;

use age::secrecy::SecretString;

use super::super::{EncryptionError, PASSPHRASE, Person, is_encrypted};
use super::recipients::passphrase_in;
use super::unreadable;

/// What opens archives.
pub(in super::super) struct Keys {
    keys: Vec<Box<dyn age::Identity>>,
    passphrase: Option<SecretString>,
    person: Person,
}

impl Keys {
    /// Reads identities: files of age, SSH private keys, and files of age that are encrypted with a passphrase; and
    /// `passphrase:FILE`.
    ///
    /// # Errors
    /// A file cannot be read, or has none.
    pub(in super::super) fn of(files: &[&Path], person: &Person) -> Result<Self, EncryptionError> {
        let mut found = Self { keys: Vec::new(), passphrase: None, person: person.clone() };
        for file in files {
            match file.to_str().and_then(|text| text.strip_prefix(PASSPHRASE)) {
                Some(file) => found.passphrase = Some(passphrase_in(Path::new(file))?),
                None => found.keys.extend(in_file(file, person)?),
            }
        }
        Ok(found)
    }

    /// Are there no keys?
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys, as age wants them.
    pub(super) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| &**key)
    }

    /// A passphrase for what is encrypted with one.
    pub(super) fn passphrase(&self) -> Option<age::scrypt::Identity> {
        let asked = || {
            let answer = (self.person.passphrase)("Passphrase of the archive")?;
            Some(SecretString::from(answer))
        };
        self.passphrase.clone().or_else(asked).map(age::scrypt::Identity::new)
    }
}

fn in_file(file: &Path, person: &Person) -> Result<Vec<Box<dyn age::Identity>>, EncryptionError> {
    let name = file.display().to_string();
    let wrong = |problem: &str| EncryptionError::NotAnIdentity {
        file: name.clone(),
        problem: problem.to_owned(),
    };
    let bytes = fs_err::read(file).map_err(|error| unreadable(file, &error))?;
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
