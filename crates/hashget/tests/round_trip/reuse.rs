//! Packing again with the last archive at hand: what has not changed is copied, compressed as it is.
//!
//! Invariant: the archive has the same bytes as one that was made without the earlier one.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use hashget::codec::Codec;
use hashget::monitor::{Event, Monitor, Recorder, Silent, Step};
use hashget::pack::{Output, PackOptions, Summary};
use hashget::restore::RestoreOptions;
use hashget_testkit::trees;
use proptest::prelude::*;

use crate::scene::{Scene, options, problems, serious};

/// Text that compresses to about half, always the same for one `seed`.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:x} ")
    })
    .take(length / 16 + 1)
    .flat_map(String::into_bytes)
    .collect();
    bytes.truncate(length);
    bytes
}

/// A scene in which archives are files.
struct Nights {
    scene: Scene,
    codec: Codec,
    level: Option<i32>,
}

impl Nights {
    fn new() -> Self {
        Self { scene: Scene::new(), codec: Codec::Zstd, level: None }
    }

    /// Packs into the file `name`, with the file `earlier` at hand.
    fn pack_watched(&self, name: &str, earlier: Option<&str>, monitor: &dyn Monitor) -> Summary {
        let options = PackOptions {
            codec: self.codec,
            level: self.level,
            reuse: earlier.map(|earlier| self.scene.path(earlier)),
            ..options()
        };
        let output = Output::File(self.scene.path(name));
        self.scene.packer().pack(&self.scene.tree(), output, &options, monitor).unwrap()
    }

    #[track_caller]
    fn pack(&self, name: &str, earlier: Option<&str>) -> Summary {
        let recorder = Recorder::default();
        let packed = self.pack_watched(name, earlier, &recorder);
        assert_eq!(problems(&recorder), "");
        packed
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs_err::read(self.scene.path(name)).unwrap()
    }

    /// Packs with and without `earlier`; both archives must be the same and give the tree back.
    #[track_caller]
    fn pack_again(&self, earlier: &str) -> Summary {
        let packed = self.pack("again.tar.zst", Some(earlier));
        let fresh = self.pack("fresh.tar.zst", None);
        assert_eq!(fresh.reused_bytes, 0);
        let archive = self.bytes("again.tar.zst");
        assert!(archive == self.bytes("fresh.tar.zst"), "copying makes a difference");
        self.scene.unpack_well(&archive, &trees::snapshot(&self.scene.tree()));
        packed
    }
}

/// Large and small files, links, holes, attributes.
fn fill(tree: &Path) {
    for number in 0..60 {
        trees::file(tree, format!("many/{number:02}"), text(number, 300_000));
        trees::file(tree, format!("small/{number:02}"), format!("{number}\n").repeat(200));
    }
    let large = trees::file(tree, "large", text(99, 9 << 20));
    trees::hard_link(tree, "large-too", &large);
    trees::file(tree, "zz-large at the end", text(98, 5 << 20));
    trees::sparse(tree, "holes", 64 << 20, &[(1 << 20, &text(97, 2 << 20)), (40 << 20, b"end")]);
    let marked = trees::file(tree, "small/marked", "has an attribute");
    trees::xattr(&marked, "user.note", b"kept");
    trees::symlink(tree, "link", "small/00");
}

#[test]
fn what_has_not_changed_is_copied() {
    let nights = Nights::new();
    let tree = nights.scene.tree();
    fill(&tree);
    nights.pack("first.tar.zst", None);
    let packed = nights.pack_again("first.tar.zst");
    // All but the manifest, the end and what comes after it.
    assert!(packed.reused_bytes * 100 > packed.archive_bytes * 99, "{packed:?}");

    trees::file(&tree, "many/17", text(1000, 300_001));
    trees::file(&tree, "many/17-new", "new");
    fs_err::remove_file(tree.join("small/03")).unwrap();
    trees::mode(&tree.join("large"), 0o600);
    let packed = nights.pack_again("first.tar.zst");
    let (reused, all) = (packed.reused_bytes, packed.archive_bytes);
    assert!(reused * 3 > all && reused * 10 < all * 9, "{reused} of {all}");
    // The archive that was made by copying serves as well as any other.
    assert!(nights.pack_again("again.tar.zst").reused_bytes * 100 > all * 99);
}

