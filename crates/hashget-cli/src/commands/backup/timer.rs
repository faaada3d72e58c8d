//! `hashget backup --enable` and `--disable`: systemd runs a job by its schedule.
//!
//! Invariant: only units called `hashget-backup-JOB` and `hashget-backup-failed@` are written or removed.

use std::path::Path;

use hashget_backup::job::Job;
use hashget_backup::notices::{MOTD, TELL_OF_FAILURE, take_back};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::timers::{self, Timed, quoted};

/// The unit that tells of the failure of the job after the `@`.
const FAILED: &str = "hashget-backup-failed@.service";

/// Lets systemd run the jobs that have a schedule.
pub(super) fn enable(jobs: &[Job], environment: &Environment<'_>) -> anyhow::Result<()> {
    let timed: Vec<Timed<'_>> = jobs.iter().filter_map(|job| timed(job, environment)).collect();
    if timed.is_empty() {
        let wrong =
            "no job has a schedule: write one into the configuration, such as schedule = \"02:30\"";
        return Err(UsageError(wrong.to_owned()).into());
    }
    // A timer may run its job at once.
    if environment.is_root() && timers::has_systemd() {
        timers::write(&environment.systemd_units()?.join(FAILED), &failed())?;
    }
    let enabled = timers::enable(&timed, environment)?;
    let names: Vec<_> = match enabled.is_empty() {
        true => Vec::new(),
        false => timed.iter().filter_map(|timed| timed.job).collect(),
    };
    let lines = timers::enabled(&enabled);
    environment.console.summary("backup --enable", json!({ "enabled": names }), &lines)?;
    Ok(())
}

/// Does not let systemd run the jobs any more.
pub(super) fn disable(jobs: &[Job], environment: &Environment<'_>) -> anyhow::Result<()> {
    let mut disabled = Vec::new();
    for job in jobs {
        if !timers::disable(&unit_name(&job.name), environment)? {
            continue;
        }
        if environment.is_root() {
            take_back(Path::new(MOTD), &job.name)?;
        }
        disabled.push(job.name.clone());
    }
    if !disabled.is_empty() {
        remove_unused(&environment.systemd_units()?)?;
        timers::reload(environment)?;
    }
    let lines: Vec<String> = match disabled.is_empty() {
        true => vec!["No timer of these jobs was enabled".to_owned()],
        false => disabled.iter().map(|job| format!("Disabled {}.timer", unit_name(job))).collect(),
    };
    environment.console.summary("backup --disable", json!({ "disabled": disabled }), &lines)?;
    Ok(())
}

/// Removes the unit that tells of failures, if there is no timer of a job any more.
fn remove_unused(folder: &Path) -> anyhow::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("hashget-backup-") && name.ends_with(".timer") {
            return Ok(());
        }
    }
    match fs_err::remove_file(folder.join(FAILED)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed?),
    }
}

/// The name of the units of a job, without ending.
fn unit_name(job: &str) -> String {
    format!("hashget-backup-{job}")
}

/// How a job is run by its schedule, if it has one.
fn timed<'j>(job: &'j Job, environment: &Environment<'_>) -> Option<Timed<'j>> {
    let name = &job.name;
    // What is shown at logins belongs to root.
    let told = environment.is_root().then(|| FAILED.replace('@', &format!("@{name}")));
    Some(Timed {
        name: unit_name(name),
        job: Some(name),
        written_by: format!("backup --enable {name}"),
        description: format!("Backup with hashget: {name}"),
        manual: "hashget-backup",
        words: format!("backup {name}"),
        schedule: job.schedule.as_deref()?,
        success: (
            "3 5",
            "There is an archive: it lacks something (3), or is larger than necessary or not everywhere (5). The journal says what.",
        ),
        on_failure: told,
    })
}

/// The service that tells of the failure of another one: it needs nothing of hashget.
fn failed() -> String {
    format!(
        "# Written by `hashget backup --enable`.\n\
         [Unit]\n\
         Description=Tell of the failed backup %i\n\
         Documentation=man:hashget-backup(1)\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh -c {script} sh %i {unit}.service {MOTD}\n",
        script = quoted(TELL_OF_FAILURE),
        unit = unit_name("%i"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_that_tells_of_failures_is_one_line_for_a_shell() {
        let unit = failed();
        let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert!(line.ends_with("\" sh %i hashget-backup-%i.service /run/motd.d"), "{line}");
        assert_eq!(unit.lines().count(), 8);
    }
}
