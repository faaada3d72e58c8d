//! `hardware-database`: `hwdb.bin`, in which properties of devices are looked up, and which `systemd-hwdb` compiles.
//!
//! Invariant: it follows from the folders `hwdb.d` alone. It has their paths in it, so the program sees them at the top of its root.

use super::{
    Call, Parameters, ProgramError, ProgramRecipe, ProgramRun, ProgramScene, Reads, plain,
};
use crate::model::RelPath;

pub(super) struct HardwareDatabase;

/// Where the database may lie: for packages, where `lib` is a folder or a link; for this machine.
const PLACES: [&str; 3] = ["etc/udev/hwdb.bin", "lib/udev/hwdb.bin", "usr/lib/udev/hwdb.bin"];
/// Where its sources lie, besides `lib/udev/hwdb.d` if that is no link.
const SOURCES: [&str; 3] = ["etc/udev/hwdb.d", "usr/lib/udev/hwdb.d", "usr/local/lib/udev/hwdb.d"];
const UNMERGED: &str = "lib/udev";

impl ProgramRecipe for HardwareDatabase {
    fn name(&self) -> &'static str {
        "hardware-database"
    }

    fn packages(&self, _: &Parameters) -> Result<Vec<String>, ProgramError> {
        Ok(vec!["udev".to_owned()])
    }

    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun> {
        // One run makes one of them.
        let run = |path| super::run_for(self.name(), path, tree, Parameters::new());
        PLACES.into_iter().flat_map(run).collect()
    }

    fn reads(&self, _: &Parameters, outputs: &[RelPath]) -> Result<Reads, ProgramError> {
        let mut folders = SOURCES.to_vec();
        if is_unmerged(outputs) {
            folders.push("lib/udev/hwdb.d");
        }
        Ok(Reads { below: folders.into_iter().map(plain).collect(), ..Reads::default() })
    }

    fn call(&self, _: &Parameters, outputs: &[RelPath]) -> Result<Call, ProgramError> {
        let is_of_machine = outputs.iter().any(|path| super::is_below(path, b"etc"));
        let arguments: &[&str] = if is_of_machine { &["update"] } else { &["--usr", "update"] };
        Ok(Call {
            program: "bin/systemd-hwdb".to_owned(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            own_root: true,
            links: if is_unmerged(outputs) { &[] } else { super::MERGED },
            ..Call::default()
        })
    }
}

/// Is `lib` a folder of its own?
fn is_unmerged(outputs: &[RelPath]) -> bool {
    outputs.iter().any(|path| super::is_below(path, UNMERGED.as_bytes()))
}
