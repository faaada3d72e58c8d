//! The server through its routes.
//!
//! Invariant: tests ask as clients do; only tokens and files that an owner would make are made beside the server.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod access;
mod bad_input;
mod files;
mod lookup;
mod package;
mod python;
mod submissions;
#[path = "../support/mod.rs"]
mod support;
