//! Spot checks: each run reads some packages that were known by a publisher's word until now, and compares.
//!
//! Invariant: packages of the run itself are not among them, and what is downloaded for it stays within its limit. Once a publisher
//! said what is not so, nothing of it is relied on.

use std::cmp::Reverse;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;

use hashget::fetch::Sources;
use hashget::hashdb::{Checks as _, HashDb as _, HashDbWriter as _, LocalHashDb, now};
use hashget::index::{Contents, IndexError, Indexer};
use hashget::model::{Digest, Evidence, Member, PackageRecord, total_bytes};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::places::{Answer, was_lost_lately};
use hashget_published::Statement;

use crate::environment::Environment;
use crate::output::{counted, safe};
use crate::publishers;

/// Bytes that a run may download for it, unless the configuration says otherwise.
const AT_MOST: u64 = 8 << 20;

/// Packages of which a run chooses, by chance: their members have to be read to know what they give.
const CHOICE: usize = 200;

/// A package that is known by a publisher's word.
struct Signed {
    record: PackageRecord,
    publisher: String,
    /// What it said is in it.
    members: Vec<Member>,
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
    for signed in chosen(&hashdb, limit)? {
        if signed.record.size > left {
            continue;
        }
        left -= signed.record.size;
        match read(&indexer, &hashdb, &signed, environment)? {
            Some(Comparison::Same) => right += 1,
            Some(Comparison::Lie) => {
                tell(environment, &signed)?;
                forget(&hashdb, &signed.publisher)?;
                break;
            }
            Some(Comparison::Unclear) | None => {}
        }
    }
    if right > 0 {
        let packages = counted(right, "package", "packages");
        environment.console.detail(&format!("Spot checks: {packages} as their publisher said"));
    }
    Ok(())
}

/// The packages that are worth checking, of some that chance chose: those that give most for a byte to download first.
fn chosen(hashdb: &LocalHashDb, limit: u64) -> anyhow::Result<Vec<Signed>> {
    let mut all = hashdb.list()?;
    let is_eligible = |one: &PackageRecord| {
        one.evidence == Evidence::Signed && one.publisher.is_some() && one.size <= limit
    };
    all.retain(|(_, one)| is_eligible(one));
    let random = RandomState::new();
    all.sort_by_cached_key(|(_, one)| random.hash_one(one.sha256));
    let digests: Vec<Digest> = all.iter().map(|(_, one)| one.sha256).collect();
    let mut ranked = Vec::new();
    for ((id, record), checks) in all.into_iter().zip(hashdb.checks(&digests)?) {
        if record.urls().all(|url| was_lost_lately(&checks, url, now())) {
            continue;
        }
        let members = hashdb.members(id)?;
        let gives = total_bytes(members.iter().map(Member::size));
        let publisher = record.publisher.clone().unwrap_or_default();
        ranked.push((gives / record.size.max(1), Signed { record, publisher, members }));
        if ranked.len() == CHOICE {
            break;
        }
    }
    ranked.sort_by_key(|(ratio, one)| (Reverse(*ratio), one.record.sha256));
    Ok(ranked.into_iter().map(|(_, one)| one).collect())
}

/// Reads the package, compares, and records it as read here unless it is not what was said. `None` if it could not be had; what its
/// place answered is kept then.
fn read(
    indexer: &Indexer<'_>,
    hashdb: &LocalHashDb,
    signed: &Signed,
    environment: &Environment<'_>,
) -> anyhow::Result<Option<Comparison>> {
    let record = &signed.record;
    let mut comparison = None;
    let mut compare = |found: &Contents| {
        let said = (&*signed.members, record.passed_over);
        let compared = Comparison::of(said, (&found.members, found.passed_over));
        comparison = Some(compared);
        compared != Comparison::Lie
    };
    match indexer.read_again(record, &mut compare, environment.console) {
        Ok(()) => Ok(comparison),
        Err(IndexError::Fetch(error)) => {
            let check = Answer::of_error(&error)?.check(record.sha256, &record.url);
            check.map_or(Ok(()), |check| hashdb.put_check(&check))?;
            Ok(None)
        }
        Err(error @ (IndexError::Interrupted(_) | IndexError::HashDb(_))) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// What was said of a package, beside what was found in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Same,
    /// What was said is not so.
    Lie,
    /// One of both passed members over that the other one could read; the rest is the same.
    Unclear,
}

impl Comparison {
    /// Compares two readings: members in the package's own order, and the number of those that could not be read.
    fn of(said: (&[Member], u64), found: (&[Member], u64)) -> Self {
        if said.0 == found.0 {
            return Self::Same;
        }
        let (less, more) = if said.1 > found.1 { (said, found) } else { (found, said) };
        let mut rest = more.0.iter();
        let is_part = less.0.iter().all(|member| rest.any(|other| other == member));
        match less.1 > more.1 && is_part {
            true => Self::Unclear,
            false => Self::Lie,
        }
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
    let PackageRecord { sha256, size, format, recursive, .. } = &signed.record;
    let statement = Statement::new(*sha256, *size, format, *recursive, &signed.members);
    fs_err::write(&file, statement.to_string())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use hashget::model::{Kind, MemberMetadata, RelPath};

    use super::*;

    fn members(paths: &[&str]) -> Vec<Member> {
        let member = |path: &&str| Member {
            path: RelPath::new(*path).expect("a path"),
            kind: Kind::Directory,
            metadata: MemberMetadata::default(),
            sha256: None,
            extents: None,
        };
        paths.iter().map(member).collect()
    }

    #[test]
    fn only_what_is_not_so_is_a_lie() {
        let of = |said: (&[&str], u64), found: (&[&str], u64)| {
            Comparison::of((&members(said.0), said.1), (&members(found.0), found.1))
        };
        assert_eq!(of((&["a", "b"], 0), (&["a", "b"], 0)), Comparison::Same);
        assert_eq!(of((&["a", "c"], 0), (&["a", "b"], 0)), Comparison::Lie);
        assert_eq!(of((&["b", "a"], 0), (&["a", "b"], 0)), Comparison::Lie);
        assert_eq!(of((&["a"], 0), (&["a", "b"], 0)), Comparison::Lie);
        // What one of both could not read.
        assert_eq!(of((&["a"], 1), (&["a", "b"], 0)), Comparison::Unclear);
        assert_eq!(of((&["a", "b"], 0), (&["b"], 1)), Comparison::Unclear);
        // That is no excuse for what is not there.
        assert_eq!(of((&["c"], 1), (&["a", "b"], 0)), Comparison::Lie);
        assert_eq!(of((&["a", "b"], 0), (&["c"], 1)), Comparison::Lie);
    }
}
