//! Publishing and reading back, through the public interface.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../../hashget/tests/conformance/hashdb.rs"]
#[allow(dead_code, reason = "it has a suite for writing, too")]
mod hashdb;
mod scene;

mod files;
mod layers;
mod lies;
mod reading;
mod signed;
mod vectors;
