//! What every HashDB must do: one suite for reading, one for writing.
//!
//! Invariant: a suite uses nothing but its trait.

mod amending;

use hashget::hashdb::{
    HashDb, HashDbWriter, Key, PackageId, complete_members, complete_packages, whole,
};
use hashget::model::{
    Digest, Evidence, Extent, Keeping, Kind, Member, MemberMetadata, Origin, PackageRecord,
    RelPath, Signature, Timestamp,
};

/// A package of so many files; `name` makes its URL, digests and names different from any other's.
pub(crate) fn package(name: &str, files: usize) -> (PackageRecord, Vec<Member>) {
    let record = PackageRecord {
        url: format!("https://example.org/{name}.tar.xz"),
        also: vec![format!("https://b.example/{name}"), format!("https://a.example/{name}")],
        sha256: Digest::of(name.as_bytes()),
        size: 1000 + files as u64,
        format: "tar".to_owned(),
        signatures: vec![
            Signature { kind: "deb".to_owned(), value: format!("{name}_2:9.0_amd64") },
            Signature { kind: "crate".to_owned(), value: format!("{name}-1.0") },
        ],
        project: Some("a project".to_owned()),
        expires: Some("2031-12-31".to_owned()),
        indexed_at: 1_700_000_000,
        evidence: Evidence::Downloaded,
        vouched: true,
        recursive: true,
        passed_over: 2,
        origin: Origin::User,
        trees: Vec::new(),
        keeping: Keeping::Unknown,
        publisher: Some("publisher.example/log".to_owned()),
    };
    let members =
        (0..files).map(|number| file(&format!("{name}/{number}"), &content(name, number)));
    (record, members.collect())
}

/// The bytes of one file of [`package`].
pub(crate) fn content(name: &str, number: usize) -> Vec<u8> {
    format!("{name} has a file {number}").into_bytes()
}

fn file(path: &str, bytes: &[u8]) -> Member {
    Member {
        path: RelPath::new(path).unwrap(),
        kind: Kind::File { size: bytes.len() as u64 },
        metadata: MemberMetadata { mode: Some(0o644), ..MemberMetadata::default() },
        sha256: Some(Digest::of(bytes)),
        extents: None,
    }
}

/// One member of each kind, with every field that a member can have.
fn strange_members() -> Vec<Member> {
    let metadata = MemberMetadata {
        mode: Some(0o7777),
        uid: Some(u32::MAX),
        gid: Some(0),
        mtime: Some(Timestamp { seconds: i64::MIN, nanoseconds: 999_999_999 }),
        xattrs: [(b"user.\xff"[..].into(), b"\0\xfe"[..].into())].into(),
    };
    let kinds = [
        Kind::File { size: u64::MAX },
        Kind::Directory,
        Kind::Symlink { target: b"../\xff"[..].into() },
        Kind::HardLink { target: RelPath::new("b").unwrap() },
        Kind::CharDevice { major: 1, minor: u32::MAX },
        Kind::BlockDevice { major: 8, minor: 0 },
        Kind::Fifo,
    ];
    let members = kinds.into_iter().enumerate().map(|(number, kind)| Member {
        path: RelPath::new([b"\xff\n/".as_slice(), number.to_string().as_bytes()].concat())
            .unwrap(),
        kind,
        metadata: metadata.clone(),
        sha256: (number == 0).then(|| Digest::of(b"strange")),
        extents: (number == 0).then(|| vec![Extent { offset: 7, length: u64::MAX }]),
    });
    // In the package's own order, which is not that of the paths.
    members.rev().collect()
}

/// Packages for [`check_reading`]: whoever makes the HashDB, by writing into it or otherwise, makes it know these,
/// in this order, and no others.
pub(crate) fn known_packages() -> Vec<(PackageRecord, Vec<Member>)> {
    let (mut first, mut first_members) = package("first", 5);
    let (mut second, mut second_members) = package("second", 2);
    let shared = file("shared", b"in both");
    first_members.push(shared.clone());
    second_members.extend([shared, file("again", b"in both")]);
    first.evidence = Evidence::Declared;
    // The same bytes under another URL; it calls that of the first one of its others.
    second.sha256 = first.sha256;
    second.signatures.truncate(1);
    second.signatures.push(first.signatures[1].clone());
    second.also = vec![first.url.clone()];
    let (strange, mut strange_ones) = package("strange", 3);
    strange_ones.extend(strange_members());
    let (mut least, _) = package("least", 0);
    least.also.clear();
    least.signatures.clear();
    (least.project, least.expires) = (None, None);
    (least.vouched, least.recursive) = (false, false);
    vec![
        (first, first_members),
        (second, second_members),
        (strange, strange_ones),
        (least, Vec::new()),
    ]
}

