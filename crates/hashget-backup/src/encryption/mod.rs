//! Encryption of archives by age: a sink around a sink, and a source around a source.
//!
//! Invariant: what is read was authenticated. Encrypting needs nothing secret.

mod error;
mod header;
mod identities;
mod recipients;
mod sink;
mod source;

use std::sync::Arc;

use age::secrecy::SecretString;

pub use error::EncryptionError;
pub use header::{Header, is_encrypted};
pub use identities::Identities;
pub use recipients::Recipients;
pub use sink::EncryptedSink;
pub use source::DecryptedSource;

/// Ends the name of an encrypted archive.
pub const ENDING: &str = ".age";

/// What keys may ask a person.
#[derive(Clone)]
pub struct Person {
    /// Shows a message.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
    /// Asks for a passphrase, for this purpose; `None` if nobody answers.
    pub passphrase: Arc<dyn Fn(&str) -> Option<String> + Send + Sync>,
}

impl Person {
    /// Nobody, who answers nothing.
    pub fn nobody() -> Self {
        Self { tell: Arc::new(|_| ()), passphrase: Arc::new(|_| None) }
    }
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
