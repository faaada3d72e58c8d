//! `settings-schemas`: the file in which programs look up what settings they have, which `glib-compile-schemas` compiles.
//!
//! Invariant: it follows from the other files of its folder alone.

use super::{
    Call, Parameters, ProgramError, ProgramRecipe, ProgramRun, ProgramScene, Reads, plain,
};
use crate::model::RelPath;

pub(super) struct SettingsSchemas;

const FOLDER: &str = "usr/share/glib-2.0/schemas";
const COMPILED: &str = "usr/share/glib-2.0/schemas/gschemas.compiled";

impl ProgramRecipe for SettingsSchemas {
    fn name(&self) -> &'static str {
        "settings-schemas"
    }

    fn packages(&self, _: &Parameters) -> Result<Vec<String>, ProgramError> {
        // The library itself calls it. Its name has an end since times have 64 bits on all processors.
        Ok(["libglib2.0-0t64", "libglib2.0-0"].map(str::to_owned).to_vec())
    }

    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun> {
        super::run_for(self.name(), COMPILED, tree, Parameters::new())
    }

    fn reads(&self, _: &Parameters, _: &[RelPath]) -> Result<Reads, ProgramError> {
        Ok(Reads { below: vec![plain(FOLDER)], ..Reads::default() })
    }

    fn call(&self, _: &Parameters, _: &[RelPath]) -> Result<Call, ProgramError> {
        let program = format!("lib/{}/glib-2.0/glib-compile-schemas", super::workshop::triplet());
        Ok(Call { program, arguments: vec![FOLDER.to_owned()], ..Call::default() })
    }
}
