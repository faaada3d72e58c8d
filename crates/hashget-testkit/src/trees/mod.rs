//! Trees on a disk: built with everything that is legal, compared in every attribute.
//!
//! Invariant: nothing here uses the library under test. A test can claim fidelity only for what a snapshot contains.

mod make;
mod nasty;
mod snapshot;

pub use make::{
    Device, device, fifo, file, folder, hard_link, is_root, mode, mtime, owner, sparse, symlink,
    xattr,
};
pub use nasty::{Nasty, nasty};
pub use snapshot::{Node, Snapshot, differences, snapshot};