/// Runs the suite of [`HashDb`] on one that knows [`known_packages`].
pub(crate) fn check_reading(db: &dyn HashDb) {
    let known = known_packages();
    let ids = check_reading_of(db, &known);
    keys_of_all_kinds_are_answered_in_their_order(db, &known, &ids);
    complete_packages_are_those_of_enough_evidence(db, &known, &ids);
}

/// Runs what holds for every [`HashDb`] on one that knows these packages and no others; returns their ids.
pub(crate) fn check_reading_of(
    db: &dyn HashDb,
    known: &[(PackageRecord, Vec<Member>)],
) -> Vec<PackageId> {
    let urls: Vec<Key<'_>> = known.iter().map(|(record, _)| Key::Url(&record.url)).collect();
    let ids: Vec<PackageId> = db.find(&urls).unwrap().into_iter().map(|ids| ids[0]).collect();
    let nobody = PackageId::from_raw(987_654_321);
    what_is_known_comes_back(db, known, &ids, nobody);
    every_key_finds_its_packages(db, known, &ids);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| what_is_known_comes_back(db, known, &ids, nobody));
        }
    });
    ids
}

fn every_key_finds_its_packages(
    db: &dyn HashDb,
    known: &[(PackageRecord, Vec<Member>)],
    ids: &[PackageId],
) {
    let holds = |key: &Key<'_>, (record, members): &(PackageRecord, Vec<Member>)| match key {
        Key::Content(digest) => {
            record.sha256 == *digest || members.iter().any(|one| one.sha256 == Some(*digest))
        }
        Key::Package(digest) => record.sha256 == *digest,
        Key::Url(url) => record.urls().any(|one| one == *url),
        Key::Signature(signature) => record.signatures.contains(signature),
    };
    let mut keys =
        vec![Key::Content(Digest::of(b"nobody has it")), Key::Url("https://example.org/")];
    for (record, members) in known {
        keys.extend([Key::Package(record.sha256), Key::Content(record.sha256)]);
        keys.extend(record.urls().map(Key::Url));
        keys.extend(record.signatures.iter().map(Key::Signature));
        keys.extend(members.iter().filter_map(|one| one.sha256).map(Key::Content));
    }
    for (key, found) in keys.iter().zip(db.find(&keys).unwrap()) {
        let holders = ids.iter().zip(known).filter(|(_, known)| holds(key, known));
        let own = |known: &PackageRecord| matches!(key, Key::Url(url) if known.url == **url);
        let mut expected: Vec<_> = holders.map(|(id, (known, _))| (!own(known), *id)).collect();
        expected.sort_unstable();
        let expected: Vec<PackageId> = expected.into_iter().map(|(_, id)| id).collect();
        assert_eq!(found, expected, "{key:?}");
        assert_eq!(db.find_one(*key).unwrap(), expected, "{key:?}");
    }
}

fn what_is_known_comes_back(
    db: &dyn HashDb,
    known: &[(PackageRecord, Vec<Member>)],
    ids: &[PackageId],
    nobody: PackageId,
) {
    let mut asked = ids.to_vec();
    asked.extend([nobody, ids[1]]);
    let mut records: Vec<_> = known.iter().map(|(record, _)| Some(record.clone())).collect();
    records.extend([None, records[1].clone()]);
    assert_eq!(db.records(&asked).unwrap(), records);
    assert_eq!(db.records(&[]).unwrap(), []);
    assert_eq!(
        (db.record(nobody).unwrap(), db.record(ids[0]).unwrap()),
        (None, records[0].clone())
    );
    for prefetched in [false, true] {
        if prefetched {
            db.prefetch_members(&asked).unwrap();
        }
        for (id, (_, members)) in ids.iter().zip(known) {
            assert_eq!(db.members(*id).unwrap(), *members);
        }
        assert_eq!(db.members(nobody).unwrap(), []);
    }
}

