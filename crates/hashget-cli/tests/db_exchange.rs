//! `db set`, `verify`, `export` and `import`, and the Python tool's HashDB.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use support::Machine;

fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    for name in ["first", "second"] {
        let text = name.repeat(3000);
        let tar = TarBuilder::new()
            .directory("d/")
            .file(&format!("d/{name}"), text.as_bytes())
            .symlink("d/link", "x")
            .finish();
        origin.serve(&format!("/{name}.tar"), tar);
        machine.write(&format!("tree/{name}"), text);
        machine
            .hashget(&["index", &origin.url(&format!("/{name}.tar")), "--project", "web"])
            .expect(0);
    }
    machine
}

fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen").join(name)
}

fn left_out(machine: &Machine, tree: &str, more: &[&str]) -> serde_json::Value {
    let pack = [&["pack", tree, "-n", "--no-index", "--json"][..], more].concat();
    machine.hashget(&pack).expect(0).last_record()["left_out_files"].clone()
}

#[test]
fn project_and_expiry_are_set_and_nothing_else_changes() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let set = ["db", "set", "--package", "first.tar", "project=mail", "expires=2031-01-31"];
    machine.hashget(&set).expect(0).says(&["1 package changed"]);
    machine.hashget(&set).expect(0).says(&["0 packages changed"]);
    let listed =
        machine.hashget(&["db", "list", "--project", "mail", "--json"]).expect(0).records();
    assert_eq!(
        (&listed[0]["expires"], &listed[0]["evidence"]),
        (&"2031-01-31".into(), &"downloaded".into())
    );
    assert_eq!(left_out(&machine, "tree", &[]), 2);
    machine.hashget(&["db", "set", "--package", "all", "project=", "expires="]).expect(0);
    let listed = machine.hashget(&["db", "list", "--json"]).expect(0).records();
    assert!(listed[0].get("expires").is_none() && listed[0].get("project").is_none(), "{listed:?}");
    machine
        .hashget(&["db", "set", "--package", "all", "evidence=local"])
        .expect(2)
        .says(&["project=NAME"]);
    machine.hashget(&["db", "set", "project=x"]).expect(2).says(&["--package"]);
    machine.hashget(&["db", "set", "--package", "none.tar", "project=x"]).expect(1);
}

#[test]
fn an_export_comes_back_at_the_evidence_that_is_warranted() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let shown = machine.hashget(&["db", "show", "--package", "all", "--json"]).expect(0).stdout;
    for file in ["e.jsonl", "e.jsonl.gz", "e.jsonl.zst", "e.jsonl.xz"] {
        machine.hashget(&["db", "export", "-o", file]).expect(0).says(&["2 packages exported"]);
        let export = machine.path(file);
        let export = export.to_str().unwrap();
        let other = Machine::new();
        for name in ["first", "second"] {
            other.write(&format!("tree/{name}"), name.repeat(3000));
        }
        other.hashget(&["db", "import", export]).expect(0).says(&["2 packages imported"]);
        assert_eq!(left_out(&other, "tree", &[]), 0, "nobody vouched for it");
        assert_eq!(left_out(&other, "tree", &["--evidence", "local"]), 2);
        other
            .hashget(&["db", "import", "--trust", export])
            .expect(0)
            .says(&["2 packages imported"]);
        assert_eq!(left_out(&other, "tree", &[]), 2);
        let again = other.hashget(&["db", "import", export]).expect(0);
        again.says(&["0 packages imported, 2 known before"]);
        let there = other.hashget(&["db", "show", "--package", "all", "--json"]).expect(0).stdout;
        assert_eq!(there.replace("\"vouched\":true", "\"vouched\":false"), shown);
    }
    let lines = fs_err::read_to_string(machine.path("e.jsonl")).unwrap();
    assert_eq!(lines.lines().next(), Some(r#"{"format":"hashget-hashdb","version":1}"#));
    let piped = machine.hashget(&["db", "export", "--package", "first.tar", "-o", "-"]).expect(0);
    assert_eq!(piped.stdout.lines().count(), 2);
    let other = Machine::new();
    let mut import = other.bare();
    import
        .env("HASHGET_DB", other.path("db"))
        .args(["db", "import", "-"])
        .write_stdin(piped.stdout);
    import.assert().success();
}

#[test]
fn what_is_no_export_is_refused_with_its_line() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["db", "export", "-o", "good"]).expect(0);
    let good = fs_err::read_to_string(machine.path("good")).unwrap();
    for (text, expected) in [
        ("hello".to_owned(), "line 1"),
        (good.replace("\"version\":1", "\"version\":9"), "a newer hashget"),
        (good.replace("http://", "file://"), "line 2"),
        (good.replace("http://", "http://user:secret@"), "line 2"),
        (good.replace("\"d/first\"", "\"../first\""), "line 2"),
        (good[..good.len() - 20].to_owned(), "line 3"),
    ] {
        machine.write("bad", text);
        let other = Machine::new();
        let bad = machine.path("bad");
        let ended =
            other.hashget(&["db", "import", bad.to_str().unwrap()]).expect(1).says(&[expected]);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    }
}

