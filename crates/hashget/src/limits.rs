//! Limits on what untrusted input may make the program read, keep or create.
//!
//! Invariant: every reader of untrusted bytes takes a [`Limits`] and stops with a clear error as soon as one is
//! exceeded; no limit is infinite by default.

/// Limits on packages, archives and manifests.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Members of one package, including those of nested packages.
    pub entries: u64,
    /// Unpacked bytes of all members of one package.
    pub unpacked_bytes: u64,
    /// Unpacked bytes per packed byte; checked once more than [`Self::RATIO_FLOOR`] bytes are unpacked.
    pub ratio: u64,
    /// Levels of nested packages.
    pub depth: u32,
    /// Bytes of a name, a link target or an extended header.
    pub header_bytes: u64,
    /// Bytes of a decoder's window or dictionary.
    pub window_bytes: u64,
    /// Bytes of a manifest's JSON.
    pub manifest_bytes: u64,
    /// Threads that one decoder may start.
    pub threads: usize,
    /// Bytes of one download whose size is not known in advance.
    pub download_bytes: u64,
}

impl Limits {
    /// Up to this many unpacked bytes no ratio is too high: short texts can be very repetitive.
    pub const RATIO_FLOOR: u64 = 64 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 20_000_000,
            unpacked_bytes: 4 << 40,
            // zstd compresses zeros, as in a disk image, by up to 32,000. Decompression bombs reach 10^6 and more.
            ratio: 100_000,
            depth: 8,
            header_bytes: 1 << 20,
            window_bytes: 256 << 20,
            manifest_bytes: 4 << 30,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            download_bytes: 8 << 30,
        }
    }
}
