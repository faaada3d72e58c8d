//! The archives that destinations hold, and the supplements for them.
//!
//! Invariant: each destination was listed once. What is remembered of an archive or a supplement of a job is not read again: names of both are
//! used once.

use std::collections::BTreeSet;

use hashget::archive::{Audit, ReliedOn, ToAudit, read_manifest};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::supplement::{ArchiveOf, Contents, Supplements, is_supplement};
use hashget_backup::audits;
use hashget_backup::run::Destination;
use hashget_backup::series::ArchiveName;
use hashget_backup::store::Stored;

use super::archives::{look_for, not_known, packages_of};
use crate::archive::open_of;
use crate::environment::Environment;
use crate::stores::classed;
use crate::supplements::add_source;

/// What destinations hold.
pub(super) struct Held<'a, 'e> {
    /// Those that could be listed, each with its files.
    pub(super) listed: Vec<(&'a Destination, Vec<Stored>)>,
    /// Could all be listed that may have what an archive needs?
    pub(super) is_all: bool,
    /// The job whose archives these are; of those, what they rely on is remembered.
    pub(super) job: Option<&'a str>,
    pub(super) environment: &'a Environment<'e>,
}

impl Held<'_, '_> {
    /// Adds those of the archives that are wanted, with what lies beside them.
    pub(super) fn add(
        &self,
        audit: &mut Audit,
        is_wanted: &dyn Fn(&ArchiveName) -> bool,
    ) -> anyhow::Result<()> {
        let monitor: &dyn Monitor = self.environment.console;
        let mut archives: Vec<(&Destination, ArchiveName)> = Vec::new();
        for (destination, file) in self.files() {
            let name = ArchiveName::parse(&file.name).filter(|name| is_wanted(name));
            archives.extend(name.map(|name| (destination, name)));
        }
        // Of several destinations, the first one that has it is asked.
        archives.sort_by_key(|(_, name)| (name.started(), name.to_string()));
        archives.dedup_by(|(_, second), (_, first)| second == first);
        let series = archives.iter().map(|(_, name)| format!("{}_", name.series())).collect();
        let supplements = self.supplements(&series)?;
        for (destination, name) in archives {
            monitor.check_interrupted()?;
            let of = ArchiveOf { name: name.to_string(), tree: None };
            match self.relied_on(&name, destination) {
                Ok(relied_on) => {
                    let supplemented =
                        supplements.iter().flat_map(|contents| contents.complete(&of)).collect();
                    let series = name.series().to_string();
                    audit.add(ToAudit { name: of.name, series, relied_on, supplemented });
                }
                Err(error) => {
                    monitor.check_interrupted()?;
                    not_known(&of.name, &error, self.environment);
                }
            }
        }
        let names = self.names();
        look_for(audit, |name| names.contains(name), self.is_all);
        Ok(())
    }

    /// The names of all files.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.files().map(|(_, file)| &*file.name).collect()
    }

    fn files(&self) -> impl Iterator<Item = (&Destination, &Stored)> {
        self.listed
            .iter()
            .flat_map(|(destination, files)| files.iter().map(move |file| (*destination, file)))
    }

    /// What an archive relies on.
    fn relied_on(
        &self,
        name: &ArchiveName,
        destination: &Destination,
    ) -> anyhow::Result<Vec<ReliedOn>> {
        let environment = self.environment;
        let state = self.job.map(|_| environment.backup_state()).transpose()?;
        if let Some(known) = state.as_ref().and_then(|state| audits::relied_on(state, name)) {
            return Ok(known);
        }
        let (shown, console) = (name.to_string(), environment.console);
        let mut source = open_of(&*destination.store, &shown, environment)?;
        let manifest = read_manifest(&mut *source, &shown, &environment.limits, console)?;
        let packages = packages_of(&manifest, environment)?;
        if let Some(state) = state {
            // It is read again by the next audit if it cannot be kept.
            let _ = audits::remember(&state, name, packages.clone());
        }
        Ok(packages)
    }

    /// What the supplements say that they have whose names start with one of these.
    fn supplements(&self, series: &BTreeSet<String>) -> anyhow::Result<Vec<Contents>> {
        let monitor: &dyn Monitor = self.environment.console;
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        for (destination, file) in self.files() {
            let name = &*file.name;
            let is_its = || series.iter().any(|series| name.starts_with(series.as_str()));
            if !is_supplement(name.as_bytes()) || !is_its() || !seen.insert(name) {
                continue;
            }
            monitor.check_interrupted()?;
            match self.contents(name, destination) {
                Ok(contents) => found.extend(contents),
                Err(error) => {
                    monitor.check_interrupted()?;
                    let why = hashget::wording::messages(error.as_ref()).join(": ");
                    let why = format!("what it has is not counted: {why}");
                    monitor.problem(ProblemKind::Note, name.to_owned(), why);
                }
            }
        }
        Ok(found)
    }

    fn contents(&self, name: &str, destination: &Destination) -> anyhow::Result<Vec<Contents>> {
        let environment = self.environment;
        let state = match self.job {
            Some(job) => Some((environment.backup_state()?, job)),
            None => None,
        };
        let known = state.as_ref().and_then(|(state, job)| audits::supplement(state, job, name));
        if let Some(known) = known {
            return Ok(vec![known]);
        }
        let source = destination.store.open(name, environment.console).map_err(classed)?;
        let mut supplements = Supplements::new(environment.limits.clone());
        add_source(environment.decrypted(source, name)?, name, &mut supplements, environment)?;
        let found: Vec<Contents> =
            supplements.contents().map(|(_, contents)| contents.clone()).collect();
        if let (Some((state, job)), Some(contents)) = (state, found.first()) {
            // It is read again by the next audit if that cannot be kept.
            let _ = audits::remember_supplement(&state, job, name, contents);
        }
        Ok(found)
    }
}
