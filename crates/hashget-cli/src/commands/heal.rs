//! `hashget heal`: what archives need and the world is losing is kept, while it can still be had.
//!
//! Invariant: a supplement gets its name once it was read back; what was not found is named, and ends with 4.

mod kept;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use hashget::archive::{Outlook, RequiredPackage, read_for_listing};
use hashget::model::Digest;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::supplement::{Found, Healed, Healer, ToHeal};
use hashget::tree::TreeRoot;
use hashget_backup::job::Job;
use serde_json::json;

use super::audit::{self, How, Outcome};
use super::backup::destinations::{self, is_destination};
use crate::archive::{self, Knowledge, archives_in};
use crate::environment::Environment;
use crate::exit::{Code, EndedAs, UsageError};
use crate::output::{counted, safe, size};

/// Keep what archives need of packages that are lost or at risk: in a supplement beside them, or in a pool
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget heal www.tar.zst --from /srv/www\n         \
                        hashget heal system\n         \
                        hashget heal /srv/backup --from / --to-pool --pool /srv/pool")]
pub(crate) struct Heal {
    /// Jobs of the configuration, archives, and folders of archives; all jobs if none is given
    #[arg(value_name = "JOB|ARCHIVE|FOLDER")]
    of: Vec<String>,

    /// The living tree: files of packages that are lost are taken from here, by their digests; of a job, its sources
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,

    /// Supplement to write; by default, one beside the archive, or in the destinations of the job
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "to_pool")]
    file: Option<PathBuf>,

    /// Put whole packages into the pool instead, as far as they can still be had
    #[arg(long)]
    to_pool: bool,

    /// Look after what is lost only, not after what is at risk
    #[arg(long)]
    lost: bool,

    /// Ask no place before: go by what is known
    #[arg(long)]
    no_ask: bool,

    /// Say what would be kept, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Where what was found is kept.
pub(crate) enum Kept<'a> {
    /// A file of this name.
    InFile(&'a Path),
    /// The destinations of a job.
    InDestinations(&'a Job),
    /// A pool: whole packages only.
    InPool,
    /// Nowhere.
    Nowhere,
}

impl Heal {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        if self.to_pool {
            environment.managed_pool()?.create()?;
        }
        let is_place = |one: &&String| is_destination(one) || Path::new(one).exists();
        let (places, jobs): (Vec<&String>, Vec<&String>) = self.of.iter().partition(is_place);
        if !places.is_empty() && !jobs.is_empty() {
            let wrong = "give jobs, or archives: what is found goes to different places";
            return Err(UsageError(wrong.to_owned()).into());
        }
        if places.is_empty() {
            let names: Vec<String> = jobs.into_iter().cloned().collect();
            return self.jobs(&names, environment);
        }
        let Some(from) = &self.from else {
            let wrong = "give the living tree with --from DIR: what is lost is taken from there";
            return Err(UsageError(wrong.to_owned()).into());
        };
        let mut archives = Vec::new();
        for place in places {
            let path = PathBuf::from(place);
            match path.is_dir() {
                true => archives.extend(archives_in(&path)?),
                false => archives.push(path),
            }
        }
        let of: Vec<String> = archives.iter().map(|path| path.display().to_string()).collect();
        let outcome = audit::of_places(&of, self.how(environment), environment)?;
        let file = self.file.clone().or_else(|| kept::file_beside(&archives));
        let into = match (&file, self.dry_run) {
            (_, true) => Kept::Nowhere,
            _ if self.to_pool => Kept::InPool,
            (Some(file), _) => Kept::InFile(file),
            (None, _) => {
                let wrong = "several archives: give the supplement's name with -f FILE";
                return Err(UsageError(wrong.to_owned()).into());
            }
        };
        let endangered = endangered(&outcome, self.lost, &into, environment)?;
        let name =
            |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let names: Vec<String> = archives.iter().map(name).collect();
        let opened = archives.iter().rev().map(|archive| {
            let (manifest, stored) = archive::contents(archive, environment)?;
            Ok(ToHeal { name: name(archive), manifest, stored })
        });
        let healed = heal(&endangered, &names, opened, from, into, environment)?;
        report(&healed, file.as_deref().filter(|_| !self.dry_run), environment)
    }

    fn how(&self, environment: &Environment<'_>) -> How {
        match self.no_ask {
            true => How::known(environment),
            false => How::configured(environment),
        }
    }

    fn jobs(&self, names: &[String], environment: &Environment<'_>) -> anyhow::Result<()> {
        let mut all = Healed::default();
        for job in super::backup::jobs(names, environment)? {
            let into = match (self.dry_run, self.to_pool, &self.file) {
                (true, ..) => Kept::Nowhere,
                (_, true, _) => Kept::InPool,
                (.., Some(file)) => Kept::InFile(file),
                (.., None) => Kept::InDestinations(&job),
            };
            let outcome = audit::of_job(&job, self.how(environment), environment)?;
            let healed =
                of_job(&job, &outcome, self.from.as_deref(), self.lost, into, environment)?;
            add(&mut all, healed);
        }
        report(&all, self.file.as_deref().filter(|_| !self.dry_run), environment)
    }
}

