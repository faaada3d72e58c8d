//! `unpack(pack(tree)) == tree`, for the nastiest tree that can be made, for random ones with random
//! packages, and for trees that change meanwhile.
//!
//! Invariant: trees are compared by a reader of their own (`hashget_testkit::trees`), in every attribute.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod living;
mod odd;
mod random;
mod scene;
