//! Which archived files are made of pieces of known members.
//!
//! Invariant: a run is taken only from a package that was read here, whose places are certain, and whose download is worth it; every
//! byte of it was compared by its digest.

pub(super) mod encoded;
mod scan;
mod table;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use super::known::{KnownPackage, Requirements, add_checks};
use super::matching::best_place;
use super::plan::{ChosenPackage, Kept, PackageUse, Plan, package_head};
use super::programs::{Search, add_program};
use super::verdict::{Reason, Verdict};
use super::{PackError, Packer};
use crate::hashdb::{BlockStore, Key, PackageId};
use crate::limits::Limits;
use crate::model::manifest::{Encoded, Pieces, RESTS_NAME, Run, data_bytes};
use crate::model::{Entry, Evidence, HashingReader, Kind, RelPath, total_bytes};
use crate::monitor::{Interrupted, Monitor, ProblemKind, Running, Step, Total};
use crate::tree::{Scan, data_of};
use encoded::{Decoded, Encoding, decode};
use scan::{Found, scan};
use table::{Added, Table};

/// Smaller files are not looked into, in bytes.
const LEAST_BYTES: u64 = 1 << 20;
/// Runs have at least this part of a file's data.
const SHARE: u64 = 4;
/// So many files of a tree at most are made of pieces, the largest: restoring has all of them open.
const MOST_FILES: usize = 100;

/// A file that may be made of pieces, by the index of its entry.
struct Candidate {
    entry: usize,
    /// Bytes of the file, holes left out.
    bytes: u64,
    /// Bytes of what is put together: the same, or of its decoded form.
    data: u64,
    runs: Vec<Found>,
    /// What is compressed in it, if it is.
    decoded: Option<Decoded>,
    /// How it comes out of that again.
    encoded: Option<Encoded>,
}

