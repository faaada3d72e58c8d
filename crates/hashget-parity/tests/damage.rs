//! Damage of all kinds, with a fixed seed: healed as far as there are recovery blocks, and never wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_parity::ParityError;
use support::{Made, Numbers};

/// One damage to the file: some bytes changed, zeroed, lost or added.
fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    let length = 1 + numbers.below(3000).min(bytes.len() - at - 1);
    match numbers.below(5) {
        0 => bytes[at] ^= 1 << numbers.below(8),
        1 => bytes[at..at + length].fill(0),
        2 => bytes[at..at + length].iter_mut().for_each(|byte| *byte = !*byte),
        3 => drop(bytes.drain(at..at + length)),
        _ => drop(bytes.splice(at..at, numbers.bytes(length))),
    }
}

#[test]
fn two_hundred_damages_are_healed_while_there_are_recovery_blocks() {
    let mut numbers = Numbers::new(1);
    let (mut healed, mut too_damaged) = (0, 0);
    for round in 0..200 {
        let original = numbers.bytes([5, 900, 60_000, 300_000][round % 4] + round);
        let made = Made::new(&original, [1, 5, 20, 100][round / 4 % 4]);
        let mut damaged = original.clone();
        for _ in 0..1 + numbers.below(3) {
            damage(&mut damaged, &mut numbers);
        }
        match made.heal(&damaged) {
            Ok(bytes) => {
                assert_eq!(bytes, original, "round {round}");
                healed += 1;
            }
            Err(ParityError::TooDamaged { missing, recoveries, .. }) => {
                assert!(missing > recoveries);
                too_damaged += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(healed > 120 && too_damaged > 5, "{healed} healed, {too_damaged} not");
}

#[test]
fn one_stretch_up_to_the_share_is_always_healed() {
    let mut numbers = Numbers::new(2);
    let original = numbers.bytes(500_000);
    for percent in [1, 5, 33] {
        let made = Made::new(&original, percent);
        let length = original.len() * usize::from(percent) / 100;
        for _ in 0..20 {
            let at = numbers.below(original.len() - length);
            let mut damaged = original.clone();
            damaged[at..at + length].fill(0);
            assert_eq!(made.heal(&damaged).unwrap(), original);
        }
        // The end is lost, or the beginning.
        assert_eq!(made.heal(&original[..original.len() - length]).unwrap(), original);
        assert_eq!(made.heal(&original[length..]).unwrap(), original);
    }
}

#[test]
fn all_of_a_file_comes_back_from_parity_of_all_of_it() {
    let original = Numbers::new(3).bytes(40_000);
    let made = Made::new(&original, 100);
    assert_eq!(made.heal(&[]).unwrap(), original);
    assert_eq!(made.heal(&[7; 100_000]).unwrap(), original);
}

#[test]
fn what_follows_the_file_is_no_part_of_it() {
    let original = Numbers::new(4).bytes(30_001);
    let made = Made::new(&original, 1);
    let longer = [&original[..], &[0; 5000]].concat();
    assert!(!made.scan(&longer).is_whole() && made.scan(&longer).missing().is_empty());
    assert_eq!(made.heal(&longer).unwrap(), original);
}

#[test]
fn equal_blocks_are_all_found_wherever_they_are() {
    let original = [vec![9; 20_000], Numbers::new(5).bytes(3000), vec![9; 10_000]].concat();
    let made = Made::new(&original, 1);
    let moved = [&[1, 2, 3][..], &original].concat();
    assert!(made.scan(&moved).missing().len() <= 1);
    assert_eq!(made.heal(&moved).unwrap(), original);
}

#[test]
fn damage_of_the_parity_costs_what_it_hits() {
    let mut numbers = Numbers::new(6);
    let original = numbers.bytes(200_000);
    let whole = Made::new(&original, 10);
    let recoveries = whole.set().unwrap().recoveries_left();
    let mut damaged = original.clone();
    damaged[100_000..105_000].fill(1);
    for round in 0..100 {
        let mut made = whole.clone();
        let at = numbers.below(made.parity.len());
        match round % 4 {
            0 => made.parity[at] ^= 1,
            1 => {
                let end = made.parity.len().min(at + 3000);
                made.parity[at..end].fill(0);
            }
            2 => made.parity.truncate(made.parity.len() * 3 / 4 + at / 4),
            _ => drop(made.parity.splice(at..at, *b"PAR2\0PKT")),
        }
        let set = made.set().unwrap();
        assert!(!set.is_whole(), "round {round}");
        assert_eq!(set.layout(), whole.set().unwrap().layout());
        assert!(set.recoveries_left() + 8 >= recoveries, "round {round}");
        assert_eq!(made.heal(&damaged).unwrap(), original, "round {round}");
        assert_eq!(made.again(&original).parity, whole.parity, "round {round}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let original = Numbers::new(7).bytes(3_000_000);
    let [one, three] = [1, 3].map(|threads| Made::by(&original, 2, threads).parity);
    assert!(one == three);
}
