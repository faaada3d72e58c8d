//! `hashget backup`: jobs of the configuration, and the series of archives that they make.
//!
//! Invariant: a run is made by `hashget_backup::run`, and packs as `hashget pack` does; what is restored is restored as by
//! `hashget unpack`.

pub(super) mod check;
pub(super) mod destinations;
mod init;
mod list;
#[cfg(feature = "mount")]
mod mount;
mod notify;
mod prune;
mod rescue;
mod restore;
mod run;
mod status;
mod timer;

use clap::{Args, Subcommand};
use hashget_backup::job::Job;

use crate::environment::Environment;
use crate::exit::UsageError;

/// Run jobs of the configuration, and look after the archives that they make
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Without a command, the jobs are run: each packs its sources and sends the archive to its destinations.\n\n\
                        Example: hashget backup --init system --source / --to /srv/backup --at 02:30\n         \
                        hashget backup system\n         \
                        hashget backup --enable system\n         \
                        hashget backup restore system@2026-11-27 ./etc -C /tmp/old"
)]
pub(crate) struct Backup {
    /// Jobs of the configuration; all if none is given
    #[arg(value_name = "JOB")]
    names: Vec<String>,

    /// Write a new job into the configuration, with what the options say
    #[arg(long, conflicts_with_all = ["enable", "disable"])]
    init: bool,

    /// Let systemd run the jobs by their schedules; without systemd, print lines for cron
    #[arg(long, conflicts_with = "disable")]
    enable: bool,

    /// Do not let systemd run the jobs any more
    #[arg(long)]
    disable: bool,

    #[command(flatten)]
    new: init::NewJob,

    #[command(subcommand)]
    action: Option<Action>,
}

/// What to do with the archives of jobs.
#[derive(Debug, Subcommand)]
enum Action {
    List(list::List),
    Restore(Box<restore::Restore>),
    #[cfg(feature = "mount")]
    Mount(mount::Mount),
    Prune(prune::Prune),
    Check(check::Check),
    Status(status::Status),
    Rescue(rescue::Rescue),
}

impl Backup {
    /// Does its exit code say what is true of a backup?
    pub(super) fn makes_a_backup(&self) -> bool {
        self.action.is_none() && !self.init && !self.enable && !self.disable
    }

    /// Does it write the configuration?
    pub(super) fn writes_configuration(&self) -> bool {
        self.action.is_none() && self.init
    }

    /// What is kept after an interruption, and how to continue.
    pub(super) fn after_interruption(&self) -> String {
        match &self.action {
            Some(Action::Restore(restore)) => restore.after_interruption(),
            #[cfg(feature = "mount")]
            Some(Action::Mount(mount)) => mount.after_interruption(),
            Some(Action::Prune(_)) => "what is not kept is removed by the next run".to_owned(),
            _ => "an archive that was made is kept, and sent by the next run".to_owned(),
        }
    }

    pub(crate) fn run(&self, environment: &mut Environment<'_>) -> anyhow::Result<()> {
        match &self.action {
            None if self.init => self.new.run(&self.names, environment),
            None if self.enable => timer::enable(&jobs(&self.names, environment)?, environment),
            None if self.disable => timer::disable(&jobs(&self.names, environment)?, environment),
            None => run::run(&jobs(&self.names, environment)?, environment),
            Some(Action::List(list)) => list.run(environment),
            Some(Action::Restore(restore)) => restore.run(environment),
            #[cfg(feature = "mount")]
            Some(Action::Mount(mount)) => mount.run(environment),
            Some(Action::Prune(prune)) => prune.run(environment),
            Some(Action::Check(check)) => check.run(environment),
            Some(Action::Status(status)) => status.run(environment),
            Some(Action::Rescue(rescue)) => rescue.run(environment),
        }
    }
}

/// The name of this machine.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The jobs of these names, or all.
///
/// # Errors
/// There is no job, or none of such a name.
pub(super) fn jobs(names: &[String], environment: &Environment<'_>) -> anyhow::Result<Vec<Job>> {
    let mut all = environment.config.jobs(&host());
    if all.is_empty() {
        let file = environment.config_file()?;
        let wrong = format!("{} has no job: `hashget backup --init` writes one", file.display());
        return Err(UsageError(wrong).into());
    }
    for name in names {
        if !all.iter().any(|job| job.name == *name) {
            let known: Vec<&str> = all.iter().map(|job| &*job.name).collect();
            let wrong = format!("there is no job {name}: expected one of {}", known.join(", "));
            return Err(UsageError(wrong).into());
        }
    }
    all.retain(|job| names.is_empty() || names.contains(&job.name));
    Ok(all)
}
