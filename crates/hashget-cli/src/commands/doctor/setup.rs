//! What this machine has: a sound HashDB, a place for states, jobs that can be run.
//!
//! Invariant: nothing is written but a file without a name.

use std::path::Path;

use hashget::wording::one_line;
use hashget_backup::due::daily_time;
use hashget_backup::job::Job;

use super::Finding;
use crate::commands::pack::PackLine;
use crate::environment::Environment;
use crate::version::program_and_system;

/// What is this, and on what does it run?
pub(super) fn program() -> Finding {
    Finding::well("program", program_and_system())
}

/// Is the HashDB sound?
pub(super) fn hashdb(environment: &Environment<'_>) -> Finding {
    let what = "HashDB";
    let hashdb = match environment.local_hashdb() {
        Ok(hashdb) => hashdb,
        Err(error) => {
            let advice = "move it away: it is made again, and no archive needs it";
            return Finding::warning(what, format!("{error:#}"), advice);
        }
    };
    match hashdb.damages() {
        Ok(damages) if damages.is_empty() => Finding::well(what, "sound"),
        Ok(damages) => {
            let advice = "`hashget db verify` says what; move it away: it is made again";
            Finding::warning(what, damages.join("; "), advice)
        }
        Err(error) => Finding::warning(what, one_line(&error), "check the disk that it lies on"),
    }
}

/// Can states and the spool be written?
pub(super) fn state(environment: &Environment<'_>) -> Finding {
    let what = "state of backups";
    let advice = "run it as the user who runs the backups, or name another folder by `state` in the configuration";
    let folder = match environment.backup_state() {
        Ok(folder) => folder,
        Err(error) => return Finding::failure(what, error.to_string(), advice),
    };
    let shown = folder.display().to_string();
    match fs_err::create_dir_all(&folder).and_then(|()| tempfile::tempfile_in(&folder)) {
        Ok(_) => Finding::well(what, format!("{shown} can be written")),
        Err(error) => Finding::failure(what, one_line(&error), advice),
    }
}

/// Can the job be run, and is there all that it names?
pub(super) fn job(job: &Job, environment: &Environment<'_>) -> Vec<Finding> {
    let what = |of: &str| format!("job {}, {of}", job.name);
    let mut findings = Vec::new();
    let line = PackLine::of_job(job, Path::new("x.tar.zst"), &[], None);
    let line =
        line.map_err(anyhow::Error::from).and_then(|line| line.expect_recipients(environment));
    findings.push(match line {
        Ok(_) => Finding::well(what("options"), "valid"),
        Err(error) => Finding::failure(
            what("options"),
            error.to_string(),
            "correct them in the configuration",
        ),
    });
    for source in &job.sources {
        let what = what(&source.display().to_string());
        findings.push(match fs_err::metadata(source) {
            Ok(_) => Finding::well(what, "there"),
            Err(error) => {
                Finding::failure(what, one_line(&error), "mount it, or correct `sources`")
            }
        });
    }
    if let Some(schedule) = &job.schedule {
        findings.push(timer(job, schedule));
    }
    if job.notices.mail.is_some() {
        let places = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/sendmail"];
        findings.push(match places.iter().any(|place| Path::new(place).exists()) {
            true => Finding::well(what("mail"), "there is a sendmail"),
            false => Finding::warning(
                what("mail"),
                "there is no sendmail",
                "install a mail transport agent",
            ),
        });
    }
    if let Some(folder) = &job.notices.metrics {
        findings.push(match tempfile::tempfile_in(folder) {
            Ok(_) => Finding::well(what("metrics"), format!("{} can be written", folder.display())),
            Err(error) => Finding::warning(
                what("metrics"),
                error.to_string(),
                "make the folder, or correct `metrics`",
            ),
        });
    }
    findings
}

/// Does anything run the job by its schedule?
fn timer(job: &Job, schedule: &str) -> Finding {
    let what = format!("job {}, schedule", job.name);
    if !Path::new("/run/systemd/system").exists() {
        let advice = "see to it that cron has the line that `hashget backup --enable` prints";
        return Finding::warning(what, "there is no systemd to look at", advice);
    }
    let unit = format!("hashget-backup-{}.timer", job.name);
    let mut command = std::process::Command::new("systemctl");
    if !rustix::process::geteuid().is_root() {
        command.arg("--user");
    }
    let advice = format!("run `hashget backup --enable {}`", job.name);
    match command.args(["is-active", "--quiet", &unit]).status() {
        Ok(status) if status.success() => {
            let kind = if daily_time(schedule).is_some() { "every day at" } else { "by" };
            Finding::well(what, format!("{unit} runs it {kind} {schedule}"))
        }
        _ => Finding::warning(what, format!("{unit} is not active: nothing runs the job"), &advice),
    }
}