#[test]
fn the_frames_of_a_large_file_that_are_the_same_as_before_are_copied() {
    let nights = Nights::new();
    let tree = nights.scene.tree();
    let contents = text(99, 41 << 20);
    let large = trees::file(&tree, "large", &contents);
    nights.pack("first.tar.zst", None);
    let frames = |packed: &Summary| (10 * packed.reused_bytes).div_ceil(packed.archive_bytes);
    // Frames of 4 MiB: the one that the change is in, and the first one, which begins with the header.
    let change = |at: u64, bytes: &[u8]| {
        fs_err::OpenOptions::new()
            .write(true)
            .open(&large)
            .unwrap()
            .file()
            .write_all_at(bytes, at)
            .unwrap();
    };
    change(21 << 20, b"another page");
    assert_eq!(frames(&nights.pack_again("first.tar.zst")), 9);
    // What is written behind the end leaves everything before it.
    change(41 << 20, b"a line more");
    assert_eq!(frames(&nights.pack_again("again.tar.zst")), 9);
    // So does what is cut off; what remains of the last frame is another one.
    fs_err::OpenOptions::new().write(true).open(&large).unwrap().file().set_len(30 << 20).unwrap();
    assert!(frames(&nights.pack_again("again.tar.zst")) >= 8);
    // A byte more at the beginning moves all.
    trees::file(&tree, "large", [b"x", &contents[..]].concat());
    assert!(nights.pack_again("first.tar.zst").reused_bytes < 1000);
}

#[test]
fn an_archive_may_replace_the_one_that_it_is_copied_from() {
    let nights = Nights::new();
    fill(&nights.scene.tree());
    nights.pack("a.tar.zst", None);
    let before = nights.bytes("a.tar.zst");
    let packed = nights.pack("a.tar.zst", Some("a.tar.zst"));
    assert!(packed.reused_bytes > 0);
    assert!(nights.bytes("a.tar.zst") == before);
}

#[test]
fn nothing_is_copied_that_would_be_compressed_otherwise() {
    let mut nights = Nights::new();
    fill(&nights.scene.tree());
    nights.level = Some(1);
    nights.pack("first.tar.zst", None);
    for (codec, level) in [(Codec::Zstd, Some(2)), (Codec::Zstd, None), (Codec::None, None)] {
        (nights.codec, nights.level) = (codec, level);
        assert_eq!(nights.pack_again("first.tar.zst").reused_bytes, 0, "{codec:?} {level:?}");
    }
    // A level that is named and the same level by default are the same.
    (nights.codec, nights.level) = (Codec::Zstd, Some(3));
    nights.pack("named.tar.zst", None);
    nights.level = None;
    assert!(nights.pack_again("named.tar.zst").reused_bytes > 0);
}

#[test]
fn damage_of_the_earlier_archive_is_not_copied() {
    let nights = Nights::new();
    fill(&nights.scene.tree());
    let whole = nights.pack("whole.tar.zst", None);
    let before = nights.bytes("whole.tar.zst");
    let mut reported = 0;
    for place in 1..12 {
        let name = "damaged.tar.zst";
        fs_err::write(nights.scene.path(name), &before).unwrap();
        let at = whole.archive_bytes * place / 12;
        let file = File::options().write(true).open(nights.scene.path(name)).unwrap();
        let byte = before[usize::try_from(at).unwrap()];
        file.write_all_at(&[byte ^ 0x10], at).unwrap();
        let recorder = Recorder::default();
        let packed = nights.pack_watched("again.tar.zst", Some(name), &recorder);
        assert!(nights.bytes("again.tar.zst") == before, "byte {at}");
        assert!(packed.reused_bytes < whole.archive_bytes);
        assert_eq!(serious(&recorder), []);
        // In the manifest, and where zeros fill up, nothing is looked at.
        reported += usize::from(problems(&recorder).contains("damaged"));
    }
    assert!(reported >= 9, "{reported} of 11");
}

