//! `index --blocks`, and what commands say of files that are made of pieces.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget::model::Digest;
use hashget_testkit::packages::TarBuilder;
use serde_json::json;
use support::Machine;

const IMAGE: &str = "srv/disk.img";
const URL: &str = "https://packages.example.org/tool-1.0.tar";

/// Text that is the same for the same seed.
fn noise(seed: &str, count: usize) -> Vec<u8> {
    let digest = |number: u32| Digest::of(format!("{seed} {number}").as_bytes()).to_string();
    (0_u32..).flat_map(|number| digest(number).into_bytes()).take(count).collect()
}

/// A machine with a package that is known, and a tree with an image that has the package's file in it.
fn machine(options: &[&str]) -> (Machine, Vec<u8>) {
    let machine = Machine::new();
    let file = noise("tool", 1_500_000);
    machine.write("pool/tool-1.0.tar", TarBuilder::new().file("tool", &file).finish());
    let image = [&noise("before", 8192)[..], &file, &noise("after", 100_000)].concat();
    machine.write(&format!("tree/{IMAGE}"), &image);
    machine.write("tree/note", "a note");
    let index = ["index", URL, "--file", "pool/tool-1.0.tar"];
    machine.hashget(&[&index[..], options].concat()).expect(0);
    (machine, image)
}

fn pack(machine: &Machine, options: &[&str]) -> support::Ended {
    let pack = ["--offline", "pack", "tree", "-f", "a.tar.zst", "--unasked", "--no-index"];
    machine.hashget(&[&pack[..], options].concat()).expect(0)
}

fn offline(machine: &Machine, arguments: &[&str]) -> support::Ended {
    machine.hashget(&[&["--offline", "--pool", "pool"], arguments].concat())
}

#[test]
fn pieces_are_told_and_read_wherever_somebody_asks() {
    let (machine, image) = machine(&["--blocks"]);
    pack(&machine, &[]).says(&["In pieces", "1 file, 1.43 MiB of it in packages"]);
    let archive = "a.tar.zst";
    assert!(fs_err::metadata(machine.path(archive)).unwrap().len() < 130_000);
    offline(&machine, &["info", archive])
        .expect(0)
        .prints(&["In pieces", "1 file, 1.43 MiB of it in packages"]);
    let record = offline(&machine, &["--json", "info", archive]).expect(0).records();
    assert_eq!(record.last().unwrap()["pieced_bytes"], json!(1_500_000));
    let tree_image = format!("tree/{IMAGE}");
    let explain = ["explain", "--tree", "tree", &tree_image, "--unasked"];
    let why = "archived: made of pieces: 1.43 MiB of it come from tool-1.0.tar";
    offline(&machine, &explain).expect(0).prints(&[why]);
    let explain = ["explain", "--archive", archive, IMAGE];
    offline(&machine, &explain).expect(0).prints(&["the archive holds its rest", URL]);
    offline(&machine, &["list", archive]).expect(0).prints(&[IMAGE]);
    offline(&machine, &["find", archive, "disk.img"]).expect(0).prints(&[IMAGE]);
    offline(&machine, &["diff", archive, "tree"]).expect(0);
    offline(&machine, &["verify", "--deep", archive]).expect(0);
    offline(&machine, &["report", archive, "-o", "report.html"]).expect(0);
    let page = fs_err::read_to_string(machine.path("report.html")).unwrap();
    assert!(page.contains("In pieces"));
    offline(&machine, &["unpack", archive, "-C", "part", IMAGE]).expect(0);
    assert!(fs_err::read(machine.path("part").join(IMAGE)).unwrap() == image);
    offline(&machine, &["unpack", archive, "-C", "back"]).expect(0);
    assert!(fs_err::read(machine.path("back").join(IMAGE)).unwrap() == image);
    assert!(!machine.path("back/.hashget-rest").exists());
    let printed = offline(&machine, &["cat", archive, IMAGE]).expect(0).stdout;
    assert!(printed.as_bytes() == image);
}

#[test]
fn a_lost_package_is_missed_by_the_image() {
    let (machine, image) = machine(&["--blocks"]);
    pack(&machine, &[]);
    let nothing = |arguments: &[&str]| machine.hashget(&[&["--offline"], arguments].concat());
    nothing(&["missing", "a.tar.zst"]).prints(&[IMAGE]);
    let lost = nothing(&["unpack", "a.tar.zst", "-C", "back"]).expect(5);
    lost.says(&[&format!("srv/disk.img: it is made of pieces, and not all came from {URL}")]);
    assert_eq!(fs_err::read(machine.path("back/note")).unwrap(), b"a note");
    offline(&machine, &["restore", "back"]).expect(0);
    assert!(fs_err::read(machine.path("back").join(IMAGE)).unwrap() == image);
    // A copy of the whole file will do, too.
    machine.write("found", &image);
    nothing(&["unpack", "a.tar.zst", "-C", "other", "--accept", "found"]).expect(0);
    assert!(fs_err::read(machine.path("other").join(IMAGE)).unwrap() == image);
}

#[test]
fn blocks_are_kept_from_then_on_and_can_be_added() {
    let (machine, _) = machine(&[]);
    let said = pack(&machine, &[]).stderr;
    assert!(!said.contains("In pieces"), "{said}");
    let index = ["index", URL, "--file", "pool/tool-1.0.tar"];
    machine.hashget(&[&index[..], &["--blocks"]].concat()).expect(0).says(&["1 package indexed"]);
    machine.hashget(&index).expect(0).says(&["1 already known"]);
    pack(&machine, &[]).says(&["In pieces"]);
    let said = pack(&machine, &["--derive", "none"]).stderr;
    assert!(!said.contains("In pieces"), "{said}");
}