impl Packer<'_> {
    /// Finds the archived files that are made of pieces, and the packages that this takes besides those of `packages`; compressed ones
    /// if there are programs.
    pub(super) fn find_pieces(
        &self,
        scan: &Scan,
        packages: &mut Vec<ChosenPackage<'_>>,
        (requirements, mut programs): (&Requirements<'_>, Option<&mut Search<'_, '_>>),
        plan: &mut Plan,
        monitor: &dyn Monitor,
    ) -> Result<(), PackError> {
        let Some(store) = self.hashdb.blocks() else { return Ok(()) };
        let mut candidates = candidates(scan, plan);
        if candidates.is_empty() {
            return Ok(());
        }
        let relied_on: HashSet<PackageId> =
            plan.chosen.iter().map(|&index| packages[index].id).collect();
        let mut known = self.packages_with_blocks(store, &relied_on, requirements, monitor)?;
        let is_relied_on: Vec<bool> = known.iter().map(|one| relied_on.contains(&one.id)).collect();
        let mut table = Table::new();
        for (index, one) in known.iter().enumerate() {
            monitor.check_interrupted()?;
            match table.add(index, &one.record.sha256, store) {
                Ok(Added::All) => {}
                Ok(Added::NoRoom) => break,
                Ok(Added::Damaged) => {
                    let problem = "its blocks are damaged: they were removed, and are made anew when it is indexed with --blocks";
                    monitor.problem(ProblemKind::Note, one.record.display_name(), problem);
                    // What cannot be removed is found to be damaged again.
                    let _ = store.remove(&one.record.sha256);
                }
                Err(error) => {
                    let problem = format!("its blocks cannot be read: {error}");
                    monitor.problem(ProblemKind::Note, one.record.display_name(), problem);
                }
            }
        }
        if table.is_empty() {
            return Ok(());
        }
        let limits = programs.is_some().then_some(self.limits);
        look_into(scan, &table, &mut candidates, (limits, monitor))?;
        let may_use =
            self.usable(&mut known, &is_relied_on, &table, &candidates, (requirements, monitor))?;
        for candidate in &mut candidates {
            candidate.runs.retain(|run| may_use[table.member(run.member).0]);
        }
        candidates.retain(|one| one.data > 0 && gain(&one.runs) >= one.data / SHARE);
        candidates.sort_by_key(|one| std::cmp::Reverse(one.data));
        candidates.truncate(MOST_FILES);
        candidates.sort_by_key(|one| one.entry);
        if let Some(programs) = &mut programs {
            candidates = programs.encode(scan, candidates)?;
        }
        let programs = programs.as_deref();
        add_to_plan(scan, (&table, &known), candidates, (packages, programs), plan);
        Ok(())
    }

    /// The packages of which there are blocks and that may be relied on: those first that are.
    fn packages_with_blocks(
        &self,
        store: &BlockStore,
        relied_on: &HashSet<PackageId>,
        requirements: &Requirements<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<KnownPackage>, PackError> {
        let digests = match store.packages() {
            Ok(digests) => digests,
            Err(error) => {
                let problem = format!("the blocks of packages cannot be listed: {error}");
                monitor.problem(ProblemKind::Note, "HashDB", problem);
                return Ok(Vec::new());
            }
        };
        let keys: Vec<Key<'_>> = digests.iter().map(|sha256| Key::Package(*sha256)).collect();
        let ids: Vec<PackageId> = self.hashdb.find(&keys)?.concat();
        let mut known = Vec::new();
        for (id, record) in ids.iter().zip(self.hashdb.records(&ids)?) {
            // Of its bytes, all are known only if it was read.
            if let Some(record) = record.filter(|record| record.evidence >= Evidence::Signed) {
                known.push(KnownPackage::new(*id, record, Vec::new()));
            }
        }
        add_checks(self.hashdb, &mut known)?;
        known.retain(|one| relied_on.contains(&one.id) || requirements.is_usable(one));
        known.sort_by_key(|one| (one.record.sha256, !relied_on.contains(&one.id)));
        known.dedup_by_key(|one| one.record.sha256);
        known.sort_by_cached_key(|one| (!relied_on.contains(&one.id), one.record.url.clone()));
        Ok(known)
    }

    /// Which of the `known` packages may be relied on for their runs: their download is worth it, and their places are certain.
    fn usable(
        &self,
        known: &mut [KnownPackage],
        is_relied_on: &[bool],
        table: &Table,
        candidates: &[Candidate],
        (requirements, monitor): (&Requirements<'_>, &dyn Monitor),
    ) -> Result<Vec<bool>, PackError> {
        let mut gains = vec![0_u64; known.len()];
        for candidate in candidates {
            let whole = u128::from(candidate.data.max(1));
            for run in &candidate.runs {
                // Of a compressed file, the bytes that it has of these.
                let bytes = u128::from(run.length) * u128::from(candidate.bytes) / whole;
                gains[table.member(run.member).0] += u64::try_from(bytes).unwrap_or(u64::MAX);
            }
        }
        let is_worth = |index: usize| requirements.is_worth(known[index].record.size, gains[index]);
        let wanted: Vec<usize> =
            (0..known.len()).filter(|&index| !is_relied_on[index] && is_worth(index)).collect();
        while self.ask_places(known, &wanted, requirements, monitor)?
            || self.pool(known, &wanted, requirements, monitor)?
        {}
        let is_certain =
            |one: &KnownPackage| requirements.obstacle(&one.record, &one.checks).is_none();
        let mut may_use = is_relied_on.to_vec();
        wanted.into_iter().for_each(|index| may_use[index] = is_certain(&known[index]));
        Ok(may_use)
    }
}

fn gain(runs: &[Found]) -> u64 {
    total_bytes(runs.iter().map(|run| run.length))
}

/// The archived files that are large enough. A tree whose top has the name of the rests has none.
fn candidates(scan: &Scan, plan: &Plan) -> Vec<Candidate> {
    let entries = &scan.entries;
    // Also one that is left out of this backup is in the way of a restore.
    if RelPath::new(RESTS_NAME).is_ok_and(|rests| scan.root.has(&rests)) {
        return Vec::new();
    }
    // Their further names are in the tar, as links to what would not be there.
    let with_names: HashSet<&RelPath> = entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::HardLink { target } => Some(target),
            _ => None,
        })
        .collect();
    let candidate = |entry: usize| {
        let Verdict::Archived(reason) = plan.verdicts.get(entry) else { return None };
        let (found, data) = (&entries[entry], data_bytes(&entries[entry]));
        let is_file = matches!(found.kind, Kind::File { .. })
            && found.sha256.is_some()
            && !with_names.contains(&found.path);
        let may_be = !reason.is_final() || reason == Reason::Holes;
        (is_file && may_be && data > LEAST_BYTES).then(|| Candidate {
            entry,
            bytes: data,
            data,
            runs: Vec::new(),
            decoded: None,
            encoded: None,
        })
    };
    (0..entries.len()).filter_map(candidate).collect()
}

/// Reads the candidates, where they had data when they were scanned; what is compressed, with limits alone.
fn look_into(
    tree: &Scan,
    table: &Table,
    candidates: &mut [Candidate],
    (limits, monitor): (Option<&Limits>, &dyn Monitor),
) -> Result<(), PackError> {
    let total = Total::bytes(total_bytes(candidates.iter().map(|one| one.data)));
    let progress = monitor.begin(Step::Plan, "pieces of packages in large files", total);
    for candidate in candidates {
        monitor.check_interrupted()?;
        let entry = &tree.entries[candidate.entry];
        let opened = tree.root.open_file(&entry.path);
        // Whatever is wrong with it is found again, and said, when it is written.
        let _ = opened.and_then(|file| {
            let encoding = match (limits, &entry.extents) {
                (Some(_), None) => Encoding::of(&file)?,
                _ => None,
            };
            if let (Some(limits), Some(encoding)) = (limits, encoding) {
                decode(candidate, (&file, encoding), table, (limits, monitor))?;
                progress.advance(entry.size(), 0);
                return Ok(());
            }
            let data = data_of(&file, entry.extents.as_deref());
            let progress = Some(&progress);
            let mut data = HashingReader::new(Watched { data, monitor, progress });
            let runs = scan(&mut data, table, u64::MAX)?;
            io::copy(&mut data, &mut io::sink())?;
            // Runs of other data than that of the scan would give another file.
            if Some(data.finish().0) == entry.sha256 {
                candidate.runs = runs;
            }
            Ok(())
        });
        progress.advance(0, 1);
    }
    Ok(monitor.check_interrupted()?)
}

