//! The destinations of jobs, opened, and archives found in them.
//!
//! Invariant: what a destination is called in messages is what the configuration calls it.

use std::path::{Path, PathBuf};

use hashget::monitor::ProblemKind;
use hashget_backup::job::Job;
use hashget_backup::run::Destination;
use hashget_backup::series::{ArchiveName, Series, Times};
use hashget_backup::store::{Address, Patience, Store, StoreError, StoreSettings, open_store};

use super::jobs;
use crate::environment::Environment;
use crate::exit::UsageError;

/// Opens a destination. Of one that does not answer, nobody waits for more than the time of `patience`.
///
/// # Errors
/// It cannot be one.
fn open(
    to: &Address,
    patience: Patience,
    environment: &Environment<'_>,
) -> anyhow::Result<Destination> {
    let folder = match to {
        Address::Folder(folder) => Some(folder.clone()),
        _ => None,
    };
    let settings = StoreSettings { patience, ..environment.store_settings()? };
    let store = open_store(to, &settings)?;
    Ok(Destination { store, folder })
}

/// Opens what the user has given as a destination.
///
/// # Errors
/// It is none.
pub(in crate::commands) fn open_given(
    to: &str,
    environment: &Environment<'_>,
) -> anyhow::Result<Destination> {
    open(&Address::parse(to)?, Patience::brief(), environment)
}

/// Opens all destinations of a job.
///
/// # Errors
/// One is none.
pub(in crate::commands) fn of_job(
    job: &Job,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<Destination>> {
    job.to.iter().map(|to| open(to, Patience::brief(), environment)).collect()
}

/// The same for a run, which can wait for a network that comes back.
///
/// # Errors
/// One is none.
pub(super) fn for_a_run(
    job: &Job,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<Destination>> {
    job.to.iter().map(|to| open(to, Patience::default(), environment)).collect()
}

/// What is wrong with a destination, without its name, which stands before it.
pub(in crate::commands) fn problem(store: &dyn Store, error: &StoreError) -> String {
    let text = error.to_string();
    let rest = text.strip_prefix(store.shown()).map(|rest| rest.trim_start_matches([':', ' ']));
    rest.map(str::to_owned).unwrap_or(text)
}

/// Is it the address of a destination, not the name of a job?
pub(in crate::commands) fn is_destination(text: &str) -> bool {
    text.contains('/') || text.starts_with("exec:")
}

/// Where to look for a series of archives.
pub(in crate::commands) struct Searched {
    /// What the user called it; `None` for every series.
    name: Option<String>,
    /// The series, if a job says it.
    series: Option<Series>,
    /// The destinations, in the order of the job.
    pub(in crate::commands) destinations: Vec<Destination>,
}

impl Searched {
    /// The series `name` in one destination, which needs no configuration; otherwise that of the job of this name. What an archive
    /// needs is looked for there, too.
    ///
    /// # Errors
    /// There is no such job, or its destinations cannot be opened.
    pub(in crate::commands) fn new(
        name: &str,
        from: Option<&str>,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Self> {
        if let Some(from) = from {
            let name = Some(name.to_owned());
            environment.lies_in(&Address::parse(from)?)?;
            return Ok(Self {
                name,
                series: None,
                destinations: vec![open_given(from, environment)?],
            });
        }
        let found = jobs(&[name.to_owned()], environment)?;
        let job = found.first().expect("a name that is not there is an error");
        job.to.iter().try_for_each(|to| environment.lies_in(to))?;
        Self::of_job(job, of_job(job, environment)?)
    }

    /// The series of a job.
    ///
    /// # Errors
    /// The job's name is none.
    pub(in crate::commands) fn of_job(
        job: &Job,
        destinations: Vec<Destination>,
    ) -> anyhow::Result<Self> {
        let series = Some(Series::new(&job.host, &job.name)?);
        Ok(Self { name: Some(job.name.clone()), series, destinations })
    }

    /// Every series in these destinations.
    pub(in crate::commands) fn everything(destinations: Vec<Destination>) -> Self {
        Self { name: None, series: None, destinations }
    }

    /// What is searched, for messages.
    pub(in crate::commands) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("any series")
    }

    /// Is this series meant?
    pub(in crate::commands) fn is_meant(&self, series: &Series) -> bool {
        match &self.series {
            Some(meant) => meant == series,
            None => self.name.as_ref().is_none_or(|name| series.is_called(name)),
        }
    }

    /// The archive that is meant by `times`, and the first destination that has it. A destination that cannot be listed is
    /// reported, and the others are looked at.
    ///
    /// # Errors
    /// None has such an archive, or several series are meant.
    pub(in crate::commands) fn find(
        &self,
        times: &Times,
        environment: &Environment<'_>,
    ) -> anyhow::Result<(&Destination, ArchiveName)> {
        let console = environment.console;
        let monitor: &dyn hashget::monitor::Monitor = console;
        let mut names: Vec<(usize, ArchiveName)> = Vec::new();
        for (position, destination) in self.destinations.iter().enumerate() {
            match destination.store.list(console) {
                Ok(stored) => {
                    let found = stored.iter().filter_map(|file| ArchiveName::parse(&file.name));
                    let found = found.filter(|name| self.is_meant(name.series()));
                    names.extend(found.map(|name| (position, name)));
                }
                Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) if self.destinations.len() == 1 => return Err(error.into()),
                // Others can be.
                Err(StoreError::Unsupported { .. }) => {}
                Err(error) => {
                    let store = &*destination.store;
                    monitor.problem(ProblemKind::Note, store.shown(), problem(store, &error));
                }
            }
        }
        let mut series: Vec<&Series> = names.iter().map(|(_, name)| name.series()).collect();
        series.sort_unstable();
        series.dedup();
        if let [one, other, ..] = series[..] {
            let wrong =
                format!("{} is {one}, {other} and perhaps more: give one of them", self.name());
            return Err(UsageError(wrong).into());
        }
        let chosen = times.chosen(names.iter().map(|(_, name)| name)).cloned();
        let found = chosen.and_then(|name| {
            let position =
                names.iter().filter(|(_, found)| *found == name).map(|(at, _)| *at).min()?;
            Some((self.destinations.get(position)?, name))
        });
        found.ok_or_else(|| {
            let shown: Vec<&str> =
                self.destinations.iter().map(|destination| destination.store.shown()).collect();
            anyhow::anyhow!(
                "no such archive of {} in {}: see `hashget backup list`",
                self.name(),
                shown.join(", ")
            )
        })
    }
}

/// Is a destination one of the folders that are packed? All of it would be left out.
pub(in crate::commands) fn expect_apart(job: &Job) -> Result<(), UsageError> {
    let real = |path: &Path| fs_err::canonicalize(path).ok();
    for destination in &job.to {
        let Address::Folder(destination) = destination else { continue };
        let is_source =
            |source: &PathBuf| real(source).is_some_and(|source| Some(source) == real(destination));
        if job.sources.iter().any(is_source) {
            let wrong = format!(
                "the job {}: {} is a source and a destination: expected another folder as destination",
                job.name,
                destination.display()
            );
            return Err(UsageError(wrong));
        }
    }
    Ok(())
}
