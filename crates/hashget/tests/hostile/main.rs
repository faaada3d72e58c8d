//! Hostile archives and manifests: `testdata/hostile/archives` and `testdata/hostile/manifests`, one attack
//! each, named after it. (Hostile packages: `tests/formats/attacks.rs`.)
//!
//! `HASHGET_WRITE_TESTDATA=1` writes them anew. Invariant: whatever is unpacked, nothing beside the target
//! changes, nothing panics, and no message holds a byte that could move a terminal.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::too_many_lines, reason = "the tables of attacks")]

mod archives;
mod arena;
mod manifests;
