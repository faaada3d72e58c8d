//! `hashget heal`, supplements, and other packages with the same files: what the world loses comes back all the same.
//!
//! Invariant: whatever gave it, what is restored is compared with the tree that was packed.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "support/losing.rs"]
mod losing;
mod support;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use losing::{away, gone, healed, machine, restored, same_as, text};
use support::{Machine, files_below};

const PROVEN: &str = "Proven";

#[test]
fn what_is_lost_is_taken_out_of_the_living_tree_and_comes_back_with_the_archive_alone() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one", "two"]);
    gone(&origin, &["one"]);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    let heal = ["heal", "a.tar.zst", "--from", "tree"];
    machine.hashget(&["heal", "a.tar.zst"]).expect(2).says(&["--from DIR"]);
    // Nobody has asked: nothing is known to be lost.
    machine.hashget(&[&heal[..], &["--no-ask"]].concat()).expect(0).says(&["Nothing to keep"]);
    machine.hashget(&["audit", "a.tar.zst", "--every", "0s"]).expect(4);
    machine.hashget(&[&heal[..], &["-n"]].concat()).expect(0).says(&["Kept 0 packages", "2 files"]);
    assert!(!machine.path("a.sup.tar.zst").exists());
    machine.hashget(&heal).expect(0).says(&["2 files of others", "a.sup.tar.zst"]);
    // It counts as a place from now on.
    machine.hashget(&["audit", "a.tar.zst"]).expect(0);
    machine.hashget(&heal).expect(0).says(&["Nothing to keep"]);
    assert!(!machine.path("a.2.sup.tar.zst").exists());
    machine.hashget(&["verify", "a.tar.zst"]).expect(0).says(&["only a.sup.tar.zst still has it"]);
    machine.hashget(&["missing", "a.tar.zst"]).expect(0);
    // On a machine that knows nothing, beside the archive and by name.
    let beside = away(&machine, &["a.tar.zst", "a.sup.tar.zst"]);
    restored(&beside, &[]).expect(0).says(&[PROVEN]);
    same_as(&machine, &beside);
    let named = away(&machine, &["a.tar.zst", "a.sup.tar.zst"]);
    fs_err::create_dir(named.path("elsewhere")).unwrap();
    fs_err::rename(named.path("a.sup.tar.zst"), named.path("elsewhere/a.sup.tar.zst")).unwrap();
    restored(&named, &[]).expect(5);
    restored(&named, &["--also", "elsewhere/a.sup.tar.zst"]).expect(0).says(&[PROVEN]);
    same_as(&machine, &named);
    // A restore that was begun without it is completed by it.
    restored(&named, &[]).expect(5);
    named.hashget(&["restore", "back", "--also", "elsewhere/a.sup.tar.zst"]).expect(0);
    same_as(&machine, &named);
    // It is an ordinary tar with the tree's paths.
    let mut tar = std::process::Command::new("tar");
    tar.args(["--zstd", "-tf"]).arg(machine.path("a.sup.tar.zst"));
    let listed = String::from_utf8(tar.output().unwrap().stdout).unwrap();
    assert!(listed.lines().any(|line| line == "tree/one/large"), "{listed}");
    assert!(!listed.contains("two"), "{listed}");
}

