//! `mime-database`: what `update-mime-database` writes of the types of files that packages describe.
//!
//! Invariant: it follows from the folder `packages` alone.

use super::{
    Call, Parameters, ProgramError, ProgramRecipe, ProgramRun, ProgramScene, Reads, is_below, plain,
};
use crate::model::RelPath;

pub(super) struct MimeDatabase;

const FOLDER: &str = "usr/share/mime";
/// What it reads of that.
const PACKAGES: &str = "usr/share/mime/packages";

impl ProgramRecipe for MimeDatabase {
    fn name(&self) -> &'static str {
        "mime-database"
    }

    fn packages(&self, _: &Parameters) -> Result<Vec<String>, ProgramError> {
        Ok(vec!["shared-mime-info".to_owned()])
    }

    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun> {
        let is_made = |path: &&RelPath| {
            is_below(path, FOLDER.as_bytes()) && !is_below(path, PACKAGES.as_bytes())
        };
        let wanted = tree.wanted();
        let outputs: Vec<RelPath> =
            wanted.iter().map(|entry| &entry.path).filter(is_made).cloned().collect();
        let run = ProgramRun { recipe: self.name(), parameters: Parameters::new(), outputs };
        if run.outputs.is_empty() { Vec::new() } else { vec![run] }
    }

    fn reads(&self, _: &Parameters, _: &[RelPath]) -> Result<Reads, ProgramError> {
        Ok(Reads { below: vec![plain(PACKAGES)], ..Reads::default() })
    }

    fn call(&self, _: &Parameters, _: &[RelPath]) -> Result<Call, ProgramError> {
        let (program, arguments) = ("bin/update-mime-database".to_owned(), vec![FOLDER.to_owned()]);
        Ok(Call { program, arguments, ..Call::default() })
    }
}
