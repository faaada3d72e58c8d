//! What is left out comes back: which places `pack` relies on, and which it does not.
//!
//! Invariant: every archive here is restored on another machine, with an empty HashDB and without a cache.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod machine;
mod nights;
mod places;
mod random;
