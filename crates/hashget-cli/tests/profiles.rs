//! `--profile`: caches that programs make again are excluded, and never silently.
//!
//! Invariant: what was excluded is told by every command that is asked, and what only looks like a cache comes back.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use support::{Machine, files_below};

/// A machine with caches, and with what looks like some.
fn machine() -> Machine {
    let machine = Machine::new();
    for (file, text) in [
        ("var/lib/apt/lists/example_Packages", "list"),
        ("var/lib/apt/lists/partial/half", "half"),
        ("var/cache/man/index.db", "index"),
        ("home/ada/.cache/pip/http/0123", "wheel"),
        ("home/ada/.cache/go-build/00/0123", "compiled"),
    ] {
        machine.write(&format!("tree/{file}"), text);
    }
    for file in KEPT {
        machine.write(&format!("tree/{file}"), "mine");
    }
    machine
}

const KEPT: [&str; 7] = [
    "etc/ld.so.cache",
    "home/ada/.cache/huggingface/token",
    "home/ada/cache/letter",
    "home/ada/project/var/cache/man/index.db",
    "var/cache/debconf/config.dat",
    "var/lib/apt/extended_states",
    "var/lib/dpkg/status",
];

/// Packs the tree with these options.
#[track_caller]
fn pack(machine: &Machine, options: &[&str]) -> support::Ended {
    let pack = ["pack", "tree", "-f", "a.tar.zst", "--detect", "none", "--no-index"];
    machine.hashget(&[&pack, options].concat()).expect(0)
}

const OWN: &str = "includes = [\"server\"]\n[[item]]\npattern = \"*.css\"\nreason = \"made of .scss\"\ncommand = \"make\"\n";

#[test]
fn caches_are_excluded_and_all_else_comes_back() {
    let machine = machine();
    let told = pack(&machine, &["--profile", "workstation"]).stderr;
    assert!(told.contains("Excluded  5 files, 26 B by the profile workstation"), "{told}");
    assert!(!told.contains("note:"), "{told}");
    let unpacked = machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0);
    assert_eq!(files_below(&machine.path("back")), KEPT);
    // The folders themselves stay.
    assert!(machine.path("back/var/lib/apt/lists").is_dir());
    unpacked.says(&[
        "Proven",
        "Not in the backup, by the profile workstation: 5 files, 26 B; run `apt-get update`, `mandb`; programs make the rest \
         again by themselves",
    ]);
    let told = pack(&machine, &["--profile", "server"]).stderr;
    assert!(told.contains("Excluded  3 files, 13 B by the profile server"), "{told}");
    let told = pack(&machine, &[]).stderr;
    assert!(!told.contains("Excluded"), "{told}");
}

#[test]
fn what_lies_behind_a_link_comes_back() {
    let machine = Machine::new();
    machine.write("tree/srv/photos/a.jpg", "mine");
    fs_err::create_dir_all(machine.path("tree/var/cache")).unwrap();
    fs_err::os::unix::fs::symlink("../../srv/photos", machine.path("tree/var/cache/man")).unwrap();
    pack(&machine, &["--profile", "server"]);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0).says(&["Proven"]);
    assert!(machine.path("back/srv/photos/a.jpg").is_file());
    machine.hashget(&["verify", "a.tar.zst", "--against", "tree"]).expect(0);
}

