//! Archives of every version of the format, written long ago, are restored as they were.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hashget::codec::{self, Codec};
use hashget::limits::Limits;
use hashget::model::Digest;
use hashget::model::manifest::{AnyManifest, MANIFEST_NAME};
use support::{Machine, files_below};

fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen").join(name)
}

/// Unpacks a frozen archive with nothing but its packages in a pool.
fn unpacked(archive: &str, packages: &[&str]) -> (Machine, PathBuf) {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("pool")).unwrap();
    for (number, package) in packages.iter().enumerate() {
        let name = machine.path(&format!("pool/any name {number}"));
        fs_err::copy(frozen(package), name).unwrap();
    }
    let archive = frozen(archive);
    let arguments =
        ["--offline", "--pool", "pool", "unpack", archive.to_str().unwrap(), "-C", "back"];
    machine.hashget(&arguments).expect(0);
    let back = machine.path("back");
    (machine, back)
}

fn check_contents(back: &Path) {
    let text = |name: &str| fs_err::read_to_string(back.join(name)).unwrap();
    assert_eq!(text("tool-1.0/own.conf"), "my own settings\n");
    assert!(text("tool-1.0/src/3.c").starts_with("/* part 3 */\nint f3_0(void);\n"));
    assert_eq!(text("copy.c"), text("tool-1.0/src/5.c"));
    assert_eq!(text("tool-1.0/doc/README"), "read me\n".repeat(400));
    assert_eq!(fs_err::read(back.join(OsStr::from_bytes(b"caf\xe9.txt"))).unwrap(), b"caf\xe9");
    assert_eq!(fs_err::read_link(back.join("tool-1.0/latest")).unwrap(), Path::new("src/6.c"));
    assert!(!back.join("tool-1.0/src/4.c").exists());
    assert_eq!(files_below(back).len(), 11, "{:?}", files_below(back));
    let mode = |name: &str| fs_err::metadata(back.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(
        ["tool-1.0/own.conf", "tool-1.0/src/2.c", "tool-1.0/src/3.c", "copy.c"].map(mode),
        [0o600, 0o755, 0o700, 0o644]
    );
}

#[test]
fn version_2() {
    for archive in ["v2.tar.zst", "v2.tar.gz"] {
        let (_machine, back) = unpacked(archive, &["tool-1.0.tar.gz"]);
        check_contents(&back);
        let metadata = |name: &str| fs_err::metadata(back.join(name)).unwrap();
        let own = metadata("tool-1.0/own.conf");
        assert_eq!((own.mtime(), own.mtime_nsec()), (1_643_767_322, 123_456_789));
        assert_eq!(metadata("tool-1.0/src/1.c").mtime(), 1_614_834_367);
        assert_eq!(metadata("tool-1.0/src/1.c").ino(), metadata("tool-1.0/doc/example.c").ino());
    }
}

#[test]
fn version_1() {
    let (_machine, back) = unpacked("v1.tar.gz", &["tool-1.0.tar.gz"]);
    check_contents(&back);
    let mtime = |name: &str| fs_err::metadata(back.join(name)).unwrap().mtime();
    assert_eq!(
        ["tool-1.0/own.conf", "tool-1.0/src/1.c"].map(mtime),
        [1_643_767_322, 1_614_834_367]
    );
}

/// What dpkg and pip wrote is made again.
#[test]
fn version_2_with_derived_files() {
    let packages = ["gadget_1.0_all.deb", "gadget-1.0-py3-none-any.whl"];
    let (_machine, back) = unpacked("v2-derived.tar.zst", &packages);
    let text = |name: &str| fs_err::read_to_string(back.join(name)).unwrap();
    let list = text("var/lib/dpkg/info/gadget.list");
    assert!(list.starts_with("/.\n/usr\n/usr/share\n/usr/share/gadget\n"), "{list}");
    assert!(list.ends_with("/part number 29.txt\n"), "{list}");
    let record = text("opt/env/lib/python3.11/site-packages/gadget-1.0.dist-info/RECORD");
    assert!(record.starts_with("../../../bin/gadget,sha256=n0u-M23sUNguqjBos"), "{record}");
    assert_eq!((list.lines().count(), record.matches("\r\n").count()), (35, 50), "{record}");
}

/// An image with holes, and a tar, are put together out of pieces of a package.
#[test]
fn version_2_with_pieces() {
    let (_machine, back) = unpacked("v2-pieces.tar.zst", &["gizmo-1.0.tar.gz"]);
    let digest = |name: &str| Digest::of(&fs_err::read(back.join(name)).unwrap()).to_string();
    let image = "40ad2118c23ee4a6476b56f3655a78ea940d40a0757297460ad4c297bc3b18a0";
    let tar = "7dcb12f8cee3da4cd0cff370a088df6dfd2f8841fa8b3a597c2242811d876900";
    assert_eq!(["machine/disk.img", "machine/disk.tar"].map(digest), [image, tar]);
    assert_eq!(fs_err::metadata(back.join("machine/disk.img")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(files_below(&back).len(), 3, "{:?}", files_below(&back));
}

/// What a program has to make is named, and everything else is restored.
#[test]
fn version_2_with_programs() {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("pool")).unwrap();
    fs_err::copy(frozen("engine_1_amd64.deb"), machine.path("pool/any name")).unwrap();
    let archive = frozen("v2-programs.tar.zst");
    let archive = archive.to_str().unwrap();
    let options = ["--offline", "--pool", "pool"];
    let unpack = [&options[..], &["unpack", archive, "-C", "back"]].concat();
    let made = "2 entries missing (derived by a program, not made";
    machine.hashget(&unpack).expect(3).says(&[made, "lib/modules/9/modules.dep"]);
    assert_eq!(files_below(&machine.path("back")).len(), 14);
    let info = machine.hashget(&["--offline", "info", archive]).expect(0);
    info.prints(&["2 files, 1.76 KiB of that (2 by module-index)"]);
    machine.hashget(&["list", archive]).expect(0).prints(&["lib/modules/9/modules.symbols"]);
    // Whoever has the files needs no program.
    let line = |what: &str, number: u32| {
        let name = format!("part{number:02}.ko");
        format!("{} {name}\n", Digest::of(format!("{what}{name}").as_bytes()))
    };
    for (what, file) in [("", "found/one"), ("s", "found/another")] {
        machine.write(file, (0..12).map(|number| line(what, number)).collect::<String>());
    }
    let restore = [&options[..], &["restore", "back", "--accept", "found"]].concat();
    machine.hashget(&restore).expect(0).says(&["Proven"]);
    assert_eq!(files_below(&machine.path("back")).len(), 15);
}

/// What a program has to compress is named, and everything else is restored, without asking for its packages.
#[test]
fn version_2_with_encoded_files() {
    let machine = Machine::new();
    let archive = frozen("v2-encoded.tar.zst");
    let archive = archive.to_str().unwrap();
    let info = machine.hashget(&["--offline", "info", archive]).expect(0);
    info.prints(&["1 file, 1.04 MiB of it in packages; 1 compressed by gzip"]);
    machine.hashget(&["list", archive]).expect(0).prints(&["boot/image.tar.gz"]);
    let why = "boot/image.tar.gz: compressed by a program, not made";
    let unpack = ["--offline", "unpack", archive, "-C", "back"];
    machine.hashget(&unpack).expect(3).says(&[why, "hashget restore --derive all"]);
    machine.hashget(&["--offline", "restore", "back"]).expect(3).says(&[why]);
    let names = files_below(&machine.path("back"));
    assert!(names.iter().any(|name| name.ends_with("note")), "{names:?}");
    assert!(machine.path("back/.hashget-rest/0").exists());
}

/// An archive that uses a feature which no version has is refused by every command that reads it, before
/// anything is written.
#[test]
fn an_archive_that_needs_an_unknown_feature_is_refused() {
    let machine = Machine::new();
    let archive = frozen("v2-unknown-need.tar.gz");
    let archive = archive.to_str().unwrap();
    let unpacked = machine.path("unpacked");
    fs_err::create_dir(&unpacked).unwrap();
    let tar =
        std::process::Command::new("tar").args(["-xzf", archive, "-C"]).arg(&unpacked).status();
    assert!(tar.unwrap().success());
    let before = files_below(&unpacked);
    fs_err::create_dir(machine.path("mnt")).unwrap();
    let refusal = "this archive needs hashget 9.7 or later (feature time-travel)";
    let commands: [&[&str]; 18] = [
        &["unpack", archive, "-C", "back"],
        &["restore", "unpacked"],
        &["info", archive],
        &["info", "unpacked"],
        &["info", "--list", archive],
        &["list", archive],
        &["diff", archive, archive],
        &["find", archive, "copy.c"],
        &["verify", "--against", "unpacked", archive],
        &["cat", archive, "copy.c"],
        &["mount", archive, "mnt"],
        &["unpack", archive, "-C", "back", "copy.c"],
        &["list", "unpacked"],
        &["verify", archive],
        &["verify", "unpacked"],
        &["explain", "--archive", archive, "copy.c"],
        &["report", archive, "-o", "report.html"],
        &["pool", "add", "--pool", "pool", archive],
    ];
    for command in commands {
        let ended = machine.hashget(&[&["--offline"], command].concat());
        assert_eq!(ended.code, 1, "{command:?}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stdout, "", "{command:?}");
        ended.says(&[refusal, "use a newer hashget"]);
        assert!(!machine.path("back").exists(), "{command:?}");
        assert!(!machine.path("report.html").exists(), "{command:?}");
        assert_eq!(files_below(&unpacked), before, "{command:?}");
        let pool = machine.path("pool");
        assert!(!pool.exists() || files_below(&pool).is_empty(), "{command:?}");
    }
    let prepare = ["--offline", "prepare", "unpacked", "-X", "list", "--for", "tar"];
    machine.hashget(&prepare).expect(1).says(&[refusal]);
    assert_eq!(files_below(&unpacked), before);
    // A folder that was there already stays, empty.
    fs_err::create_dir(machine.path("back")).unwrap();
    machine.hashget(&["unpack", archive, "-C", "back"]).expect(1);
    assert_eq!(fs_err::read_dir(machine.path("back")).unwrap().count(), 0);
}

/// The bytes of the manifest in a frozen archive.
fn stored_manifest(archive: &str) -> Vec<u8> {
    let bytes = fs_err::read(frozen(archive)).unwrap();
    let codec = Codec::recognise(&bytes);
    let tar = codec::decoder(codec, Box::new(&*bytes), &Limits::default(), 1).unwrap();
    let mut tar = tar::Archive::new(tar);
    let mut entries = tar.entries().unwrap().map(Result::unwrap);
    let mut manifest =
        entries.find(|entry| entry.path().unwrap().as_os_str() == MANIFEST_NAME).unwrap();
    let mut json = Vec::new();
    manifest.read_to_end(&mut json).unwrap();
    json
}

/// The manifests of frozen archives are written again byte for byte: no new field, no other order.
#[test]
fn manifests_of_version_2_are_written_as_they_were() {
    for archive in [
        "v2.tar.zst",
        "v2.tar.gz",
        "v2-derived.tar.zst",
        "v2-pieces.tar.zst",
        "v2-programs.tar.zst",
        "v2-encoded.tar.zst",
    ] {
        let json = stored_manifest(archive);
        let Ok(AnyManifest::V2(manifest)) = AnyManifest::parse(&json) else {
            panic!("{archive} has no manifest of version 2");
        };
        assert_eq!(manifest.to_json(), json, "{archive}");
    }
}
