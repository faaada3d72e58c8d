//! Damage and full disks: never a panic, never a word too few, everything undamaged restored.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod disk;
#[path = "../round_trip/scene.rs"]
mod scene;
