//! What `--dry-run` of `unpack` and `restore` prints.
//!
//! Invariant: one line for each thing that would be done; the counts are those of the lines.

use std::path::Path;

use hashget::restore::{Action, Planned};
use serde_json::json;

use crate::output::{Console, counted, safe};

/// Every action and the words for its number.
const ACTIONS: [(Action, &str); 6] = [
    (Action::Make, "made"),
    (Action::Replace, "replaced"),
    (Action::Metadata, "given other metadata"),
    (Action::Remove, "removed"),
    (Action::Leave, "left as before"),
    (Action::Block, "not restored, since something is in the way"),
];

/// Prints what would be done.
pub(in crate::commands) fn report(
    console: &Console,
    command: &str,
    target: &Path,
    planned: &Planned,
) -> anyhow::Result<()> {
    console.in_bulk(|| {
        for step in &planned.steps {
            let action = step.action.label();
            let record = || json!({ "path": step.path, "action": action });
            console.data(|| format!("{action:8} {}", step.path), "planned", record)?;
        }
        Ok(())
    })?;
    for (path, reason) in &planned.summary.missing {
        console.record("missing", json!({ "path": path, "reason": reason }))?;
        console.detail(&format!("missing {path}: {reason}"));
    }
    let number = |action| {
        let steps = planned.steps.iter().filter(|step| step.action == action);
        u64::try_from(steps.count()).unwrap_or(u64::MAX)
    };
    let mut done: Vec<String> = Vec::new();
    let mut record = json!({
        "target": target.to_string_lossy(),
        "dry_run": true,
        "unchanged": planned.unchanged,
        "missing": planned.summary.missing.len(),
    });
    for (action, words) in ACTIONS {
        record[action.label()] = number(action).into();
        if number(action) > 0 {
            done.push(format!("{} {words}", number(action)));
        }
    }
    let target = safe(&target.display().to_string());
    let unchanged = counted(planned.unchanged, "entry", "entries");
    done.push(format!("{unchanged} already as packed"));
    let done = done.join(", ");
    let mut lines = vec![format!("Dry run, nothing was changed in {target}: {done}")];
    if !planned.summary.missing.is_empty() {
        let missing = counted(planned.summary.missing.len(), "entry", "entries");
        lines.push(format!("Incomplete: {missing} would be missing (list them with -v)"));
    }
    console.summary(command, record, &lines)?;
    Ok(())
}
