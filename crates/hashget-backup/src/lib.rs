//! Backups that run by themselves: where archives are kept, what they are called, and which of them are kept.
//! `docs/backup.md` is the contract.
//!
//! Invariant: nothing in a destination has the name of an archive before it is complete there and was compared with what
//! was sent.

pub mod audits;
pub mod chain;
pub mod due;
pub mod encryption;
pub mod gone;
pub mod growth;
pub mod inventory;
pub mod job;
pub mod manifest_copy;
mod newest;
pub mod notices;
pub mod parity_audits;
pub mod record;
pub mod retention;
pub mod run;
pub mod series;
pub mod shell;
pub mod status;
pub mod store;
