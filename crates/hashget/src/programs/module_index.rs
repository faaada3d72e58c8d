//! `module-index`: the files `modules.*` in which the kernel's modules are looked up, which `depmod` writes.
//!
//! Invariant: they follow from the other files of the folder of that version alone.

use std::collections::BTreeMap;

use super::{
    Call, Parameters, ProgramError, ProgramRecipe, ProgramRun, ProgramScene, Reads, folder,
};
use crate::model::RelPath;

pub(super) struct ModuleIndex;

/// Where the folders of versions lie.
const FOLDERS: [&str; 2] = ["lib/modules", "usr/lib/modules"];

impl ProgramRecipe for ModuleIndex {
    fn name(&self) -> &'static str {
        "module-index"
    }

    fn packages(&self, _: &Parameters) -> Result<Vec<String>, ProgramError> {
        Ok(vec!["kmod".to_owned()])
    }

    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun> {
        let mut by_folder: BTreeMap<RelPath, Vec<RelPath>> = BTreeMap::new();
        for entry in tree.wanted() {
            let (Some(folder), name) = (entry.path.parent(), entry.path.file_name()) else {
                continue;
            };
            let is_of_version = folder.parent().is_some_and(|above| {
                FOLDERS.iter().any(|known| above.as_bytes() == known.as_bytes())
            });
            if is_of_version && name.starts_with(b"modules.") {
                by_folder.entry(folder).or_default().push(entry.path.clone());
            }
        }
        let run = |(folder, outputs): (RelPath, Vec<RelPath>)| {
            let folder = std::str::from_utf8(folder.as_bytes()).ok()?.to_owned();
            let parameters = Parameters::from([("folder".to_owned(), folder)]);
            Some(ProgramRun { recipe: self.name(), parameters, outputs })
        };
        by_folder.into_iter().filter_map(run).collect()
    }

    fn reads(&self, parameters: &Parameters, _: &[RelPath]) -> Result<Reads, ProgramError> {
        Ok(Reads { below: vec![folder(parameters)?], ..Reads::default() })
    }

    fn call(&self, parameters: &Parameters, _: &[RelPath]) -> Result<Call, ProgramError> {
        let folder = folder(parameters)?;
        let version = FOLDERS.iter().find_map(|known| {
            let rest = folder.as_bytes().strip_prefix(known.as_bytes())?.strip_prefix(b"/")?;
            let is_plain = !rest.contains(&b'/') && !rest.starts_with(b"-");
            std::str::from_utf8(rest).ok().filter(|_| is_plain)
        });
        let Some(version) = version else {
            let problem = "is no folder of a kernel's modules";
            return Err(ProgramError::Parameter { parameter: "folder", problem });
        };
        let is_merged = folder.as_bytes().starts_with(b"usr/");
        // The folder of configuration has none.
        let arguments = ["-b", ".", "-C", ".", version].map(str::to_owned).to_vec();
        Ok(Call {
            program: "bin/kmod".to_owned(),
            called: Some("depmod"),
            arguments,
            links: if is_merged { super::MERGED } else { &[] },
            ..Call::default()
        })
    }
}
