//! The files owned by installed packages, according to dpkg: `var/lib/dpkg/info/NAME.list`.
//!
//! Invariant: a package whose list cannot be read owns nothing; the others are still read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::status::{self, Installed};
use super::{MAX_BYTES, diversions, small_files};
use crate::model::{RelPath, Signature};

/// Passes each path owned by an installed package of the system at `root` to `visit`, with the package.
pub(super) fn each(root: &Path, visit: &mut dyn FnMut(&Path, &Signature)) {
    let status = root.join("var/lib/dpkg/status");
    let Ok(Some(status)) = small_files::read_whole(&status, MAX_BYTES) else { return };
    let Ok((installed, _)) = status::read(&status[..]) else { return };
    let (moved, diversions) = (Moved::read(root), diversions(root, &mut |_| {}));
    for package in &installed {
        let Some(list) = list(root, package) else { continue };
        let Installed { name, version, architecture, .. } = package;
        let value = format!("{name}_{version}_{architecture}");
        let signature = Signature { kind: "deb".to_owned(), value };
        for line in list.split(|&byte| byte == b'\n').filter(|line| line.len() > 1) {
            let Ok(path) = RelPath::normalise(&line[1..]) else { continue };
            let diverted = diversions
                .get(&path)
                .filter(|(_, keeper)| keeper.as_ref() != Some(name))
                .map(|(elsewhere, _)| elsewhere);
            visit(&moved.place(diverted.unwrap_or(&path)), &signature);
        }
    }
}

/// The list of a package's files.
fn list(root: &Path, package: &Installed) -> Option<Vec<u8>> {
    let Installed { name, architecture, .. } = package;
    [format!("{name}:{architecture}.list"), format!("{name}.list")].iter().find_map(|file| {
        small_files::read_whole(&root.join("var/lib/dpkg/info").join(file), MAX_BYTES).ok()?
    })
}

/// Top folders of a system that are links to others: `bin` to `usr/bin`. Lists may have the older paths.
struct Moved(Vec<(Vec<u8>, PathBuf)>);

impl Moved {
    fn read(root: &Path) -> Self {
        let Ok(names) = fs_err::read_dir(root) else { return Self(Vec::new()) };
        let moved = names.flatten().filter_map(|entry| {
            let target = fs_err::read_link(entry.path()).ok()?;
            let target = target.strip_prefix("/").unwrap_or(&target).to_path_buf();
            Some((entry.file_name().as_bytes().to_vec(), target))
        });
        Self(moved.collect())
    }

    /// The actual path of the file with this path.
    fn place(&self, path: &RelPath) -> PathBuf {
        let bytes = path.as_bytes();
        let (top, rest) = match bytes.iter().position(|&byte| byte == b'/') {
            Some(at) => (&bytes[..at], &bytes[at + 1..]),
            None => (&b""[..], bytes),
        };
        let moved = self.0.iter().find(|(name, _)| name == top);
        let whole = || PathBuf::from(OsStr::from_bytes(bytes));
        moved.map_or_else(whole, |(_, target)| target.join(OsStr::from_bytes(rest)))
    }
}
