//! The log of a publisher: a Merkle tree (RFC 6962) of the digests of its manifests, as tiles
//! (<https://c2sp.org/tlog-tiles>).
//!
//! Invariant: pure. The root of a number of entries depends on those entries and their order alone.

use hashget::model::Digest;

/// Entries in a tile.
const TILE: usize = 256;

/// Entries of the longest log that is read or written.
pub(crate) const MOST_ENTRIES: u64 = 1 << 16;

/// The entries of a log: of each edition, the digest of its manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    entries: Vec<Digest>,
}

impl Log {
    /// The digests of all manifests, the first edition's first.
    pub fn entries(&self) -> &[Digest] {
        &self.entries
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Adds an edition.
    pub fn push(&mut self, manifest: Digest) {
        self.entries.push(manifest);
    }

    /// The root of the tree of the first `size` entries; `None` if there are fewer.
    pub fn root_of(&self, size: u64) -> Option<Digest> {
        let entries = self.entries.get(..usize::try_from(size).ok()?)?;
        Some(root(&entries.iter().map(leaf).collect::<Vec<_>>()))
    }

    /// Adds the entries of a bundle.
    ///
    /// # Errors
    /// It is none, or has another number of entries.
    pub(crate) fn push_bundle(&mut self, bundle: &[u8], entries: usize) -> Result<(), String> {
        let whole = bundle.len() == entries * 34;
        let chunks: Vec<_> = bundle.chunks(34).collect();
        if !whole || chunks.iter().any(|entry| !entry.starts_with(&[0, 32])) {
            return Err(format!("it is no list of {entries} digests, 34 bytes each"));
        }
        let digest = |entry: &[u8]| entry[2..].try_into().map(Digest::from_bytes);
        let digests = chunks.into_iter().filter_map(|entry| digest(entry).ok());
        self.entries.extend(digests);
        Ok(())
    }

    /// The files of the log: their names and contents.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        for (number, entries) in self.entries.chunks(TILE).enumerate() {
            let bundle = entries.iter().flat_map(|entry| [&[0, 32][..], entry.as_bytes()].concat());
            files.push((tile_name("entries", number, entries.len()), bundle.collect()));
        }
        let mut hashes: Vec<Digest> = self.entries.iter().map(leaf).collect();
        let mut level = 0;
        while !hashes.is_empty() {
            for (number, tile) in hashes.chunks(TILE).enumerate() {
                let bytes = tile.iter().flat_map(|hash| *hash.as_bytes()).collect();
                files.push((tile_name(&level.to_string(), number, tile.len()), bytes));
            }
            hashes = hashes.chunks_exact(TILE).map(root).collect();
            level += 1;
        }
        files
    }
}

/// The names of the bundles of a log of `size` entries, each with its number of entries.
pub(crate) fn bundles(size: u64) -> Vec<(String, usize)> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let tiles = (0..size.div_ceil(TILE)).map(|number| (number, TILE.min(size - number * TILE)));
    tiles.map(|(number, entries)| (tile_name("entries", number, entries), entries)).collect()
}

/// The name of a tile: its number in groups of three digits, and its width if it is not full.
fn tile_name(level: &str, number: usize, width: usize) -> String {
    let mut name = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        name = format!("x{:03}/{name}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width < TILE { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{name}{partial}")
}

fn leaf(entry: &Digest) -> Digest {
    Digest::of(&[&[0][..], entry.as_bytes()].concat())
}

/// The root of a tree with these leaves (RFC 6962, section 2.1).
fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [one] => *one,
        _ => {
            let left = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(left);
            Digest::of(&[&[1][..], root(left).as_bytes(), root(right).as_bytes()].concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Digest {
        text.parse().unwrap()
    }

    /// Test vectors of RFC 6962's reference implementation: the roots of its first eight leaves.
    #[test]
    fn the_known_roots_are_computed() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let hashes = leaves.map(|leaf| Digest::of(&[&[0][..], leaf].concat()));
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (count, expected) in (1..).zip(roots) {
            assert_eq!(root(&hashes[..count]), of(expected), "{count} leaves");
        }
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(root(&[]), of(empty));
    }

    #[test]
    fn names_of_tiles_are_those_of_the_specification() {
        assert_eq!(tile_name("0", 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_name("entries", 5, 17), "tile/entries/005.p/17");
        let named: Vec<_> =
            bundles(600).into_iter().map(|(name, count)| format!("{name} {count}")).collect();
        assert_eq!(
            named,
            ["tile/entries/000 256", "tile/entries/001 256", "tile/entries/002.p/88 88"]
        );
    }

    #[test]
    fn what_is_written_is_read_and_an_earlier_root_stays() {
        let mut log = Log::default();
        let mut roots = vec![log.root_of(0).unwrap()];
        for number in 0..600u32 {
            log.push(Digest::of(&number.to_le_bytes()));
            roots.push(log.root_of(log.size()).unwrap());
        }
        let files = log.files();
        let mut read = Log::default();
        for (name, entries) in bundles(600) {
            let (_, bundle) = files.iter().find(|(file, _)| *file == name).unwrap();
            read.push_bundle(bundle, entries).unwrap();
            read.clone().push_bundle(&bundle[1..], entries).unwrap_err();
            read.clone().push_bundle(bundle, entries + 1).unwrap_err();
        }
        assert_eq!(read, log);
        for (size, root) in (0..).zip(roots) {
            assert_eq!(read.root_of(size), Some(root));
        }
        assert_eq!(read.root_of(601), None);
        // The hash of a full tile is a hash of the level above.
        let level_one = files.iter().find(|(name, _)| name == "tile/1/000.p/2").unwrap();
        assert_eq!(level_one.1[..32], *log.root_of(256).unwrap().as_bytes());
    }
}
