//! Damage, full disks, calls that fail: never a panic, never a word too few, everything undamaged restored.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test that skips says so")]

mod damage;
mod nth_call;
mod pending_file;
#[path = "../round_trip/scene.rs"]
mod scene;
