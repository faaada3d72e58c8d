//! Debian systems: which packages they are made of, where those come from, and on what evidence.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod evidence;
mod owners;
mod places;
mod system;
