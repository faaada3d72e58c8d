//! Publishing what a cluster gathered: packages in order, and their keys sorted.
//!
//! Invariant: everything is read once, from the first line to the last, and nothing is sorted but names. What is not in order, is
//! there twice, or does not follow from the packages ends everything before it is signed.

use std::path::Path;
use std::str;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashget::formats::RULES;
use hashget::model::Digest;
use hashget::monitor::{Monitor, Step, Total};
use serde::Deserialize;

use super::cutter::Cutter;
use super::folder::OutputFolder;
use super::gathered::Lines;
use super::key_sum::{KeySum, Sum};
use super::layers::{collection, place};
use super::write::{KeyTables, LayerWriter, Target};
use super::{PublishOptions, Published, add_edition, nothing, scratch};
use crate::error::PublishedError;
use crate::manifest::{Layer, Manifest};
use crate::record::PublishedRecord;
use crate::table::KEY_BITS;

/// Where packages and keys are in what was gathered.
const PACKAGES: &str = "packages";
const KEYS: &str = "keys";

/// Bytes of the longest line of each.
const MOST_OF_PACKAGE: u64 = 128 << 20;
const MOST_OF_KEY: u64 = 64;

/// A line of `packages`: of the facts of a package, what is published.
#[derive(Deserialize)]
struct Row {
    #[serde(flatten)]
    record: PublishedRecord,
    /// Base64 of the member list, as it is stored.
    member_list: String,
}

/// What the next package must come behind: collection, place, digest.
type Order = (String, (u32, String, Digest));

/// Publishes what a cluster gathered in the folder `gathered`, as a new base.
///
/// # Errors
/// See [`PublishedError`]; what is wrong with a line names its file. The published folder has the edition that it had before.
pub fn finish(
    gathered: &Path,
    options: &PublishOptions<'_>,
    monitor: &dyn Monitor,
) -> Result<Published, PublishedError> {
    let folder = OutputFolder::open(options.folder, options.keys)?;
    let scratch = scratch(options)?;
    let tables = folder.tables();
    let target = Target { tables: &tables, scratch: scratch.path() };
    let (mut layer, keys) = packages(gathered, target, options, monitor)?;
    let (count, expected) = keys.finish();
    let mut tables = KeyTables::new(target);
    let found = cut(gathered, layer.packages, count, &mut tables, monitor)?;
    if found != expected {
        let problem = format!(
            "its pairs are not those of the packages: {} were found, and {} follow from {PACKAGES}; run the job again",
            found.pairs, expected.pairs
        );
        return Err(PublishedError::damaged(gathered.join(KEYS).display().to_string(), problem));
    }
    layer.keys = tables.tables;
    let mut published = Published { packages: layer.packages.into(), ..Published::default() };
    (published.written, published.keys) = (published.packages, tables.rows);
    add_edition(folder, Manifest::new(vec![layer], Vec::new()), published, options)
}

/// Writes packs and names.
fn packages(
    gathered: &Path,
    target: Target<'_>,
    options: &PublishOptions<'_>,
    monitor: &dyn Monitor,
) -> Result<(Layer, KeySum), PublishedError> {
    let name = gathered.join(PACKAGES).display().to_string();
    let progress = monitor.begin(Step::Gather, name, Total::UNKNOWN);
    let mut lines = Lines::new(gathered, PACKAGES, MOST_OF_PACKAGE)?;
    let mut writer = LayerWriter::new(target, KeySum::default());
    let mut last: Option<Order> = None;
    // The first half of a digest tells packages apart.
    let mut digests: Vec<u128> = Vec::new();
    while let Some(line) = lines.next()? {
        monitor.check_interrupted()?;
        let (record, list) = row(line).map_err(|problem| lines.damaged(problem))?;
        let order = (collection(&record, options), place(&record, options));
        if last.as_ref().is_some_and(|last| *last >= order) {
            let problem = format!(
                "the package {} is not in order, or there twice: it follows {} (rank and collection must be those of the job)",
                record.sha256,
                last.map(|(_, (_, _, digest))| digest.to_string()).unwrap_or_default()
            );
            return Err(lines.damaged(problem));
        }
        digests.push(half(&record.sha256));
        let pushed = writer.push(&order.0, record, true, list);
        pushed.map_err(|error| match error {
            PublishedError::Damaged { file, problem } => {
                lines.damaged(format!("{file}: {problem}"))
            }
            other => other,
        })?;
        last = Some(order);
        progress.advance(0, 1);
    }
    if digests.is_empty() {
        return Err(nothing(
            options.folder,
            "the cluster gathered no package; see the failed URLs of its job",
        ));
    }
    digests.sort_unstable();
    if let Some([twice, _]) = digests.array_windows().find(|[one, next]| one == next) {
        let problem = format!("the package {twice:032x}... is there twice, with different names");
        return Err(PublishedError::damaged(PACKAGES, problem));
    }
    writer.finish()
}

/// The first 128 bits of a digest.
fn half(digest: &Digest) -> u128 {
    digest.as_bytes()[..16].iter().fold(0, |half, byte| half << 8 | u128::from(*byte))
}

/// What a line of `packages` says: the record, and the member list as it is stored.
fn row(line: &[u8]) -> Result<(PublishedRecord, Vec<u8>), String> {
    let Row { record, member_list } =
        serde_json::from_slice(line).map_err(|error| format!("it is no package: {error}"))?;
    if let Some(problem) = record.problem() {
        return Err(problem.to_owned());
    }
    if record.rules != RULES {
        return Err(format!(
            "it was read by the rules of version {}; this hashget publishes by those of version {RULES}: gather the facts again",
            record.rules
        ));
    }
    let list = BASE64_STANDARD.decode(member_list);
    let list = list.map_err(|error| format!("its member list is no base64: {error}"))?;
    Ok((record, list))
}

/// Cuts the sorted keys into tables; returns the sum of what was there.
fn cut(
    gathered: &Path,
    packages: u32,
    count: u64,
    tables: &mut KeyTables<'_>,
    monitor: &dyn Monitor,
) -> Result<Sum, PublishedError> {
    let name = gathered.join(KEYS).display().to_string();
    let progress = monitor.begin(Step::Gather, name, Total::UNKNOWN);
    let mut lines = Lines::new(gathered, KEYS, MOST_OF_KEY)?;
    let mut cutter = Cutter::new(count, |pairs: &[(u64, u32)]| tables.write(pairs));
    let (mut sum, mut last) = (Sum::default(), None);
    while let Some(line) = lines.next()? {
        let pair = pair(line).ok_or_else(|| {
            lines.damaged(
                "it is no key of 12 hexadecimal digits, a space, and the number of a package",
            )
        })?;
        if pair.1 >= packages {
            let problem = format!("there is no package {}: there are {packages}", pair.1);
            return Err(lines.damaged(problem));
        }
        if last >= Some(pair) {
            return Err(lines.damaged("the key is not in order, or there twice"));
        }
        last = Some(pair);
        sum.add(pair.0, pair.1);
        cutter.push(pair)?;
        if sum.pairs % (1 << 16) == 0 {
            monitor.check_interrupted()?;
            progress.advance(0, 1 << 16);
        }
    }
    cutter.finish()?;
    Ok(sum)
}

/// The pair in a line of `keys`.
fn pair(line: &[u8]) -> Option<(u64, u32)> {
    let (key, number) = str::from_utf8(line).ok()?.split_once(' ')?;
    let is_key =
        key.len() * 4 == KEY_BITS as usize && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let key = u64::from_str_radix(key, 16).ok().filter(|_| is_key)?;
    Some((key, number.parse().ok().filter(|_| is_number)?))
}