/// Heals the archives of a job, by what an audit has found.
pub(crate) fn of_job(
    job: &Job,
    outcome: &Outcome,
    from: Option<&Path>,
    only_lost: bool,
    into: Kept<'_>,
    environment: &Environment<'_>,
) -> anyhow::Result<Healed> {
    let endangered = endangered(outcome, only_lost, &into, environment)?;
    if endangered.is_empty() {
        return Ok(Healed::default());
    }
    let digests = endangered.iter().map(|package| package.sha256).collect();
    let relying = outcome.audit.relying_on(&digests);
    let names: Vec<String> = relying.into_iter().map(str::to_owned).collect();
    let destinations = destinations::of_job(job, environment)?;
    let opened = names.iter().rev().filter_map(|name| {
        kept::open_archive(name, &destinations, environment)
            .and_then(|source| match source {
                None => Ok(None),
                Some(mut source) => {
                    let (limits, console) = (&environment.limits, environment.console);
                    let (manifest, stored) = read_for_listing(&mut *source, name, limits, console)?;
                    Ok(Some(ToHeal { name: name.clone(), manifest, stored }))
                }
            })
            .transpose()
    });
    // One folder is packed as a whole; several are packed with their paths.
    let root = match (&from, &job.sources[..]) {
        (Some(from), _) => from.to_path_buf(),
        (None, [source]) if source.is_dir() => source.clone(),
        (None, _) => PathBuf::from("/"),
    };
    heal(&endangered, &names, opened, &root, into, environment)
}

/// The packages that are lost, and those at risk, as far as they are not kept there already: another copy in the same place would be no
/// other place.
fn endangered(
    outcome: &Outcome,
    only_lost: bool,
    into: &Kept<'_>,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<RequiredPackage>> {
    let is_meant = |outlook: &Outlook| match outlook {
        Outlook::Lost => true,
        Outlook::AtRisk(_) => !only_lost,
        Outlook::Restorable => false,
    };
    let pools = environment.in_pools()?;
    let is_kept = |sha256: &Digest| match into {
        Kept::InPool => pools.has(sha256, None),
        _ => outcome.kept.contains(sha256),
    };
    let meant = outcome.outlooks.iter().filter(|(_, outlook)| is_meant(outlook));
    let wanted = meant.map(|(sha256, _)| sha256).filter(|sha256| !is_kept(sha256));
    Ok(wanted.filter_map(|sha256| outcome.audit.package(sha256).cloned()).collect())
}