/// Data, counted if there is a progress of it, until the monitor asks to stop.
struct Watched<'w, R> {
    data: R,
    monitor: &'w dyn Monitor,
    progress: Option<&'w Running<'w>>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.monitor.interrupted() {
            return Err(io::Error::other(Interrupted));
        }
        let count = self.data.read(buffer)?;
        if let Some(progress) = self.progress {
            progress.advance(count as u64, 0);
        }
        Ok(count)
    }
}

/// Adds the files to the plan, and the packages that only they need.
fn add_to_plan(
    tree: &Scan,
    (table, known): (&Table, &[KnownPackage]),
    candidates: Vec<Candidate>,
    (packages, programs): (&mut Vec<ChosenPackage<'_>>, Option<&Search<'_, '_>>),
    plan: &mut Plan,
) {
    if candidates.is_empty() {
        return;
    }
    // By package, its number in the plan.
    let of_chosen = |(number, &chosen): (usize, &usize)| (packages[chosen].id, number);
    let mut numbers: HashMap<PackageId, usize> =
        plan.chosen.iter().enumerate().map(of_chosen).collect();
    let mut pieces = Pieces::default();
    let mut members: HashMap<u32, u32> = HashMap::new();
    for (rest, Candidate { entry, runs, encoded, .. }) in (0_u32..).zip(candidates) {
        if !pieces.has_room_for(runs.len()) {
            continue;
        }
        let mut end = 0;
        let runs = runs.into_iter().map(|run| {
            let member = *members.entry(run.member).or_insert_with(|| {
                let (package, path) = table.member(run.member);
                let number = *numbers
                    .entry(known[package].id)
                    .or_insert_with(|| add_package(&known[package], packages, plan));
                pieces.add_member(u32::try_from(number).expect("fewer than 2^32 packages"), &path)
            });
            let gap = run.at - end;
            end = run.at + run.length;
            Run { gap, length: run.length, member, offset: run.offset }
        });
        let runs: Vec<Run> = runs.collect();
        pieces.add_file(&tree.entries[entry].path, rest, &runs, encoded);
    }
    for (_, encoded) in pieces.encoded_files() {
        if let Some(program) = programs.and_then(|programs| programs.encoder_of(encoded)) {
            add_program(program, packages, plan);
        }
    }
    let size_of = |path: &RelPath| tree.entries.at(path).map_or(0, Entry::size);
    let bytes = pieces.bytes_of_packages(&plan.packages, &size_of);
    for (used, bytes) in plan.uses.iter_mut().zip(bytes) {
        used.bytes_of_pieces = bytes;
    }
    plan.pieces = Some(pieces);
    sort_packages(plan);
}

/// Adds a package at the end of the plan; its index.
pub(super) fn add_package(
    known: &KnownPackage,
    packages: &mut Vec<ChosenPackage<'_>>,
    plan: &mut Plan,
) -> usize {
    let KnownPackage { id, record, checks, .. } = known;
    let place = best_place(record, checks);
    let (record, kept) = (record.clone(), Kept::Contents(Vec::new()));
    plan.uses.push(PackageUse::none_of(&record, place));
    let package = ChosenPackage { record, id: *id, place, kept };
    plan.packages.push(package_head(&package));
    plan.chosen.push(packages.len());
    packages.push(package);
    plan.packages.len() - 1
}

/// Puts the packages in the order of their URLs again.
pub(super) fn sort_packages(plan: &mut Plan) {
    let mut order: Vec<usize> = (0..plan.packages.len()).collect();
    order.sort_by(|&a, &b| plan.packages[a].url.cmp(&plan.packages[b].url));
    let mut new = vec![0; order.len()];
    order.iter().enumerate().for_each(|(number, &old)| new[old] = number);
    plan.verdicts.renumber(|package| new[package]);
    let new_of = |old: u32| u32::try_from(new[old as usize]).expect("fewer than 2^32 packages");
    plan.pieces = plan.pieces.take().map(|pieces| pieces.with_packages(new_of));
    let mut rows: Vec<_> = std::mem::take(&mut plan.packages)
        .into_iter()
        .zip(std::mem::take(&mut plan.uses))
        .zip(std::mem::take(&mut plan.chosen))
        .zip(&new)
        .collect();
    rows.sort_by_key(|(_, new)| **new);
    for (((package, used), chosen), _) in rows {
        plan.packages.push(package);
        plan.uses.push(used);
        plan.chosen.push(chosen);
    }
}
