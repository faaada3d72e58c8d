//! Parity files that nobody would make: an error, or nothing used of them; never much memory or time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_parity::ParityError;
use md5::{Digest as _, Md5};
use support::{Made, Numbers};

const MAIN: &[u8; 16] = b"PAR 2.0\0Main\0\0\0\0";
const FILE: &[u8; 16] = b"PAR 2.0\0FileDesc";
const SLICES: &[u8; 16] = b"PAR 2.0\0IFSC\0\0\0\0";
const RECOVERY: &[u8; 16] = b"PAR 2.0\0RecvSlic";
const CREATOR: &[u8; 16] = b"PAR 2.0\0Creator\0";

fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// A packet whose checksum is right.
fn packet(set: [u8; 16], kind: &[u8; 16], body: &[u8]) -> Vec<u8> {
    let summed = [&set[..], kind, body].concat();
    let length = (32 + summed.len() as u64).to_le_bytes();
    [&b"PAR2\0PKT"[..], &length, &md5(&summed), &summed].concat()
}

/// What a set says of its file.
struct Said {
    block_bytes: u64,
    files: u32,
    bytes: u64,
    blocks: usize,
    recoveries: &'static [(u32, usize)],
    creator: &'static str,
}

const RIGHT: Said = Said {
    block_bytes: 8,
    files: 1,
    bytes: 20,
    blocks: 3,
    recoveries: &[(0, 8), (1, 8)],
    creator: "somebody",
};

fn set_of(said: &Said) -> Made {
    let id = [5; 16];
    let main = [&said.block_bytes.to_le_bytes()[..], &said.files.to_le_bytes(), &id].concat();
    let set = md5(&main);
    let file = [&id[..], &[1; 16], &[2; 16], &said.bytes.to_le_bytes(), b"name"].concat();
    let slices = [id.to_vec(), vec![3; 20 * said.blocks]].concat();
    let mut parity = [
        packet(set, MAIN, &main),
        packet(set, FILE, &file),
        packet(set, SLICES, &slices),
        packet(set, CREATOR, said.creator.as_bytes()),
    ]
    .concat();
    for (exponent, length) in said.recoveries {
        let body = [exponent.to_le_bytes().to_vec(), vec![9; *length]].concat();
        parity.extend(packet(set, RECOVERY, &body));
    }
    Made { parity }
}

/// Why a set cannot be used.
fn problem(made: &Made) -> String {
    match made.set() {
        Err(ParityError::Unusable { problem }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_set_is_said_to_be_none() {
    for bytes in [&b""[..], b"PAR2\0PKT", b"nothing of the kind", &[0; 5000]] {
        let made = Made { parity: bytes.to_vec() };
        assert!(problem(&made).contains("no packet"), "{bytes:?}");
    }
    let made = Made::new(&Numbers::new(1).bytes(5000), 5);
    for length in [1, 70, 200] {
        let cut = Made { parity: made.parity[..length].to_vec() };
        assert!(!problem(&cut).is_empty());
    }
}

#[test]
fn sizes_and_counts_that_contradict_each_other_are_refused() {
    assert_eq!(set_of(&RIGHT).set().unwrap().recoveries_left(), 2);
    for wrong in [
        Said { block_bytes: 0, ..RIGHT },
        Said { block_bytes: 6, ..RIGHT },
        Said { block_bytes: u64::MAX - 3, ..RIGHT },
        Said { bytes: 0, blocks: 0, ..RIGHT },
        Said { bytes: 25, ..RIGHT },
        Said { bytes: u64::MAX, ..RIGHT },
        Said { blocks: 2, ..RIGHT },
        Said { block_bytes: 4, bytes: 4 * 32_769, blocks: 32_769, ..RIGHT },
    ] {
        assert!(problem(&set_of(&wrong)).contains("contradict"));
    }
    for files in [0, 2, u32::MAX] {
        assert!(problem(&set_of(&Said { files, ..RIGHT })).contains("files"));
    }
}

#[test]
fn recovery_blocks_of_another_size_or_number_are_not_used() {
    let recoveries = &[(0, 8), (0, 8), (65_536, 8), (u32::MAX, 8), (3, 4), (4, 16), (5, 0)];
    let set = set_of(&Said { recoveries, ..RIGHT });
    assert_eq!(set.set().unwrap().recoveries_left(), 1);
    for creator in ["hashget; recovery blocks: 99999999999", "hashget; recovery blocks: x"] {
        let set = set_of(&Said { creator, ..RIGHT }).set().unwrap();
        assert_eq!(set.layout().recoveries(), 2, "{creator}");
    }
}

#[test]
fn what_is_healed_by_a_lie_is_not_proven() {
    let healed = set_of(&Said { recoveries: &[(0, 8), (1, 8), (2, 8)], ..RIGHT }).heal(&[1; 20]);
    assert!(matches!(healed, Err(ParityError::NotProven)), "{healed:?}");
}

#[test]
fn blocks_that_no_file_has_are_not_looked_for() {
    let (bytes, block_bytes) = ((1 << 38) + 1, 1 << 38);
    let made = set_of(&Said { block_bytes, bytes, blocks: 2, ..RIGHT });
    assert_eq!(made.scan(&[1]).missing(), [0, 1]);
    assert!(matches!(made.heal(&[1]), Err(ParityError::TooDamaged { .. })));
}

#[test]
fn packets_within_packets_are_hashed_a_few_times_only() {
    // Each claims to reach to the end, and none has the right checksum.
    let header = |left: usize| {
        let length = (left as u64) / 4 * 4;
        [&b"PAR2\0PKT"[..], &length.to_le_bytes(), &[0; 16], &[1; 16], RECOVERY].concat()
    };
    let mut parity = Vec::new();
    for number in 0..20_000 {
        parity.extend(header((20_000 - number) * 64));
    }
    assert!(problem(&Made { parity }).contains("too many"));
}

#[test]
fn sets_without_number_are_given_up() {
    let mut parity = Vec::new();
    for number in 0..3000_u32 {
        let main = [&8_u64.to_le_bytes()[..], &number.to_le_bytes(), &[0; 16]].concat();
        parity.extend(packet(md5(&main), MAIN, &main));
    }
    assert!(problem(&Made { parity }).contains("too many"));
}

#[test]
fn every_changed_byte_of_a_small_set_is_noticed() {
    let original = Numbers::new(8).bytes(2000);
    let made = Made::new(&original, 1);
    for at in 0..made.parity.len() {
        let mut changed = made.clone();
        changed.parity[at] ^= 0x20;
        let set = changed.set().unwrap();
        assert!(!set.is_whole(), "byte {at}");
        assert!(set.recoveries_left() + 1 >= made.set().unwrap().recoveries_left());
    }
}

#[test]
fn whoever_asks_to_stop_is_heard() {
    let original = Numbers::new(9).bytes(100_000);
    let made = Made::new(&original, 5);
    let (set, file) = (made.set().unwrap(), tempfile::tempfile().unwrap());
    let stopped = set.scan(&original[..], 100_000, 2, &|_| false);
    assert!(matches!(stopped, Err(ParityError::Stopped)));
    let stopped = hashget_parity::create(&original[..], b"a", set.layout(), &file, 2, &|_| false);
    assert!(matches!(stopped, Err(ParityError::Stopped)));
    let damaged = vec![0; 100_000];
    let scanned = made.scan(&[&original[..50_000], &damaged[..4000], &original[54_000..]].concat());
    let stopped = set.heal(&damaged[..], &scanned, &made.parity[..], &file, 2, &|_| false);
    assert!(matches!(stopped, Err(ParityError::Stopped)));
}
