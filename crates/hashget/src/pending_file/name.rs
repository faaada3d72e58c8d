//! The name that a file is to get.
//!
//! Invariant: nothing is changed; a name that no file can get is an error before anything is written.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The folder that a file of this path lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The most links that are followed from one name to a file.
const MOST_LINKS: usize = 40;

/// The path that a file has, or would have, at the end of the symbolic links that `path` leads through.
pub fn behind_links(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let mut end = path.to_owned();
    for _ in 0..MOST_LINKS {
        match end.read_link() {
            Ok(target) => end = folder_of(&end).join(target),
            Err(_) => return end,
        }
    }
    path.to_owned()
}

/// Can a file get this name, replacing what has it?
pub(super) fn check_name(path: &Path) -> io::Result<()> {
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        let problem = "it is a device, a pipe or a socket, which is not replaced";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    let user = rustix::process::geteuid();
    let folder = folder_of(path).metadata()?;
    let is_sticky = folder.mode() & 0o1000 != 0;
    let may = [found.uid(), folder.uid()].contains(&user.as_raw()) || user.is_root();
    if is_sticky && !may {
        let problem = "another user's file has this name, and only that user may replace it here";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_file_that_is_there_or_will_be() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs_err::canonicalize(folder.path()).unwrap();
        for (target, name) in [("b", "a"), ("c", "b"), ("loop", "loop")] {
            std::os::unix::fs::symlink(target, top.join(name)).unwrap();
        }
        assert_eq!(behind_links(&top.join("a")), top.join("c"));
        fs_err::write(top.join("c"), "").unwrap();
        assert_eq!(behind_links(&top.join("a")), top.join("c"));
        assert_eq!(behind_links(&top.join("loop")), top.join("loop"));
        assert_eq!(behind_links(Path::new("new")), Path::new("new"));
    }
}
