//! Any bytes as one part of an archive of frames, the others being as `pack` wrote them; the first byte selects the part. The
//! archive is verified, opened, and all of its files are read, by frames and in order: both must give the same.
#![no_main]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek as _, Write as _};
use std::ops::ControlFlow;

use hashget::archive::{
    ArchiveError, ArchiveTree, ArchiveVisitor, Contents, ContentsAccess, NodeId, PackageMembers,
    StoredEntry, open_archive, read_archive, read_manifest, verify_stored,
};
use hashget::fetch::Offline;
use hashget::hashdb::NoHashDb;
use hashget::limits::Limits;
use hashget::model::manifest::AnyManifest;
use hashget::model::{Kind, RelPath};
use hashget::monitor::Silent;
use hashget::storage::StreamSource;
use libfuzzer_sys::fuzz_target;

/// The parts, each behind the byte that selects it. The last one is a whole archive.
const PARTS: [&[u8]; 6] = [
    include_bytes!("../seeds/archive/manifest"),
    include_bytes!("../seeds/archive/entries"),
    include_bytes!("../seeds/archive/directory"),
    include_bytes!("../seeds/archive/names"),
    include_bytes!("../seeds/archive/table"),
    include_bytes!("../seeds/archive/whole"),
];
const TABLE: usize = 4;
const WHOLE: usize = 5;

/// The manifest as an entry of a tar.
fn manifest_entry(text: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..21].copy_from_slice(b".hashget-restore.json");
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", text.len()).as_bytes());
    header[148..156].fill(b' ');
    header[156] = b'0';
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let filling = text.len().next_multiple_of(512) - text.len();
    [&header[..], text, &vec![0; filling]].concat()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("there is memory")
}

fn skippable(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("it is short").to_le_bytes();
    [&[0x50 + number, 0x2a, 0x4d, 0x18][..], &length, content].concat()
}

/// An archive of these parts, or the whole one, with another seek table if that is the part that was chosen.
fn archive_of(parts: [&[u8]; 6], chosen: usize) -> Vec<u8> {
    let [manifest, entries, directory, names, table, whole] = parts;
    match chosen {
        TABLE => return [&whole[..whole.len() - (PARTS[TABLE].len() - 1)], table].concat(),
        WHOLE => return whole.to_vec(),
        _ => {}
    }
    let manifest = manifest_entry(manifest);
    let tar = [&manifest[..], entries, &[0; 1024]];
    let behind = [skippable(8, &compressed(names)), skippable(7, &compressed(directory))];
    let frames: Vec<(Vec<u8>, usize)> = (tar.iter().map(|part| (compressed(part), part.len())))
        .chain(behind.map(|frame| (frame, 0)))
        .collect();
    let number = |number: usize| u32::try_from(number).expect("it is short").to_le_bytes();
    let rows = frames.iter().flat_map(|(frame, decoded)| [number(frame.len()), number(*decoded)]);
    let end = [&number(frames.len())[..], b"\0\xb1\xea\x92\x8f"].concat();
    let table = skippable(14, &[rows.flatten().collect(), end].concat());
    frames.into_iter().flat_map(|(frame, _)| frame).chain(table).collect()
}

/// Files without holes by their paths; nothing where a path comes twice.
#[derive(Default)]
struct InOrder(BTreeMap<RelPath, Option<Vec<u8>>>);

impl ArchiveVisitor for InOrder {
    type Error = ArchiveError;

    fn manifest(&mut self, _: AnyManifest) -> Result<ControlFlow<()>, ArchiveError> {
        Ok(ControlFlow::Continue(()))
    }

    fn entry(
        &mut self,
        entry: StoredEntry,
        content: &mut dyn Read,
    ) -> Result<ControlFlow<()>, ArchiveError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|error| ArchiveError::Read { error })?;
        let is_whole = matches!(entry.kind, Kind::File { .. }) && entry.extents.is_none();
        let is_news = !self.0.contains_key(&entry.path);
        self.0.insert(entry.path, Some(bytes).filter(|_| is_whole && is_news));
        Ok(ControlFlow::Continue(()))
    }
}

/// Compares every file that can be read with what was read in order.
fn read_all(contents: &Contents<'_>, in_order: &InOrder) {
    let tree = contents.tree();
    let mut folders = vec![ArchiveTree::TOP];
    while let Some(folder) = folders.pop() {
        for (_, _, id) in tree.children(folder, 0) {
            let _ = (tree.next_data(id, 1), tree.next_hole(id, 1), tree.xattrs(id));
            match tree.node(id).map(|node| node.kind) {
                Some(Kind::Directory) => folders.push(id),
                Some(Kind::File { .. }) => read_file(contents, id, in_order),
                _ => {}
            }
        }
    }
}

fn read_file(contents: &Contents<'_>, id: NodeId, in_order: &InOrder) {
    let Ok(bytes) = contents.read(id, 0, 1 << 20) else { return };
    let part = &bytes[bytes.len().min(3)..bytes.len().min(8)];
    assert!(contents.at_hand(id, 3, 5).is_none_or(|again| again == part));
    let path = contents.tree().path(id);
    if let Some(Some(expected)) = in_order.0.get(&path) {
        assert_eq!(&bytes, expected, "{path}");
    }
}

/// What is read in order, unless entries go by other names in the tree.
fn in_order(bytes: &[u8], limits: &Limits) -> InOrder {
    let stream = || StreamSource::new(bytes);
    let mut read = InOrder::default();
    let manifest = read_manifest(&mut stream(), "archive", limits, &Silent);
    let has_own_names = matches!(manifest, Ok(AnyManifest::V2(it)) if it.renamed.is_empty());
    match read_archive(&mut stream(), "archive", limits, &mut read, &Silent) {
        Ok(()) if has_own_names => read,
        _ => InOrder::default(),
    }
}

fn look_into(archive: File, in_order: &InOrder, limits: &Limits) {
    let members = PackageMembers {
        least: hashget::model::Evidence::Downloaded,
        supplements: None,
        hashdb: &NoHashDb,
        source: &Offline,
        must_have: false,
        digests: false,
        limits,
    };
    let access = ContentsAccess {
        source: &Offline,
        folder: "/dev/shm".as_ref(),
        kept_bytes: 1 << 20,
        limits,
        monitor: &Silent,
    };
    if let Ok(contents) = open_archive(Box::new(archive), "archive", &members, access) {
        read_all(&contents, in_order);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, part)) = bytes.split_first() else { return };
    let chosen = usize::from(first) % PARTS.len();
    let mut parts = PARTS.map(|part| &part[1..]);
    parts[chosen] = part;
    let bytes = archive_of(parts, chosen);
    let mut archive = tempfile::tempfile_in("/dev/shm").expect("a file in memory");
    archive.write_all(&bytes).expect("there is room");
    archive.rewind().expect("it is a file");
    let limits = Limits {
        entries: 2000,
        unpacked_bytes: 16 << 20,
        window_bytes: 16 << 20,
        ..Limits::default()
    };
    let _ = verify_stored(&mut archive, "archive", &limits, &Silent);
    archive.rewind().expect("it is a file");
    look_into(archive, &in_order(&bytes, &limits), &limits);
});
