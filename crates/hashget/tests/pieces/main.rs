//! Files that are made of pieces of packages: what comes back, what is worth it, and what is wrong with hostile archives.
//!
//! Invariant: what an image has in it is laid down here, block by block; nothing of it is known to what is tested.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod changing;
mod encoded;
mod images;
mod lost;
mod mounted;
mod round_trips;
#[path = "../round_trip/scene.rs"]
mod scene;
#[path = "../round_trip/with_programs.rs"]
mod with_programs;
