//! The published HashDB: what is inside public packages, told to many machines by static, signed files.
//!
//! Invariant: no byte of a published folder is parsed before its digest is proven, up to a checkpoint that a key of the
//! reader's signed (`docs/format-index.md`); the blocks of a filter are the one exception, and they only ever say where to look.

mod checkpoint;
pub mod client;
mod error;
mod facts;
mod files;
mod key;
mod log;
mod manifest;
mod note;
mod proven;
pub mod publish;
mod record;
mod statement;
mod table;

pub use checkpoint::Checkpoint;
pub use error::PublishedError;
pub use facts::{Facts, FactsOfOne, FileFacts};
pub use files::{Counter, Files, Folder, OnWeb, Traffic, check_part, too_long};
pub use key::{BadKey, PublicKey, SigningKey};
pub use log::Log;
pub use manifest::{Collection, Layer, Manifest, Table};
pub use note::{BadNote, Note};
pub use proven::{Edition, Memory, Remembered};
pub use record::PublishedRecord;
pub use statement::{BadStatement, Statement};
#[doc(hidden)]
pub use table::read_unproven;
