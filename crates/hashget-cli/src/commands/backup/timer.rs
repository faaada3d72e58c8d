//! `hashget backup --enable` and `--disable`: systemd runs a job by its schedule.
//!
//! Invariant: only units called `hashget-backup-JOB` and `hashget-backup-failed@` are written or removed.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use hashget::pending_file::PendingFile;
use hashget_backup::due::daily_time;
use hashget_backup::job::Job;
use hashget_backup::notices::{MOTD, TELL_OF_FAILURE, take_back};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;

/// Where systemd runs.
const SYSTEMD: &str = "/run/systemd/system";

/// The unit that tells of the failure of the job after the `@`.
const FAILED: &str = "hashget-backup-failed@.service";

/// Who may read a unit.
const MODE: u32 = 0o644;

/// Lets systemd run the jobs that have a schedule.
pub(super) fn enable(jobs: &[Job], environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    let scheduled: Vec<&Job> = jobs.iter().filter(|job| job.schedule.is_some()).collect();
    if scheduled.is_empty() {
        let wrong =
            "no job has a schedule: write one into the configuration, such as schedule = \"02:30\"";
        return Err(UsageError(wrong.to_owned()).into());
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut enabled = Vec::new();
    for job in &scheduled {
        let schedule = job.schedule.as_deref().unwrap_or_default();
        if !Path::new(SYSTEMD).exists() {
            let line = cron_line(job, schedule, &program, environment.given_config().as_deref())?;
            let record = || json!({ "job": job.name, "line": line });
            console.data(|| line.clone(), "cron", record)?;
            continue;
        }
        let folder = environment.systemd_units()?;
        fs_err::create_dir_all(&folder)?;
        write(&folder.join(service_name(&job.name)), &service(job, &program, environment))?;
        write(&folder.join(timer_name(&job.name)), &timer(job, schedule))?;
        if environment.is_root() {
            write(&folder.join(FAILED), &failed())?;
        }
        enabled.push(job.name.clone());
    }
    if !enabled.is_empty() {
        systemctl(environment, &["daemon-reload"])?;
        for name in &enabled {
            systemctl(environment, &["enable", "--now", &timer_name(name)])?;
        }
    }
    let lines: Vec<String> = match enabled.is_empty() {
        true => vec!["There is no systemd here: add the lines above to a table of cron".to_owned()],
        false => enabled.iter().map(|name| format!("Enabled {}", timer_name(name))).collect(),
    };
    console.summary("backup --enable", json!({ "enabled": enabled }), &lines)?;
    Ok(())
}

/// Does not let systemd run the jobs any more.
pub(super) fn disable(jobs: &[Job], environment: &Environment<'_>) -> anyhow::Result<()> {
    let folder = environment.systemd_units()?;
    let mut disabled = Vec::new();
    for job in jobs {
        let timer = folder.join(timer_name(&job.name));
        if !timer.exists() {
            continue;
        }
        systemctl(environment, &["disable", "--now", &timer_name(&job.name)])?;
        fs_err::remove_file(&timer)?;
        let service = folder.join(service_name(&job.name));
        if service.exists() {
            fs_err::remove_file(service)?;
        }
        if environment.is_root() {
            take_back(Path::new(MOTD), &job.name)?;
        }
        disabled.push(job.name.clone());
    }
    if !disabled.is_empty() {
        remove_unused(&folder)?;
        systemctl(environment, &["daemon-reload"])?;
    }
    let lines: Vec<String> = match disabled.is_empty() {
        true => vec!["No timer of these jobs was enabled".to_owned()],
        false => disabled.iter().map(|name| format!("Disabled {}", timer_name(name))).collect(),
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

fn service_name(job: &str) -> String {
    format!("hashget-backup-{job}.service")
}

fn timer_name(job: &str) -> String {
    format!("hashget-backup-{job}.timer")
}

/// A word of a command of systemd.
fn quoted(word: &str) -> String {
    let escaped =
        word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let escaped = escaped.replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// The service that runs a job.
fn service(job: &Job, program: &Path, environment: &Environment<'_>) -> String {
    let configuration = match environment.given_config() {
        Some(file) => format!(" --config {}", quoted(&file.to_string_lossy())),
        None => String::new(),
    };
    let on_failure = match environment.is_root() {
        true => format!("OnFailure={}\n", FAILED.replace('@', &format!("@{}", job.name))),
        // What is shown at logins belongs to root.
        false => String::new(),
    };
    format!(
        "# Written by `hashget backup --enable {name}`.\n\
         [Unit]\n\
         Description=Backup with hashget: {name}\n\
         {on_failure}\
         Documentation=man:hashget-backup(1)\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={program} backup {name}{configuration}\n\
         # There is an archive: it lacks something (3), or is larger than necessary or not everywhere (5). The journal says what.\n\
         SuccessExitStatus=3 5\n\
         Nice=10\n\
         IOSchedulingClass=idle\n",
        name = job.name,
        program = quoted(&program.to_string_lossy()),
    )
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
         ExecStart=/bin/sh -c {script} sh %i {service} {MOTD}\n",
        script = quoted(TELL_OF_FAILURE),
        service = service_name("%i"),
    )
}

/// The timer of a job.
fn timer(job: &Job, schedule: &str) -> String {
    let calendar = match daily_time(schedule) {
        Some(time) => format!("*-*-* {:02}:{:02}:00", time.hour(), time.minute()),
        None => schedule.to_owned(),
    };
    format!(
        "# Written by `hashget backup --enable {name}`.\n\
         [Unit]\n\
         Description=Backup with hashget: {name}\n\
         \n\
         [Timer]\n\
         OnCalendar={calendar}\n\
         RandomizedDelaySec=30min\n\
         # A night that was missed is made up for when the machine is on again.\n\
         Persistent=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        name = job.name,
    )
}

/// The line for cron.
fn cron_line(
    job: &Job,
    schedule: &str,
    program: &Path,
    configuration: Option<&Path>,
) -> anyhow::Result<String> {
    let Some(time) = daily_time(schedule) else {
        let wrong = format!(
            "the job {}: cron does not know the schedule \"{schedule}\": expected a time of the day, such as 02:30",
            job.name
        );
        return Err(UsageError(wrong).into());
    };
    let configuration =
        configuration.map(|file| format!(" --config '{}'", file.display())).unwrap_or_default();
    let (minute, hour, program) = (time.minute(), time.hour(), program.display());
    Ok(format!("{minute} {hour} * * * {program} -q backup {}{configuration}", job.name))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut pending = PendingFile::create(path, MODE)?;
    pending.write_all(text.as_bytes())?;
    Ok(pending.commit(path)?)
}

/// Runs systemctl, of the system or of the user.
fn systemctl(environment: &Environment<'_>, words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("systemctl");
    if !environment.is_root() {
        command.arg("--user");
    }
    let output = command.args(words).output().context("cannot run systemctl")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("systemctl {} failed: {}", words.join(" "), said.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn job(schedule: &str) -> Job {
        let text =
            format!("[backup.a]\nsources = [\"/\"]\nto = [\"/srv\"]\nschedule = \"{schedule}\"\n");
        Config::check(&text, Path::new("/etc/x.toml")).unwrap().jobs("h").remove(0)
    }

    #[test]
    fn a_time_of_the_day_is_an_expression_of_systemd_and_a_line_of_cron() {
        let daily = job("2:05");
        assert!(timer(&daily, "2:05").contains("OnCalendar=*-*-* 02:05:00\n"));
        let line = cron_line(&daily, "2:05", Path::new("/usr/bin/hashget"), None).unwrap();
        assert_eq!(line, "5 2 * * * /usr/bin/hashget -q backup a");
        let weekly = job("Mon 02:30");
        assert!(timer(&weekly, "Mon 02:30").contains("OnCalendar=Mon 02:30\n"));
        let error = cron_line(&weekly, "Mon 02:30", Path::new("x"), None).unwrap_err().to_string();
        assert!(error.contains("cron does not know"), "{error}");
    }

    #[test]
    fn words_of_commands_are_quoted() {
        assert_eq!(quoted("/a b/%h$x\"\\"), "\"/a b/%%h$$x\\\"\\\\\"");
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
    }

    #[test]
    fn the_service_that_tells_of_failures_is_one_line_for_a_shell() {
        let unit = failed();
        let line = unit.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert!(line.ends_with("\" sh %i hashget-backup-%i.service /run/motd.d"), "{line}");
        assert_eq!(unit.lines().count(), 8);
    }
}