#[test]
fn info_lists_what_was_excluded_and_what_makes_it_again() {
    let machine = machine();
    pack(&machine, &["--profile", "workstation"]);
    let told = machine.hashget(&["info", "a.tar.zst"]).expect(0).stdout;
    for part in [
        "EXCLUDED",
        "MADE AGAIN BY",
        "./var/cache/man/*",
        "mandb",
        "pip install PACKAGE (by itself)",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    assert!(!told.contains("zypper") && !told.contains("REASON"), "{told}");
    machine
        .hashget(&["info", "-v", "a.tar.zst"])
        .expect(0)
        .prints(&["REASON", "apt's lists of packages"]);
    let records = machine.hashget(&["info", "--json", "a.tar.zst"]).expect(0).records();
    let items: Vec<_> = records.iter().filter(|record| record["type"] == "regenerable").collect();
    assert_eq!(items.len(), 4);
    assert_eq!(
        (&items[0]["command"], &items[0]["files"], &items[0]["bytes"]),
        (&"apt-get update".into(), &2.into(), &8.into())
    );
    let profiles = &records.last().unwrap()["profiles"];
    assert_eq!(
        (&profiles[0]["profile"], &profiles[0]["files"]),
        (&"workstation".into(), &5.into())
    );
}

#[test]
fn explain_has_the_reason_and_the_command() {
    let machine = machine();
    let explain = ["explain", "--tree", "tree", "--profile", "workstation"];
    let told = machine
        .hashget(&[&explain[..], &["tree/var/cache/man/index.db"]].concat())
        .expect(0)
        .stdout;
    assert!(
        told.contains("excluded: the profile workstation names it: the index of manual pages"),
        "{told}"
    );
    assert!(told.contains("to make it again, run `mandb`"), "{told}");
    let below = machine
        .hashget(&[&explain[..], &["--json", "tree/var/lib/apt"]].concat())
        .expect(0)
        .records();
    let codes: Vec<&str> = below[..3].iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["unknown", "regenerable", "regenerable"]);
    // A file by itself: a pattern from the top of a tree means its folder.
    let alone = ["explain", "--profile", "own.toml", "tree/var/cache/man/index.db"];
    machine.write("own.toml", OWN.replace("*.css", "*/index.db").as_bytes());
    let told = machine.hashget(&alone).expect(0).stdout;
    assert!(told.contains("archived"), "{told}");
    machine.write("own.toml", OWN.replace("*.css", "index.db").as_bytes());
    let told = machine.hashget(&alone).expect(0).stdout;
    assert!(
        told.contains("the profile own names it: made of .scss; to make it again, run `make`"),
        "{told}"
    );
    pack(&machine, &["--profile", "server"]);
    let archive = ["explain", "--archive", "a.tar.zst"];
    let paths = [
        "var/cache/man/index.db",
        "/var/lib/apt/lists/partial/half",
        "var/lib/apt/extended_states",
        "var/none",
    ];
    let records =
        machine.hashget(&[&archive[..], &["--json"], &paths].concat()).expect(0).records();
    let fates: Vec<&str> = records[..4].iter().map(|one| one["fate"].as_str().unwrap()).collect();
    assert_eq!(fates, ["excluded", "excluded", "archived", "absent"]);
    machine
        .hashget(&[&archive[..], &paths[..1]].concat())
        .expect(0)
        .prints(&["excluded: the profile server", "mandb"]);
    let wrong = [&archive[..], &["x", "--profile", "server"]].concat();
    machine.hashget(&wrong).expect(2).says(&["settled"]);
}

#[test]
fn what_a_profile_excluded_is_no_difference() {
    let machine = machine();
    pack(&machine, &["--profile", "workstation"]);
    let against = ["verify", "a.tar.zst", "--against", "tree"];
    machine
        .hashget(&against)
        .expect(0)
        .says(&[
            "tree is exactly what was packed",
            "5 files, 26 B not compared: a profile excluded them",
        ])
        .says_not(&["note:"]);
    for sides in [["a.tar.zst", "tree"], ["tree", "a.tar.zst"]] {
        let ended = machine.hashget(&["diff", sides[0], sides[1]]).expect(0);
        assert_eq!(ended.stdout, "");
        ended.says(&["0 entries added, 0 removed, 0 changed", "5 files, 26 B not compared"]);
    }
    machine.write("tree/var/lib/apt/extended_states", "others");
    let told = machine.hashget(&["diff", "a.tar.zst", "tree"]).expect(0).stdout;
    assert!(
        told.contains("M") && told.contains("extended_states") && !told.contains("lists"),
        "{told}"
    );
    machine.hashget(&against).expect(4).says(&["NOT what was packed"]);
    // Two archives are what they are.
    fs_err::rename(machine.path("a.tar.zst"), machine.path("b.tar.zst")).unwrap();
    pack(&machine, &[]);
    let told = machine.hashget(&["diff", "b.tar.zst", "a.tar.zst"]).expect(0).stdout;
    assert!(told.contains("+ ") && told.contains("index.db"), "{told}");
}

#[test]
fn the_page_of_a_report_has_it() {
    let machine = machine();
    pack(&machine, &["--profile", "server"]);
    for report in [&["report", "a.tar.zst"][..], &["report", "tree", "--profile", "server"]] {
        machine.hashget(&[report, &["-o", "page.html"]].concat()).expect(0);
        let page = fs_err::read_to_string(machine.path("page.html")).unwrap();
        assert!(
            page.contains("since programs make it again") && page.contains("mandb"),
            "{report:?}"
        );
    }
    pack(&machine, &[]);
    machine.hashget(&["report", "a.tar.zst", "-o", "page.html"]).expect(0);
    let page = fs_err::read_to_string(machine.path("page.html")).unwrap();
    assert!(!page.contains("since programs make it again"));
    let wrong = ["report", "a.tar.zst", "--profile", "server", "-o", "page.html"];
    machine.hashget(&wrong).expect(2).says(&["settled"]);
}

#[test]
fn a_profile_can_be_a_file() {
    let machine = machine();
    machine.write("own.toml", OWN);
    machine.write("tree/home/ada/site/page.css", "css");
    let told = pack(&machine, &["--profile", "./own.toml", "--profile", "workstation"]).stderr;
    assert!(told.contains("Excluded  4 files, 16 B by the profile own"), "{told}");
    assert!(told.contains("2 files, 13 B by the profile workstation"), "{told}");
    let plan = ["pack", "tree", "-n", "--detect", "none", "--no-index", "--profile", "own.toml"];
    machine.hashget(&plan).expect(0).prints(&["MADE AGAIN BY", "make", "*.css"]);
}

