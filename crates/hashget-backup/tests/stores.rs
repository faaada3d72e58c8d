//! Stores that need nothing but this machine: all of them conform, and what goes wrong leaves nothing wrong behind.
//!
//! Invariant: servers listen on loopback only, and no test waits for a clock.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "stores/command.rs"]
mod command;
#[path = "conformance/store.rs"]
mod conformance;
#[path = "stores/folder.rs"]
mod folder;
#[path = "../../hashget/tests/conformance/managed_pool.rs"]
mod managed_pool;
#[path = "stores/s3.rs"]
mod s3;
#[allow(dead_code, reason = "the suite of sinks is not for stores")]
#[path = "../../hashget/tests/conformance/storage.rs"]
mod storage;
#[path = "support/clock.rs"]
mod support;
