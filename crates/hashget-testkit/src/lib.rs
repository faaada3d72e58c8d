//! Building blocks for tests of hashget: a scripted HTTP origin, public archives, package builders, full disks, failing system calls,
//! nasty trees, trees in turmoil, terminals, and tests with needs.
//!
//! Invariant: nothing here depends on hashget, so that builders and checks are independent of the code under test.
//! Servers listen on loopback only.

mod listener;
pub mod needs;
pub mod nth_call;
pub mod object_store;
pub mod odd_folder;
pub mod origin;
pub mod packages;
pub mod programs;
pub mod public_archives;
pub mod registry;
pub mod small_disk;
pub mod terminal;
pub mod trees;
pub mod turmoil;
pub mod weed;
