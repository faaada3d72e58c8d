//! Timers of systemd that run a command of this program, or lines for cron where there is no systemd.
//!
//! Invariant: only the units are written or removed whose names are passed in, all in one folder.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use hashget::pending_file::PendingFile;
use hashget_backup::due::daily_time;
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;

/// Where systemd runs.
const SYSTEMD: &str = "/run/systemd/system";

/// Who may read a unit.
const MODE: u32 = 0o644;

/// A command that runs at times.
pub(crate) struct Timed<'t> {
    /// The name of its service and its timer, without their endings.
    pub(crate) name: String,
    /// The job that it is of, if it is of one.
    pub(crate) job: Option<&'t str>,
    /// The command that writes the units, without the program.
    pub(crate) written_by: String,
    /// What it does.
    pub(crate) description: String,
    /// Its manual page.
    pub(crate) manual: &'static str,
    /// The words of the command, without the program and its options.
    pub(crate) words: String,
    /// A time of the day, or a calendar expression of systemd.
    pub(crate) schedule: &'t str,
    /// The exit codes besides 0 with which it has not failed, and why.
    pub(crate) success: (&'static str, &'static str),
    /// The unit that runs if it failed.
    pub(crate) on_failure: Option<String>,
}

/// Does systemd run this machine?
pub(crate) fn has_systemd() -> bool {
    Path::new(SYSTEMD).exists()
}

/// Writes the units and starts the timers; the names of these. Where there is no systemd, prints lines for cron, and gives none.
///
/// # Errors
/// A unit cannot be written or started, or cron does not know a schedule.
pub(crate) fn enable(
    all: &[Timed<'_>],
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<String>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let configuration = environment.given_config();
    let configuration = configuration.as_deref();
    if !has_systemd() {
        for timed in all {
            let line = timed.cron_line(&program, configuration)?;
            let record = || json!({ "job": timed.job, "line": line });
            environment.console.data(|| line.clone(), "cron", record)?;
        }
        return Ok(Vec::new());
    }
    let folder = environment.systemd_units()?;
    fs_err::create_dir_all(&folder)?;
    for timed in all {
        let service = timed.service(&program, configuration);
        write(&folder.join(format!("{}.service", timed.name)), &service)?;
        write(&folder.join(timed.timer_name()), &timed.timer())?;
    }
    systemctl(environment, &["daemon-reload"])?;
    for timed in all {
        systemctl(environment, &["enable", "--now", &timed.timer_name()])?;
    }
    Ok(all.iter().map(Timed::timer_name).collect())
}

/// What is said of timers that were enabled.
pub(crate) fn enabled(timers: &[String]) -> Vec<String> {
    match timers.is_empty() {
        true => vec!["There is no systemd here: add the lines above to a table of cron".to_owned()],
        false => timers.iter().map(|timer| format!("Enabled {timer}")).collect(),
    }
}

/// Ends the timer of this name and removes its units. Was it there?
///
/// # Errors
/// It cannot be ended or removed.
pub(crate) fn disable(name: &str, environment: &Environment<'_>) -> anyhow::Result<bool> {
    let folder = environment.systemd_units()?;
    let timer_name = format!("{name}.timer");
    if !folder.join(&timer_name).exists() {
        return Ok(false);
    }
    systemctl(environment, &["disable", "--now", &timer_name])?;
    fs_err::remove_file(folder.join(&timer_name))?;
    let service = folder.join(format!("{name}.service"));
    if service.exists() {
        fs_err::remove_file(service)?;
    }
    Ok(true)
}

/// systemd reads its units again.
///
/// # Errors
/// It cannot be told.
pub(crate) fn reload(environment: &Environment<'_>) -> anyhow::Result<()> {
    systemctl(environment, &["daemon-reload"])
}

impl Timed<'_> {
    fn timer_name(&self) -> String {
        format!("{}.timer", self.name)
    }

    /// The service that runs the command.
    pub(crate) fn service(&self, program: &Path, configuration: Option<&Path>) -> String {
        let Self { written_by, description, manual, words, success, on_failure, .. } = self;
        let configuration = configuration
            .map(|file| format!(" --config {}", quoted(&file.to_string_lossy())))
            .unwrap_or_default();
        let on_failure = on_failure.as_ref().map(|unit| format!("OnFailure={unit}\n"));
        let (codes, why) = success;
        format!(
            "# Written by `hashget {written_by}`.\n\
             [Unit]\n\
             Description={description}\n\
             {on_failure}\
             Documentation=man:{manual}(1)\n\
             Wants=network-online.target\n\
             After=network-online.target\n\
             \n\
             [Service]\n\
             Type=oneshot\n\
             ExecStart={program} {words}{configuration}\n\
             # {why}\n\
             SuccessExitStatus={codes}\n\
             Nice=10\n\
             IOSchedulingClass=idle\n",
            on_failure = on_failure.unwrap_or_default(),
            program = quoted(&program.to_string_lossy()),
        )
    }

    /// The timer that starts the service.
    fn timer(&self) -> String {
        let calendar = match daily_time(self.schedule) {
            Some(time) => format!("*-*-* {:02}:{:02}:00", time.hour(), time.minute()),
            None => self.schedule.to_owned(),
        };
        format!(
            "# Written by `hashget {written_by}`.\n\
             [Unit]\n\
             Description={description}\n\
             \n\
             [Timer]\n\
             OnCalendar={calendar}\n\
             RandomizedDelaySec=30min\n\
             # A time that was missed is made up for when the machine is on again.\n\
             Persistent=true\n\
             \n\
             [Install]\n\
             WantedBy=timers.target\n",
            written_by = self.written_by,
            description = self.description,
        )
    }

    /// The line for cron.
    fn cron_line(&self, program: &Path, configuration: Option<&Path>) -> anyhow::Result<String> {
        let Some(time) = daily_time(self.schedule) else {
            let whose = self.job.map(|job| format!("the job {job}: ")).unwrap_or_default();
            let wrong = format!(
                "{whose}cron does not know the schedule \"{}\": expected a time of the day, such as 02:30",
                self.schedule
            );
            return Err(UsageError(wrong).into());
        };
        let configuration =
            configuration.map(|file| format!(" --config '{}'", file.display())).unwrap_or_default();
        let (minute, hour, program) = (time.minute(), time.hour(), program.display());
        Ok(format!("{minute} {hour} * * * {program} -q {}{configuration}", self.words))
    }
}

