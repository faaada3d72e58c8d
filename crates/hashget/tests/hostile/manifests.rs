//! Manifests that attack: in an archive, and in a folder that is to be filled in.

use hashget::monitor::ProblemKind::{Incomplete, Unreachable, Verification};
use serde_json::{Value, json};

use crate::arena::{Arena, Outcome, archive, assert_all_are_known, manifest, package, stored};

fn with(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut manifest = manifest();
    change(&mut manifest);
    manifest.to_string().into_bytes()
}

fn with_package(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut package = package();
    change(&mut package);
    with(|manifest| manifest["packages"] = json!([package]))
}

fn at_url(url: &str) -> Vec<u8> {
    with_package(|package| package["url"] = json!(url))
}

fn with_tree(tree: &Value) -> Vec<u8> {
    with_package(|package| package["trees"] = json!([tree]))
}

/// One archived entry more, with these values.
fn with_entry(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    with(|manifest| change(&mut manifest["archived"]))
}

fn version_one(file: &str) -> Vec<u8> {
    format!(
        r#"{{"packages": [{{"url": "http://127.0.0.1:1/p", "hash": "sha256:{hash}"}}],
            "files": [{{"file": {file}, "sha256": "{hash}", "size": 5, "mode": 420, "uid": 0, "gid": 0,
            "atime": 0, "ctime": 0, "mtime": 0}}], "packagesize": 1}}"#,
        hash = "22".repeat(32)
    )
    .into_bytes()
}

fn raw(from: &str, to: &str) -> Vec<u8> {
    let text = manifest().to_string();
    assert!(text.contains(from), "{text}");
    text.replace(from, to).into_bytes()
}