#[test]
fn what_a_supplement_has_for_another_archive_is_not_taken_for_all_that_is_needed() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"]);
    let pack = |archive: &str, exclude: &[&str]| {
        let pack = ["pack", "tree", "-f", archive, "--detect", "none"];
        machine.hashget(&[&pack, exclude].concat()).expect(0);
    };
    pack("h_web_2026-01-01T000000Z.tar.zst", &["--exclude", "one/small"]);
    pack("h_web_2026-01-02T000000Z.tar.zst", &[]);
    gone(&origin, &["one"]);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    let (first, second) = ("h_web_2026-01-01T000000Z.tar.zst", "h_web_2026-01-02T000000Z.tar.zst");
    machine.hashget(&["audit", first, "--every", "0s"]).expect(4);
    machine.hashget(&["heal", first, "--from", "tree"]).expect(0).says(&["1 file of others"]);
    machine.hashget(&["audit", first]).expect(0);
    machine.hashget(&["verify", first]).expect(0);
    // It lies beside the other one as well, and has only one of the two files that that one needs.
    machine.hashget(&["audit", second]).expect(4).says(&["LOST"]);
    machine.hashget(&["verify", second]).expect(5).says(&["LOST"]);
    machine.hashget(&["audit", "."]).expect(4).says(&["LOST"]);
    let heal = ["heal", first, second, "--from", "tree", "-f", "h_web_2.sup.tar.zst"];
    machine.hashget(&heal).expect(0).says(&["2 files of others"]);
    for archive in [first, second] {
        machine.hashget(&["audit", archive]).expect(0);
        machine.hashget(&["verify", archive]).expect(0);
    }
}

#[test]
fn what_is_at_risk_is_kept_as_a_whole() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one", "two"]);
    machine.write("own-config.toml", "[policy]\nsources = 2\n");
    machine.hashget(&["audit", "a.tar.zst"]).expect(3);
    machine.hashget(&["heal", "a.tar.zst", "--from", "tree"]).expect(0).says(&["Kept 2 packages"]);
    machine.hashget(&["audit", "a.tar.zst"]).expect(0);
    gone(&origin, &["one", "two"]);
    let away = away(&machine, &["a.tar.zst", "a.sup.tar.zst"]);
    restored(&away, &[]).expect(0).says(&[PROVEN]);
    same_as(&machine, &away);
    // And in a pool.
    fs_err::remove_file(machine.path("a.sup.tar.zst")).unwrap();
    let heal = ["heal", "a.tar.zst", "--from", "tree", "--to-pool", "--pool", "pool"];
    machine.hashget(&heal).expect(0).says(&["Kept 2 packages"]);
    assert_eq!(files_below(&machine.path("pool")).len(), 2);
    let audit = ["audit", "a.tar.zst", "--pool", "pool", "--every", "0s"];
    machine.hashget(&audit).expect(3).says(&["1 independent place has it"]);
    // What is kept there already is not kept once more; a pool and a supplement are two places.
    machine.hashget(&heal).expect(0).says(&["Nothing to keep"]);
    let heal = ["heal", "a.tar.zst", "--from", "tree", "--pool", "pool"];
    machine.hashget(&heal).expect(0).says(&["Kept 2 packages"]);
    machine.hashget(&audit).expect(0);
    machine.hashget(&heal).expect(0).says(&["Nothing to keep"]);
}

#[test]
fn a_file_that_has_changed_is_named_and_nothing_else_is_lost_for_it() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"]);
    gone(&origin, &["one"]);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine.write("tree/one/small", "changed\n");
    machine.hashget(&["audit", "a.tar.zst", "--every", "0s"]).expect(4);
    let heal = ["heal", "a.tar.zst", "--from", "tree"];
    machine.hashget(&heal).expect(4).says(&[
        "one/small",
        "neither there nor in the tree",
        "1 file of others",
    ]);
    machine.hashget(&["audit", "a.tar.zst"]).expect(4).says(&["LOST"]);
    let away = away(&machine, &["a.tar.zst", "a.sup.tar.zst"]);
    let ended = restored(&away, &[]).expect(5).says(&["one/small"]);
    assert!(!ended.stderr.contains("one/large"), "{}", ended.stderr);
    assert_eq!(fs_err::read(away.path("back/one/large")).unwrap(), text("one").repeat(10));
}

