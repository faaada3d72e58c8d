//! File systems in memory: small ones for tests of a full disk, and one that keeps less than others.
//!
//! Invariant: it is unmounted when the [`SmallDisk`] is dropped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system of limited size.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of `bytes` bytes on the folder `at`. `None` if mounting is not allowed: see
    /// [`Need::Mount`](crate::needs::Need::Mount).
    pub fn mount(at: &Path, bytes: u64) -> Option<Self> {
        Self::mount_kind(at, "tmpfs", &["-o", &format!("size={bytes}")])
    }

    /// Mounts one that has no extended attributes and no access control lists.
    pub fn without_attributes(at: &Path) -> Option<Self> {
        Self::mount_kind(at, "ramfs", &[])
    }

    fn mount_kind(at: &Path, kind: &str, options: &[&str]) -> Option<Self> {
        let mounted = quiet("mount")
            .args(["-t", kind])
            .args(options)
            .arg(kind)
            .arg(at)
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| Self { at: at.to_owned() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since a file on it may still be open.
        drop(quiet("umount").arg("--lazy").arg(&self.at).status());
    }
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
