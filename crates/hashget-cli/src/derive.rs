//! `--derive`: which derived files are left out, and made again.
//!
//! Invariant: the option means the same wherever it is.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use hashget::derived::Derive;
use hashget::model::Amount;
use serde_json::{Map, Value, json};

use crate::output::{counted, size};

/// Which recipes are carried out.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Deriving {
    /// Which derived files to make out of packages: none, or those that hashget makes itself
    #[arg(long, value_enum, value_name = "none|pure", default_value = "pure")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    derive: Which,
}

/// A value of the option.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Which {
    None,
    #[default]
    Pure,
}

impl Deriving {
    pub(crate) fn which(&self) -> Derive {
        match self.derive {
            Which::None => Derive::None,
            Which::Pure => Derive::Pure,
        }
    }
}

/// What is derived, by recipe, for people; `None` if nothing is.
pub(crate) fn derived_text(derived: &BTreeMap<String, Amount>) -> Option<String> {
    let all: Amount = derived.values().copied().sum();
    let recipes: Vec<String> =
        derived.iter().map(|(recipe, amount)| format!("{} by {recipe}", amount.files)).collect();
    let text = || {
        let files = counted(all.files, "file", "files");
        format!("{files}, {} of that ({})", size(all.bytes), recipes.join(", "))
    };
    (all.files > 0).then(text)
}

/// What is made of pieces, for people; `None` if nothing is.
pub(crate) fn pieces_text(pieces: Amount) -> Option<String> {
    let text = || {
        let of = if pieces.files == 1 { "it" } else { "them" };
        let files = counted(pieces.files, "file", "files");
        format!("{files}, {} of {of} in packages", size(pieces.bytes))
    };
    (pieces.files > 0).then(text)
}

/// The same for programs.
pub(crate) fn amounts_record(derived: &BTreeMap<String, Amount>) -> Value {
    let record = |amount: &Amount| json!({ "files": amount.files, "bytes": amount.bytes });
    let items = derived.iter().map(|(recipe, amount)| (recipe.clone(), record(amount)));
    Value::Object(Map::from_iter(items))
}
