//! `--derive`: which derived files are left out, and made again.
//!
//! Invariant: the option means the same wherever it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use hashget::derived::Derive;
use hashget::model::Amount;
use hashget::programs::Programs;
use serde_json::{Map, Value, json};

use crate::environment::Environment;
use crate::output::{counted, size};
use crate::programs::Confined;

/// Which recipes are carried out.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Deriving {
    /// Which derived files to make out of packages: none, those that hashget makes itself, or also what their programs make
    #[arg(long, value_enum, value_name = "none|pure|all", default_value = "pure")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    derive: Which,
}

/// A value of the option.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Which {
    None,
    #[default]
    Pure,
    All,
}

impl Deriving {
    pub(crate) fn which(&self) -> Derive {
        match self.derive {
            Which::None => Derive::None,
            Which::Pure => Derive::Pure,
            Which::All => Derive::All,
        }
    }

    /// What runs the programs of packages while a tree is packed, if they are to be run: those of the archives that the configuration
    /// knows.
    pub(crate) fn programs_to_pack(&self, environment: &Environment<'_>) -> Option<Programs> {
        self.programs(environment, Confined::for_packing)
    }

    /// The same while it is restored.
    pub(crate) fn programs_to_restore(&self, environment: &Environment<'_>) -> Option<Programs> {
        self.programs(environment, Confined::for_restoring)
    }

    fn programs(
        &self,
        environment: &Environment<'_>,
        confined: fn(Option<u64>) -> Confined,
    ) -> Option<Programs> {
        let archives = environment.config.archives().into_iter();
        let archives = archives.flat_map(|archive| [archive.packages, archive.repositories]);
        let programs = || {
            let runner = Arc::new(confined(environment.config.program_seconds));
            Programs { runner, archives: archives.flatten().collect() }
        };
        (self.which() == Derive::All).then(programs)
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

/// What is made of pieces, and by which encoders some of it is compressed, for people; `None` if nothing is.
pub(crate) fn pieces_text(pieces: Amount, encoded: &BTreeMap<String, Amount>) -> Option<String> {
    let text = || {
        let of = if pieces.files == 1 { "it" } else { "them" };
        let files = counted(pieces.files, "file", "files");
        let encoders: Vec<String> = encoded
            .iter()
            .map(|(encoder, amount)| format!("; {} compressed by {encoder}", amount.files))
            .collect();
        format!("{files}, {} of {of} in packages{}", size(pieces.bytes), encoders.concat())
    };
    (pieces.files > 0).then(text)
}

/// The same for programs.
pub(crate) fn amounts_record(derived: &BTreeMap<String, Amount>) -> Value {
    let record = |amount: &Amount| json!({ "files": amount.files, "bytes": amount.bytes });
    let items = derived.iter().map(|(recipe, amount)| (recipe.clone(), record(amount)));
    Value::Object(Map::from_iter(items))
}
