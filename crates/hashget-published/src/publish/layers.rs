//! What an edition is made of: the base as it is, and a layer of what was added since it was made; or a new base.
//!
//! Invariant: pure, but for reading heads. The order of packages is the same whatever the order of the inputs.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use hashget::formats::RULES;
use hashget::model::Digest;
use hashget::monitor::Monitor;

use super::{FromPublished, Head, Packages, PublishOptions};
use crate::error::PublishedError;
use crate::files::Folder;
use crate::key::PublicKey;
use crate::manifest::{Layer, Manifest};
use crate::proven::{Edition, Memory};
use crate::record::PublishedRecord;

/// A new base is made once the second layer has more than this share of it: one of so many packages.
const NEW_BASE: usize = 4;

/// Days after which a new claim is worth a new row.
const CLAIM_DAYS: i32 = 180;

/// A package that is to be written.
pub(super) struct Planned {
    pub(super) record: PublishedRecord,
    /// Does the record have the digest of its list?
    pub(super) is_read: bool,
    /// The number of its collection.
    pub(super) collection: usize,
    /// Which input has its members, and as what.
    pub(super) input: usize,
    pub(super) handle: u64,
}

/// An edition to be written.
#[derive(Default)]
pub(super) struct Plan {
    /// The base that stays.
    pub(super) base: Option<Layer>,
    /// Packages of it that are not there any more, in ascending order.
    pub(super) withdrawn: Vec<Digest>,
    /// What is written, in order.
    pub(super) packages: Vec<Planned>,
    /// The names of the collections of these.
    pub(super) collections: Vec<String>,
    /// Packages of the base that stay as they are.
    unchanged: u64,
}

impl Plan {
    /// The number of packages of the edition.
    pub(super) fn packages(&self) -> u64 {
        self.unchanged + self.packages.len() as u64
    }
}

/// Plans an edition of everything in `inputs`.
pub(super) fn plan(
    inputs: &[&dyn Packages],
    last: Option<&Manifest>,
    options: &PublishOptions<'_>,
    monitor: &dyn Monitor,
) -> Result<Plan, PublishedError> {
    let packages = merged(inputs)?;
    if packages.is_empty() {
        let why = "no package in the HashDB was downloaded from a public URL; index some first";
        return Err(super::nothing(options.folder, why));
    }
    // By other rules the packages of the base may have other lists.
    let last = last.filter(|last| last.rules == RULES);
    let base = match last.and_then(|last| last.layers.first()) {
        Some(base) if !options.whole => base,
        _ => return Ok(ordered(packages, options)),
    };
    let keys: Vec<PublicKey> = options.keys.iter().map(|key| key.public().clone()).collect();
    let folder = Arc::new(Folder::new(options.folder));
    let edition = Edition::open(folder, &keys, Memory::none(), options.now, monitor)?;
    let known = FromPublished::new(edition, monitor).base()?;
    let known: HashMap<Digest, PublishedRecord> =
        known.into_iter().map(|head| (head.record.sha256, head.record)).collect();
    let mut withdrawn: Vec<Digest> =
        known.keys().filter(|digest| !packages.contains_key(digest)).copied().collect();
    withdrawn.sort_unstable();
    let is_new = |record: &PublishedRecord| {
        known.get(&record.sha256).is_none_or(|known| is_other(known, record))
    };
    let new = packages.values().filter(|planned| is_new(&planned.record)).count();
    let limit = known.len() / NEW_BASE;
    if new > limit || withdrawn.len() > limit {
        return Ok(ordered(packages, options));
    }
    let unchanged = (packages.len() - new) as u64;
    let mut packages = packages;
    packages.retain(|_, planned| is_new(&planned.record));
    let mut plan = ordered(packages, options);
    (plan.base, plan.withdrawn, plan.unchanged) = (Some(base.clone()), withdrawn, unchanged);
    Ok(plan)
}

/// Would a new row say something that the known one does not?
fn is_other(known: &PublishedRecord, new: &PublishedRecord) -> bool {
    let day = |record: &PublishedRecord| record.seen.as_ref()?.parse::<jiff::civil::Date>().ok();
    let is_newer = match (day(known), day(new)) {
        (Some(known), Some(new)) => (new - known).get_days() > CLAIM_DAYS,
        (None, new) => new.is_some(),
        (Some(_), None) => false,
    };
    // The same package has the same list, by the same rules.
    let mut same = new.clone();
    (same.members, same.list, same.seen) = (known.members, known.list, known.seen.clone());
    is_newer || same != *known
}

/// All packages, each once, with the names and URLs of all who have it.
fn merged(inputs: &[&dyn Packages]) -> Result<HashMap<Digest, Planned>, PublishedError> {
    let mut packages: HashMap<Digest, Vec<Planned>> = HashMap::new();
    for (input, heads) in inputs.iter().enumerate() {
        for Head { record, is_read, handle } in heads.heads()? {
            let planned = Planned { record, is_read, collection: 0, input, handle };
            packages.entry(planned.record.sha256).or_default().push(planned);
        }
    }
    let mut merged = HashMap::with_capacity(packages.len());
    for (digest, mut same) in packages {
        // Whoever looked into more of it comes first, then whoever got it last.
        same.sort_by_key(|one| {
            let record = &one.record;
            (!record.nested, Reverse(record.seen.clone()), record.urls.clone(), !one.is_read)
        });
        let mut same = same.into_iter();
        let Some(mut first) = same.next() else { continue };
        for other in same {
            agree(&first, &other)?;
            add(&mut first.record.urls, other.record.urls);
            add(&mut first.record.names, other.record.names);
        }
        merged.insert(digest, first);
    }
    Ok(merged)
}

/// Fails if two say different things of one package.
fn agree(one: &Planned, other: &Planned) -> Result<(), PublishedError> {
    let (first, second) = (one.record.statement(), other.record.statement());
    let is_both_read = one.is_read && other.is_read;
    if is_both_read && first.is_comparable(&second) && first != second {
        let problem = format!(
            "two of the inputs say different things of what is in it; `hashget statement check` tells which one is \
             wrong:\n{first}\n{second}"
        );
        return Err(PublishedError::damaged(one.record.urls[0].clone(), problem));
    }
    Ok(())
}

fn add(all: &mut Vec<String>, more: Vec<String>) {
    for one in more {
        if !all.contains(&one) {
            all.push(one);
        }
    }
}

/// The name of the collection of a package.
pub(super) fn collection(record: &PublishedRecord, options: &PublishOptions<'_>) -> String {
    let kind = record.names.first().and_then(|name| name.split_once(':'));
    let kind = kind.map_or("other", |(kind, _)| kind);
    options.collection.unwrap_or(kind).to_owned()
}

/// Where a package is within its collection: by rank, name and digest.
pub(super) fn place(
    record: &PublishedRecord,
    options: &PublishOptions<'_>,
) -> (u32, String, Digest) {
    let name = record.names.first().cloned().unwrap_or_default();
    (options.rank.of(&name), name, record.sha256)
}

/// The packages in the order in which they are written.
fn ordered(packages: HashMap<Digest, Planned>, options: &PublishOptions<'_>) -> Plan {
    let mut packages: Vec<Planned> = packages.into_values().collect();
    let mut names: Vec<String> =
        packages.iter().map(|one| collection(&one.record, options)).collect();
    names.sort_unstable();
    names.dedup();
    for package in &mut packages {
        let name = collection(&package.record, options);
        package.collection = names.binary_search(&name).unwrap_or(0);
    }
    packages.sort_by_cached_key(|one| (one.collection, place(&one.record, options)));
    Plan { packages, collections: names, ..Plan::default() }
}
