//! STAGE 2
//!
//! Invariant: x
