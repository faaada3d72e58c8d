//! `journal-catalog`: the database of explanations of journal entries, which `journalctl` compiles.
//!
//! Invariant: it follows from the folders of catalogs alone.

use super::{
    Call, Parameters, ProgramError, ProgramRecipe, ProgramRun, ProgramScene, Reads, plain,
};
use crate::model::RelPath;

pub(super) struct JournalCatalog;

const DATABASE: &str = "var/lib/systemd/catalog/database";
const SOURCES: [&str; 2] = ["usr/lib/systemd/catalog", "usr/local/lib/systemd/catalog"];

impl ProgramRecipe for JournalCatalog {
    fn name(&self) -> &'static str {
        "journal-catalog"
    }

    fn packages(&self, _: &Parameters) -> Result<Vec<String>, ProgramError> {
        Ok(vec!["systemd".to_owned()])
    }

    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun> {
        super::run_for(self.name(), DATABASE, tree, Parameters::new())
    }

    fn reads(&self, _: &Parameters, _: &[RelPath]) -> Result<Reads, ProgramError> {
        Ok(Reads { below: SOURCES.into_iter().map(plain).collect(), ..Reads::default() })
    }

    fn call(&self, _: &Parameters, _: &[RelPath]) -> Result<Call, ProgramError> {
        let arguments = ["--root=.", "--update-catalog"].map(str::to_owned).to_vec();
        Ok(Call { program: "bin/journalctl".to_owned(), arguments, ..Call::default() })
    }
}
