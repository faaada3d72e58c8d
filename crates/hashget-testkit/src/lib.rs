//! Test parts.

pub mod packages;
