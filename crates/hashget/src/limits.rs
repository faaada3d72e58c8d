//! How much foreign input may make us read, keep or create.
//!
//! Invariant: every reader of foreign bytes takes a [`Limits`] and stops with a clear error at the
//! first one exceeded; none is unlimited by default.

/// Bounds on what a package, an archive or a manifest may hold.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Members of one package, those of packages within it included.
    pub entries: u64,
    /// Unpacked bytes of one package, all members together.
    pub unpacked_bytes: u64,
    /// Unpacked bytes for each packed byte, once more than [`Self::RATIO_FLOOR`] came out.
    pub ratio: u64,
    /// Packages within packages.
    pub depth: u32,
    /// Bytes of a name, a link target, or one extended header.
    pub header_bytes: u64,
    /// Bytes of a decoder's window or dictionary.
    pub window_bytes: u64,
    /// Bytes of a manifest's JSON.
    pub manifest_bytes: u64,
    /// Threads that one decoder may start.
    pub threads: usize,
    /// Bytes of one download when the size is not known beforehand.
    pub download_bytes: u64,
}

impl Limits {
    /// Below this many unpacked bytes no ratio is too high: a short text repeats a lot.
    pub const RATIO_FLOOR: u64 = 64 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 20_000_000,
            unpacked_bytes: 4 << 40,
            // zstd of plain zeros, which a disk image in a backup may be, reaches 32,000; bombs go on to
            // 10^6 and more.
            ratio: 100_000,
            depth: 8,
            header_bytes: 1 << 20,
            window_bytes: 256 << 20,
            manifest_bytes: 4 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            download_bytes: 64 << 30,
        }
    }
}