#[test]
fn what_is_no_earlier_archive_is_said_or_left_alone() {
    let nights = Nights::new();
    fill(&nights.scene.tree());
    nights.pack("first.tar.zst", None);
    let first = nights.bytes("first.tar.zst");
    let cut = &first[..first.len() / 2];
    for (name, bytes) in [("empty", &b""[..]), ("text", b"no archive at all"), ("cut", cut)] {
        fs_err::write(nights.scene.path(name), bytes).unwrap();
        assert_eq!(nights.pack_again(name).reused_bytes, 0, "{name}");
    }
    let recorder = Recorder::default();
    let packed = nights.pack_watched("again.tar.zst", Some("missing"), &recorder);
    assert_eq!((packed.reused_bytes, serious(&recorder)), (0, vec![]));
    assert!(problems(&recorder).contains("nothing is copied"), "{}", problems(&recorder));
}

/// Removes files when the archive is begun.
struct Removing<'p> {
    recorder: Recorder,
    paths: Vec<&'p Path>,
}

impl Monitor for Removing<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Started(progress) = &event
            && progress.step == Step::Write
        {
            self.paths.iter().for_each(|path| fs_err::remove_file(path).unwrap());
        }
        self.recorder.event(event);
    }
}

#[test]
fn a_further_name_of_a_file_that_has_vanished_is_not_copied_without_it() {
    let nights = Nights::new();
    let tree = nights.scene.tree();
    fill(&tree);
    let first = trees::file(&tree, "aa/first", "two names");
    trees::hard_link(&tree, "zz/second", &first);
    nights.pack("first.tar.zst", None);
    // The first name is in a segment that changes, so that it is looked for again.
    let changed = trees::file(&tree, "aa/changed", "new");
    let second = tree.join("zz/second");
    let removing =
        Removing { recorder: Recorder::default(), paths: vec![&first, &changed, &second] };
    nights.pack_watched("again.tar.zst", Some("first.tar.zst"), &removing);
    let target = nights.scene.target();
    let archive = &mut &*nights.bytes("again.tar.zst");
    let restored = nights
        .scene
        .restorer()
        .unpack(archive, &target, &RestoreOptions::default(), &Silent)
        .unwrap();
    assert_eq!(restored.proven, Some(true), "{restored:?}");
    assert!(!target.join("zz/second").exists());
}

/// One change of a tree.
fn change(tree: &Path, kind: u8, number: u8) {
    let path = format!("d{}/f{}", number % 3, number % 11);
    let full = tree.join(&path);
    match kind % 5 {
        0 => drop(trees::file(tree, &path, text(u64::from(number), usize::from(number) * 9000))),
        1 => drop(fs_err::remove_file(full)),
        2 if full.exists() => trees::mode(&full, 0o600 | u32::from(number % 8)),
        3 if full.exists() => trees::mtime(&full, i64::from(number) * 1000, 7),
        4 if full.exists() => {
            let link = format!("{path}-link{number}");
            if !tree.join(&link).exists() {
                trees::hard_link(tree, &link, &full);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_changes_copying_makes_no_difference(
        before in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..40),
        after in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..6),
    ) {
        let nights = Nights::new();
        let tree = nights.scene.tree();
        before.iter().for_each(|&(kind, number)| change(&tree, kind % 2 * 4, number));
        nights.pack("first.tar.zst", None);
        after.iter().for_each(|&(kind, number)| change(&tree, kind, number));
        nights.pack_again("first.tar.zst");
    }
}