#[test]
fn a_supplement_that_is_none_or_is_damaged_costs_nothing_but_itself() {
    let origin = Origin::start();
    let machine = healed(&origin, &["one"], &["one"]);
    let whole = fs_err::read(machine.path("a.sup.tar.zst")).unwrap();
    let away = away(&machine, &["a.tar.zst"]);
    // Beside the archive: named, and passed over.
    away.write("a.sup.tar.zst", "nothing of the kind\n");
    restored(&away, &[]).expect(5).says(&["note: a.sup.tar.zst"]);
    // By name: an error before anything is done.
    fs_err::rename(away.path("a.sup.tar.zst"), away.path("other")).unwrap();
    restored(&away, &["--also", "other"]).expect(2).says(&["--also other", "no supplement"]);
    assert!(!away.path("back").exists());
    restored(&away, &["--also", "nowhere"]).expect(1).says(&["--also nowhere"]);
    // Cut off, and with other bytes in it.
    for cut in [whole.len() / 2, whole.len() - 1] {
        away.write("a.sup.tar.zst", &whole[..cut]);
        let ended = restored(&away, &[]);
        assert!(matches!(ended.code, 0 | 4 | 5), "{cut}: {}", ended.stderr);
        assert!(ended.code != 0 || ended.stderr.contains(PROVEN), "{cut}");
    }
    for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        away.write("a.sup.tar.zst", &bytes);
        let ended = restored(&away, &[]);
        assert!(matches!(ended.code, 0 | 4 | 5), "{at}: {}", ended.stderr);
        if ended.code == 0 {
            same_as(&machine, &away);
        }
    }
    // That of another archive.
    let other = healed(&origin, &["two"], &["two"]);
    fs_err::copy(other.path("a.sup.tar.zst"), away.path("b.sup.tar.zst")).unwrap();
    away.write("a.sup.tar.zst", &whole);
    restored(&away, &["--also", "b.sup.tar.zst"]).expect(0).says(&[
        "b.sup.tar.zst",
        "nothing that it has was missing",
        PROVEN,
    ]);
}

#[test]
fn other_packages_give_the_same_files() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"]);
    // The same files in another package, under other names, with other times; one of them in a third.
    let other = TarBuilder::new().file("src/BIG", &text("one").repeat(10)).finish();
    origin.serve("/other.tar", other);
    origin.serve("/third.tar", TarBuilder::new().file("x", &text("one")).file("y", b"y").finish());
    for name in ["other", "third"] {
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    for fault in [Fault::Status(404), Fault::Other, Fault::Drop] {
        origin.heal("/one.tar");
        origin.always("/one.tar", fault);
        let ended = restored(&machine, &[]).expect(0);
        ended.says(&["other.tar: has 1 missing file", "third.tar: has 1 missing file", PROVEN]);
        same_as(&machine, &machine);
    }
    // One of them is gone as well: one file is missing, and named.
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    origin.heal("/one.tar");
    gone(&origin, &["one", "third"]);
    restored(&machine, &[]).expect(5).says(&["one/small", "other.tar: has 1 missing file"]);
    assert_eq!(fs_err::read(machine.path("back/one/large")).unwrap(), text("one").repeat(10));
}

#[test]
fn one_other_package_gives_files_of_several_lost_ones() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one", "two"]);
    let mut other = TarBuilder::new();
    for name in ["one", "two"] {
        other = other.file(&format!("{name}/large"), &text(name).repeat(10));
        other = other.file(&format!("{name}/small"), &text(name));
    }
    origin.serve("/other.tar", other.finish());
    machine.hashget(&["index", &origin.url("/other.tar")]).expect(0);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    gone(&origin, &["one", "two"]);
    restored(&machine, &["--jobs", "1"]).expect(0).says(&[PROVEN]);
    same_as(&machine, &machine);
}

