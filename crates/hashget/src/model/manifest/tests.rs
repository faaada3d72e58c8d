//! What placements mean, and which manifests are refused.

use super::*;
use crate::model::{
    Digest, Entry, Extent, Kind, Member, MemberMetadata, Metadata, RelPath, Timestamp,
};

fn path(text: &str) -> RelPath {
    RelPath::try_from(text).unwrap()
}

fn prefix(text: &str) -> Prefix {
    Prefix(text.as_bytes().into())
}

fn member(name: &str, kind: Kind) -> Member {
    Member {
        path: path(name),
        kind,
        metadata: MemberMetadata {
            mode: Some(0o664),
            uid: Some(0),
            gid: Some(0),
            mtime: Some(Timestamp::from_seconds(1000)),
            ..MemberMetadata::default()
        },
        sha256: None,
        extents: None,
    }
}

fn file(name: &str) -> Member {
    member(name, Kind::File { size: 1 })
}

#[test]
fn a_placement_gives_what_lies_under_from_and_is_not_excepted() {
    let placement = Placement {
        from: prefix("control/"),
        to: prefix("info/vim."),
        except: vec![prefix("control")],
        ..Placement::default()
    };
    let mut cursor = PlacementCursor::new(&placement);
    assert_eq!(cursor.next(&file("control/control")).unwrap(), None);
    assert_eq!(cursor.next(&file("data/x")).unwrap(), None);
    let given = cursor.next(&file("control/md5sums")).unwrap().unwrap();
    assert_eq!(given.path, path("info/vim.md5sums"));
    assert_eq!(given.metadata.mode, 0o664);
}

#[test]
fn an_exception_that_ends_in_a_slash_is_a_folder_with_all_below_it() {
    let placement = Placement { except: vec![prefix("doc/"), prefix("x")], ..Placement::default() };
    let gives = |name: &str| PlacementCursor::new(&placement).next(&file(name)).unwrap().is_some();
    assert_eq!(["doc", "doc/a", "doc/a/b", "x"].map(gives), [false; 4]);
    assert_eq!(["docs", "a/doc/b", "x/y"].map(gives), [true; 3]);
}

#[test]
fn a_placement_gives_what_lies_in_an_inner_package_only_if_it_begins_there() {
    let inner = file("src/a.tar!/x");
    assert!(PlacementCursor::new(&Placement::default()).next(&inner).unwrap().is_none());
    let placement = Placement { from: prefix("src/a.tar!/"), ..Placement::default() };
    assert_eq!(PlacementCursor::new(&placement).next(&inner).unwrap().unwrap().path, path("x"));
}

#[test]
fn assignments_apply_in_order_at_their_positions() {
    let placement = Placement {
        umask: Some(0o022),
        uid: vec![
            Assignment { at: None, is: OneOrMany::One(1000) },
            Assignment { at: Some(vec![1]), is: OneOrMany::Many(vec![33]) },
        ],
        mtime: vec![
            MtimeAssignment { shift: Some(3600), ..MtimeAssignment::default() },
            MtimeAssignment {
                at: Some(vec![1, 2]),
                seconds: Some(vec![5, -3]),
                nanoseconds: Some(vec![7, 8]),
                ..MtimeAssignment::default()
            },
        ],
        sha256: Some(DigestColumn { at: vec![2], is: vec![Digest::of(b"c")] }),
        ..Placement::default()
    };
    let mut cursor = PlacementCursor::new(&placement);
    let given: Vec<Given> =
        ["a", "b", "c"].iter().map(|name| cursor.next(&file(name)).unwrap().unwrap()).collect();
    let field = |get: fn(&Given) -> i64| given.iter().map(get).collect::<Vec<_>>();
    assert_eq!(field(|given| i64::from(given.metadata.mode)), [0o644; 3]);
    assert_eq!(field(|given| i64::from(given.metadata.uid)), [1000, 33, 1000]);
    assert_eq!(field(|given| given.metadata.mtime.seconds), [4600, 5, 2]);
    assert_eq!(field(|given| i64::from(given.metadata.mtime.nanoseconds)), [0, 7, 8]);
    assert_eq!(given[2].sha256, Some(Digest::of(b"c")));
    assert_eq!(given[1].sha256, None);
}

