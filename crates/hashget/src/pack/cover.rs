//! Chooses the packages to rely on: the least bytes to download for the bytes saved.
//!
//! Invariant: pure and deterministic; a package is chosen only if the bytes that it alone adds are worth its
//! download, by the user's limit.

use std::collections::BinaryHeap;
use std::collections::HashMap;

use crate::model::total_bytes;

/// A package that holds some of the wanted contents.
#[derive(Debug, Clone)]
pub(super) struct Offer<'k> {
    /// Which package: its index.
    pub(super) package: usize,
    /// Size of the download in bytes.
    pub(super) size: u64,
    /// The contents that it has, as indices into the list of weights, ascending.
    pub(super) contents: &'k [u32],
}

/// The choice among offers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Packages to rely on.
    pub(super) chosen: Vec<usize>,
    /// Packages whose download would save too little, with the number of bytes saved.
    pub(super) not_worth: Vec<(usize, u64)>,
}

/// An offer in the heap. The best ratio of bytes saved to bytes downloaded comes first, then the larger gain,
/// then the earlier package, so that the choice is deterministic.
#[derive(PartialEq)]
struct Ranked {
    ratio: f64,
    gain: u64,
    offer: usize,
}

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.ratio
            .total_cmp(&other.ratio)
            .then(self.gain.cmp(&other.gain))
            .then(other.offer.cmp(&self.offer))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Chooses greedily (weighted set cover). `weights` has the bytes saved by leaving out each content. A
/// package is chosen if it costs at most `max_fetch_ratio` bytes of download for each byte it adds. The order
/// of `offers` decides ties.
pub(super) fn choose(offers: &[Offer<'_>], weights: &[u64], max_fetch_ratio: f64) -> Choice {
    let mut covered = vec![false; weights.len()];
    let gain_of = |offer: &Offer<'_>, covered: &[bool]| -> u64 {
        let missing = offer.contents.iter().filter(|&&content| !covered[content as usize]);
        total_bytes(missing.map(|&content| weights[content as usize]))
    };
    #[allow(clippy::cast_precision_loss, reason = "a ratio to rank by")]
    let rank = |offer: usize, gain: u64| Ranked {
        ratio: gain as f64 / (offers[offer].size.max(1) as f64),
        gain,
        offer,
    };
    let mut heap: BinaryHeap<Ranked> =
        (0..offers.len()).map(|offer| rank(offer, gain_of(&offers[offer], &covered))).collect();
    let mut choice = Choice::default();
    let mut left_alone: HashMap<usize, u64> = HashMap::new();
    while let Some(best) = heap.pop() {
        // Other packages may have been chosen since this one was ranked. Gains only shrink, so the top of the
        // heap is the best as soon as its rank is up to date.
        let gain = gain_of(&offers[best.offer], &covered);
        if gain == 0 {
            continue;
        }
        if gain < best.gain {
            heap.push(rank(best.offer, gain));
            continue;
        }
        if best.ratio * max_fetch_ratio < 1.0 {
            left_alone.insert(best.offer, gain);
            continue;
        }
        for &content in offers[best.offer].contents {
            covered[content as usize] = true;
        }
        choice.chosen.push(offers[best.offer].package);
    }
    choice.not_worth = left_alone
        .into_iter()
        .filter(|&(offer, _)| gain_of(&offers[offer], &covered) > 0)
        .map(|(offer, gain)| (offers[offer].package, gain))
        .collect();
    choice.not_worth.sort_unstable();
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(package: usize, size: u64, contents: &[u32]) -> Offer<'_> {
        Offer { package, size, contents }
    }

    #[test]
    fn the_cheapest_packages_that_cover_are_chosen() {
        type Case = (&'static str, Vec<Offer<'static>>, &'static [u64], &'static [usize]);
        let cases: [Case; 5] = [
            ("one covers all", vec![offer(1, 10, &[0, 1]), offer(2, 10, &[0])], &[100, 100], &[1]),
            (
                "the small one saves the same",
                vec![offer(1, 90, &[0]), offer(2, 10, &[0])],
                &[100],
                &[2],
            ),
            ("both are needed", vec![offer(1, 10, &[0]), offer(2, 10, &[1])], &[100, 90], &[1, 2]),
            ("a tie goes to the first", vec![offer(1, 10, &[0]), offer(2, 10, &[0])], &[100], &[1]),
            ("nothing is saved by nothing", vec![offer(1, 10, &[])], &[], &[]),
        ];
        for (name, offers, weights, expected) in cases {
            assert_eq!(choose(&offers, weights, 10.0).chosen, expected, "{name}");
        }
    }

    #[test]
    fn a_package_that_costs_more_than_it_saves_is_left_alone() {
        let offers = [offer(1, 1_000_000, &[0]), offer(2, 100, &[1])];
        let choice = choose(&offers, &[1_000, 1_000], 10.0);
        assert_eq!(choice.chosen, [2]);
        assert_eq!(choice.not_worth, [(1, 1_000)]);
        assert_eq!(choose_all(&offers), [1, 2]);
    }

    fn choose_all(offers: &[Offer<'_>]) -> Vec<usize> {
        let mut chosen = choose(offers, &[1_000, 1_000], f64::INFINITY).chosen;
        chosen.sort_unstable();
        chosen
    }
}
