//! Test parts.
pub mod origin;
