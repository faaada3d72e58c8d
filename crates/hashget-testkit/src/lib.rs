//! Test parts.
pub mod origin;
pub mod small_disk;

pub mod packages;

