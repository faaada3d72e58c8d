//! What a destination holds: archives with their records and their parity, and supplements.
//!
//! Invariant: an inventory is complete, or an error. What has another name than archives, records, parity and supplements have is not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _};

use hashget::monitor::Monitor;

use crate::manifest_copy::MOST_FILE_BYTES;
use crate::record::{MOST_BYTES, Record};
use crate::retention::Candidate;
use crate::series::{ArchiveName, Series};
use crate::store::{Store, StoreError, Stored};

/// An archive that a destination holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub name: ArchiveName,
    /// Its size in bytes, as the destination says.
    pub bytes: u64,
    /// Its SHA-256, if the destination computed one.
    pub sha256: Option<String>,
    /// The time until which it cannot be removed, in seconds since 1970.
    pub locked_until: Option<i64>,
    /// Its record; or why there is none that can be used.
    pub record: Result<Record, String>,
    /// The size in bytes of its parity, if the destination has some.
    pub parity: Option<u64>,
    /// Why the archive that it needs cannot serve it, if it needs one and that is so.
    pub lacks: Option<String>,
}

impl Held {
    /// What differs between what the destination holds and the records, its own and that of the archive that it needs; `None` if
    /// they agree. Nothing is read for that.
    pub fn difference(&self) -> Option<String> {
        self.own_difference().or_else(|| self.lacks.clone())
    }

    /// What differs between the parity that the destination holds and what the record says of it; `None` if they agree. An
    /// archive whose parity is missing or damaged is as good as any other. Nothing is read for that.
    pub fn parity_difference(&self) -> Option<String> {
        let expected = self.record.as_ref().ok()?.parity.as_ref()?;
        match self.parity {
            None => Some("its parity is missing: damage to it could not be healed here".to_owned()),
            Some(bytes) if bytes != expected.bytes => Some(format!(
                "its parity has {bytes} bytes, and its record says {}",
                expected.bytes
            )),
            Some(_) => None,
        }
    }

    /// The bytes that it takes in the destination, with those of its parity.
    pub fn all_bytes(&self) -> u64 {
        self.bytes + self.parity.unwrap_or(0)
    }

    /// The archive that it needs, if it needs one.
    pub fn base(&self) -> Option<&str> {
        self.record.as_ref().ok()?.base.as_deref()
    }

    fn own_difference(&self) -> Option<String> {
        let record = match &self.record {
            Ok(record) => record,
            Err(problem) => return Some(problem.clone()),
        };
        if record.bytes != self.bytes {
            return Some(format!(
                "it has {} bytes, and its record says {}",
                self.bytes, record.bytes
            ));
        }
        match &self.sha256 {
            Some(sha256) if *sha256 != record.sha256 => {
                Some(format!("its SHA-256 is {sha256}, and its record says {}", record.sha256))
            }
            _ => None,
        }
    }

    /// What retention needs to know of it. An archive that is not what its record says is not good.
    pub fn candidate(&self) -> Candidate {
        let record = self.record.as_ref().ok();
        Candidate {
            name: self.name.clone(),
            good: record.map(|record| record.is_good() && self.difference().is_none()),
            base: self.base().map(str::to_owned),
            locked_until: self.locked_until,
        }
    }
}

/// What a destination holds of an archive that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// The name of the archive.
    pub name: ArchiveName,
    /// Its record, if that is there; or why it cannot be used.
    pub record: Option<Result<Record, String>>,
    /// Is the archive there under the name that repairing gives to a damaged one?
    pub is_in_repair: bool,
}

/// What a destination holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The archives: by series, the oldest first.
    pub held: Vec<Held>,
    /// What there is of archives that are not there: their record, their parity.
    pub remains: Vec<Remains>,
    /// The supplements, by name, each with the name of the archive that it would be called after: its series, and when it was made.
    pub supplements: Vec<(ArchiveName, String)>,
}

/// A destination, and what it holds; or why it could not be listed.
pub type Looked<'a> = (&'a str, Result<&'a Inventory, String>);

impl Inventory {
    /// The series of the archives.
    pub fn series(&self) -> BTreeSet<&Series> {
        self.held.iter().map(|held| held.name.series()).collect()
    }
}

