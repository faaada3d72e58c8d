//! Damage, full disks, calls that fail: never a panic, never a word too few, everything undamaged restored.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod nth_call;
#[path = "../round_trip/scene.rs"]
mod scene;
