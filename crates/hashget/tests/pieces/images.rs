//! A package, and images with its files in them.

#![allow(dead_code, reason = "each test program uses its part")]

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use hashget::hashdb::BlockStore;
use hashget::model::Digest;
use hashget::model::manifest::{AnyManifest, Manifest};
use hashget_testkit::packages::{CpioEntry, CpioForm, cpio};

use crate::scene::{Part, Scene, tar};

/// Bytes that nothing can compress, the same for the same seed.
pub(crate) fn noise(seed: &str, count: usize) -> Vec<u8> {
    let digest = |number: u32| *Digest::of(format!("{seed} {number}").as_bytes()).as_bytes();
    (0_u32..).flat_map(digest).take(count).collect()
}

/// The files of the package `tool`.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("tool/large", noise("large", 900_000)),
        ("tool/even", noise("even", 40 * 4096)),
        ("tool/odd", noise("odd", 123_457)),
        // The same block again and again, and a copy of another file.
        ("tool/same", noise("block", 4096).repeat(20)),
        ("tool/again", noise("even", 40 * 4096)),
        ("tool/zeros", vec![0; 100_000]),
        ("tool/tiny", noise("tiny", 700)),
    ]
}

pub(crate) fn file(name: &str) -> Vec<u8> {
    files().into_iter().find(|(path, _)| *path == name).unwrap().1
}

/// The package.
pub(crate) fn package() -> Vec<u8> {
    let parts = files().into_iter().map(|(path, content)| Part::file(path, content));
    tar(&[Part::folder("tool")].into_iter().chain(parts).collect::<Vec<_>>())
}

/// A machine with an empty tree, whose HashDB keeps the blocks of the package.
pub(crate) fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    BlockStore::keep_in(&folder.path().join("db")).unwrap();
    let scene = Scene::in_folder(folder);
    scene.index("tool-1.0.tar", &package());
    scene
}

/// A tar of the package's files, and of what only this tree has.
pub(crate) fn tar_image() -> Vec<u8> {
    let mut parts = vec![Part::folder("tool"), Part::file("own", noise("own", 30_001))];
    parts.extend(files().into_iter().map(|(path, content)| Part::file(path, content)));
    tar(&parts)
}

/// The same as a cpio archive.
pub(crate) fn cpio_image() -> Vec<u8> {
    let own = noise("own", 30_001);
    let files = files();
    let all = [("own", &own)].into_iter().chain(files.iter().map(|(path, file)| (*path, file)));
    let entries: Vec<CpioEntry<'_>> = all
        .map(|(name, content)| CpioEntry {
            name: name.as_bytes(),
            content,
            mode: 0o100_644,
            ..CpioEntry::default()
        })
        .collect();
    cpio(CpioForm::New, &entries)
}

/// A file system: its blocks have 4096 bytes; one file is in two parts, another in reverse order.
pub(crate) fn disk_image() -> Vec<u8> {
    let mut image = noise("superblock", 5 * 4096);
    let mut put = |bytes: &[u8]| {
        image.extend_from_slice(bytes);
        image.resize(image.len().next_multiple_of(4096), 0);
    };
    let (large, odd) = (file("tool/large"), file("tool/odd"));
    put(&large[..200 * 4096 / 4]);
    put(&noise("own", 30_001));
    put(&large[200 * 4096 / 4..]);
    odd.chunks(4096).rev().for_each(&mut put);
    put(&file("tool/even"));
    put(&file("tool/same")[..3 * 4096]);
    put(&[0; 9 * 4096]);
    put(&file("tool/zeros"));
    image
}

/// Writes a file whose blocks of zeros are holes.
pub(crate) fn write_with_holes(path: &Path, bytes: &[u8]) {
    let file = std::fs::File::create(path).unwrap();
    for (number, block) in bytes.chunks(4096).enumerate() {
        if block.iter().any(|&byte| byte != 0) {
            file.write_all_at(block, number as u64 * 4096).unwrap();
        }
    }
    file.set_len(bytes.len() as u64).unwrap();
}

pub(crate) fn manifest_of(archive: &[u8]) -> Manifest {
    let mut entries = tar_of(archive);
    let json = entries.remove(0).1;
    match AnyManifest::parse(&json).unwrap() {
        AnyManifest::V2(manifest) => *manifest,
        AnyManifest::V1(_) => panic!("it is of version 2"),
    }
}

/// The names and contents of the entries of a tar without compression.
pub(crate) fn tar_of(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut at = 0;
    while archive[at] != 0 {
        let text = |from: usize, length: usize| {
            let field = &archive[at + from..at + from + length];
            String::from_utf8(field.iter().copied().take_while(|&byte| byte != 0).collect())
        };
        let size = usize::from_str_radix(&text(124, 12).unwrap(), 8).unwrap();
        let content = archive[at + 512..at + 512 + size].to_vec();
        if archive[at + 156] != b'x' {
            entries.push((text(0, 100).unwrap(), content));
        }
        at += 512 + size.next_multiple_of(512);
    }
    entries
}
