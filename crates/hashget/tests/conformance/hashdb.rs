//! What every HashDB must do. One call of [`check`] with an empty HashDB runs it all.
//!
//! Invariant: the suite uses nothing but the trait.

use hashget::hashdb::{Check, CheckOutcome, HashDb, PackageId};
use hashget::model::{
    Digest, Evidence, Extent, Kind, Member, MemberMetadata, PackageRecord, RelPath, Signature,
    Timestamp,
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

/// Runs the suite on an empty HashDB, which is empty again afterwards.
pub(crate) fn check(db: &dyn HashDb) {
    an_empty_one_knows_nothing(db);
    what_is_put_comes_back(db);
    look_ups_answer_in_the_order_of_the_question(db);
    a_package_is_found_by_all_its_names(db);
    putting_again_replaces(db);
    weaker_evidence_replaces_nothing(db);
    answers_of_places_are_kept(db);
    many_threads_at_once(db);
}

fn empty(db: &dyn HashDb) {
    for (id, _) in db.list().unwrap() {
        assert!(db.remove(id).unwrap());
    }
    an_empty_one_knows_nothing(db);
}

fn an_empty_one_knows_nothing(db: &dyn HashDb) {
    let nobody = PackageId(987_654_321);
    assert_eq!(db.list().unwrap(), []);
    assert_eq!(db.package(nobody).unwrap(), None);
    assert_eq!(db.members(nobody).unwrap(), []);
    assert!(!db.remove(nobody).unwrap());
    assert_eq!(db.packages_with(&[]).unwrap(), Vec::<Vec<PackageId>>::new());
    assert_eq!(db.packages_with(&[Digest::of(b"x")]).unwrap(), vec![vec![]]);
    assert_eq!(db.by_url("https://example.org/").unwrap(), None);
    assert_eq!(db.by_sha256(&Digest::of(b"x")).unwrap(), []);
    let status = db.status().unwrap();
    assert_eq!((status.packages, status.digests, status.package_bytes), (0, 0, 0));
}

fn what_is_put_comes_back(db: &dyn HashDb) {
    let (mut record, mut members) = package("whole", 3);
    members.extend(strange_members());
    let id = db.put(&record, &members).unwrap();
    assert_eq!(db.package(id).unwrap().as_ref(), Some(&record));
    assert_eq!(db.members(id).unwrap(), members);

    // The least that a record can say, and a package without members.
    record.url = "https://example.org/least".to_owned();
    record.also.clear();
    record.signatures.clear();
    (record.project, record.expires) = (None, None);
    (record.vouched, record.recursive) = (false, false);
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Signed] {
        record.evidence = evidence;
        let id = db.put(&record, &[]).unwrap();
        assert_eq!(db.package(id).unwrap().as_ref(), Some(&record));
        assert_eq!(db.members(id).unwrap(), []);
    }
    empty(db);
}

fn look_ups_answer_in_the_order_of_the_question(db: &dyn HashDb) {
    let (first_record, mut first_members) = package("first", 5);
    let (second_record, mut second_members) = package("second", 2);
    let shared = file("shared", b"in both");
    first_members.push(shared.clone());
    second_members.extend([shared.clone(), file("again", b"in both")]);
    let first = db.put(&first_record, &first_members).unwrap();
    let second = db.put(&second_record, &second_members).unwrap();
    let questions = [
        Digest::of(&content("second", 1)),
        Digest::of(b"nobody has it"),
        Digest::of(b"in both"),
        first_record.sha256,
        Digest::of(&content("first", 4)),
        Digest::of(&content("second", 1)),
    ];
    let answers = db.packages_with(&questions).unwrap();
    assert_eq!(
        answers,
        [vec![second], vec![], vec![first, second], vec![first], vec![first], vec![second]]
    );
    let status = db.status().unwrap();
    // 5 and 2 files, one in both, and the two packages themselves.
    assert_eq!((status.packages, status.digests), (2, 10));
    assert_eq!(status.package_bytes, first_record.size + second_record.size);
    assert!(db.remove(first).unwrap());
    assert!(!db.remove(first).unwrap());
    assert_eq!(
        db.packages_with(&questions).unwrap(),
        [vec![second], vec![], vec![second], vec![], vec![], vec![second]]
    );
    empty(db);
}

