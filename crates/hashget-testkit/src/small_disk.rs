//! A small file system in memory, for tests of a full disk.
//!
//! Invariant: it is unmounted when the [`SmallDisk`] is dropped; where mounting is not allowed there is
//! none, and the test says that it skips.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system of a few bytes.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many bytes over the folder `at`; `None` where that is not possible.
    pub fn mount(at: &Path, bytes: u64) -> Option<Self> {
        let mounted = quiet("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(at)
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| Self { at: at.to_owned() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a file of it may still be open.
        drop(quiet("umount").arg("--lazy").arg(&self.at).status());
    }
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
