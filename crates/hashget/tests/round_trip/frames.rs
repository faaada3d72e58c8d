//! The frames of a `.tar.zst`: each is read alone, an entry that is new changes few of them, and damage costs one.
//!
//! Invariant: the seek table is read here by a few lines of the test's own, after the zstd project's description.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use hashget::archive::{
    Holder, Listed, Listing, PackageMembers, Selection, read_for_listing, verify_stored,
};
use hashget::codec::Codec;
use hashget::fetch::Offline;
use hashget::hashdb::LocalHashDb;
use hashget::monitor::{Recorder, Silent};
use hashget::pack::{NamesKept, PackOptions};
use hashget::restore::{Part, RestoreOptions, Summary};
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::trees;

use crate::scene::{Scene, options, problems};

fn zstd_options() -> PackOptions<'static> {
    PackOptions { codec: Codec::Zstd, ..options() }
}

/// Bytes that do not compress, always the same for one `seed`.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> =
        std::iter::repeat_with(&mut next).take(length / 8 + 1).flatten().collect();
    bytes.truncate(length);
    bytes
}

/// Small files, larger ones, one that has several frames alone, and the further name of one.
fn fill(scene: &Scene) {
    let tree = scene.tree();
    for number in 0..40 {
        trees::file(&tree, format!("many/{number:02}"), noise(number, 400_000));
        trees::file(&tree, format!("small/{number:02}"), format!("{number}\n").repeat(200));
    }
    let large = trees::file(&tree, "large", noise(99, 9 << 20));
    trees::hard_link(&tree, "large-too", &large);
}