/// A word of a command of systemd.
pub(crate) fn quoted(word: &str) -> String {
    let escaped =
        word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let escaped = escaped.replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// Writes a unit. The folder of units is there.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
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

    fn timed(schedule: &str) -> Timed<'_> {
        Timed {
            name: "hashget-backup-a".to_owned(),
            job: Some("a"),
            written_by: "backup --enable a".to_owned(),
            description: "Backup with hashget: a".to_owned(),
            manual: "hashget-backup",
            words: "backup a".to_owned(),
            schedule,
            success: ("3 5", "Why."),
            on_failure: None,
        }
    }

    #[test]
    fn a_time_of_the_day_is_an_expression_of_systemd_and_a_line_of_cron() {
        let daily = timed("2:05");
        assert!(daily.timer().contains("OnCalendar=*-*-* 02:05:00\n"));
        let line = daily.cron_line(Path::new("/usr/bin/hashget"), None).unwrap();
        assert_eq!(line, "5 2 * * * /usr/bin/hashget -q backup a");
        let weekly = timed("Mon 02:30");
        assert!(weekly.timer().contains("OnCalendar=Mon 02:30\n"));
        let error = weekly.cron_line(Path::new("x"), None).unwrap_err().to_string();
        assert!(error.contains("the job a: cron does not know"), "{error}");
    }

    #[test]
    fn a_service_runs_the_command_with_its_configuration() {
        let told = Timed { on_failure: Some("told@a.service".to_owned()), ..timed("2:05") };
        let unit = told.service(Path::new("/a b/hashget"), Some(Path::new("/etc/x.toml")));
        for line in [
            "OnFailure=told@a.service",
            "ExecStart=\"/a b/hashget\" backup a --config \"/etc/x.toml\"",
            "SuccessExitStatus=3 5",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
        }
        assert!(!timed("2:05").service(Path::new("x"), None).contains("OnFailure"));
    }

    #[test]
    fn words_of_commands_are_quoted() {
        assert_eq!(quoted("/a b/%h$x\"\\"), "\"/a b/%%h$$x\\\"\\\\\"");
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
    }
}
