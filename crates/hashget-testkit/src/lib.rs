//! Test parts of hashget: a scripted HTTP origin, package builders, disks that fill up, calls that fail, nasty
//! trees, terminals, and what tests need of the machine.
//!
//! Invariant: nothing here depends on hashget, so that what it builds and checks is independent of
//! what it tests; every server listens on loopback only.

pub mod needs;
pub mod nth_call;
pub mod origin;
pub mod packages;
pub mod programs;
pub mod small_disk;
pub mod terminal;
pub mod trees;
