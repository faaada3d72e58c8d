//! What every HashDB must do when records are amended.
//!
//! Invariant: a suite uses nothing but its trait.

use hashget::hashdb::{HashDbWriter, Key, PackageId};
use hashget::model::{Digest, Evidence, Keeping, Origin, PackageRecord, Signature};

use super::{content, forget, package};

pub(super) fn check(db: &dyn HashDbWriter) {
    amending_keeps_the_members(db);
    what_is_gone_is_not_amended(db);
    what_others_amended_stays(db);
}

fn amending_keeps_the_members(db: &dyn HashDbWriter) {
    let (record, members) = package("amended", 3);
    let id = db.put(&record, &members).unwrap();
    let signature = Signature { kind: "npm".to_owned(), value: "amended".to_owned() };
    let url = "https://c.example/amended".to_owned();
    let changed = PackageRecord {
        also: vec![url.clone(), record.also[1].clone()],
        signatures: vec![record.signatures[1].clone(), signature.clone()],
        project: None,
        expires: Some("2040-01-01".to_owned()),
        vouched: false,
        origin: Origin::Tree,
        trees: vec!["/a/tree".to_owned(), "/b".to_owned()],
        keeping: Keeping::Withdrawable,
        ..record.clone()
    };
    // What was read from the package is not changed.
    let whatever = PackageRecord {
        url: "https://example.org/other".to_owned(),
        sha256: Digest::of(b"other"),
        size: 7,
        format: "zip".to_owned(),
        indexed_at: 1,
        evidence: Evidence::Local,
        recursive: false,
        passed_over: 0,
        ..changed.clone()
    };
    for _ in 0..2 {
        let amended = db.amend(id, &|record| record.clone_from(&whatever)).unwrap();
        assert_eq!(amended.as_ref(), Some(&changed));
        assert_eq!(db.record(id).unwrap().as_ref(), Some(&changed));
        assert_eq!(db.members(id).unwrap(), members);
    }
    let keys = [
        (Key::Url(&record.url), vec![id]),
        (Key::Url(&url), vec![id]),
        (Key::Url(&record.also[0]), vec![]),
        (Key::Signature(&signature), vec![id]),
        (Key::Signature(&record.signatures[0]), vec![]),
        (Key::Url(&whatever.url), vec![]),
        (Key::Package(whatever.sha256), vec![]),
        (Key::Content(Digest::of(&content("amended", 2))), vec![id]),
    ];
    let (keys, answers): (Vec<Key<'_>>, Vec<Vec<PackageId>>) = keys.into_iter().unzip();
    assert_eq!(db.find(&keys).unwrap(), answers);
    forget(db, &[id]);
}

fn what_is_gone_is_not_amended(db: &dyn HashDbWriter) {
    let (record, members) = package("replaced", 3);
    let stale = db.put(&record, &members).unwrap();
    assert!(db.remove(stale).unwrap());
    let id = db.put(&record, &members).unwrap();
    for gone in [stale, PackageId::from_raw(987_654_321)] {
        assert_eq!(db.amend(gone, &|record| record.project = None).unwrap(), None);
        assert_eq!(db.record(id).unwrap().as_ref(), Some(&record));
        assert_eq!(db.members(id).unwrap(), members);
        assert_eq!(db.find_one(Key::Url(&record.url)).unwrap(), [id]);
    }
    forget(db, &[id]);
}

fn what_others_amended_stays(db: &dyn HashDbWriter) {
    let (record, members) = package("shared", 3);
    let id = db.put(&record, &members).unwrap();
    let signature = |number: usize| Signature { kind: "n".to_owned(), value: number.to_string() };
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                db.amend(id, &|record| record.signatures.push(signature(number))).unwrap();
            });
        }
    });
    let mut found = db.record(id).unwrap().unwrap().signatures;
    assert_eq!(found[..2], record.signatures);
    found[2..].sort();
    assert_eq!(found[2..], (0..8).map(signature).collect::<Vec<_>>());
    assert_eq!(db.members(id).unwrap(), members);
    forget(db, &[id]);
}
