//! The restore stage: whole trees brought back, through the public interface alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod fidelity;
mod hostile;
mod hosts;
mod on_disk;
mod parts;
mod support;
mod trouble;
mod version_one;
