//! hashget: backups that hold only what the world does not already have.
//!
//! The library has three stages, each a folder whose `mod.rs` reads as its story:
//!
//! * [`index`] — what is inside this package? Fetch it, read its members, record them in the HashDB.
//! * [`pack`] — what can be left out of a backup of this tree? Scan, match, plan, write.
//! * [`restore`] — bring it back: read the manifest, fetch the packages, place every file, prove it.
//!
//! They stand on [`formats`] (package readers), [`detectors`] (which packages is this tree made of?),
//! [`hashdb`] (what is known), [`fetch`] (a URL and a digest become proven bytes), [`tree`] (walking)
//! and [`model`] (the shared nouns). Nothing here touches the terminal, the environment or the home
//! directory: a program passes those in.

pub mod codec;
pub mod detectors;
pub mod fetch;
pub mod formats;
pub mod hashdb;
pub mod index;
pub mod limits;
pub mod model;
pub mod monitor;
pub mod pack;
pub mod restore;
pub mod survey;
pub mod tree;
