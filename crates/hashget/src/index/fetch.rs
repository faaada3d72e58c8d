//! Third step: get the package's bytes from the user's file, from this machine, or from the source.
//!
//! Invariant: every [`Package`] has been hashed completely, and has the wanted digest, if there is one.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use super::{IndexError, Request};
use crate::detectors::Candidate;
use crate::fetch::{FetchError, Fetched, Source, Wanted, page};
use crate::model::{Algorithm, Checksum, Digest, HashingReader, escaped};
use crate::monitor::Monitor;

/// The bytes of a package, open at their start.
pub(super) struct Package {
    pub(super) file: File,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// Does the user vouch that the URL serves these bytes?
    pub(super) vouched: bool,
    /// Where it was fetched from, if it was.
    pub(super) from: Option<String>,
    /// The state of a local file before it was hashed.
    before: Option<Stamp>,
}

/// Changes whenever the file is written: size, mtime and ctime.
#[derive(PartialEq, Eq)]
struct Stamp([i64; 5]);

impl Stamp {
    fn read(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self([
            metadata.size().cast_signed(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ]))
    }
}

impl Package {
    fn fetched(fetched: Fetched) -> Self {
        Self {
            file: fetched.file,
            sha256: fetched.sha256,
            size: fetched.size,
            vouched: false,
            from: Some(fetched.from),
            before: None,
        }
    }

    /// Fails if the file was written to after it was hashed: its members may then come from other bytes.
    pub(super) fn check_unchanged(&self) -> io::Result<()> {
        match &self.before {
            Some(before) if *before != Stamp::read(&self.file)? => Err(io::Error::other(
                "the package's file was changed while it was read: index it again",
            )),
            _ => Ok(()),
        }
    }

    /// Its checksum by the algorithm of `wanted`.
    pub(super) fn checksum(&self, wanted: Algorithm) -> io::Result<Checksum> {
        let mut hasher = wanted.hasher();
        let mut buffer = vec![0; 1 << 17];
        let mut position = 0;
        loop {
            match self.file.read_at(&mut buffer, position)? {
                0 => return Ok(hasher.finish()),
                count => {
                    hasher.update(&buffer[..count]);
                    position += count as u64;
                }
            }
        }
    }

    /// Fails if the package does not have the checksum.
    pub(super) fn check(&self, wanted: &Checksum) -> Result<(), IndexError> {
        let found = self.checksum(wanted.algorithm())?;
        if found == *wanted {
            return Ok(());
        }
        let from = self.from.clone().unwrap_or_else(|| "a file on this machine".to_owned());
        let (expected, found) = (wanted.to_string(), found.to_string());
        Err(page::mismatch(from, expected, found, self.file.try_clone().ok()).into())
    }
}

/// Opens and hashes a local file that the user vouches for.
pub(super) fn open(path: &Path, monitor: &dyn Monitor) -> Result<Package, IndexError> {
    // Opening a fifo would wait forever for a writer.
    let is_file = fs_err::metadata(path)?.is_file();
    if !is_file {
        let problem = format!("{} is not a regular file", shown(path));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem).into());
    }
    let mut file = fs_err::File::open(path)?.into_file();
    let before = Stamp::read(&file)?;
    let mut hashing = HashingReader::new(&file);
    let mut buffer = vec![0; 1 << 18];
    while hashing.read(&mut buffer)? > 0 {
        monitor.check_interrupted()?;
    }
    let (sha256, size) = hashing.finish();
    file.rewind()?;
    Ok(Package { file, sha256, size, vouched: true, from: None, before: Some(before) })
}

/// The digest that the request's package must have: the requested one, and that of the user's file.
pub(super) fn wanted_digest(
    request: &Request,
    user_file: Option<&Package>,
) -> Result<Option<Digest>, IndexError> {
    let (Some(package), Some(path)) = (user_file, &request.file) else {
        return Ok(request.sha256);
    };
    let mismatch = |expected: String, found: String| FetchError::Mismatch {
        from: shown(path),
        expected,
        found,
        file: None,
    };
    if let Some(wanted) = request.sha256.filter(|wanted| *wanted != package.sha256) {
        return Err(
            mismatch(format!("sha256:{wanted}"), format!("sha256:{}", package.sha256)).into()
        );
    }
    if let Some(size) = request.size.filter(|size| *size != package.size) {
        return Err(mismatch(format!("{size} bytes"), format!("{} bytes", package.size)).into());
    }
    Ok(Some(package.sha256))
}

/// A candidate's local file, if it has the digests that the candidate must have. Any problem with it
/// (missing, unreadable, other bytes) is not an error: the source is asked instead.
pub(super) fn local(
    candidate: &Candidate,
    monitor: &dyn Monitor,
) -> Result<Option<Package>, IndexError> {
    let Some(path) = &candidate.local_file else { return Ok(None) };
    if candidate.sha256.is_none() && candidate.checksum.is_none() {
        return Ok(None);
    }
    let is_it = |package: &Package| {
        candidate.sha256.is_none_or(|wanted| wanted == package.sha256)
            && candidate.checksum.as_ref().is_none_or(|wanted| package.check(wanted).is_ok())
    };
    match open(path, monitor) {
        Ok(package) if is_it(&package) => Ok(Some(Package { vouched: false, ..package })),
        Err(error @ IndexError::Interrupted(_)) => Err(error),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Fetches the package from the source.
pub(super) fn fetch(
    source: &dyn Source,
    request: &Request,
    monitor: &dyn Monitor,
) -> Result<Package, IndexError> {
    source.fetch(&wanted(request), monitor).map(Package::fetched).map_err(explain)
}

/// The package with this checksum, if the source has it without using the network.
pub(super) fn at_hand(
    source: &dyn Source,
    request: &Request,
    checksum: &Checksum,
    monitor: &dyn Monitor,
) -> Result<Option<Package>, IndexError> {
    let fetched = source.at_hand_by_checksum(checksum, &wanted(request), monitor)?;
    Ok(fetched.map(Package::fetched))
}

fn wanted(request: &Request) -> Wanted {
    Wanted {
        name: request.signatures.first().map(|signature| signature.value.clone()),
        url: request.url.clone(),
        also: request.also.clone(),
        sha256: request.sha256,
        size: request.size,
        reach: request.reach,
    }
}

/// Converts a source's error; an interruption is not a failure.
pub(super) fn explain(error: FetchError) -> IndexError {
    match error {
        FetchError::Interrupted(interrupted) => IndexError::Interrupted(interrupted),
        error => IndexError::Fetch(error),
    }
}

fn shown(path: &Path) -> String {
    escaped(path.as_os_str().as_bytes())
}
