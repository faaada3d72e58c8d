//! The commands: one file for each, with its options and its implementation.
//!
//! Invariant: a command reads its options, calls one stage of the library and reports the result.

mod audit;
mod backup;
mod cache;
mod cat;
mod changed;
mod completions;
mod db;
mod diff;
mod doctor;
mod explain;
mod find;
mod get;
mod heal;
mod index;
mod info;
mod list;
mod man;
mod missing;
#[cfg(feature = "mount")]
mod mount;
mod pack;
mod pool;
mod prepare;
mod publish;
mod repair;
mod report;
mod restore;
mod sbom;
mod statement;
mod unpack;
mod verify;

use clap::Subcommand;

pub(crate) use pack::without_ending;

use crate::arguments::Arguments;
use crate::environment::Environment;
use crate::output::Console;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Pack(Box<pack::Pack>),
    Unpack(unpack::Unpack),
    Restore(restore::Restore),
    Backup(Box<backup::Backup>),
    Doctor(doctor::Doctor),
    Prepare(Box<prepare::Prepare>),
    Index(index::Index),
    Get(get::Get),
    List(list::List),
    Cat(cat::Cat),
    Diff(diff::Diff),
    Find(find::Find),
    #[cfg(feature = "mount")]
    Mount(mount::Mount),
    Info(info::Info),
    Explain(explain::Explain),
    Report(report::Report),
    Sbom(sbom::Sbom),
    Changed(changed::Changed),
    Verify(verify::Verify),
    Missing(missing::Missing),
    Audit(audit::Audit),
    Heal(heal::Heal),
    Repair(repair::Repair),
    Pool(pool::Pool),
    Cache(cache::Cache),
    Db(db::Db),
    Publish(publish::Publish),
    Statement(statement::StatementCommand),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Does its exit code say what is true of a backup?
    pub(crate) fn makes_a_backup(&self) -> bool {
        match self {
            Self::Backup(backup) => backup.makes_a_backup(),
            _ => matches!(self, Self::Pack(_) | Self::Prepare(_)),
        }
    }

    /// Does it write the configuration?
    fn writes_configuration(&self) -> bool {
        matches!(self, Self::Backup(backup) if backup.writes_configuration())
    }

    /// What is kept after an interruption, and how to continue.
    pub(crate) fn after_interruption(&self) -> String {
        match self {
            Self::Pack(pack) => pack.after_interruption(),
            Self::Unpack(unpack) => unpack.after_interruption(),
            Self::Restore(restore) => restore.after_interruption(),
            Self::Backup(backup) => backup.after_interruption(),
            Self::Prepare(prepare) => prepare.after_interruption(),
            Self::Index(index) => index.after_interruption(),
            Self::Get(get) => get.after_interruption(),
            Self::Verify(_) | Self::Missing(_) => verify::after_interruption(),
            Self::Audit(_) => audit::after_interruption(),
            #[cfg(feature = "mount")]
            Self::Mount(mount) => mount.after_interruption(),
            Self::Pool(pool) => pool.after_interruption(),
            _ => "no incomplete file has its final name: run the same command again".to_owned(),
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments, console: &Console) -> anyhow::Result<()> {
    let writes_configuration = arguments.command.writes_configuration();
    let environment = || Environment::new(&arguments.global, console, writes_configuration);
    match &arguments.command {
        Command::Pack(pack) => pack.run(&environment()?),
        Command::Unpack(unpack) => unpack.run(&environment()?),
        Command::Restore(restore) => restore.run(&environment()?),
        Command::Backup(backup) => backup.run(&mut environment()?),
        Command::Doctor(doctor) => doctor.run(&environment()?),
        Command::Prepare(prepare) => prepare.run(&environment()?),
        Command::Index(index) => index.run(&environment()?),
        Command::Get(get) => get.run(&environment()?),
        Command::List(list) => list.run(&environment()?),
        Command::Cat(cat) => cat.run(&environment()?),
        Command::Diff(diff) => diff.run(&environment()?),
        Command::Find(find) => find.run(&environment()?),
        #[cfg(feature = "mount")]
        Command::Mount(mount) => mount.run(&environment()?),
        Command::Info(info) => info.run(&environment()?),
        Command::Explain(explain) => explain.run(&environment()?),
        Command::Report(report) => report.run(&environment()?),
        Command::Sbom(sbom) => sbom.run(&environment()?),
        Command::Changed(changed) => changed.run(&environment()?),
        Command::Verify(verify) => verify.run(&environment()?),
        Command::Missing(missing) => missing.run(&environment()?),
        Command::Audit(audit) => audit.run(&environment()?),
        Command::Heal(heal) => heal.run(&environment()?),
        Command::Repair(repair) => repair.run(&environment()?),
        Command::Pool(pool) => pool.run(&environment()?),
        Command::Cache(cache) => cache.run(&environment()?),
        Command::Db(db) => db.run(&environment()?),
        Command::Publish(publish) => publish.run(&environment()?),
        Command::Statement(statement) => statement.run(&environment()?),
        Command::Completions(completions) => completions.run(console),
        Command::Man(man) => man.run(console),
    }
}