fn keys_of_all_kinds_are_answered_in_their_order(
    db: &dyn HashDb,
    known: &[(PackageRecord, Vec<Member>)],
    ids: &[PackageId],
) {
    let sorted = |mut ids: Vec<PackageId>| {
        ids.sort();
        ids
    };
    let (first, second) = (&known[0].0, &known[1].0);
    let both = sorted(vec![ids[0], ids[1]]);
    let content = |name, number| Key::Content(Digest::of(&content(name, number)));
    let kind = Signature { kind: "crate".to_owned(), value: first.signatures[0].value.clone() };
    let questions = [
        (content("second", 1), vec![ids[1]]),
        (Key::Content(Digest::of(b"nobody has it")), vec![]),
        (Key::Signature(&first.signatures[0]), vec![ids[0]]),
        (Key::Signature(&first.signatures[1]), both.clone()),
        (Key::Signature(&kind), vec![]),
        (Key::Content(Digest::of(b"in both")), both.clone()),
        // Those that hold it, and those that it is.
        (Key::Content(first.sha256), both.clone()),
        (Key::Package(first.sha256), both),
        // It is what some package holds, but no package.
        (Key::Package(Digest::of(b"in both")), vec![]),
        // The owner of a URL comes before whoever has it as another one.
        (Key::Url(&first.url), vec![ids[0], ids[1]]),
        (Key::Url(&first.also[1]), vec![ids[0]]),
        (Key::Url(&second.url), vec![ids[1]]),
        (Key::Url("https://example.org/"), vec![]),
        (content("first", 4), vec![ids[0]]),
        (content("second", 1), vec![ids[1]]),
    ];
    let (keys, answers): (Vec<Key<'_>>, Vec<Vec<PackageId>>) = questions.into_iter().unzip();
    assert_eq!(db.find(&keys).unwrap(), answers);
    for (key, answer) in keys.iter().zip(answers) {
        assert_eq!(db.find_one(*key).unwrap(), answer);
    }
    assert_eq!(db.find(&[]).unwrap(), Vec::<Vec<PackageId>>::new());
}

fn complete_packages_are_those_of_enough_evidence(
    db: &dyn HashDb,
    known: &[(PackageRecord, Vec<Member>)],
    ids: &[PackageId],
) {
    let [first, strange] = [0, 2].map(|index: usize| known[index].0.sha256);
    // Of the first all are known by its other URL only.
    let asked = [strange, Digest::of(b"nobody has it"), first, strange];
    let complete = [Some(ids[2]), None, Some(ids[1]), Some(ids[2])];
    assert_eq!(complete_packages(db, &asked).unwrap(), complete);
    assert_eq!(complete_members(db, &first).unwrap().as_ref(), Some(&known[1].1));
    assert_eq!(complete_members(db, &asked[1]).unwrap(), None);
    assert_eq!(whole(db, ids[1]).unwrap(), Some(known[1].clone()));
    assert_eq!(whole(db, PackageId::from_raw(987_654_321)).unwrap(), None);
}

/// Runs the suite of [`HashDbWriter`] on an empty one, which is empty again afterwards.
pub(crate) fn check_writing(db: &dyn HashDbWriter) {
    an_empty_one_knows_nothing(db);
    what_was_written_is_read(db);
    what_is_put_comes_back(db);
    what_is_removed_is_found_no_more(db);
    putting_again_replaces(db);
    weaker_evidence_replaces_nothing(db);
    amending::check(db);
    many_threads_at_once(db);
}

fn by_url(db: &dyn HashDb, url: &str) -> Option<PackageId> {
    db.find_one(Key::Url(url)).unwrap().first().copied()
}

fn forget(db: &dyn HashDbWriter, ids: &[PackageId]) {
    for id in ids {
        assert!(db.remove(*id).unwrap());
        assert!(!db.remove(*id).unwrap());
        assert_eq!(db.record(*id).unwrap(), None);
    }
    an_empty_one_knows_nothing(db);
}

fn an_empty_one_knows_nothing(db: &dyn HashDbWriter) {
    let nobody = PackageId::from_raw(987_654_321);
    assert_eq!(db.record(nobody).unwrap(), None);
    assert_eq!(db.members(nobody).unwrap(), []);
    assert!(!db.remove(nobody).unwrap());
    for (record, members) in known_packages() {
        let mut keys = vec![Key::Url(&record.url), Key::Package(record.sha256)];
        keys.extend(record.also.iter().map(|url| Key::Url(url)));
        keys.extend(record.signatures.iter().map(Key::Signature));
        keys.extend(members.iter().filter_map(|one| one.sha256).map(Key::Content));
        assert_eq!(db.find(&keys).unwrap(), vec![Vec::<PackageId>::new(); keys.len()]);
    }
}

fn what_was_written_is_read(db: &dyn HashDbWriter) {
    let put = |(record, members): (PackageRecord, Vec<Member>)| db.put(&record, &members).unwrap();
    let ids: Vec<PackageId> = known_packages().into_iter().map(put).collect();
    check_reading(db);
    forget(db, &ids);
}

fn what_is_put_comes_back(db: &dyn HashDbWriter) {
    let (mut record, _) = package("evidence", 3);
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Signed] {
        record.evidence = evidence;
        let id = db.put(&record, &[]).unwrap();
        assert_eq!(db.record(id).unwrap().as_ref(), Some(&record));
        assert_eq!(db.members(id).unwrap(), []);
    }
    forget(db, &[by_url(db, &record.url).unwrap()]);
}

