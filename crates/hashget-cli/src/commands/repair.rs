//! `hashget repair`: heals a damaged archive from the parity beside it.
//!
//! Invariant: the archive is replaced by a healed one or stays as it is; what is damaged and cannot be healed is named.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hashget::parity::{Repaired, Repairer, parity_of};
use serde_json::json;

use crate::environment::Environment;
use crate::manifest_copy;
use crate::output::{counted, size};

/// Heal a damaged archive from the parity beside it
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget repair www.tar.zst")]
pub(crate) struct Repair {
    /// Archive, beside which `pack --parity` has written FILE.par2
    #[arg(value_name = "FILE")]
    archive: PathBuf,

    /// Write the healed archive to this file, and leave the other files as they are
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Repair {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let (known, copy) = manifest_copy::known(&self.archive).unzip();
        let copy = copy.unwrap_or_else(|| parity_of(&self.archive)).display().to_string();
        let repairer = Repairer { limits: &environment.limits, jobs: environment.jobs, known };
        let repaired = repairer
            .repair(&self.archive, self.output.as_deref(), environment.console)
            .with_context(|| format!("cannot repair {}", self.archive.display()))?;
        let record = json!({
            "archive": self.archive.to_string_lossy(),
            "blocks": repaired.blocks,
            "block_bytes": repaired.block_bytes,
            "damaged_blocks": repaired.damaged,
            "recovery_blocks": repaired.recoveries,
            "healed": repaired.healed.as_deref().map(Path::to_string_lossy),
            "kept": repaired.kept.as_deref().map(Path::to_string_lossy),
            "head_was_damaged": repaired.head_was_damaged,
            "parity_was_damaged": repaired.parity_was_damaged,
            "parity_is_renewed": repaired.parity_is_renewed,
        });
        environment.console.summary("repair", record, &self.lines(&repaired, &copy))?;
        Ok(())
    }

    /// What was done; `copy` has the copy of the manifest, if there is one.
    fn lines(&self, repaired: &Repaired, copy: &str) -> Vec<String> {
        let name = self.archive.display();
        let parity = parity_of(&self.archive);
        let blocks = counted(repaired.blocks, "block", "blocks");
        let all = format!("{blocks} of {}", size(repaired.block_bytes));
        let mut lines = Vec::new();
        match &repaired.healed {
            None => lines.push(format!("{name} is whole: {all}, all as they were written")),
            Some(healed) => {
                let damaged = counted(repaired.damaged, "block was", "blocks were");
                if repaired.head_was_damaged {
                    lines.push(format!("Its manifest was damaged, and comes from {copy}"));
                }
                lines.extend(match repaired.damaged {
                    0 if repaired.head_was_damaged => None,
                    0 => Some(format!("{all}: none was damaged, but bytes were added or moved")),
                    _ => Some(format!("{damaged} damaged or missing, of {all}")),
                });
                lines.push(format!(
                    "Healed: {} is what was packed (checksum verified)",
                    healed.display()
                ));
            }
        }
        if let Some(kept) = &repaired.kept {
            lines.push(format!("The damaged archive was kept as {}", kept.display()));
        }
        if repaired.parity_is_renewed {
            lines.push(format!("{} was damaged, and was made anew", parity.display()));
        } else if repaired.parity_was_damaged {
            lines.push(format!("{} is damaged: repair without -o makes it anew", parity.display()));
        }
        lines
    }
}
