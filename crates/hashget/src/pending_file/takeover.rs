//! The owner and the mode of a file that replaces another one.
//!
//! Invariant: nobody gets more rights than the old file gave them; what cannot be set is left out.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use rustix::fs::{XattrFlags, fremovexattr, fsetxattr, lgetxattr};
use rustix::io::Errno;

/// The attribute with a file's access control list.
const ACL: &str = "system.posix_acl_access";

/// The size in bytes of the longest value of an attribute.
const LONGEST: usize = 1 << 16;

/// Gives `new` the owner, group, access control list and mode of the regular file at `path`, if there is one.
pub(super) fn take_over(new: &File, path: &Path) -> io::Result<()> {
    let old = match path.symlink_metadata() {
        Ok(old) if old.is_file() => old,
        _ => return Ok(()),
    };
    if fchown(new, Some(old.uid()), Some(old.gid())).is_err() {
        // Only root may give files away; a group of one's own can be set.
        let _ = fchown(new, None, Some(old.gid()));
    }
    let has_group = new.metadata()?.gid() == old.gid();
    let mode = old.mode() & 0o777;
    let mode = if take_over_acl(new, path) && has_group { mode } else { without_group(mode) };
    new.set_permissions(Permissions::from_mode(mode))
}

/// Does `new` have the access control list of the file at `path` now, or neither of them any?
fn take_over_acl(new: &File, path: &Path) -> bool {
    let mut value = vec![0; LONGEST];
    match lgetxattr(path, ACL, &mut value[..]) {
        Ok(length) => fsetxattr(new, ACL, &value[..length], XattrFlags::empty()).is_ok(),
        Err(Errno::NODATA | Errno::NOTSUP) => {
            // It may have inherited one from the folder.
            matches!(fremovexattr(new, ACL), Ok(()) | Err(Errno::NODATA | Errno::NOTSUP))
        }
        Err(_) => false,
    }
}

/// The mode in which the group has no more rights than everybody.
fn without_group(mode: u32) -> u32 {
    mode & 0o707 | mode & (mode & 0o007) << 3
}
