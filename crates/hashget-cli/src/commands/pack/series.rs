//! The earlier archive from which a new one copies what has not changed.
//!
//! Invariant: only an archive that nobody else could have written is chosen without being named.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The newest archive of the series that `file` belongs to: `file` itself, and the files beside it whose names differ from
/// its name in nothing but numbers, as dates do. `None` if there is none.
pub(super) fn newest_of_series(file: &Path) -> Option<PathBuf> {
    let series = without_numbers(file.file_name()?);
    let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let archives = fs_err::read_dir(folder).ok()?.filter_map(Result::ok).filter_map(|entry| {
        let is_of_series = without_numbers(&entry.file_name()) == series;
        is_of_series.then(|| Some((time_of_own_file(&entry.path())?, entry.path())))?
    });
    archives.max().map(|(_, path)| path)
}

/// A name with `0` in the place of each number.
fn without_numbers(name: &OsStr) -> Vec<u8> {
    let mut shortened: Vec<u8> = Vec::new();
    for &byte in name.as_bytes() {
        let byte = if byte.is_ascii_digit() { b'0' } else { byte };
        if byte != b'0' || shortened.last() != Some(&b'0') {
            shortened.push(byte);
        }
    }
    shortened
}

/// When a regular file was written last, if it is the user's own, or root's, and not everybody may write to it.
fn time_of_own_file(path: &Path) -> Option<SystemTime> {
    let metadata = fs_err::symlink_metadata(path).ok()?;
    let is_own = metadata.uid() == 0 || metadata.uid() == rustix::process::geteuid().as_raw();
    let is_safe = metadata.is_file() && is_own && metadata.mode() & 0o002 == 0;
    metadata.modified().ok().filter(|_| is_safe)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_newest_archive_whose_name_differs_in_numbers_is_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, age: u64| {
            let file = fs_err::File::create(path(name)).unwrap();
            file.file().set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        let found = |name: &str| newest_of_series(&path(name));
        assert_eq!(found("web-2026-11-29.tar.zst"), None);
        write("web-2026-11-27.tar.zst", 30);
        write("web-2026-11-28.tar.zst", 20);
        write("web-old.tar.zst", 10);
        write("db-2026-11-28.tar.zst", 10);
        assert_eq!(found("web-2026-11-29.tar.zst"), Some(path("web-2026-11-28.tar.zst")));
        assert_eq!(found("web-2026-11-27.tar.zst"), Some(path("web-2026-11-28.tar.zst")));
        assert_eq!(found("web-old.tar.zst"), Some(path("web-old.tar.zst")));
        assert_eq!(found("web.tar.zst"), None);
    }

    #[test]
    fn what_somebody_else_could_have_written_is_not_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web-1.tar.zst");
        fs_err::write(&path, "").unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(newest_of_series(&folder.path().join("web-2.tar.zst")), None);
        fs_err::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert_eq!(newest_of_series(&folder.path().join("web-2.tar.zst")), None);
    }
}