#[test]
fn bad_profiles_are_refused_before_anything_is_packed() {
    let machine = machine();
    let with = |profile: &str| {
        let pack = ["pack", "tree", "-f", "b.tar", "--profile", profile];
        machine.hashget(&pack)
    };
    with("desktop").expect(2).says(&["desktop", "server, workstation, or a file"]);
    with("none.toml").expect(1).says(&["cannot read the profile", "none.toml"]);
    machine.write("own.toml", OWN.replace("reason", "raeson"));
    with("own.toml").expect(2).says(&["own.toml: item 1: unknown field `raeson`"]);
    machine.write("own.toml", OWN.replace("make\"", "\""));
    with("own.toml").expect(2).says(&["own.toml: item 1: command: expected"]);
    machine.write("own.toml", OWN.replace("*.css", "*"));
    with("own.toml").expect(2).says(&["own.toml: item 1: pattern: \"*\" names nothing"]);
    machine.write("own.toml", OWN.replace("*.css", "/etc"));
    with("own.toml").expect(2).says(&["own.toml: item 1: pattern: \"/etc\" matches /etc"]);
    machine.write("own.toml", "includes = [\n");
    with("own.toml").expect(2).says(&["own.toml:", "line 1"]);
    machine.write("own.toml", b"\xff");
    with("own.toml").expect(1).says(&["cannot read the profile", "own.toml"]);
    let old = ["pack", "tree", "-f", "b.tar", "--profile", "server", "--manifest-version", "1"];
    machine.hashget(&old).expect(2).says(&["--profile needs a manifest of version 2"]);
    let other = ["prepare", "tree", "-X", "list", "--for", "tar", "--profile", "server"];
    machine.hashget(&other).expect(2).says(&["--profile"]);
    assert!(!machine.path("b.tar").exists());
}

#[test]
fn a_job_has_profiles() {
    let machine = machine();
    machine.write("own.toml", OWN);
    let tree = machine.path("tree").display().to_string();
    let job = format!(
        "[backup.tree]\nsources = [\"{tree}\"]\nto = [\"store\"]\nprofile = [\"workstation\", \"own.toml\"]\noptions = [\"--detect\", \"none\"]\n"
    );
    machine.write("config.toml", job);
    fs_err::create_dir(machine.path("store")).unwrap();
    machine
        .hashget(&["backup", "tree", "--config", "config.toml"])
        .expect(0)
        .says(&["Excluded    5 files, 26 B by the profile workstation"]);
}

#[test]
fn an_archive_that_lies_of_profiles_does_no_harm() {
    let machine = machine();
    pack(&machine, &["--profile", "server"]);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back", "--keep-manifest"]).expect(0);
    let manifest = fs_err::read_to_string(machine.path("back/.hashget-restore.json")).unwrap();
    let item = |pattern: &str, command: &str| {
        format!(
            r#"{{"profile":"p\u001b[2J","pattern":"{pattern}","reason":"r\nr","command":"{command}","files":18446744073709551615,"bytes":18446744073709551615}}"#
        )
    };
    let mut items = vec![item("a[", "one"), item("./var/cache/man/*", "touch\\u001b[31m harm\\n")];
    items.extend((0..2000).map(|number| item(&format!("./none{number}/*"), "many")));
    let start = manifest.find("\"regenerable\":").unwrap();
    let lie = format!("{}\"regenerable\":[{}]}}", &manifest[..start], items.join(","));
    for command in [
        &["info", "back"][..],
        &["info", "-v", "back"],
        &["explain", "--archive", "back", "var/cache/man/index.db", "var/none"],
        &["diff", "back", "tree"],
        &["report", "back", "-o", "page.html"],
        &["restore", "back"],
    ] {
        machine.write("back/.hashget-restore.json", &lie);
        let ended = machine.hashget(command).expect(0);
        for text in [&ended.stdout, &ended.stderr] {
            assert!(!text.contains('\u{1b}'), "{command:?}: {text:?}");
        }
        let told = ended.stdout + &ended.stderr;
        assert!(told.len() < 200_000, "{command:?} says {} bytes", told.len());
    }
    assert!(!machine.path("harm").exists());
    // What it does not leave out is compared.
    machine.write("back/.hashget-restore.json", &lie);
    let told = machine.hashget(&["diff", "back", "tree"]).expect(0);
    assert!(told.stdout.contains(" var/lib/apt/lists/example_Packages"), "{}", told.stdout);
    assert!(!told.stdout.contains(" var/cache/man/index.db"), "{}", told.stdout);
}
