//! Packages of forms that few package managers use: what they have is left out, and comes back.
//!
//! Invariant: a form that can be indexed can be restored.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{ZipEntry, compress, zip};
use hashget_testkit::trees::{differences, snapshot};
use support::Machine;

/// Bytes that do not compress.
fn noise(count: u32) -> Vec<u8> {
    (0..count / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// What the package has is left out of a tree with `files`, and restored from it.
#[track_caller]
fn is_left_out_and_comes_back(name: &str, package: Vec<u8>, files: &[(&str, Vec<u8>)]) {
    let (machine, origin) = (Machine::new(), Origin::start());
    origin.serve(name, package);
    for (path, bytes) in files {
        machine.write(&format!("tree/{path}"), bytes);
    }
    machine.write("tree/own", "mine");
    machine.hashget(&["index", &origin.url(name)]).expect(0);
    let pack = ["pack", "tree", "-f", "a.tar", "--detect", "none", "--no-index", "--json"];
    let record = machine.hashget(&pack).expect(0).last_record();
    assert_eq!(record["left_out_files"], files.len(), "{name}");
    let cache = machine.path("cache");
    if cache.exists() {
        fs_err::remove_dir_all(cache).unwrap();
    }
    machine
        .hashget(&["unpack", "a.tar", "-C", "back"])
        .expect(0)
        .says(&["exactly what was packed"]);
    let (before, after) = (snapshot(&machine.path("tree")), snapshot(&machine.path("back")));
    assert_eq!(differences(&before, &after), [""; 0], "{name}");
}

#[test]
fn what_a_compressed_file_has_comes_back() {
    let model = noise(300_000);
    for codec in ["gzip", "xz", "zstd", "bzip2"] {
        let name = format!("/model.{codec}");
        let files = [("models/model.bin", model.clone())];
        is_left_out_and_comes_back(&name, compress(codec, &model), &files);
    }
}

#[test]
fn a_compressed_file_comes_back_as_it_is_too() {
    let packed = compress("xz", &noise(100_000));
    is_left_out_and_comes_back("/a.xz", packed.clone(), &[("downloads/a.xz", packed)]);
}

#[test]
fn what_a_zip_behind_a_program_has_comes_back() {
    let (one, two) = (noise(900_000), noise(800_000));
    let archive = zip(&[
        ZipEntry { name: b"lib/one", content: &one, ..ZipEntry::default() },
        ZipEntry { name: b"lib/two", content: &two[4..], deflate: false, ..ZipEntry::default() },
    ]);
    let program = [b"\x7fELF".to_vec(), noise(400_000), archive].concat();
    let files = [("lib/one", one), ("lib/two", two[4..].to_vec())];
    is_left_out_and_comes_back("/setup.bin", program.clone(), &files);
    is_left_out_and_comes_back("/setup.bin", program, &files[1..]);
}
