//! Test parts.

pub mod origin;
pub mod packages;
pub mod small_disk;
