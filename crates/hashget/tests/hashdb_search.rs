//! Looking for packages by less than a whole key, in a local HashDB.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::Arc;

use hashget::hashdb::{CutKey, HashDb as _, HashDbWriter as _, Holder, KeysInMemory, LocalHashDb};
use hashget::model::{
    Digest, Evidence, Keeping, Kind, Member, MemberMetadata, Origin, PackageRecord, RelPath,
    Signature,
};

fn record(name: &str) -> PackageRecord {
    PackageRecord {
        url: format!("https://a.example/{name}.deb"),
        also: Vec::new(),
        sha256: Digest::of(name.as_bytes()),
        size: 1,
        format: "deb".to_owned(),
        signatures: vec![Signature { kind: "deb".to_owned(), value: name.to_owned() }],
        project: None,
        expires: None,
        indexed_at: 0,
        evidence: Evidence::Downloaded,
        vouched: false,
        origin: Origin::User,
        trees: Vec::new(),
        keeping: Keeping::Unknown,
        recursive: false,
        passed_over: 0,
        publisher: None,
    }
}

fn file(sha256: Digest) -> Member {
    Member {
        path: RelPath::new("file").unwrap(),
        kind: Kind::File { size: 1 },
        metadata: MemberMetadata::default(),
        sha256: Some(sha256),
        extents: None,
    }
}

/// A digest that begins so, and is 0 or all ones from there on.
fn digest(beginning: [u8; 6], rest: u8) -> Digest {
    let mut bytes = [rest; 32];
    bytes[..6].copy_from_slice(&beginning);
    Digest::from_bytes(bytes)
}

#[test]
fn a_cut_key_finds_what_begins_so_and_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let hashdb = LocalHashDb::open(folder.path()).unwrap();
    let beginnings = [[0; 6], [0xff; 6], [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 7]];
    for (number, beginning) in beginnings.iter().enumerate() {
        for rest in [0, 0xff] {
            hashdb
                .put(&record(&format!("p{number}-{rest}")), &[file(digest(*beginning, rest))])
                .unwrap();
        }
    }
    let table = KeysInMemory::load(Arc::new(hashdb)).unwrap();
    let keys = beginnings.map(|beginning| CutKey::from(&digest(beginning, 9)));
    let found = table.find(&keys).unwrap();
    for (number, packages) in found.iter().enumerate() {
        let expected = [0, 0xff].map(|rest| Digest::of(format!("p{number}-{rest}").as_bytes()));
        assert_eq!(packages, &expected, "{}", keys[number]);
    }
    let unknown: CutKey = "010203040508".parse().unwrap();
    assert_eq!(table.find(&[unknown]).unwrap(), [Vec::new()]);
}

/// A package with two files of one beginning is named once; and the table follows what others do with the HashDB.
#[test]
fn a_table_of_keys_follows_its_hashdb() {
    let folder = tempfile::tempdir().unwrap();
    let table = KeysInMemory::load(Arc::new(LocalHashDb::open(folder.path()).unwrap())).unwrap();
    let other = LocalHashDb::open(folder.path()).unwrap();
    let beginning = [7; 6];
    let key = CutKey::from(&digest(beginning, 0));
    let find = || table.find(&[key]).unwrap().pop().unwrap();
    assert_eq!(find(), []);
    let members = [file(digest(beginning, 0)), file(digest(beginning, 1))];
    let first = other.put(&record("twice"), &members).unwrap();
    assert_eq!(find(), [Digest::of(b"twice")]);
    other.put(&record("again"), &members[..1]).unwrap();
    assert_eq!(find(), [Digest::of(b"twice"), Digest::of(b"again")]);
    other.remove(first).unwrap();
    assert_eq!(find(), [Digest::of(b"again")]);
    // A package that replaces another one, so that their number stays.
    let replaced = PackageRecord { sha256: Digest::of(b"new bytes"), ..record("again") };
    other.put(&replaced, &members).unwrap();
    assert_eq!(find(), [Digest::of(b"new bytes")]);
    let loaded = KeysInMemory::load(Arc::new(other)).unwrap();
    assert_eq!(loaded.find(&[key]).unwrap(), [vec![Digest::of(b"new bytes")]]);
}

