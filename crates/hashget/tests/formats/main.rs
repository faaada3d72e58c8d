//! Package readers through their public face: every format in every compression, archives of other
//! programs, damaged and hostile ones.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests too")]

mod apk_version_3;
mod ar;
mod attacks;
mod codecs;
mod collect;
#[path = "../conformance/format.rs"]
mod conformance;
mod cpio;
mod foreign;
mod frozen_packages;
mod hostile;
mod hostile_tar;
mod iso9660;
mod mutated;
mod nested;
mod other_packages;
mod packages;
mod rpm;
mod sparse;
