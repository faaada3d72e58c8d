//! `unpack(pack(tree)) == tree`, for odd trees and for trees that change meanwhile. (The nastiest tree and random ones:
//! `tests/needs`.)
//!
//! Invariant: trees are compared by a reader of their own (`hashget_testkit::trees`), in every attribute.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod frames;
mod in_place;
mod living;
mod odd;
mod opened;
mod profile;
mod reuse;
mod scene;