/// The files of a package whose list is damaged are not found, but everything else is.
#[test]
fn a_damaged_list_keeps_no_other_package_from_being_found() {
    let folder = tempfile::tempdir().unwrap();
    let hashdb = LocalHashDb::open(folder.path()).unwrap();
    let table = KeysInMemory::load(Arc::new(LocalHashDb::open(folder.path()).unwrap())).unwrap();
    let content = Digest::of(b"content");
    let damaged = hashdb.put(&record("damaged"), &[file(content)]).unwrap();
    hashdb.put(&record("whole"), &[file(content)]).unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("hashdb.sqlite")).unwrap();
    let cut = "UPDATE members SET list = substr(list, 1, length(list) / 2) WHERE package = ?1";
    connection.execute(cut, [damaged.to_raw()]).unwrap();
    hashdb.members(damaged).unwrap_err();
    let keys = [content, Digest::of(b"damaged")].map(|digest| CutKey::from(&digest));
    let expected = [vec![Digest::of(b"whole")], vec![Digest::of(b"damaged")]];
    assert_eq!(table.find(&keys).unwrap(), expected);
}

#[test]
fn holders_are_the_first_ones_or_those_that_somebody_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let hashdb = LocalHashDb::open(folder.path()).unwrap();
    let content = Digest::of(b"content");
    let put = |number: u32| {
        let record = PackageRecord { vouched: number >= 3, ..record(&number.to_string()) };
        hashdb.put(&record, &[file(content)]).unwrap()
    };
    let ids: Vec<_> = (0..6).map(put).collect();
    let asked = [Digest::of(b"unknown"), content, Digest::of(b"5"), content];
    let found = hashdb.holders(&asked, 2).unwrap();
    let holder = |number: usize| {
        let sha256 = Digest::of(number.to_string().as_bytes());
        Holder { id: ids[number], sha256 }
    };
    let both = vec![holder(0), holder(1)];
    assert_eq!(found, [Vec::new(), both.clone(), vec![holder(5)], both]);
    assert_eq!(hashdb.vouched_holders(&content, 2).unwrap(), ids[3..5]);
    assert_eq!(hashdb.vouched_holders(&Digest::of(b"0"), 2).unwrap(), []);
}

/// So many keys that they are merged with those that were read at first.
#[test]
fn a_table_of_keys_grows() {
    let folder = tempfile::tempdir().unwrap();
    let hashdb = LocalHashDb::open(folder.path()).unwrap();
    let content = |number: u32| Digest::of(&number.to_le_bytes());
    let package = |numbers: std::ops::Range<u32>| -> Vec<Member> {
        numbers.map(|number| file(content(number))).collect()
    };
    hashdb.put(&record("first"), &package(0..1000)).unwrap();
    let table = KeysInMemory::load(Arc::new(LocalHashDb::open(folder.path()).unwrap())).unwrap();
    hashdb.put(&record("second"), &package(1000..120_000)).unwrap();
    hashdb.put(&record("third"), &package(120_000..120_100)).unwrap();
    for (number, name) in
        [(0, "first"), (999, "first"), (1000, "second"), (119_999, "second"), (120_050, "third")]
    {
        let key = CutKey::from(&content(number));
        assert_eq!(table.find(&[key]).unwrap(), [vec![Digest::of(name.as_bytes())]], "{number}");
    }
    assert_eq!(table.find(&[CutKey::from(&content(120_100))]).unwrap(), [Vec::new()]);
}

#[test]
fn names_are_found_by_their_parts_whatever_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let hashdb = LocalHashDb::open(folder.path()).unwrap();
    for name in ["vim_9.0_amd64", "vim-common_9.0_all", "100%_sure", "back\\slash"] {
        hashdb.put(&record(name), &[]).unwrap();
    }
    let named = |ids: Vec<_>| -> Vec<String> {
        let records = hashdb.records(&ids).unwrap().into_iter().flatten();
        records.map(|record| record.signatures[0].value.clone()).collect()
    };
    let search = |text| named(hashdb.search(text, 10).unwrap());
    assert_eq!(search("VIM"), ["vim-common_9.0_all", "vim_9.0_amd64"]);
    assert_eq!(search("%_"), ["100%_sure"]);
    assert_eq!(search("k\\s"), ["back\\slash"]);
    assert_eq!(search("v_m"), [""; 0]);
    assert_eq!(search("' OR 1=1 --"), [""; 0]);
    assert_eq!(search("\0"), [""; 0]);
    assert_eq!(named(hashdb.search("", 2).unwrap()), ["back\\slash", "100%_sure"]);
    assert_eq!(named(hashdb.newest(1).unwrap()), ["back\\slash"]);
    assert_eq!(named(hashdb.named("deb", "vim_", 10).unwrap()), ["vim_9.0_amd64"]);
    assert_eq!(named(hashdb.named("rpm", "vim_", 10).unwrap()), [""; 0]);
}
