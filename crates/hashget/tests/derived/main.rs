//! Derived files: what recipes make out of packages is left out, and comes back exactly; what is wrong costs one file.
//!
//! Invariant: what the tree has was made here, by rules of their own, never by the recipes that are tried.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod program_recipes;
mod programs;
mod properties;
mod recipes;
#[path = "../round_trip/scene.rs"]
mod scene;
mod trees;
#[path = "../round_trip/with_programs.rs"]
mod with_programs;
