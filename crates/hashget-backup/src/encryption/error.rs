//! Why something could not be encrypted or decrypted.
//!
//! Invariant: no message has a secret in it, not even one that was given in the wrong place.

use hashget::error::{ErrorClass, LayerError};

/// Why something could not be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// A recipient that is none.
    #[error(
        "{given:?} is no recipient: {problem}; expected age1..., ssh-ed25519 ..., ssh-rsa ..., a file with one in each line, passphrase:FILE, or exec:COMMAND"
    )]
    NotARecipient {
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An identity was given as recipient.
    #[error(
        "an identity, which is secret, was given as a recipient{place}: recipients are public (age-keygen -y FILE and ssh-keygen -y -f FILE print them)"
    )]
    Secret {
        /// Where, if in a file.
        place: String,
    },
    /// There are no recipients.
    #[error("there is no recipient in {place}")]
    NoRecipients {
        /// Where they were looked for.
        place: String,
    },
    /// A passphrase or a command was given with something else.
    #[error(
        "a passphrase is the only recipient of an archive, and so is a command: give nothing else with it"
    )]
    NotAlone,
    /// A file has no passphrase.
    #[error("there is no passphrase in the first line of {place}")]
    NoPassphrase {
        /// The file.
        place: String,
    },
    /// This program was built without age.
    #[error("this program was built without age: use exec:COMMAND, or decrypt by the program age")]
    NotBuilt,
    /// A command that encrypts or decrypts failed.
    #[error("the command \"{command}\" ended with {status}{words}")]
    Command {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// The last line that it said, after a colon; or nothing.
        words: String,
    },
    /// A file of recipients or identities cannot be read.
    #[error("cannot read {file}: {problem}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why not.
        problem: String,
    },
    /// A file of identities has none.
    #[error(
        "{file} has no identity: {problem}; expected a file of age-keygen, or an SSH private key"
    )]
    NotAnIdentity {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The archive is encrypted, and no identity was given.
    #[error("it is encrypted to {recipients}")]
    NoIdentity {
        /// To how many recipients of which kinds.
        recipients: String,
    },
    /// It was encrypted by a command, and none that decrypts was given.
    #[error(
        "a command has encrypted it, and none that decrypts was given: --identity exec:COMMAND"
    )]
    NoCommand,
    /// No identity opens it.
    #[error("it is encrypted to {recipients}, and no identity that was given is one of them")]
    WrongIdentity {
        /// To how many recipients of which kinds.
        recipients: String,
    },
    /// A passphrase is wrong, or there is none.
    #[error("no passphrase that opens it was given")]
    WrongPassphrase,
    /// Its passphrase is protected by more work than is done.
    #[error(
        "its passphrase is protected by 2^{required} steps of work, and no more than 2^{most} are done here: decrypt it by the program age"
    )]
    TooMuchWork {
        /// The logarithm of the number of steps.
        required: u8,
        /// That of the most that are done.
        most: u8,
    },
    /// A plugin for a kind of key failed.
    #[error("the plugin for this kind of key failed: {problem}")]
    Plugin {
        /// What it said.
        problem: String,
    },
    /// What was encrypted is not what is there.
    #[error("the encrypted archive is damaged or cut off: {problem}")]
    Damaged {
        /// What was found.
        problem: String,
    },
    /// It could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl EncryptionError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotARecipient { .. }
            | Self::Secret { .. }
            | Self::NoRecipients { .. }
            | Self::NotAlone
            | Self::NoPassphrase { .. }
            | Self::NotBuilt
            | Self::NotAnIdentity { .. } => ErrorClass::BadInput,
            Self::Unreadable { .. } => ErrorClass::MissingFile,
            Self::NoIdentity { .. }
            | Self::NoCommand
            | Self::WrongIdentity { .. }
            | Self::WrongPassphrase => ErrorClass::WrongKey,
            Self::TooMuchWork { .. } | Self::Plugin { .. } | Self::Command { .. } => ErrorClass::Io,
            Self::Damaged { .. } => ErrorClass::ArchiveDamaged,
            Self::Io(error) => hashget::classify::own_class(error).unwrap_or(ErrorClass::Io),
        }
    }
}

/// Through a reader or writer of the library, and to whoever knows its classes.
impl From<EncryptionError> for std::io::Error {
    fn from(error: EncryptionError) -> Self {
        match error {
            EncryptionError::Io(error) => error,
            error => LayerError::new(error.class(), error).into(),
        }
    }
}
