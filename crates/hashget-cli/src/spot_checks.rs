//! Spot checks: each run reads some packages that were known by a publisher's word until now, and compares.
//!
//! Invariant: packages of the run itself are not among them, and what is downloaded for it stays within its limit. Once a publisher
//! said what is not so, nothing of it is relied on.

use std::path::PathBuf;

use hashget::fetch::Sources;
use hashget::hashdb::{HashDb as _, HashDbWriter as _, LocalHashDb, member_list};
use hashget::index::{IndexError, Indexed, Indexer, Request};
use hashget::model::{Evidence, Member, PackageRecord, total_bytes};
use hashget::monitor::{Monitor, ProblemKind};
use hashget_published::Statement;

use crate::environment::Environment;
use crate::output::{counted, safe};
use crate::publishers;

/// Bytes that a run may download for it, unless the configuration says otherwise.
const AT_MOST: u64 = 8 << 20;

/// Packages of which a run chooses: those that have been waiting longest.
const CHOICE: usize = 200;

/// A package that is known by a publisher's word.
struct Signed {
    record: PackageRecord,
    publisher: String,
    /// What it said.
    statement: Statement,
}

/// Checks as many packages as the limit allows.
///
/// # Errors
/// The HashDB failed, or the user asked to stop.
pub(crate) fn run(environment: &Environment<'_>, sources: &Sources) -> anyhow::Result<()> {
    let limit = environment.config.spot_checks.unwrap_or(AT_MOST);
    if limit == 0 || environment.config.publisher.is_empty() || environment.is_offline() {
        return Ok(());
    }
    let hashdb = environment.local_hashdb()?;
    let mirrors = environment.mirrors();
    let indexer = Indexer {
        hashdb: &*hashdb,
        source: &*sources.source,
        web: &*sources.web,
        shared: None,
        mirrors: &mirrors,
        limits: &environment.limits,
        jobs: environment.jobs,
        evidence: Evidence::Downloaded,
    };
    let (mut right, mut left) = (0_u64, limit);
    for signed in chosen(&hashdb)? {
        if signed.record.size > left {
            continue;
        }
        left -= signed.record.size;
        match is_so(&indexer, &hashdb, &signed, environment)? {
            Some(true) => right += 1,
            Some(false) => {
                let origin = &signed.publisher;
                forget(&hashdb, origin)?;
                tell(environment, &signed)?;
                break;
            }
            None => {}
        }
    }
    if right > 0 {
        let packages = counted(right, "package", "packages");
        environment.console.detail(&format!("Spot checks: {packages} as their publisher said"));
    }
    Ok(())
}

/// The packages that are worth checking: those that give most for a byte to download first.
fn chosen(hashdb: &LocalHashDb) -> anyhow::Result<Vec<Signed>> {
    let mut all = hashdb.list()?;
    all.retain(|(_, one)| one.evidence == Evidence::Signed && one.publisher.is_some());
    all.sort_by_key(|(_, one)| (one.indexed_at, one.sha256));
    all.truncate(CHOICE);
    let mut ranked = Vec::with_capacity(all.len());
    for (id, record) in all {
        let members = hashdb.members(id)?;
        let gives = total_bytes(members.iter().map(Member::size));
        let (sha256, size, nested) = (record.sha256, record.size, record.recursive);
        let statement = Statement::new(sha256, size, &record.format, nested, &members);
        let publisher = record.publisher.clone().unwrap_or_default();
        ranked.push((gives / size.max(1), Signed { record, publisher, statement }));
    }
    ranked.sort_by_key(|(ratio, one)| (std::cmp::Reverse(*ratio), one.record.sha256));
    Ok(ranked.into_iter().map(|(_, one)| one).collect())
}

/// Is in the package what its publisher says? `None` if it could not be had.
fn is_so(
    indexer: &Indexer<'_>,
    hashdb: &LocalHashDb,
    signed: &Signed,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<bool>> {
    let record = &signed.record;
    let request = Request {
        url: record.url.clone(),
        also: record.also.clone(),
        sha256: Some(record.sha256),
        size: Some(record.size),
        signatures: record.signatures.clone(),
        project: record.project.clone(),
        expires: record.expires.clone(),
        recursive: record.recursive,
        again: true,
        ..Request::default()
    };
    match indexer.index(&request, environment.console) {
        Ok(Indexed::New { id, .. } | Indexed::Known(id)) => {
            Ok(Some(member_list::digest(&hashdb.members(id)?) == signed.statement.list))
        }
        Err(error @ (IndexError::Interrupted(_) | IndexError::HashDb(_))) => Err(error.into()),
        // Audits ask for its place, and say what is lost.
        Err(_) => Ok(None),
    }
}

/// Removes everything that is known by this publisher's word alone.
fn forget(hashdb: &LocalHashDb, publisher: &str) -> anyhow::Result<()> {
    for (id, record) in hashdb.list()? {
        let is_word = record.evidence == Evidence::Signed;
        if is_word && record.publisher.as_deref() == Some(publisher) {
            hashdb.remove(id)?;
        }
    }
    Ok(())
}

/// Says what the publisher said, and where the proof is.
fn tell(environment: &Environment<'_>, signed: &Signed) -> anyhow::Result<()> {
    let proof = keep_proof(environment, signed)?;
    let name = signed.record.display_name();
    let lie = format!("what it signed of {name} is not what is in the package");
    publishers::remember_lie(environment, &signed.publisher, &lie)?;
    let told = format!(
        "{lie}. Nothing of this publisher is relied on any more. The proof is {}: hashget statement check {} {}",
        safe(&proof.display().to_string()),
        safe(&proof.display().to_string()),
        safe(&signed.record.url)
    );
    let monitor: &dyn Monitor = environment.console;
    monitor.problem(ProblemKind::Unreachable, safe(&signed.publisher), told);
    Ok(())
}

/// Keeps the statement of the publisher, beside what is remembered of it.
fn keep_proof(environment: &Environment<'_>, signed: &Signed) -> anyhow::Result<PathBuf> {
    let folder = environment.hashdb_folder()?.join("publishers");
    fs_err::create_dir_all(&folder)?;
    let file = folder.join(format!("{}.statement", &signed.record.sha256.to_string()[..16]));
    fs_err::write(&file, signed.statement.to_string())?;
    Ok(file)
}
