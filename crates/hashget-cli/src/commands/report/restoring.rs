//! What restoring takes: what is to be downloaded, of which kinds of packages, for how long, and how much room.
//!
//! Invariant: upper bounds, by the manifest alone: what lies in a pool or cache already is not taken off.

use std::collections::BTreeMap;

use hashget::archive::Survey;
use hashget::model::manifest::Package;
use hashget::model::{Amount, escaped, total_bytes};

use crate::output::{counted, size};

/// Networks that times are given for, in bits a second, and what they are called.
const NETWORKS: &[(u64, &str)] =
    &[(1_000_000_000, "1 Gbit/s"), (100_000_000, "100 Mbit/s"), (10_000_000, "10 Mbit/s")];

/// The section of the page.
pub(super) struct Restoring {
    /// What is to be downloaded, and what room it takes, in sentences.
    pub(super) sentences: Vec<String>,
    /// Times to download everything, by network.
    pub(super) times: Vec<TimeRow>,
    /// What each ecosystem gives, the largest first.
    pub(super) ecosystems: Vec<EcosystemRow>,
}

/// A network, and how long the download takes there.
pub(super) struct TimeRow {
    pub(super) network: &'static str,
    pub(super) time: String,
}

/// Packages of one ecosystem.
pub(super) struct EcosystemRow {
    pub(super) name: String,
    pub(super) packages: usize,
    pub(super) download: String,
    /// What they restore, as far as the HashDB knows it.
    pub(super) gives: Amount,
    pub(super) gives_size: String,
}

/// What restoring takes. `packages` are in the order of the survey.
pub(super) fn restoring(survey: &Survey, packages: &[Package], hosts: usize) -> Restoring {
    let download = total_bytes(packages.iter().map(|package| package.size));
    let all: Amount = [survey.given(), survey.archived()].into_iter().sum();
    let room = format!("The restored files take {}.", size(all.bytes));
    let sentences = match packages.len() {
        0 => vec!["Nothing is to be downloaded: everything is in the archive.".to_owned(), room],
        number => vec![
            format!(
                "To download: {} in {} from {}, less what is in a pool, a cache or a nearer mirror.",
                size(download),
                counted(number as u64, "package", "packages"),
                counted(hosts as u64, "host", "hosts"),
            ),
            room,
        ],
    };
    let time = |&(bits, network): &(u64, &'static str)| {
        let seconds = (u128::from(download) * 8).div_ceil(u128::from(bits));
        TimeRow { network, time: about(u64::try_from(seconds).unwrap_or(u64::MAX)) }
    };
    let times = if packages.is_empty() { Vec::new() } else { NETWORKS.iter().map(time).collect() };
    Restoring { sentences, times, ecosystems: ecosystems(survey, packages) }
}

/// A time in seconds, rounded up, as people say it.
fn about(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    match seconds {
        0..=120 => format!("{} s", seconds.max(1)),
        121..=7_200 => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
    }
}

fn ecosystems(survey: &Survey, packages: &[Package]) -> Vec<EcosystemRow> {
    let mut by_name: BTreeMap<&str, (usize, u64, Amount)> = BTreeMap::new();
    for (package, surveyed) in packages.iter().zip(&survey.packages) {
        let name = package.signatures.first().and_then(|signature| signature.split_once(':'));
        let (number, download, gives) =
            by_name.entry(name.map_or("", |(ecosystem, _)| ecosystem)).or_default();
        *number += 1;
        *download = download.saturating_add(package.size);
        *gives = [*gives, surveyed.gives].into_iter().sum();
    }
    let mut rows: Vec<(&str, (usize, u64, Amount))> = by_name.into_iter().collect();
    rows.sort_by_key(|(_, (_, download, gives))| std::cmp::Reverse((gives.bytes, *download)));
    let row = |(name, (packages, download, gives)): (&str, (usize, u64, Amount))| EcosystemRow {
        name: match name {
            "" => "by URL alone".to_owned(),
            name => escaped(name.as_bytes()),
        },
        packages,
        download: size(download),
        gives_size: size(gives.bytes),
        gives,
    };
    rows.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up() {
        let table =
            [(0, "1 s"), (120, "120 s"), (121, "3 min"), (7_200, "120 min"), (7_201, "2 h 01 min")];
        for (seconds, expected) in table {
            assert_eq!(about(seconds), expected);
        }
    }
}
