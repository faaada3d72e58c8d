//! Trees on a disk: built with everything that is legal, and compared with everything that counts.
//!
//! Invariant: nothing here uses the library under test; what a snapshot does not have, no test of
//! fidelity can claim.

mod make;
mod nasty;
mod snapshot;

pub use make::{
    Device, device, fifo, file, folder, hard_link, is_root, mode, mtime, owner, sparse, symlink,
    xattr,
};
pub use nasty::{Nasty, nasty};
pub use snapshot::{Node, Snapshot, differences, snapshot};