type Attack = (&'static str, Outcome, Vec<u8>);

fn refused() -> Vec<Attack> {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let refused: Vec<(&'static str, Vec<u8>)> = vec![
        ("not-json.json", b"\x00\xff{".to_vec()),
        ("cut-off.json", manifest().to_string().into_bytes()[..100].to_vec()),
        ("deep-in-a-known-field.json", raw(r#""packages":[]"#, &format!(r#""packages":{deep}"#))),
        ("version-99.json", raw(r#""version":2"#, r#""version":99"#)),
        ("version-beyond-numbers.json", raw(r#""version":2"#, r#""version":1e999"#)),
        ("unknown-need.json", with(|manifest| manifest["needs"] = json!({"time-travel": "9.7"}))),
        (
            "needs-that-are-no-names.json",
            with(|manifest| manifest["needs"] = json!({"\u{1b}[2J\n": "1.0"})),
        ),
        (
            "needs-of-a-megabyte.json",
            with(|manifest| manifest["needs"] = json!({"x".repeat(1 << 16): "1.0"})),
        ),
        ("needs-a-list.json", with(|manifest| manifest["needs"] = json!(["time-travel"]))),
        ("needs-no-version.json", with(|manifest| manifest["needs"] = json!({"x": "1.0\u{202e}"}))),
        ("another-format.json", raw("hashget-restore", "restore")),
        ("number-beyond-64-bits.json", raw(r#""bytes":1"#, r#""bytes":99999999999999999999999"#)),
        ("negative-size.json", raw(r#""size":[1]"#, r#""size":[-1]"#)),
        ("field-twice.json", raw(r#""version":2"#, r#""version":2,"version":2"#)),
        ("lone-surrogate.json", raw(r#""path":["x"]"#, r#""path":["\udc80"]"#)),
        ("path-with-nul.json", raw(r#""path":["x"]"#, r#""path":["a\u0000b"]"#)),
        ("path-with-dot-dot.json", raw(r#""path":["x"]"#, r#""path":["../outside/secret"]"#)),
        ("path-absolute.json", raw(r#""path":["x"]"#, r#""path":["/etc/passwd"]"#)),
        (
            "path-in-base64-with-dot-dot.json",
            raw(r#""path":["x"]"#, r#""path":[{"base64":"Li4veA=="}]"#),
        ),
        (
            "paths-out-of-order.json",
            with_entry(|table| {
                *table = json!({"path": ["b", "a"], "type": "dd",
            "mode": [0, 0], "uid": [0, 0], "gid": [0, 0], "seconds": [0, 0], "nanoseconds": [0, 0]});
            }),
        ),
        (
            "one-path-twice.json",
            with_entry(|table| {
                *table = json!({"path": ["a", "a"], "type": "dd",
            "mode": [0, 0], "uid": [0, 0], "gid": [0, 0], "seconds": [0, 0], "nanoseconds": [0, 0]});
            }),
        ),
        ("columns-of-other-lengths.json", with_entry(|table| table["mode"] = json!([]))),
        (
            "nanoseconds-of-four-seconds.json",
            with_entry(|table| table["nanoseconds"] = json!([4_000_000_000_u32])),
        ),
        ("mode-of-32-bits.json", with_entry(|table| table["mode"] = json!([u32::MAX]))),
        ("unknown-type.json", with_entry(|table| table["type"] = json!("s"))),
        ("type-of-two-bytes.json", with_entry(|table| table["type"] = json!("\u{e9}"))),
        ("size-missing.json", with_entry(|table| table["size"] = json!([null]))),
        (
            "holes-beyond-numbers.json",
            with_entry(|table| table["holes"] = json!([[[1, u64::MAX]]])),
        ),
        (
            "holes-that-overlap.json",
            with_entry(|table| {
                table["size"] = json!([10]);
                table["holes"] = json!([[[4, 4], [0, 2]]]);
            }),
        ),
        (
            "attribute-that-is-no-base64.json",
            with_entry(|table| table["xattrs"] = json!([{"user.x": "%%"}])),
        ),
        (
            "link-outside.json",
            with(|manifest| manifest["links"] = json!([{"path": "../outside/y", "to": "x"}])),
        ),
        (
            "renamed-to-outside.json",
            with(|manifest| manifest["renamed"] = json!([{"stored": "x", "name": "../outside/x"}])),
        ),
        (
            "positions-descend.json",
            with_tree(&json!({"from": "", "to": "", "mode": [{"at": [1, 0], "is": 0}]})),
        ),
        (
            "position-negative.json",
            with_tree(&json!({"from": "", "to": "", "mode": [{"at": [-1], "is": 0}]})),
        ),
        (
            "position-beyond-32-bits.json",
            with_tree(&json!({"from": "", "to": "", "mode": [{"at": [1_u64 << 40], "is": 0}]})),
        ),
        (
            "fewer-values-than-positions.json",
            with_tree(&json!({"from": "", "to": "", "uid": [{"at": [0, 1], "is": [0]}]})),
        ),
        (
            "shift-and-seconds.json",
            with_tree(&json!({"from": "", "to": "", "mtime": [{"shift": 1, "seconds": [1]}]})),
        ),
        (
            "unsorted-exceptions.json",
            with_tree(&json!({"from": "", "to": "", "except": ["b", "a"]})),
        ),
        ("digest-too-short.json", with_package(|package| package["sha256"] = json!("11"))),
        ("version-1-path-outside.json", version_one(r#""../outside/secret""#)),
        ("version-1-path-absolute.json", version_one(r#""/etc/passwd""#)),
        ("version-1-surrogates-of-dot-dot.json", version_one(r#""\udc2e\udc2e/secret""#)),
        ("version-1-high-surrogate.json", version_one(r#""\ud800""#)),
    ];
    refused.into_iter().map(|(name, bytes)| (name, Outcome::Manifest, bytes)).collect()
}

fn told() -> Vec<Attack> {
    let told = Outcome::Told;
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    vec![
        (
            "deep-in-an-unknown-field.json",
            told(Verification),
            raw(r#""tool""#, &format!(r#""unknown":{deep},"tool""#)),
        ),
        (
            "longer-than-the-limit.json",
            Outcome::TooLong,
            [manifest().to_string().as_bytes(), &[b' '; 1 << 17]].concat(),
        ),
        ("url-to-a-file.json", told(Unreachable), at_url("file:///etc/passwd")),
        ("url-of-another-scheme.json", told(Unreachable), at_url("ftp://127.0.0.1/p.tar")),
        (
            "url-with-credentials.json",
            told(Unreachable),
            at_url("http://user:password@127.0.0.1:1/p.tar"),
        ),
        ("url-that-is-none.json", told(Unreachable), at_url("")),
        ("url-that-is-a-path.json", told(Unreachable), at_url("/etc/passwd")),
        (
            "url-with-escape-codes.json",
            told(Unreachable),
            at_url("http://127.0.0.1:1/\u{1b}[2J\n\u{202e}"),
        ),
        (
            "url-with-a-header.json",
            told(Unreachable),
            at_url("http://127.0.0.1:1/ HTTP/1.1\r\nX: y\r\n\r\n"),
        ),
        (
            "signatures-with-escape-codes.json",
            told(Unreachable),
            with_package(|package| package["signatures"] = json!(["\u{1b}[2J"])),
        ),
        (
            "format-nobody-knows.json",
            told(Unreachable),
            with_package(|package| package["format"] = json!("\u{1b}c")),
        ),
        (
            "size-of-a-package-beyond-all.json",
            told(Unreachable),
            with_package(|package| package["size"] = json!(u64::MAX)),
        ),
        (
            "tree-to-outside.json",
            told(Unreachable),
            with_tree(&json!({"from": "", "to": "../outside/"})),
        ),
        (
            "time-beyond-any.json",
            told(Verification),
            with_entry(|table| table["seconds"] = json!([i64::MAX])),
        ),
        (
            "size-that-lies.json",
            told(Verification),
            with_entry(|table| table["size"] = json!([u64::MAX])),
        ),
        (
            "tree-of-2-to-the-64-entries.json",
            told(Verification),
            with(|manifest| manifest["tree"]["entries"] = json!(u64::MAX)),
        ),
        (
            "links-in-a-circle.json",
            told(Incomplete),
            with(|manifest| {
                manifest["links"] = json!([{"path": "a", "to": "b"}, {"path": "b", "to": "a"}]);
            }),
        ),
        (
            "link-to-itself.json",
            told(Incomplete),
            with(|manifest| manifest["links"] = json!([{"path": "y", "to": "y"}])),
        ),
        (
            "link-to-nothing.json",
            told(Incomplete),
            with(|manifest| manifest["links"] = json!([{"path": "y", "to": "nothing"}])),
        ),
        (
            "link-in-the-place-of-an-entry.json",
            told(Verification),
            with(|manifest| {
                manifest["links"] = json!([{"path": "x", "to": "y"}, {"path": "y", "to": "x"}]);
            }),
        ),
        (
            "one-link-twice.json",
            told(Verification),
            with(|manifest| {
                manifest["links"] = json!([{"path": "y", "to": "x"}, {"path": "y", "to": "x"}]);
            }),
        ),
        (
            "top-folder-renamed.json",
            told(Verification),
            with(|manifest| manifest["renamed"] = json!([{"stored": "", "name": "y"}])),
        ),
        (
            "renamed-onto-itself.json",
            told(Verification),
            with(|manifest| manifest["renamed"] = json!([{"stored": "x", "name": "x"}])),
        ),
        (
            "top-folder-is-a-file.json",
            told(Verification),
            with_entry(|table| table["path"] = json!([""])),
        ),
        (
            "path-below-a-file.json",
            told(Incomplete),
            with_entry(|table| {
                *table = json!({"path": ["x", "x/y"], "type": "fp",
            "mode": [0, 0], "uid": [0, 0], "gid": [0, 0], "seconds": [0, 0], "nanoseconds": [0, 0], "size": [1, null]});
            }),
        ),
        (
            "path-of-the-manifest.json",
            told(Verification),
            with_entry(|table| table["path"] = json!([".hashget-restore.json"])),
        ),
        (
            "attributes-that-no-system-has.json",
            told(Verification),
            with_entry(|table| {
                table["xattrs"] = json!([{"": "AA==", "base64:AA==": "AA==", "user.x\u{1b}": "AA==", "no.x": "AA=="}]);
            }),
        ),
        ("version-1-file-that-is-nowhere.json", told(Unreachable), version_one(r#""a\udcffb""#)),
    ]
}

#[test]
fn every_hostile_manifest_is_refused_or_told() {
    let attacks = [refused(), told()].concat();
    let mut wrong = Vec::new();
    for (name, expected, bytes) in &attacks {
        let stored = stored("manifests", name, bytes);
        let found = Arena::new().unpack(&archive(&stored).finish());
        if found != *expected {
            wrong.push(format!("{name}: {found:?}, expected {expected:?}"));
        }
        let restored = Arena::new().restore(&stored);
        let both_told = matches!((restored, expected), (Outcome::Told(_), Outcome::Told(_)));
        if restored != *expected && !both_told {
            wrong.push(format!("{name}, restored: {restored:?}, expected {expected:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_all_are_known("manifests", attacks.iter().map(|(name, ..)| *name).collect());
}
