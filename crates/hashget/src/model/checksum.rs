//! Digests of other kinds than SHA-256: what registries and package managers give instead.
//!
//! Invariant: a [`Checksum`] is always complete: as many bytes as its algorithm makes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::{Digest, escaped};

/// What a checksum was computed by, the weakest first. MD5 and SHA-1 tell which of the files that there
/// are is meant; they do not hold against who makes two files with one checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// 16 bytes.
    Md5,
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The algorithm of this name, as lock files and lists write it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Its usual short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// Begins to compute.
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Md5 => Hasher::Md5(Md5::new()),
            Self::Sha1 => Hasher::Sha1(Sha1::new()),
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Sha384 => Hasher::Sha384(Box::new(Sha384::new())),
            Self::Sha512 => Hasher::Sha512(Box::new(Sha512::new())),
        }
    }
}

/// A digest of some bytes, by one of several algorithms.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum {
    algorithm: Algorithm,
    bytes: Box<[u8]>,
}

impl Checksum {
    /// Of these bytes; `None` when there are more or fewer of them than the algorithm makes.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algorithm.bytes()).then(|| Self { algorithm, bytes: bytes.into() })
    }

    /// From hex digits.
    pub fn from_hex(algorithm: Algorithm, digits: &str) -> Option<Self> {
        Self::new(algorithm, &hex::decode(digits.trim()).ok()?)
    }

    /// From base64 of any dialect.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        let dialects = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
        let bytes = dialects.iter().find_map(|dialect| dialect.decode(text.trim()).ok())?;
        Self::new(algorithm, &bytes)
    }

    /// The strongest one of a list as web pages and lock files write it: `sha512-BASE64 sha1-BASE64`, each
    /// perhaps with `?options`.
    pub fn of_integrity(text: &str) -> Option<Self> {
        let one = |word: &str| {
            let (name, value) = word.split_once('-')?;
            Self::from_base64(Algorithm::named(name)?, value.split('?').next()?)
        };
        text.split_ascii_whitespace().filter_map(one).max_by_key(|checksum| checksum.algorithm)
    }

    /// What it was computed by.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As the digest that packages are known by, if it is one.
    pub fn sha256(&self) -> Option<Digest> {
        let bytes = (&*self.bytes).try_into().ok().filter(|_| self.algorithm == Algorithm::Sha256);
        bytes.map(Digest::from_bytes)
    }
}

impl From<Digest> for Checksum {
    fn from(digest: Digest) -> Self {
        Self { algorithm: Algorithm::Sha256, bytes: digest.as_bytes().as_slice().into() }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), hex::encode(&self.bytes))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Checksum {
    type Err = String;

    /// Reads `ALGORITHM:HEX`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = |(name, digits): (&str, &str)| Self::from_hex(Algorithm::named(name)?, digits);
        text.split_once(':').and_then(read).ok_or_else(|| {
            format!("\"{}\" is no checksum: expected ALGORITHM:HEX", escaped(text.as_bytes()))
        })
    }
}

/// A checksum on its way.
#[derive(Debug, Clone)]
pub enum Hasher {
    /// Of MD5.
    Md5(Md5),
    /// Of SHA-1.
    Sha1(Sha1),
    /// Of SHA-256.
    Sha256(Sha256),
    /// Of SHA-384.
    Sha384(Box<Sha384>),
    /// Of SHA-512.
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The checksum of all that came.
    pub fn finish(self) -> Checksum {
        let (algorithm, bytes): (_, Box<[u8]>) = match self {
            Self::Md5(hasher) => (Algorithm::Md5, hasher.finalize().as_slice().into()),
            Self::Sha1(hasher) => (Algorithm::Sha1, hasher.finalize().as_slice().into()),
            Self::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().as_slice().into()),
            Self::Sha384(hasher) => (Algorithm::Sha384, hasher.finalize().as_slice().into()),
            Self::Sha512(hasher) => (Algorithm::Sha512, hasher.finalize().as_slice().into()),
        };
        Checksum { algorithm, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_written_and_read() {
        for (algorithm, abc) in [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            let mut hasher = algorithm.hasher();
            hasher.update(b"a");
            hasher.update(b"bc");
            let checksum = hasher.finish();
            assert_eq!(checksum.to_string(), format!("{}:{abc}", algorithm.name()));
            assert_eq!(checksum.to_string().parse::<Checksum>().unwrap(), checksum);
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.hasher().finish().as_bytes().len(), algorithm.bytes());
        }
        assert_eq!(Checksum::from(Digest::of(b"abc")).sha256(), Some(Digest::of(b"abc")));
    }

    #[test]
    fn integrity_gives_the_strongest() {
        let sha1 = "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
        let sha512 = format!("sha512-{}?x", STANDARD.encode([7; 64]));
        let both = Checksum::of_integrity(&format!("{sha1} {sha512}")).unwrap();
        assert_eq!((both.algorithm(), both.as_bytes()), (Algorithm::Sha512, &[7; 64][..]));
        assert_eq!(Checksum::of_integrity(sha1).unwrap().algorithm(), Algorithm::Sha1);
        for nonsense in ["", "sha512", "sha512-", "sha512-AAAA", "md4-AAAA", "sha1-%%%%", "-"] {
            assert_eq!(Checksum::of_integrity(nonsense), None, "{nonsense}");
        }
    }
}
