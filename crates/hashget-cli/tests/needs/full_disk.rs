//! A disk that fills up while the program packs and unpacks.
//!
//! Invariant: the message names the file, and nothing half-written has its name.

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::small_disk::SmallDisk;

use crate::support::{Ended, Machine, files_below};

/// Bytes that do not compress.
fn noise() -> Vec<u8> {
    (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

pub(crate) fn a_full_disk_is_an_error_and_nothing_is_left_under_the_name() {
    let machine = Machine::new();
    machine.write("tree/noise", noise());
    fs_err::create_dir(machine.path("small")).unwrap();
    let _disk = SmallDisk::mount(&machine.path("small"), 100 * 1024).unwrap();
    let ended = machine.hashget(&["pack", "tree", "-f", "small/a.tar.zst"]).expect(1);
    ended.says(&["small/a.tar.zst", "space", "hint:"]);
    assert_eq!(files_below(&machine.path("small")), [""; 0]);

    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    let ended = machine.hashget(&["unpack", "a.tar.zst", "-C", "small/back"]).expect(1);
    ended.says(&["space", "hint:"]);
    assert!(!machine.path("small/back/noise").exists());
}

pub(crate) fn without_room_for_a_package_nothing_is_said_of_it() {
    let (origin, machine) = (Origin::start(), Machine::new().with_public_loopback());
    origin.serve("/p.tar", TarBuilder::new().file("noise", &noise()).finish());
    machine.write("tree/noise", noise());
    machine.hashget(&["index", &origin.url("/p.tar")]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    fs_err::create_dir(machine.path("small")).unwrap();
    let _disk = SmallDisk::mount(&machine.path("small"), 100 * 1024).unwrap();
    let with = |name: &str, folder: &str, arguments: &[&str]| {
        let mut command = machine.bare();
        command.envs(machine.variables()).args(arguments).env(name, machine.path(folder));
        Ended::of(&mut command)
    };
    let missing = ["lost", "not there", "does not have", "unreachable"];
    let verify = ["verify", "--deep", "a.tar"];
    let ended = with("TMPDIR", "small", &verify).expect(1);
    assert!(!missing.iter().any(|word| ended.stderr.contains(word)), "{}", ended.stderr);
    let ended = ended.says(&["/p.tar", "no room in the temporary folder", "hint:", "TMPDIR"]);
    ended.says(&["--jobs 1"]);
    // Nothing wrong is known of the package now.
    with("TMPDIR", "home", &["pack", "tree", "-f", "b.tar", "--offline"]).expect(0);
    let length = |name: &str| machine.path(name).metadata().unwrap().len();
    assert_eq!(length("b.tar"), length("a.tar"));
    with("TMPDIR", "tree", &verify).expect(0).says(&["Proven"]);
    // The other commands that fetch it: all but the package is done, and no server is to blame.
    for arguments in [
        &["index", "--again", &origin.url("/p.tar")][..],
        &["pool", "add", "a.tar", "--pool", "small"],
        &["unpack", "a.tar", "-C", "back"],
    ] {
        let ended = with("HASHGET_CACHE", "small", arguments);
        let (code, said) = (ended.code, &ended.stderr);
        assert!([1, 3].contains(&code), "{arguments:?}: {code}: {said}");
        assert!(said.contains("space"), "{arguments:?}: {said}");
        assert!(!missing.iter().any(|word| said.contains(word)), "{arguments:?}: {said}");
    }
}

pub(crate) fn on_a_full_disk_what_was_to_be_replaced_or_removed_is_intact() {
    let machine = Machine::new();
    machine.write("tree/noise", noise());
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    fs_err::create_dir(machine.path("small")).unwrap();
    let _disk = SmallDisk::mount(&machine.path("small"), 300 * 1024).unwrap();
    let old = "old\n".repeat(20_000);
    machine.write("small/back/noise", &old);
    machine.write("small/back/stray", "mine");
    let unpack = ["unpack", "a.tar", "-C", "small/back", "--delete"];
    // Neither of these needs room.
    machine.hashget(&["verify", "--deep", "a.tar"]).expect(0).says(&["Proven: "]);
    let planned = machine.hashget(&[&unpack[..], &["--dry-run"]].concat()).expect(0);
    assert_eq!(planned.stdout.lines().count(), 3, "{}", planned.stdout);
    for rule in ["always", "changed"] {
        let ended = machine.hashget(&[&unpack[..], &["--overwrite", rule]].concat()).expect(1);
        ended.says(&["space"]);
        let found = fs_err::read_to_string(machine.path("small/back/noise")).unwrap();
        assert!(found == old, "{rule}: neither old nor new");
        assert!(machine.path("small/back/stray").exists(), "{rule}");
    }
}

pub(crate) fn an_archive_whose_parity_does_not_fit_is_whole_and_said_to_have_none() {
    let machine = Machine::new();
    machine.write("tree/noise", noise());
    fs_err::create_dir(machine.path("small")).unwrap();
    let _disk = SmallDisk::mount(&machine.path("small"), 400 * 1024).unwrap();
    let pack = ["pack", "tree", "-f", "small/a.tar.zst"];
    // Of an older archive that was smaller.
    machine.write("small/a.tar.zst.par2", "old");
    let ended = machine.hashget(&[&pack[..], &["--parity", "100%"]].concat()).expect(3);
    ended.says(&["small/a.tar.zst", "the archive is written, but not its parity", "space"]);
    assert_eq!(files_below(&machine.path("small")), ["a.tar.zst"]);
    machine.hashget(&["verify", "small/a.tar.zst"]).expect(0);
    machine.hashget(&[&pack[..], &["--parity", "5%"]].concat()).expect(1).says(&["space"]);
    machine.hashget(&["verify", "small/a.tar.zst"]).expect(0);
}

pub(crate) fn a_job_whose_destination_is_full_fails_and_loses_no_older_archive() {
    let machine = Machine::new();
    machine.write("tree/data", "data");
    fs_err::create_dir(machine.path("small")).unwrap();
    let _disk = SmallDisk::mount(&machine.path("small"), 400 * 1024).unwrap();
    fs_err::create_dir(machine.path("small/out")).unwrap();
    let job = "[backup.web]\nsources = [\"tree\"]\nto = [\"small/out\"]\nkeep = { last = 1 }\n\
               options = [\"--detect\", \"none\"]\n";
    machine.write("own-config.toml", job);
    let archives = || {
        let mut files = files_below(&machine.path("small/out"));
        files.retain(|name| !name.starts_with('.') && name.ends_with(".tar.zst"));
        files
    };
    machine.hashget(&["backup"]).expect(0);
    let first = archives();
    // The archive fits once, and not a second time.
    machine.write("tree/noise", noise());
    machine.hashget(&["backup"]).expect(1).says(&["space", "no destination has"]);
    assert_eq!(archives(), first);
    machine.hashget(&["backup", "status"]).expect(1).says(&["the last run failed"]);
    fs_err::remove_file(machine.path("tree/noise")).unwrap();
    // The archive that did not fit waits still.
    machine.hashget(&["backup"]).expect(5).says(&["space", "Sent to"]);
    assert_eq!(archives().len(), 1);
    assert_ne!(archives(), first);
    machine.hashget(&["backup", "check", "--read"]).expect(0);
}