#[test]
fn a_placement_that_does_not_fit_its_package_is_an_error() {
    let short = Placement {
        uid: vec![Assignment { at: None, is: OneOrMany::Many(vec![1]) }],
        ..Placement::default()
    };
    let mut cursor = PlacementCursor::new(&short);
    assert!(cursor.next(&file("a")).is_ok());
    assert!(cursor.next(&file("b")).is_err());

    let outside = Placement { to: prefix("../"), ..Placement::default() };
    assert!(PlacementCursor::new(&outside).next(&file("etc/passwd")).is_err());

    let excepted = Placement { except: vec![prefix("a")], ..Placement::default() };
    let link = member("b", Kind::HardLink { target: path("a") });
    assert!(PlacementCursor::new(&excepted).next(&link).is_err());

    let mut bare = file("a");
    bare.metadata.uid = None;
    assert!(PlacementCursor::new(&Placement::default()).next(&bare).is_err());
}

#[test]
fn a_table_gives_its_entries_back() {
    let entry = |name: &str, kind: Kind, seconds: i64| Entry {
        path: path(name),
        kind,
        metadata: Metadata {
            mode: 0o4755,
            uid: 1,
            gid: 2,
            mtime: Timestamp { seconds, nanoseconds: 9 },
            xattrs: [(b"user.\xff"[..].into(), b"\0"[..].into())].into(),
        },
        sha256: None,
        extents: None,
    };
    let mut sparse = entry("b", Kind::File { size: 10_000 }, i64::MIN);
    sparse.extents = Some(vec![Extent { offset: 4096, length: 100 }]);
    sparse.sha256 = Some(Digest::of(b"b"));
    let mut symlink = entry("c", Kind::Symlink { target: b"\xfe/x"[..].into() }, i64::MAX);
    symlink.metadata.mode = 0o777;
    let entries = [
        entry("a", Kind::Directory, -5),
        sparse,
        symlink,
        entry("d", Kind::CharDevice { major: 1, minor: 3 }, 0),
        entry("e", Kind::Fifo, 1),
    ];
    let table = EntryTable::new(&entries);
    let json = serde_json::to_string(&table).unwrap();
    let read: EntryTable = serde_json::from_str(&json).unwrap();
    read.check("t").unwrap();
    let back: Vec<Entry> = read.entries().map(|entry| entry.unwrap().0).collect();
    assert_eq!(back, entries);
}

type Edit = fn(&mut serde_json::Value);

fn manifest(edit: impl FnOnce(&mut serde_json::Value)) -> Result<AnyManifest, ManifestError> {
    let mut json = serde_json::json!({
        "format": "hashget-restore", "version": 2, "tool": "t",
        "tree": {"sha256": Digest::of(b""), "entries": 1, "files": 0, "bytes": 0},
        "packages": [{"url": "http://a.example/p", "sha256": Digest::of(b"p"), "size": 1, "format": "tar",
            "evidence": "downloaded", "trees": [{"from": "", "to": "", "uid": [{"at": [0, 2], "is": [1, 2]}]}]}],
        "archived": {"path": [""], "type": "d", "mode": [493], "uid": [0], "gid": [0], "seconds": [0],
            "nanoseconds": [0]},
        "later_field": 1
    });
    edit(&mut json);
    AnyManifest::parse(json.to_string().as_bytes())
}

