//! The index stage through its public interface: one package, and all that a tree is made of.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

mod one_package;
mod parts;
mod questions;
mod whole_tree;