#[test]
fn the_python_tools_hashdb_is_indexed_anew_and_proven() {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("pool")).unwrap();
    fs_err::copy(frozen("tool-1.0.tar.gz"), machine.path("pool/tool")).unwrap();
    let folder = frozen("hashdb");
    let folder = folder.to_str().unwrap();
    let import = ["--offline", "--pool", "pool", "db", "import", folder];
    machine.hashget(&import).expect(0).says(&["1 package imported"]);
    machine.hashget(&import).expect(0).says(&["1 known before"]);
    let listed = machine.hashget(&["db", "list", "--project", "my", "--json"]).expect(0).records();
    assert_eq!((&listed[0]["evidence"], &listed[0]["size"]), (&"downloaded".into(), &2110.into()));
    // A package that cannot be had, and one that was another then.
    let away = Machine::new();
    away.hashget(&["--offline", "db", "import", folder])
        .expect(5)
        .says(&["tool-1.0.tar.gz.json", "1 failed"]);
    let file = fs_err::read_to_string(frozen("hashdb/my/p/tool-1.0.tar.gz.json")).unwrap();
    let origin = Origin::start();
    origin.serve("/static/tool-1.0.tar.gz", "x".repeat(2110));
    let changed = file.replace("http://127.0.0.1:18799", &origin.url(""));
    away.write("hp.json", changed);
    away.hashget(&["db", "import", "hp.json"]).expect(4).says(&["hp.json"]);
    away.write("bad.json", file.replace("\"hashes\"", "\"nothing\""));
    away.hashget(&["db", "import", "bad.json"]).expect(3).says(&["bad.json", "HashPackage"]);
}

#[test]
fn damage_of_the_hashdb_and_untrue_records_are_found() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let ended = machine.hashget(&["db", "verify"]).expect(0);
    ended.says(&["The HashDB is whole", "2 packages read again"]);
    // An export that lies about a member of a package that the cache has.
    machine.hashget(&["db", "export", "-o", "e"]).expect(0);
    let text = fs_err::read_to_string(machine.path("e")).unwrap();
    let lie = text.replacen("\"d/second\"", "\"d/sec\"", 1);
    assert_ne!(lie, text);
    machine.write("lie", lie);
    let other = Machine::new();
    let path = machine.path("lie");
    other.hashget(&["db", "import", "--trust", path.to_str().unwrap()]).expect(0);
    let cache = machine.path("cache");
    let verify = ["--cache", cache.to_str().unwrap(), "db", "verify"];
    other.hashget(&verify).expect(4).says(&[
        "second.tar",
        "not the ones that are recorded",
        "1 package WRONG",
    ]);
    other.hashget(&["db", "verify"]).expect(0).says(&["2 packages neither"]);
    // A byte of the file itself.
    let file = machine.path("db/hashdb.sqlite");
    let mut bytes = fs_err::read(&file).unwrap();
    let at = bytes.windows(4).rposition(|window| window == b"\x28\xb5\x2f\xfd").unwrap();
    bytes[at + 20] ^= 0x55;
    fs_err::File::create(&file).unwrap().write_all(&bytes).unwrap();
    machine.hashget(&["db", "verify"]).expect(4).says(&["DAMAGED"]);
}

#[test]
fn an_import_that_is_not_relied_on_hides_nothing_from_detectors() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["db", "export", "-o", "e.jsonl"]).expect(0);
    let other = Machine::new();
    for name in ["first", "second"] {
        other.write(&format!("tree/{name}/{name}"), name.repeat(3000));
        let hint = format!(r#"{{"url": "{}"}}"#, origin.url(&format!("/{name}.tar")));
        other.write(&format!("tree/{name}/hashget-hint.json"), hint);
    }
    let export = machine.path("e.jsonl");
    other.hashget(&["db", "import", export.to_str().unwrap()]).expect(0);
    other.write("config.toml", "[host.\"127.0.0.1\"]\npublic = true\n");
    let pack = ["pack", "tree", "-f", "a.tar", "--json", "--config", "config.toml"];
    let packed = other.hashget(&pack).expect(0).last_record();
    assert_eq!(packed["left_out_files"], 2, "{packed}");
}
