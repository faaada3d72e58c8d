//! Damage of a `.tar.zst`: flipped bits, stretches of zeros, cuts.
//!
//! Invariant: `verify` finds each; what comes back is as it was, and lost is only what the damaged frames hold.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::PathBuf;

use hashget::archive::verify_stored;
use hashget::codec::Codec;
use hashget::monitor::{Recorder, Silent};
use hashget::pack::PackOptions;
use hashget::restore::RestoreOptions;
use hashget_testkit::trees;

use crate::scene::{Scene, options, problems};

/// Always the same numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        std::iter::repeat_with(|| u8::try_from(self.below(256)).unwrap()).take(length).collect()
    }
}

/// One damage; never none.
fn damaged(archive: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = archive.to_vec();
    let at = numbers.below(bytes.len());
    match numbers.below(3) {
        0 => bytes[at] ^= 1 << numbers.below(8),
        1 => bytes.truncate(at),
        _ => {
            let end = (at + 1 + numbers.below(20_000)).min(bytes.len());
            bytes[at..end].fill(0);
        }
    }
    if bytes == archive { damaged(archive, numbers) } else { bytes }
}

/// Several frames of small files, and one file with frames of its own.
fn archive(scene: &Scene, numbers: &mut Numbers) -> Vec<u8> {
    let tree = scene.tree();
    for number in 0..40 {
        trees::file(&tree, format!("{number:02}"), numbers.bytes(250_000));
    }
    trees::file(&tree, "large", numbers.bytes(5 << 20));
    // The same bytes each time: how much the damages cost depends on them.
    let files = (0..40).map(|number| format!("{number:02}")).chain(["large".to_owned()]);
    files.chain([".".to_owned()]).for_each(|name| trees::mtime(&tree.join(name), 1_700_000_000, 0));
    let options = PackOptions { codec: Codec::Zstd, ..options() };
    scene.pack_well(&options).0
}

/// First byte, end, and decoded bytes of each frame of the tar.
fn frames(archive: &[u8]) -> Vec<(usize, usize, Vec<u8>)> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < archive.len() {
        let length = zstd::zstd_safe::find_frame_compressed_size(&archive[start..]).unwrap();
        let frame = &archive[start..start + length];
        if frame[0] == 0x28 {
            found.push((start, start + length, zstd::stream::decode_all(frame).unwrap()));
        }
        start += length;
    }
    found
}

#[test]
fn verify_finds_every_damage() {
    let (scene, mut numbers) = (Scene::new(), Numbers(17));
    let archive = archive(&scene, &mut numbers);
    let file = scene.path("damaged.tar.zst");
    for number in 0..200 {
        fs_err::write(&file, damaged(&archive, &mut numbers)).unwrap();
        let source = &mut File::open(&file).unwrap();
        let found = verify_stored(source, "damaged", &scene.limits, &Silent);
        let is_found = found.as_ref().map_or(true, |(_, found)| {
            found.as_ref().is_none_or(|found| !found.is_whole || found.wrong > 0)
        });
        assert!(is_found, "damage {number}: {found:?}");
    }
    fs_err::write(&file, &archive).unwrap();
    let source = &mut File::open(&file).unwrap();
    let (_, found) = verify_stored(source, "whole", &scene.limits, &Silent).unwrap();
    assert!(found.is_some_and(|found| found.is_whole && found.wrong == 0));
}

#[test]
fn what_whole_frames_hold_comes_back() {
    let (scene, mut numbers) = (Scene::new(), Numbers(29));
    let archive = archive(&scene, &mut numbers);
    let frames = frames(&archive);
    let contents: BTreeMap<PathBuf, Vec<u8>> = fs_err::read_dir(scene.tree())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (PathBuf::from(path.file_name().unwrap()), fs_err::read(path).unwrap()))
        .collect();
    // Contents and frames begin with whole blocks of the tar.
    let blocks: Vec<HashSet<&[u8]>> =
        frames.iter().map(|(_, _, decoded)| decoded.chunks_exact(512).collect()).collect();
    let holds = |frame: usize, content: &[u8]| {
        content.chunks_exact(512).any(|block| blocks[frame].contains(block))
    };
    let frames_of: BTreeMap<&PathBuf, Vec<usize>> = contents
        .iter()
        .map(|(name, content)| {
            (name, (0..frames.len()).filter(|&frame| holds(frame, content)).collect())
        })
        .collect();
    let (mut kept, mut lost) = (0, 0);
    for number in 0..60 {
        let damaged = damaged(&archive, &mut numbers);
        let is_whole = |&(start, end, _): &(usize, usize, Vec<u8>)| {
            damaged.get(start..end) == Some(&archive[start..end])
        };
        let (target, recorder) = (scene.target(), Recorder::default());
        let file = scene.path("damaged.tar.zst");
        fs_err::write(&file, &damaged).unwrap();
        let source = &mut File::open(&file).unwrap();
        let restored =
            scene.restorer().unpack(source, &target, &RestoreOptions::default(), &recorder);
        if !is_whole(&frames[0]) {
            // Without its manifest it is no archive.
            restored.unwrap_err();
            continue;
        }
        let restored = restored.unwrap();
        for (name, content) in &contents {
            let found = fs_err::read(target.join(name)).ok();
            // A file is there as it was, or it is not there.
            assert!(
                found.is_none() || found.as_ref() == Some(content),
                "damage {number}: {name:?}"
            );
            let all_whole = frames_of[name].iter().all(|&frame| is_whole(&frames[frame]));
            let is_there = found.is_some();
            // Where the end of the archive is gone, nobody knows where frames begin.
            let is_cut = damaged.len() < archive.len() || !is_whole(frames.last().unwrap());
            assert!(is_there || !all_whole || is_cut, "damage {number}: {name:?} is lost");
            kept += usize::from(is_there);
            lost += usize::from(!is_there);
        }
        let is_said = restored.proven == Some(true) || !problems(&recorder).is_empty();
        assert!(is_said, "damage {number}: {restored:?}");
        fs_err::remove_dir_all(&target).unwrap();
    }
    // A cut costs half of the files, taken over many. What each damage may cost was compared above.
    assert!(lost > 0 && kept * 2 > lost, "{kept} kept, {lost} lost");
}
