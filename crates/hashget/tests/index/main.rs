//! The index stage through its public interface: one package, and all that a tree is made of.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

mod belief;
#[path = "../conformance/hashdb.rs"]
mod conformance;
mod digests;
mod known;
mod lists;
mod one_package;
mod parts;
mod questions;
mod registry;
mod whole_tree;

#[test]
fn the_hashdb_of_these_tests_conforms() {
    conformance::check_writing(&parts::MemoryDb::default());
}