/// Finds out what `store` holds of the series that `is_wanted` says yes to.
///
/// # Errors
/// The destination cannot be listed, or a record that it has cannot be fetched.
pub fn inventory(
    store: &dyn Store,
    is_wanted: &dyn Fn(&Series) -> bool,
    monitor: &dyn Monitor,
) -> Result<Inventory, StoreError> {
    let stored = store.list(monitor)?;
    let sizes = |name_of: fn(&str) -> Option<ArchiveName>| -> BTreeMap<ArchiveName, u64> {
        let sizes = stored.iter().filter_map(|file| Some((name_of(&file.name)?, file.bytes)));
        sizes.filter(|(name, _)| is_wanted(name.series())).collect()
    };
    let (mut records, mut parities) =
        (sizes(ArchiveName::of_record), sizes(ArchiveName::of_parity));
    let damaged = sizes(ArchiveName::of_damaged);
    let supplements = stored.iter().filter_map(|file| {
        let after = ArchiveName::of_supplement(&file.name)?;
        is_wanted(after.series()).then(|| (after, file.name.clone()))
    });
    let supplements = supplements.collect::<BTreeSet<_>>().into_iter().collect();
    let mut found = Inventory { supplements, ..Inventory::default() };
    let wanted =
        |file: &Stored| ArchiveName::parse(&file.name).filter(|name| is_wanted(name.series()));
    let mut archives: Vec<Stored> =
        stored.into_iter().filter(|file| wanted(file).is_some()).collect();
    store.examine(&mut archives, monitor)?;
    for file in archives {
        let Some(name) = wanted(&file) else { continue };
        let record = match records.remove(&name) {
            Some(bytes) => fetch_record(store, &name, bytes, monitor)?,
            None => Err("it has no record: sending it was not finished, or a person put it there"
                .to_owned()),
        };
        let (bytes, sha256, locked_until) = (file.bytes, file.sha256, file.locked_until);
        let parity = parities.remove(&name);
        found.held.push(Held { name, bytes, sha256, locked_until, record, parity, lacks: None });
    }
    let lacking: Vec<Option<String>> =
        found.held.iter().map(|held| lacks(held, &found.held)).collect();
    for (held, lacks) in found.held.iter_mut().zip(lacking) {
        held.lacks = lacks;
    }
    found.held.sort_by(|one, other| one.name.cmp(&other.name));
    let names: BTreeSet<ArchiveName> = records.keys().chain(parities.keys()).cloned().collect();
    for name in names {
        let record = match records.remove(&name) {
            Some(bytes) => Some(fetch_record(store, &name, bytes, monitor)?),
            None => None,
        };
        let is_in_repair = damaged.contains_key(&name);
        found.remains.push(Remains { name, record, is_in_repair });
    }
    Ok(found)
}

/// Why the archive that `held` needs cannot serve it.
fn lacks(held: &Held, all: &[Held]) -> Option<String> {
    let base = held.base()?;
    let Some(found) = all.iter().find(|other| other.name.to_string() == base) else {
        return Some(format!("it needs {base}, which is not there"));
    };
    found.own_difference().map(|difference| format!("it needs {base}, and of that: {difference}"))
}

/// Fetches the record of an archive; the inner error says what is wrong with it.
fn fetch_record(
    store: &dyn Store,
    name: &ArchiveName,
    bytes: u64,
    monitor: &dyn Monitor,
) -> Result<Result<Record, String>, StoreError> {
    if bytes > MOST_FILE_BYTES {
        return Ok(Err(format!("its record has {bytes} bytes, which is too much for one")));
    }
    let source = match store.open(&name.record(), monitor) {
        Err(StoreError::NotThere { .. }) => {
            return Ok(Err("its record was removed meanwhile".to_owned()));
        }
        opened => opened?,
    };
    let mut text = Vec::new();
    // What follows the first line is for whoever restores.
    let mut lines = BufReader::new(source.take(MOST_BYTES as u64 + 1));
    if let Err(error) = lines.read_until(b'\n', &mut text) {
        return Err(StoreError::Unreachable {
            store: store.shown().to_owned(),
            problem: format!("{}: {error}", name.record()),
        });
    }
    Ok(Record::parse(&text, name).map_err(|error| error.to_string()))
}
