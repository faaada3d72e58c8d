//! What publishers know: HashDBs of others, asked for what this machine's own one lacks.
//!
//! Invariant: what may be asked by digest is decided here alone. Names of packages are public; digests of files are not.

use std::path::Path;

use super::HashDb;

/// The smallest file that publishers are asked for by its digest, in bytes, unless the user wants all to be asked for.
pub const LARGE: u64 = 64 << 10;

/// Folders of systems in which nobody's own files are expected. Those below homes are not among them.
const SYSTEM: &[&str] =
    &["/bin", "/boot", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sbin", "/usr"];

/// Folders that package managers fill, wherever they are, except below homes.
const OF_PACKAGES: &[&str] =
    &["node_modules", "site-packages", "dist-packages", "vendor", "gems", "jars"];

/// Folders of people, wherever they are: the tree may be that of another system.
const HOMES: &[&str] = &["home", "root", "Users"];

/// Which files publishers may be asked for by their digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AskHashes {
    /// Large ones in folders of the system and of packages, none below homes.
    #[default]
    Large,
    /// Every file.
    All,
    /// None.
    None,
}

impl AskHashes {
    /// May a file of this absolute path and size be asked for?
    pub fn allow(self, path: &Path, size: u64) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Large => size >= LARGE && is_of_system(path),
        }
    }
}

fn is_of_system(path: &Path) -> bool {
    let is_below = |names: &[&str]| path.iter().any(|part| names.iter().any(|name| part == *name));
    !is_below(HOMES)
        && (SYSTEM.iter().any(|folder| path.starts_with(folder)) || is_below(OF_PACKAGES))
}

/// A HashDB that others publish, or several of them. A publisher that fails is reported and passed over; it never makes a call
/// fail.
pub trait SharedHashDb: HashDb {
    /// What may be asked by digest.
    fn hashes(&self) -> AskHashes;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_files_of_systems_are_asked_for() {
        for (path, size, large) in [
            ("/usr/lib/a.so", LARGE, true),
            ("/usr/lib/a.so", LARGE - 1, false),
            ("/usr", LARGE, true),
            ("/usrlocal/a", LARGE, false),
            ("/srv/app/node_modules/a/b.js", LARGE, true),
            ("/srv/app/node_modules2/b.js", LARGE, false),
            ("/srv/letters/a.odt", LARGE, false),
            ("/home/ann/app/node_modules/a.js", LARGE, false),
            ("/root/.venv/lib/python3/site-packages/a.so", LARGE, false),
            ("/var/home/ann/app/node_modules/a.js", LARGE, false),
            ("/mnt/home/ann/app/vendor/a.js", LARGE, false),
            ("/mnt/root/.venv/lib/python3/site-packages/a.so", LARGE, false),
            ("/usr/home/ann/a", LARGE, false),
            ("/etc/shadow", LARGE, false),
            ("/var/lib/db", LARGE, false),
        ] {
            let path = Path::new(path);
            assert_eq!(AskHashes::Large.allow(path, size), large, "{}", path.display());
            assert!(AskHashes::All.allow(path, size) && !AskHashes::None.allow(path, size));
        }
    }
}