fn heal(
    endangered: &[RequiredPackage],
    names: &[String],
    archives: impl Iterator<Item = anyhow::Result<ToHeal>>,
    from: &Path,
    into: Kept<'_>,
    environment: &Environment<'_>,
) -> anyhow::Result<Healed> {
    if endangered.is_empty() {
        return Ok(Healed::default());
    }
    let tree = TreeRoot::open(from).with_context(|| format!("--from {}", from.display()))?;
    let knowledge = Knowledge::new(environment, false)?.with_digests();
    let source = environment.brief_sources()?.source;
    let members = knowledge.members(environment);
    let healer = Healer { source: &*source, members, tree: &tree };
    let mut found = healer.find(endangered, names, archives, environment.console)?;
    match into {
        Kept::Nowhere => {}
        _ if found.is_empty() => {}
        Kept::InPool => into_pool(&mut found, environment)?,
        Kept::InFile(file) => kept::write_file(&found, file, &members, environment)?,
        Kept::InDestinations(job) => kept::send(&found, job, &members, environment)?,
    }
    Ok(found.healed)
}

/// Whole packages go into the pool. Files of others have no place there, and are named.
fn into_pool(found: &mut Found, environment: &Environment<'_>) -> anyhow::Result<()> {
    let pool = environment.managed_pool()?;
    let monitor: &dyn Monitor = environment.console;
    for (package, file) in found.packages() {
        pool.add(file, Some(package.sha256), monitor)
            .with_context(|| format!("cannot add {} to the pool", package.shown_name()))?;
    }
    if found.healed.files > 0 {
        let files = counted(found.healed.files, "file", "files");
        let message = format!(
            "{files} of lost packages are in the tree, and a pool holds packages only: `hashget heal` without --to-pool keeps them"
        );
        monitor.problem(ProblemKind::Incomplete, pool.shown(), message);
        (found.healed.files, found.healed.file_bytes) = (0, 0);
    }
    Ok(())
}

fn add(all: &mut Healed, one: Healed) {
    all.packages += one.packages;
    all.package_bytes += one.package_bytes;
    all.files += one.files;
    all.file_bytes += one.file_bytes;
    all.not_found.extend(one.not_found);
    all.unknown.extend(one.unknown);
}

/// Number of files that are named of those that were not found.
const NAMED: usize = 10;

/// Says what was kept, and what is not to be found.
fn report(
    healed: &Healed,
    file: Option<&Path>,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let monitor: &dyn Monitor = console;
    let is_all = console.is_verbose() || console.is_json();
    let shown = if is_all { healed.not_found.len() } else { NAMED.min(healed.not_found.len()) };
    for (path, package) in &healed.not_found[..shown] {
        console.record("not_found", json!({ "path": path, "package": package }))?;
        let what = format!("{package} would give it, and it is neither there nor in the tree");
        monitor.problem(ProblemKind::Incomplete, path, what);
    }
    if shown < healed.not_found.len() {
        let more = counted((healed.not_found.len() - shown) as u64, "file", "files");
        monitor.problem(ProblemKind::Note, format!("{more} more"), "--verbose names all");
    }
    for package in &healed.unknown {
        let what = "it is lost, and nothing here knows which files it gives: the HashDB that packed them does";
        monitor.problem(ProblemKind::Incomplete, package, what);
    }
    let packages = counted(healed.packages, "package", "packages");
    let files = counted(healed.files, "file", "files");
    let mut lines = vec![match (healed.packages, healed.files) {
        (0, 0) => "Nothing to keep".to_owned(),
        _ => format!(
            "Kept {packages} ({}) and {files} of others ({})",
            size(healed.package_bytes),
            size(healed.file_bytes)
        ),
    }];
    let something = healed.packages + healed.files > 0;
    lines.extend(file.filter(|_| something).map(|file| {
        format!(
            "Supplement  {}: restoring finds it beside the archive, or by --also",
            safe(&file.display().to_string())
        )
    }));
    let body = json!({
        "packages": healed.packages,
        "package_bytes": healed.package_bytes,
        "files": healed.files,
        "file_bytes": healed.file_bytes,
        "not_found": healed.not_found.len(),
        "unknown": healed.unknown,
        "supplement": file.filter(|_| something).map(|file| file.display().to_string()),
    });
    console.summary("heal", body, &lines)?;
    if healed.not_found.is_empty() && healed.unknown.is_empty() {
        return Ok(());
    }
    let message = "not everything could be found: see above".to_owned();
    Err(EndedAs { code: Code::Verification, message }.into())
}