/// First byte, length and decoded length of each frame.
fn frames(archive: &[u8]) -> Vec<(usize, usize, usize)> {
    let word = |at: usize| u32::from_le_bytes(archive[at..at + 4].try_into().unwrap()) as usize;
    let end = archive.len();
    assert_eq!(word(end - 4), 0x8F92_EAB1);
    assert_eq!(archive[end - 5], 0);
    let count = word(end - 9);
    let table = end - 9 - 8 * count;
    assert_eq!((word(table - 8), word(table - 4)), (0x184D_2A5E, 8 * count + 9));
    let mut start = 0;
    let rows = (0..count).map(|row| {
        let (length, decoded) = (word(table + 8 * row), word(table + 8 * row + 4));
        start += length;
        (start - length, length, decoded)
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(start, table - 8, "the frames are all that comes before the table");
    rows
}

#[test]
fn each_frame_is_decoded_alone_and_all_together_are_the_tar() {
    let scene = Scene::new();
    fill(&scene);
    let (plain, _) = scene.pack_well(&options());
    let (archive, _) = scene.pack_well(&zstd_options());
    let frames = frames(&archive);
    let mut tar = Vec::new();
    for &(start, length, decoded) in &frames[..frames.len() - 1] {
        if decoded == 0 {
            // It fills up to where the next frame can share blocks of the disk.
            let (end, frame) = (start + length, &archive[start..start + length]);
            assert_eq!((&frame[..4], end % 4096), (&0x184D_2A59_u32.to_le_bytes()[..], 0));
            assert!(length < 4096 + 8 && frame[8..].iter().all(|&byte| byte == 0));
            continue;
        }
        let part = zstd::bulk::decompress(&archive[start..start + length], decoded).unwrap();
        assert_eq!(part.len(), decoded);
        assert!(length < 512 << 10 || start % 4096 == 0, "{start}");
        // A frame begins with the header of an entry, or it continues one that has frames of its own; or the tar ends.
        let begins = &part[257..262] == b"ustar";
        let ends = tar.len() + part.len() == plain.len() && part.iter().all(|&byte| byte == 0);
        assert!(begins || ends || tar.len() > 1 << 20, "{start}");
        tar.extend(part);
    }
    assert!(tar == plain, "the frames are not the tar");
    assert!(frames.len() > 6, "{frames:?}");
    let (start, _, decoded) = frames[frames.len() - 1];
    assert_eq!((&archive[start..start + 4], decoded), (&0x184D_2A57_u32.to_le_bytes()[..], 0));
    // For whoever reads it in order, it is one stream.
    assert!(zstd::stream::decode_all(&archive[..]).unwrap() == plain);
}

#[test]
fn a_new_file_changes_few_frames() {
    let scene = Scene::new();
    fill(&scene);
    let contents = |archive: &[u8]| -> BTreeSet<Vec<u8>> {
        let of_tar = frames(archive).into_iter().filter(|&(_, _, decoded)| decoded > 0);
        of_tar.map(|(start, length, _)| archive[start..start + length].to_vec()).collect()
    };
    let before = contents(&scene.pack_well(&zstd_options()).0);
    trees::file(&scene.tree(), "many/17-new", "new");
    let after = contents(&scene.pack_well(&zstd_options()).0);
    // That of the file, that of the folder, the manifest and the end.
    let new = after.difference(&before).count();
    assert!((2..=4).contains(&new), "{new} of {}", after.len());
}

/// Unpacks an archive that lies in a file; with the file and the target.
fn unpacked(scene: &Scene, archive: &[u8]) -> (PathBuf, PathBuf, Summary, Recorder) {
    let (file, target) = (scene.path("damaged.tar.zst"), scene.target());
    fs_err::write(&file, archive).unwrap();
    let recorder = Recorder::default();
    let source = &mut File::open(&file).unwrap();
    let restored =
        scene.restorer().unpack(source, &target, &RestoreOptions::default(), &recorder).unwrap();
    (file, target, restored, recorder)
}

#[test]
fn damage_costs_what_is_in_the_frame_and_is_said() {
    let scene = Scene::new();
    fill(&scene);
    let (archive, _) = scene.pack_well(&zstd_options());
    let before = trees::snapshot(&scene.tree());
    let frames = frames(&archive);
    let of_entries = &frames[1..frames.len() - 1];
    for &(start, length, decoded) in of_entries.iter().filter(|frame| frame.2 > 0) {
        let mut damaged = archive.clone();
        damaged[start + length / 2] ^= 0x55;
        let (_, target, restored, recorder) = unpacked(&scene, &damaged);
        let told = problems(&recorder);
        assert_eq!(restored.proven, None, "{told}");
        assert!(told.contains("the archive is damaged"), "{told}");
        let mut lost = 0;
        for path in before.keys() {
            let path = std::ffi::OsStr::from_bytes(path);
            let (original, found) = (scene.tree().join(path), target.join(path));
            if !original.is_file() || fs_err::read(&found).ok() == fs_err::read(&original).ok() {
                continue;
            }
            lost += original.metadata().unwrap().len();
            assert!(!found.exists(), "{} has other contents", original.display());
        }
        let most = u64::try_from(decoded).unwrap().max(2 * (9 << 20));
        assert!(lost <= most, "{lost} bytes lost of a frame of {decoded}: {told}");
    }
}

#[test]
fn whatever_is_wrong_with_the_table_the_archive_comes_back() {
    let scene = Scene::new();
    fill(&scene);
    let (archive, _) = scene.pack_well(&zstd_options());
    let before = trees::snapshot(&scene.tree());
    let (directory, _, _) = *frames(&archive).last().unwrap();
    let behind = archive.len() - directory;
    let rows = frames(&archive).len();
    // What the last row but one says of the length that its frame decodes to.
    let decoded_length = 9 + 8 * 2 - 4;
    let verified = |file: &Path| {
        let archive = &mut File::open(file).unwrap();
        verify_stored(archive, "damaged", &scene.limits, &Silent).unwrap().1.unwrap()
    };
    assert!(rows > 6 && behind > 8 * rows, "{rows} {behind}");
    for from_end in [1, 5, 6, 10, 14, 18, 22, decoded_length, behind / 2, behind - 9] {
        let mut damaged = archive.clone();
        let at = archive.len() - from_end;
        damaged[at] ^= 0x7f;
        let (file, target, restored, recorder) = unpacked(&scene, &damaged);
        scene.judge(&target, &restored, &recorder, &before);
        let found = verified(&file);
        assert!(found.is_whole, "{from_end}: {found:?}");
        assert!(found.wrong > 0, "{from_end}: {found:?}");
    }
}

/// Every path and what has it, of an archive in a file; how many parts of packages are not known by name.
fn listed(scene: &Scene, archive: &[u8]) -> (Vec<(String, bool)>, usize) {
    let file = scene.path("listed.tar.zst");
    fs_err::write(&file, archive).unwrap();
    let (manifest, stored) =
        read_for_listing(&mut File::open(&file).unwrap(), "listed", &scene.limits, &Silent)
            .unwrap();
    // A HashDB and a source that know nothing.
    let hashdb = LocalHashDb::open(&scene.path("empty-db")).unwrap();
    let members = PackageMembers {
        least: hashget::model::Evidence::Downloaded,
        supplements: None,
        hashdb: &hashdb,
        source: &Offline,
        must_have: false,
        digests: false,
        limits: &scene.limits,
    };
    let known = Listed { manifest: &manifest, stored };
    let listing = Listing::new(known, &members, &|_| true, &Silent).unwrap();
    let entries = listing.entries().map(|listed| {
        let listed = listed.unwrap();
        (listed.entry.path.to_string(), listed.holder == Holder::Archive)
    });
    (entries.collect(), listing.unnamed().len())
}

#[test]
fn an_archive_that_keeps_the_names_is_listed_without_its_packages() {
    let scene = Scene::new();
    let tree = scene.tree();
    let members: Vec<(String, Vec<u8>)> =
        (0..30).map(|number| (format!("given/{number:02}"), noise(number, 5000))).collect();
    let mut package = TarBuilder::new();
    for (name, content) in &members {
        package = package.file(name, content);
        trees::file(&tree, name, content);
    }
    scene.index("package.tar", &package.finish());
    trees::file(&tree, "own/text", "of nobody else");
    let all: Vec<String> = ["", "given"]
        .into_iter()
        .map(str::to_owned)
        .chain(members.iter().map(|(name, _)| name.clone()))
        .chain(["own".to_owned(), "own/text".to_owned()])
        .collect();
    for (names, is_kept) in
        [(NamesKept::All, true), (NamesKept::None, false), (NamesKept::Auto, false)]
    {
        let options = PackOptions { names, ..zstd_options() };
        let (archive, packed) = scene.pack_well(&options);
        assert_eq!(packed.left_out_files, 30);
        let (entries, unnamed) = listed(&scene, &archive);
        assert_eq!(unnamed == 0, is_kept, "{names:?}");
        if is_kept {
            let found: Vec<_> = entries.iter().map(|(path, _)| path.clone()).collect();
            assert_eq!(found.len(), all.len(), "{found:?}");
            let given = entries.iter().filter(|(_, is_archived)| !is_archived).count();
            assert!(given >= 30, "{entries:?}");
        }
    }
    // With more in the archive, a tenth of it has room for them.
    trees::file(&tree, "own/large", noise(7, 100_000));
    let (archive, _) = scene.pack_well(&zstd_options());
    assert_eq!(listed(&scene, &archive).1, 0);
}

#[test]
fn a_part_is_unpacked_without_reading_the_rest() {
    let scene = Scene::new();
    fill(&scene);
    let (mut archive, _) = scene.pack_well(&zstd_options());
    let frames = frames(&archive);
    // Only the manifest and the frame of one file are left whole.
    let content = fs_err::read(scene.tree().join("many/23")).unwrap();
    for &(start, length, decoded) in &frames[1..frames.len() - 1] {
        let part = match decoded {
            0 => Vec::new(),
            _ => zstd::bulk::decompress(&archive[start..start + length], decoded).unwrap(),
        };
        if !part.windows(64).any(|window| window == &content[..64]) {
            archive[start + length / 2] ^= 0x55;
        }
    }
    let file = scene.path("damaged.tar.zst");
    fs_err::write(&file, &archive).unwrap();
    let (target, recorder) = (scene.target(), Recorder::default());
    let selection = Selection::new(&["./many/23".to_owned()], &[]).unwrap();
    let part = Part { selection: &selection, strip_components: 0, members: None };
    let restored = scene
        .restorer()
        .unpack_part(
            &mut File::open(&file).unwrap(),
            &target,
            &part,
            &RestoreOptions::default(),
            &recorder,
        )
        .unwrap();
    assert_eq!(fs_err::read(target.join("many/23")).unwrap(), content, "{restored:?}");
    // The frame with the folder's header may be one of the damaged ones; no other is read.
    let told = problems(&recorder);
    assert!(told.matches("the archive is damaged").count() <= 1, "{told}");
}
