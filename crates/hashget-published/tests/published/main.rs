//! Publishing and reading back, through the public interface.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod scene;

mod layers;
mod lies;
mod reading;
mod signed;
mod vectors;
