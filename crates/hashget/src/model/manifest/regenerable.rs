//! What a profile excludes from a backup, because a program makes it again.
//!
//! Invariant: nothing here is needed to restore the tree that was packed; it says what is not part of that tree, and why.

use serde::{Deserialize, Serialize};

use crate::model::Amount;

/// An item of a profile: files that a program makes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileItem {
    /// The name of the profile.
    pub profile: String,
    /// Which files: a pattern as of `--exclude`.
    pub pattern: String,
    /// Why they may be excluded.
    pub reason: String,
    /// The command that makes them again.
    pub command: String,
    /// Need nobody run the command for that: does the program do it when it is used next?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_itself: bool,
}

/// What an item excluded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regenerable {
    /// The item.
    #[serde(flatten)]
    pub item: ProfileItem,
    /// Regular files, each name counted.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Regenerable {
    /// How much it is.
    pub fn amount(&self) -> Amount {
        Amount { files: self.files, bytes: self.bytes }
    }
}