#[test]
fn each_night_heals_what_its_archives_are_losing() {
    for encrypt in [false, true] {
        let origin = Origin::start();
        let machine = machine(&origin, &["one"]);
        let key = "AGE-SECRET-KEY-182FWFK6TFUTLMJ0LRYKRGNM7LEMGF2F23R7QLPGY2PPPAGQWPM0SG45ZHX";
        let recipient = "age1sxjgycssl3yeua6gztw4prp4t5xvwgvhptrdnej77ns0khll5qrqamxs7t";
        machine.write("key", format!("{key}\n"));
        let encryption =
            if encrypt { format!("encrypt = [\"{recipient}\"]\n") } else { String::new() };
        fs_err::create_dir_all(machine.path("out")).unwrap();
        machine.write(
            "own-config.toml",
            format!(
                "[audit]\nevery = \"1s\"\nheal = \"supplement\"\n[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\n\
                 options = [\"--detect\", \"none\"]\n{encryption}"
            ),
        );
        machine.hashget(&["backup"]).expect(0);
        gone(&origin, &["one"]);
        fs_err::remove_dir_all(machine.path("cache")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let ended = machine.hashget(&["backup", "--identity", "key"]).expect(0);
        ended.says(&["Supplement", "sent to"]);
        let out = files_below(&machine.path("out"));
        let supplements: Vec<&String> = out.iter().filter(|name| name.contains(".sup.")).collect();
        assert_eq!(supplements.len(), 1, "{out:?}");
        assert_eq!(supplements[0].ends_with(".age"), encrypt);
        // It is no archive, and every archive is restorable.
        machine.hashget(&["backup", "check"]).expect(0);
        machine.hashget(&["audit"]).expect(0).says(&["2 archives"]);
        let first = out.iter().find(|name| name.starts_with("h_web_")).unwrap();
        let first = &first["h_web_".len().."h_web_2026-11-30T072345Z".len()];
        let name = format!("web@{first}");
        let restore = ["backup", "restore", &name, "-C", "back", "--identity", "key"];
        machine.hashget(&restore).expect(0).says(&[PROVEN]);
        same_as(&machine, &machine);
    }
}

#[test]
fn a_night_that_cannot_open_its_archives_keeps_whole_packages_for_them() {
    let origin = Origin::start();
    let machine = machine(&origin, &["one"]);
    let recipient = "age1sxjgycssl3yeua6gztw4prp4t5xvwgvhptrdnej77ns0khll5qrqamxs7t";
    fs_err::create_dir_all(machine.path("out")).unwrap();
    let job = format!(
        "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n\
         encrypt = [\"{recipient}\"]\n"
    );
    machine.write("own-config.toml", &job);
    machine.hashget(&["backup"]).expect(0);
    let policy = "[policy]\nsources = 2\n[audit]\nheal = \"supplement\"\n";
    machine.write("own-config.toml", format!("{policy}{job}"));
    machine.hashget(&["audit"]).expect(3).says(&["1 independent place has it"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    machine.hashget(&["backup"]).expect(0).says(&["Supplement", "sent to"]);
    machine.hashget(&["audit"]).expect(0);
}

#[test]
fn a_supplement_goes_when_the_archives_it_was_made_for_are_gone() {
    let machine = Machine::new();
    machine.write("tree/own", "mine\n");
    fs_err::create_dir_all(machine.path("out")).unwrap();
    let job = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\nkeep = { last = 2 }\n\
               options = [\"--detect\", \"none\"]\n";
    machine.write("own-config.toml", job);
    let old = "h_web_2020-01-01T000000Z.sup.tar.zst";
    let others = [
        "h_web_2099-01-01T000000Z.sup.tar.zst",
        "h_other_2020-01-01T000000Z.sup.tar.zst",
        "x.sup.tar.zst",
    ];
    for name in others.iter().chain([&old]) {
        machine.write(&format!("out/{name}"), "x");
    }
    machine.hashget(&["backup", "prune", "-n"]).expect(0);
    assert!(machine.path("out").join(old).exists());
    machine.hashget(&["backup"]).expect(0).says(&[old, "this supplement is removed"]);
    assert!(!machine.path("out").join(old).exists());
    for name in others {
        assert!(machine.path("out").join(name).exists(), "{name}");
    }
}