#[test]
fn manifests_that_contradict_the_format_are_refused_by_field() {
    assert!(matches!(manifest(|_| {}), Ok(AnyManifest::V2(_))));
    let broken: [(&str, Edit); 12] = [
        ("needs hashget 9.7 or later (feature time-travel)", |json| {
            json["needs"] = serde_json::json!({"time-travel": "9.7"});
        }),
        ("needs hashget 9.7 or later", |json| {
            (json["version"], json["needs"]) = (3.into(), serde_json::json!({"x": "9.7"}));
        }),
        ("is not the name of a feature", |json| json["needs"] = serde_json::json!({"A": "1.0"})),
        ("needs a hashget later than", |json| json["needs"] = serde_json::json!(["x"])),
        ("`needs`", |json| json["needs"] = serde_json::json!("x")),
        ("version", |json| json["version"] = 3.into()),
        ("format", |json| json["format"] = "zip".into()),
        ("archived.mode", |json| json["archived"]["mode"] = serde_json::json!([])),
        ("positions must ascend", |json| {
            json["packages"][0]["trees"][0]["uid"][0]["at"] = serde_json::json!([2, 0]);
        }),
        ("2 positions and 1 values", |json| {
            json["packages"][0]["trees"][0]["uid"][0]["is"] = serde_json::json!([1]);
        }),
        ("\"..\" component", |json| json["archived"]["path"] = serde_json::json!(["../x"])),
        ("either shift or seconds", |json| {
            json["packages"][0]["trees"][0]["mtime"] = serde_json::json!([{}]);
        }),
    ];
    for (words, edit) in broken {
        let message = manifest(edit).unwrap_err().to_string();
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(matches!(AnyManifest::parse(b"no json"), Err(ManifestError::Json(_))));
}

#[test]
fn a_manifest_without_needs_has_no_such_field() {
    for needs in [None, Some(serde_json::json!({}))] {
        let with = |json: &mut serde_json::Value| {
            if let Some(needs) = needs {
                json["needs"] = needs;
            }
        };
        let Ok(AnyManifest::V2(manifest)) = manifest(with) else { panic!("it is refused") };
        assert!(!String::from_utf8(manifest.to_json()).unwrap().contains("needs"));
    }
}

/// Entries of every kind, with everything that an entry can have.
fn entries_of_every_kind() -> Vec<Entry> {
    let metadata = Metadata {
        mode: 0o644,
        uid: 1,
        gid: 2,
        mtime: Timestamp { seconds: 1_000, nanoseconds: 5 },
        xattrs: Default::default(),
    };
    let with_xattr = Metadata {
        mtime: Timestamp::from_seconds(-7),
        xattrs: [(b"user.k"[..].into(), b"v"[..].into())].into(),
        ..metadata.clone()
    };
    let kinds = [
        Kind::Directory,
        Kind::File { size: 100 },
        Kind::Symlink { target: b"\xff"[..].into() },
        Kind::CharDevice { major: 1, minor: 2 },
        Kind::BlockDevice { major: 3, minor: 4 },
        Kind::Fifo,
        Kind::File { size: 0 },
    ];
    let entry = |(number, kind): (usize, Kind)| Entry {
        path: path(&format!("entry-{number}")),
        sha256: matches!(kind, Kind::File { .. }).then(|| Digest::of(&[1])),
        extents: (kind == Kind::File { size: 100 })
            .then(|| vec![Extent { offset: 10, length: 20 }, Extent { offset: 90, length: 10 }]),
        kind,
        metadata: if number % 2 == 0 { metadata.clone() } else { with_xattr.clone() },
    };
    kinds.into_iter().enumerate().map(entry).collect()
}

#[test]
fn columns_written_from_entries_are_those_of_a_table() {
    let entries = entries_of_every_kind();
    // All of them; some; each alone, so that every column is needed and not needed; none.
    let mut choices: Vec<Vec<bool>> = vec![vec![true; 7], (0..7).map(|at| at % 2 == 1).collect()];
    choices.extend((0..7).map(|chosen| (0..7).map(|at| at == chosen).collect()));
    choices.push(vec![false; 7]);
    for chosen in choices {
        let rows = entries.iter().zip(&chosen).filter(|(_, chosen)| **chosen);
        let table = EntryTable::new(rows.map(|(entry, _)| entry));
        for (digests, table) in [(true, table.clone()), (false, table.without_digests())] {
            let columns = EntryColumns::new(&entries, &chosen, digests);
            let written = serde_json::to_string(&columns).unwrap();
            assert_eq!(written, serde_json::to_string(&table).unwrap());
            assert_eq!(serde_json::from_str::<EntryTable>(&written).unwrap(), table);
        }
    }
}
