//! Encryption by age: a sink around a sink, and a source around a source.
//!
//! Invariant: what is read was authenticated. Encrypting needs nothing secret but a passphrase, where one is the recipient.

mod identities;
mod recipients;
mod sink;
mod source;

use std::io;
use std::path::Path;

use age::secrecy::SecretString;
use hashget::wording::plain;

pub(super) use identities::Keys;
pub(super) use recipients::Recipients;
pub(super) use sink::EncryptedSink;
pub(super) use source::decrypted;

use super::{EncryptionError, Person};

/// A file of recipients or identities cannot be read.
fn unreadable(file: &Path, error: &io::Error) -> EncryptionError {
    let inner = error.get_ref().and_then(std::error::Error::source);
    let problem = inner.map_or_else(|| error.to_string(), ToString::to_string);
    EncryptionError::Unreadable { file: file.display().to_string(), problem: plain(&problem) }
}

impl age::Callbacks for Person {
    fn display_message(&self, message: &str) {
        (self.tell)(message);
    }

    fn confirm(&self, _message: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _description: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        (self.passphrase)(description).map(SecretString::from)
    }
}
