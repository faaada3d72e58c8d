//! Why a store did not do what it was asked.
//!
//! Invariant: no message has a password or a key.

use hashget::error::{ErrorClass, LayerError};
use hashget::monitor::Interrupted;

/// Why a store did not do what it was asked. `store` is what it is called in messages.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It did not answer, or the connection broke, as often as it was tried.
    #[error("{store} cannot be reached: {problem}")]
    Unreachable {
        /// The store.
        store: String,
        /// What happened last.
        problem: String,
    },
    /// It does not let us.
    #[error("{store} refused: {problem}")]
    Refused {
        /// The store.
        store: String,
        /// What it said.
        problem: String,
    },
    /// It is not there itself: no such folder, no such bucket.
    #[error("{store} does not exist: {problem}")]
    Missing {
        /// The store.
        store: String,
        /// What to do about it.
        problem: String,
    },
    /// No store has a file of this name.
    #[error("{name:?} cannot be the name of a file in a store: {problem}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no file of this name.
    #[error("{store} has no file {name}")]
    NotThere {
        /// The store.
        store: String,
        /// The file.
        name: String,
    },
    /// There is a file of this name already.
    #[error("{store} already has a file {name}: nothing is replaced")]
    Taken {
        /// The store.
        store: String,
        /// The file.
        name: String,
    },
    /// The file cannot be removed yet.
    #[error("{store} keeps {name} locked until {until}")]
    Locked {
        /// The store.
        store: String,
        /// The file.
        name: String,
        /// The time.
        until: String,
    },
    /// It has other bytes than were sent.
    #[error("{store} has {name} with {found}, expected {expected}")]
    Different {
        /// The store.
        store: String,
        /// The file.
        name: String,
        /// What was sent.
        expected: String,
        /// What is there.
        found: String,
    },
    /// It cannot do this.
    #[error("{store}: {problem}")]
    Unsupported {
        /// The store.
        store: String,
        /// What it cannot do, and what could be done instead.
        problem: String,
    },
    /// A file of this machine could not be read or written.
    #[error(transparent)]
    Local(#[from] std::io::Error),
    /// The user wants to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl StoreError {
    /// [`Self::NotThere`] of a store that is called `store` in messages.
    pub(super) fn not_there(store: &str, name: &str) -> Self {
        Self::NotThere { store: store.to_owned(), name: name.to_owned() }
    }

    /// [`Self::Taken`] of a store that is called `store` in messages.
    pub(super) fn taken(store: &str, name: &str) -> Self {
        Self::Taken { store: store.to_owned(), name: name.to_owned() }
    }

    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } => ErrorClass::Unreachable,
            Self::Refused { .. } | Self::Locked { .. } => ErrorClass::Denied,
            Self::Missing { .. } | Self::NotThere { .. } => ErrorClass::MissingFile,
            Self::BadName { .. } | Self::Taken { .. } | Self::Unsupported { .. } => {
                ErrorClass::BadInput
            }
            Self::Different { .. } => ErrorClass::WrongBytes,
            Self::Local(error) => ErrorClass::of_io(error),
            Self::Interrupted(_) => ErrorClass::Interrupted,
        }
    }
}

/// Through a reader or writer of the library.
impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Local(error) => error,
            error => LayerError::new(error.class(), error).into(),
        }
    }
}
