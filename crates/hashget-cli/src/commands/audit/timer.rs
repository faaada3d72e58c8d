//! `hashget audit --enable` and `--disable`: systemd audits all jobs by the schedule of `[audit]`.
//!
//! Invariant: only units called `hashget-audit` are written or removed.

use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::timers::{self, Timed};

/// The name of the units, without ending.
const NAME: &str = "hashget-audit";

/// Lets systemd audit the jobs.
pub(super) fn enable(environment: &Environment<'_>) -> anyhow::Result<()> {
    let audit = environment.config.audit.as_ref();
    let Some(schedule) = audit.and_then(|audit| audit.schedule.as_deref()) else {
        let wrong = "audits have no schedule: write one into the table [audit] of the configuration, such as schedule = \"04:00\"";
        return Err(UsageError(wrong.to_owned()).into());
    };
    super::jobs(&[], environment)?;
    let enabled = timers::enable(&[timed(schedule)], environment)?;
    let lines = timers::enabled(&enabled);
    environment.console.summary(
        "audit --enable",
        json!({ "enabled": !enabled.is_empty() }),
        &lines,
    )?;
    Ok(())
}

/// Does not let systemd audit the jobs any more.
pub(super) fn disable(environment: &Environment<'_>) -> anyhow::Result<()> {
    let is_disabled = timers::disable(NAME, environment)?;
    if is_disabled {
        timers::reload(environment)?;
    }
    let line = match is_disabled {
        true => format!("Disabled {NAME}.timer"),
        false => "No timer of audits was enabled".to_owned(),
    };
    environment.console.summary("audit --disable", json!({ "disabled": is_disabled }), &[line])?;
    Ok(())
}

/// How the jobs are audited by a schedule.
fn timed(schedule: &str) -> Timed<'_> {
    Timed {
        name: NAME.to_owned(),
        job: None,
        written_by: "audit --enable".to_owned(),
        description: "Audit of backups with hashget".to_owned(),
        manual: "hashget-audit",
        words: "audit".to_owned(),
        schedule,
        success: (
            "3",
            "Something is at risk (3); if something is lost (4), the service has failed. The journal says what.",
        ),
        on_failure: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_a_failure_of_the_service() {
        let unit = timed("04:00").service("/usr/bin/hashget".as_ref(), None);
        assert!(unit.contains("\nExecStart=\"/usr/bin/hashget\" audit\n"), "{unit}");
        assert!(unit.contains("\nSuccessExitStatus=3\n"), "{unit}");
    }
}