fn what_is_removed_is_found_no_more(db: &dyn HashDbWriter) {
    let known = known_packages();
    let [first, second] =
        [0, 1].map(|index: usize| db.put(&known[index].0, &known[index].1).unwrap());
    let record = &known[0].0;
    // Another one calls this URL one of its others: without the owner it is found.
    assert_eq!(by_url(db, &record.url), Some(first));
    assert!(db.remove(first).unwrap());
    let keys = [
        Key::Content(Digest::of(&content("first", 4))),
        Key::Content(Digest::of(b"in both")),
        Key::Content(record.sha256),
        Key::Package(record.sha256),
        Key::Url(&record.url),
        Key::Url(&record.also[0]),
        Key::Signature(&record.signatures[0]),
        Key::Signature(&record.signatures[1]),
    ];
    let left = |found: bool| if found { vec![second] } else { vec![] };
    let answers = [false, true, true, true, true, false, false, true].map(left);
    assert_eq!(db.find(&keys).unwrap(), answers);
    forget(db, &[second]);
}

fn putting_again_replaces(db: &dyn HashDbWriter) {
    let (old, old_members) = package("same", 3);
    let (mut new, new_members) = package("changed", 2);
    new.url = old.url.clone();
    let old_id = db.put(&old, &old_members).unwrap();
    let new_id = db.put(&new, &new_members).unwrap();
    assert_eq!(db.record(new_id).unwrap().as_ref(), Some(&new));
    let keys = [
        (Key::Url(&old.url), vec![new_id]),
        (Key::Url(&old.also[0]), vec![]),
        (Key::Signature(&old.signatures[0]), vec![]),
        (Key::Package(old.sha256), vec![]),
        (Key::Content(Digest::of(&content("same", 0))), vec![]),
        (Key::Content(Digest::of(&content("changed", 0))), vec![new_id]),
        (Key::Content(old.sha256), vec![]),
    ];
    let (keys, answers): (Vec<Key<'_>>, Vec<Vec<PackageId>>) = keys.into_iter().unzip();
    assert_eq!(db.find(&keys).unwrap(), answers);
    assert_eq!(db.members(new_id).unwrap(), new_members);
    // The same id or a new one; but the old id never means another package.
    if old_id != new_id {
        assert_eq!(db.record(old_id).unwrap(), None);
        assert_eq!(db.members(old_id).unwrap(), []);
    }
    forget(db, &[new_id]);
}

fn weaker_evidence_replaces_nothing(db: &dyn HashDbWriter) {
    let (strong, members) = package("strong", 2);
    let id = db.put(&strong, &members).unwrap();
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Signed] {
        let weak = PackageRecord { evidence, size: 1, ..strong.clone() };
        assert_eq!(db.put(&weak, &[]).unwrap(), id);
        assert_eq!(db.find_one(Key::Url(&strong.url)).unwrap(), [id]);
        assert_eq!(db.record(id).unwrap().as_ref(), Some(&strong));
        assert_eq!(db.members(id).unwrap(), members);
    }
    forget(db, &[id]);
    let weak = PackageRecord { evidence: Evidence::Local, ..strong.clone() };
    db.put(&weak, &[]).unwrap();
    let id = db.put(&strong, &members).unwrap();
    assert_eq!(db.find_one(Key::Url(&strong.url)).unwrap(), [id]);
    assert_eq!(db.record(id).unwrap(), Some(strong));
    forget(db, &[id]);
}

fn many_threads_at_once(db: &dyn HashDbWriter) {
    let kept: Vec<PackageId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                scope.spawn(move || {
                    let put = |number| {
                        let name = format!("thread-{thread}-{number}");
                        let (record, members) = package(&name, 20);
                        let id = db.put(&record, &members).unwrap();
                        assert_eq!(db.record(id).unwrap(), Some(record));
                        let digests = members.iter().filter_map(|member| member.sha256);
                        let keys: Vec<Key<'_>> = digests.map(Key::Content).collect();
                        assert_eq!(db.find(&keys).unwrap(), vec![vec![id]; 20]);
                        (number % 2 == 1 || !db.remove(id).unwrap()).then_some(id)
                    };
                    (0..10).filter_map(put).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(kept.len(), 40);
    assert!(db.records(&kept).unwrap().iter().all(Option::is_some));
    forget(db, &kept);
}
