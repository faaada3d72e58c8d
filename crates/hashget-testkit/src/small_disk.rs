//! Small file systems: in memory, for tests of a full disk and of one that keeps less than others; and in a file, of any kind.
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

    /// Makes a file system with `program` and its options in the file `image` of `bytes` bytes, and mounts it on the folder `at`.
    /// Panics if that fails: see [`Need::Image`](crate::needs::Need::Image).
    pub fn image(at: &Path, image: &Path, bytes: u64, (program, options): (&str, &[&str])) -> Self {
        let made = fs_err::File::create(image).and_then(|file| file.set_len(bytes));
        made.expect("a file may be long");
        let mut make = Command::new(program);
        make.args(options).arg(image);
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(image).arg(at);
        for mut command in [make, mount] {
            let output = command.output().expect("the program is there");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {said}");
        }
        Self { at: at.to_owned() }
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
