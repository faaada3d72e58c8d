//! Parity for one file: a Parity Volume Set (PAR2) that is made, read, and healed from.
//!
//! A file is cut into blocks of equal size. Recovery blocks are sums of all of them, each block multiplied by another
//! constant: as many blocks as there are recovery blocks can be computed again, whichever they are. Any program for PAR2
//! reads what is made here, and sets of single files that others made are read.
//!
//! Source: Parity Volume Set Specification 2.0, 2003-05-11.
//!
//! Invariant: whatever a set says is checked before it is used, and a healed file is what the set's checksum says. Memory
//! is bounded, however large the file is.
//!
//! ```
//! use hashget_parity::{Layout, Scanned, Set, create};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let original: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
//! let (parity, healed) = (tempfile::tempfile()?, tempfile::tempfile()?);
//! let layout = Layout::new(original.len() as u64, 5)?;
//! create(&original[..], b"numbers", &layout, &parity, 2, &|_| true)?;
//!
//! let mut damaged = original.clone();
//! damaged[5000..9000].fill(0);
//! let set = Set::read(&parity, parity.metadata()?.len())?;
//! let scanned = set.scan(&damaged[..], damaged.len() as u64, 2, &|_| true)?;
//! assert_eq!(scanned.missing(), [4, 5, 6, 7, 8]);
//! set.heal(&damaged[..], &scanned, &parity, &healed, 2, &|_| true)?;
//! # Ok(())
//! # }
//! ```

mod bits;
mod combine;
mod create;
mod error;
mod extra;
mod field;
mod heal;
mod layout;
mod matrix;
mod packet;
mod reading;
mod scan;
mod set;
mod sums;

pub use create::create;
pub use error::ParityError;
pub use extra::{MOST_EXTRA, add_extra, extra_of};
pub use layout::Layout;
pub use reading::{Proceed, ReadAt};
pub use scan::Scanned;
pub use set::Set;
