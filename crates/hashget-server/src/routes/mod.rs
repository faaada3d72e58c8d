//! The routes, one file for each kind of question.
//!
//! Invariant: a route decides what the request means and how it is answered; what is known comes from the library.

pub(crate) mod lookup;
pub(crate) mod operations;
pub(crate) mod packages;
pub(crate) mod page;
pub(crate) mod pool;
pub(crate) mod published;
pub(crate) mod python;
pub(crate) mod submissions;
