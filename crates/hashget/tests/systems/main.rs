//! Systems of RPM and pacman, built after the real formats: what they are made of, where that comes from, and on what
//! evidence it is left out.
//!
//! Invariant: no test of a system needs more than loopback and what is built here.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod arch;
mod rpm;
mod system;

pub(crate) use system::System;

/// Bytes that are not quickly made smaller.
pub(crate) fn noise(seed: &str, count: usize) -> Vec<u8> {
    let digest = |number: u64| hashget::model::Digest::of(format!("{seed} {number}").as_bytes());
    (0..).flat_map(|number| digest(number).as_bytes().to_vec()).take(count).collect()
}
