//! File systems in files.
//!
//! Invariant: whatever happens on one, it is unmounted.

use std::path::Path;

use hashget_testkit::small_disk::SmallDisk;

/// Makes a file system with `program`, mounts it and passes its top to `work`.
pub(crate) fn on_image(program: &str, options: &[&str], work: fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
    fs_err::create_dir(&mounted).unwrap();
    let _disk = SmallDisk::image(&mounted, &image, 400 << 20, (program, options));
    work(&mounted);
}