fn a_package_is_found_by_all_its_names(db: &dyn HashDb) {
    let (one, members) = package("one", 1);
    let (mut two, _) = package("two", 1);
    two.sha256 = one.sha256;
    two.signatures.truncate(1);
    two.signatures.push(one.signatures[1].clone());
    // Another package calls `one`'s own URL one of its others: the owner stays the owner.
    two.also = vec![one.url.clone()];
    let two_id = db.put(&two, &[]).unwrap();
    assert_eq!(db.by_url(&one.url).unwrap(), Some(two_id));
    let one_id = db.put(&one, &members).unwrap();
    assert_eq!(db.by_url(&one.url).unwrap(), Some(one_id));
    assert_eq!(db.by_url(&one.also[1]).unwrap(), Some(one_id));
    assert_eq!(db.by_url(&two.url).unwrap(), Some(two_id));
    assert_eq!(db.by_url("https://example.org/").unwrap(), None);
    let both = {
        let mut ids = [one_id, two_id];
        ids.sort();
        ids
    };
    assert_eq!(db.by_sha256(&one.sha256).unwrap(), both);
    assert_eq!(db.by_signature(&one.signatures[0]).unwrap(), [one_id]);
    assert_eq!(db.by_signature(&one.signatures[1]).unwrap(), both);
    let other = Signature { kind: "crate".to_owned(), value: one.signatures[0].value.clone() };
    assert_eq!(db.by_signature(&other).unwrap(), []);
    // By URL, "one" before "two".
    assert_eq!(db.list().unwrap(), [(one_id, one), (two_id, two)]);
    empty(db);
}

fn putting_again_replaces(db: &dyn HashDb) {
    let (old, old_members) = package("same", 3);
    let (mut new, new_members) = package("changed", 2);
    new.url = old.url.clone();
    let old_id = db.put(&old, &old_members).unwrap();
    let new_id = db.put(&new, &new_members).unwrap();
    assert_eq!(db.list().unwrap(), [(new_id, new.clone())]);
    assert_eq!(db.by_url(&old.url).unwrap(), Some(new_id));
    assert_eq!(db.by_url(&old.also[0]).unwrap(), None);
    assert_eq!(db.by_signature(&old.signatures[0]).unwrap(), []);
    assert_eq!(db.by_sha256(&old.sha256).unwrap(), []);
    let digests = [Digest::of(&content("same", 0)), Digest::of(&content("changed", 0)), old.sha256];
    assert_eq!(db.packages_with(&digests).unwrap(), [vec![], vec![new_id], vec![]]);
    assert_eq!(db.members(new_id).unwrap(), new_members);
    // The same id or a new one; but the old id never means another package.
    if old_id != new_id {
        assert_eq!(db.package(old_id).unwrap(), None);
        assert_eq!(db.members(old_id).unwrap(), []);
    }
    empty(db);
}

fn weaker_evidence_replaces_nothing(db: &dyn HashDb) {
    let (strong, members) = package("strong", 2);
    let id = db.put(&strong, &members).unwrap();
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Signed] {
        let weak = PackageRecord { evidence, size: 1, ..strong.clone() };
        assert_eq!(db.put(&weak, &[]).unwrap(), id);
        assert_eq!(db.list().unwrap(), [(id, strong.clone())]);
        assert_eq!(db.members(id).unwrap(), members);
    }
    empty(db);
    let weak = PackageRecord { evidence: Evidence::Local, ..strong.clone() };
    db.put(&weak, &[]).unwrap();
    let id = db.put(&strong, &members).unwrap();
    assert_eq!(db.list().unwrap(), [(id, strong)]);
    empty(db);
}

fn answers_of_places_are_kept(db: &dyn HashDb) {
    let sha256 = Digest::of(b"a package that is not known");
    assert_eq!(db.checks(&sha256).unwrap(), []);
    let check = |url: &str, deep, checked_at, outcome| Check {
        sha256,
        url: url.to_owned(),
        deep,
        checked_at,
        outcome,
    };
    let first = check("https://b.example/", false, 1_700_000_000, CheckOutcome::Unreachable);
    let deep = check("https://b.example/", true, 1_700_000_001, CheckOutcome::Differs);
    let other = check("https://a.example/", false, i64::MAX, CheckOutcome::Gone);
    for check in [&first, &deep, &other] {
        db.put_check(check).unwrap();
    }
    assert_eq!(db.checks(&sha256).unwrap(), [other.clone(), first, deep.clone()]);
    let again = check("https://b.example/", false, 1_600_000_000, CheckOutcome::Present);
    db.put_check(&again).unwrap();
    assert_eq!(db.checks(&sha256).unwrap(), [other, again, deep]);
    assert_eq!(db.checks(&Digest::of(b"another")).unwrap(), []);
    // It is no package because of that.
    an_empty_one_knows_nothing(db);
}

fn many_threads_at_once(db: &dyn HashDb) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for number in 0..10 {
                    let name = format!("thread-{thread}-{number}");
                    let (record, members) = package(&name, 20);
                    let id = db.put(&record, &members).unwrap();
                    assert_eq!(db.package(id).unwrap(), Some(record));
                    let digests: Vec<Digest> = members.iter().filter_map(|m| m.sha256).collect();
                    assert_eq!(db.packages_with(&digests).unwrap(), vec![vec![id]; 20]);
                    if number % 2 == 0 {
                        assert!(db.remove(id).unwrap());
                    }
                }
            });
        }
    });
    assert_eq!(db.list().unwrap().len(), 40);
    empty(db);
}
