//! `report`: a page about an archive that adds up, loads nothing and shows foreign names as text.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use hashget_testkit::packages::TarBuilder;
use serde_json::Value;
use support::Machine;

/// A machine with an archive `a.tar.zst` of files of a package and files of its own.
fn machine() -> Machine {
    let machine = Machine::new();
    let text = "a file of the package\n".repeat(9000);
    let other = "another file\n".repeat(500);
    let tool =
        TarBuilder::new().file("tool/text", text.as_bytes()).file("tool/other", other.as_bytes());
    machine.write("tool.tar", tool.finish());
    let url = "https://tools.example/tool-<b>.tar";
    machine.hashget(&["index", "--file", "tool.tar", url]).expect(0);
    machine.write("tree/tool/text", &text);
    machine.write("tree/tool/other", &other);
    machine.write("tree/own/LICENSE", "mine");
    machine.write("tree/own/</script><script>alert(1)</script>", "x".repeat(70_000));
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

fn page(machine: &Machine, name: &str) -> String {
    fs_err::read_to_string(machine.path(name)).unwrap()
}

/// The data of the map.
fn data(page: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"tree\">";
    let (_, rest) = page.split_once(start).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_page_adds_up() {
    let machine = machine();
    machine.hashget(&["report", "a.tar.zst", "-o", "a.html"]).expect(0).says(&["Wrote a.html"]);
    let page = page(&machine, "a.html");
    let given = 22 * 9000 + 13 * 500;
    let tree = data(&page);
    assert_eq!(
        (&tree[1], &tree[2], &tree[3]),
        (&(given + 70_004).into(), &given.into(), &4.into())
    );
    let folders = tree[4].as_array().unwrap();
    let told =
        |index: usize| (folders[index][0].as_str().unwrap(), folders[index][2].as_u64().unwrap());
    assert_eq!((told(0), told(1)), (("tool", given), ("own", 0)));
    for part in [
        "74.5 %",
        "Worth indexing next",
        "<td class=\"name\">LICENSE</td>",
        "tools.example",
        "1 package",
    ] {
        assert!(page.contains(part), "no {part:?} in the page");
    }
}

#[test]
fn foreign_names_stay_text_and_nothing_is_loaded() {
    let machine = machine();
    machine.hashget(&["report", "a.tar.zst", "-o", "a.html"]).expect(0);
    let page = page(&machine, "a.html");
    assert!(!page.contains("<script>alert") && !page.contains("tool-<b>"), "{page}");
    assert!(page.contains("&#60;/script&#62;"), "the name is told");
    // A "/" ends the name of a folder: the file lies in two of them.
    assert_eq!(page.matches("</script>").count(), 2, "the page's own two");
    for loading in ["src=", "href=", "url(", "@import", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(loading), "the page has {loading:?}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn packages_that_the_hashdb_does_not_know_are_counted() {
    let machine = machine();
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    let ended = machine.hashget(&["report", "a.tar.zst", "-o", "a.html"]).expect(0);
    ended.says(&["Not in the HashDB: 1 package", "hashget info --list"]);
    let page = page(&machine, "a.html");
    let tree = data(&page);
    let unknown = &tree[4].as_array().unwrap()[0];
    assert_eq!((&unknown[1], &unknown[3]), (&(22 * 9000 + 13 * 500).into(), &2.into()));
    assert!(page.contains("not in the HashDB"));
}

#[test]
fn records_and_standard_output() {
    let machine = machine();
    let ended = machine.hashget(&["report", "a.tar.zst", "-o", "a.html", "--json"]).expect(0);
    let summary = ended.last_record();
    assert_eq!((&summary["files"], &summary["unknown_packages"]), (&4.into(), &0.into()));
    let printed = machine.hashget(&["report", "a.tar.zst", "-o", "-"]).expect(0).stdout;
    assert_eq!(printed, page(&machine, "a.html"));
    machine.hashget(&["report", "a.tar.zst", "-o", "-", "--json"]).expect(2).says(&["name a file"]);
}

#[test]
fn it_says_what_a_restore_takes() {
    let machine = machine();
    machine.hashget(&["report", "a.tar.zst", "-o", "a.html"]).expect(0);
    let page = page(&machine, "a.html");
    let written = fs_err::metadata(machine.path("a.tar.zst")).unwrap().modified().unwrap();
    let day = jiff::Timestamp::try_from(written).unwrap().strftime("%Y-%m-%d").to_string();
    for part in [
        &*format!("<h1>a.tar.zst, {day}</h1>"),
        "in 1 package from 1 host",
        "The restored files take",
        "<td>100 Mbit/s</td><td class=\"number\">1 s</td>",
        "<td class=\"name\">by URL alone</td><td class=\"number\">1</td>",
    ] {
        assert!(page.contains(part), "no {part:?} in the page");
    }
    assert!(!page.contains("<h2>Since"), "it is compared with nothing");
}

#[test]
fn an_archive_of_a_job_is_compared_with_the_one_before_it() {
    let machine = machine();
    let name = |night| format!("web1_system_2026-11-{night}T023000Z.tar.zst");
    machine.hashget(&["pack", "tree", "-f", &name(26)]).expect(0);
    fs_err::remove_file(machine.path("tree/own/LICENSE")).unwrap();
    machine.write("tree/own/letter", "y".repeat(2048));
    machine.hashget(&["pack", "tree", "-f", &name(27)]).expect(0);
    machine.hashget(&["report", &name(27), "-o", "a.html"]).expect(0);
    let second = page(&machine, "a.html");
    for part in [
        "<h1>web1: system, 2026-11-27 02:30 UTC</h1>",
        "<h2>Since web1: system, 2026-11-26 02:30 UTC</h2>",
        "1 entry added, 1 removed, 1 changed; files grew by 2 KiB and shrank by 4 B.",
        "<td class=\"name\">own/letter</td><td>added</td><td class=\"number\">2 KiB</td>",
    ] {
        assert!(second.contains(part), "no {part:?} in the page: {second}");
    }
    machine.hashget(&["report", &name(26), "-o", "a.html"]).expect(0);
    assert!(!page(&machine, "a.html").contains("<h2>Since"), "nothing was before it");
    // Any other one, if it is named; also of a folder.
    machine.hashget(&["report", "tree", "-o", "a.html", "--since", &name(26)]).expect(0);
    assert!(page(&machine, "a.html").contains("1 entry added, 1 removed, 1 changed"));

    // One that cannot be read keeps no page from being written, unless it was asked for.
    fs_err::write(machine.path(&name(26)), "no archive").unwrap();
    let ended = machine.hashget(&["report", &name(27), "-o", "a.html"]).expect(0);
    ended.says(&["not compared with this one"]);
    assert!(!page(&machine, "a.html").contains("<h2>Since"));
    machine.hashget(&["report", &name(27), "-o", "b.html", "--since", &name(26)]).expect(1);
    assert!(!machine.path("b.html").exists());
    let ended = machine.hashget(&["report", "-", "-o", "b.html", "--since", &name(27)]).expect(2);
    ended.says(&["standard input can be read once"]);
}

#[test]
fn of_a_folder_it_says_what_a_backup_would_be() {
    let machine = machine();
    machine.hashget(&["report", "a.tar.zst", "-o", "a.html"]).expect(0);
    let ended = machine.hashget(&["report", "tree", "-o", "live.html", "--json"]).expect(0);
    let summary = ended.last_record();
    assert_eq!((&summary["live"], &summary["files"]), (&true.into(), &4.into()));
    let live = page(&machine, "live.html");
    assert_eq!(data(&live), data(&page(&machine, "a.html")), "the same map");
    for part in ["What a backup of this folder would hold", "Worth indexing next", "tools.example"]
    {
        assert!(live.contains(part), "no {part:?} in the page");
    }
    assert!(!machine.path("tree/.hashget-restore.json").exists(), "nothing is written into it");

    // What is left out of it, and what only the HashDB knows.
    let report = ["report", "tree", "-o", "part.html", "--exclude", "own"];
    machine.hashget(&report).expect(0);
    assert_eq!(data(&page(&machine, "part.html"))[3], 2);
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    machine.hashget(&["report", "tree", "-o", "unknown.html"]).expect(0);
    assert_eq!(data(&page(&machine, "unknown.html"))[2], 0, "nothing is known");

    // A folder into which an archive was unpacked tells of that archive.
    machine.hashget(&["prepare", "tree", "-X", "list", "--for", "tar"]).expect(0);
    let ended = machine.hashget(&["report", "tree", "-o", "live.html", "--json"]).expect(0);
    assert_eq!(ended.last_record()["live"], false);
    machine.hashget(&report).expect(2).says(&["--exclude", "settled"]);
}

#[test]
fn what_cannot_be_reported_leaves_no_page() {
    let machine = machine();
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen/v1.tar.gz");
    let frozen = frozen.to_str().unwrap();
    machine
        .hashget(&["report", frozen, "-o", "a.html"])
        .expect(1)
        .says(&["version 2", "hashget info"]);
    machine.hashget(&["report", "tool.tar", "-o", "a.html"]).expect(1);
    assert!(!machine.path("a.html").exists());
    machine.hashget(&["report", "a.tar.zst", "-o", "missing/a.html"]).expect(1).says(&["missing"]);
}
