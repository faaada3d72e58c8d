//! The folder where something is mounted: looked at before, mounted, and unmounted.
//!
//! Invariant: nothing is mounted over files, and only our own mount is ever unmounted.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::file_system::ArchiveFileSystem;
use crate::exit::UsageError;

/// What a mount is called in the table of mounts.
const NAME: &str = "hashget";

/// The device of FUSE.
const DEVICE: &str = "/dev/fuse";

/// An empty folder.
pub(super) struct MountPoint {
    /// With no link in it, so that it is the same later.
    path: PathBuf,
    /// As the user gave it.
    given: String,
}

/// Something that is mounted.
pub(super) struct Mounted {
    at: MountPoint,
    session: BackgroundSession,
}

impl MountPoint {
    /// The folder at `path`, if it is an empty one.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let given = path.display().to_string();
        let wrong = |what: &str| anyhow!(UsageError(format!("{given} {what}")));
        let failed = |error: io::Error| match error.raw_os_error() {
            Some(code) if code == Errno::NOTCONN.raw_os_error() => wrong(
                "is the mount of a program that has ended: unmount it first (umount, or fusermount3 -u)",
            ),
            _ if error.kind() == io::ErrorKind::NotFound => {
                wrong("does not exist: give an empty folder")
            }
            _ => anyhow!(error).context(format!("cannot mount at {given}")),
        };
        let metadata = path.metadata().map_err(failed)?;
        if !metadata.is_dir() {
            return Err(wrong("is not a folder: give an empty folder"));
        }
        if path.read_dir().map_err(failed)?.next().is_some() {
            return Err(wrong("is not empty: what is in it would be hidden; give an empty folder"));
        }
        let path = path.canonicalize().map_err(failed)?;
        Ok(Self { path, given })
    }

    /// Mounts the file system here, read-only; for other users as well, with the rights that the entries' modes give them.
    pub(super) fn mount(
        self,
        file_system: ArchiveFileSystem,
        allow_other: bool,
    ) -> anyhow::Result<Mounted> {
        let context = || format!("cannot mount at {}", self.given);
        let mut config = Config::default();
        config.mount_options = vec![MountOption::RO, MountOption::FSName(NAME.to_owned())];
        if allow_other {
            config.acl = SessionACL::All;
            config.mount_options.push(MountOption::DefaultPermissions);
        }
        let session = Session::new(file_system, &self.path, &config).and_then(Session::spawn);
        let session = session.map_err(in_words).with_context(context)?;
        Ok(Mounted { at: self, session })
    }
}

/// What mounting failed with.
fn in_words(error: io::Error) -> anyhow::Error {
    let has_device = Path::new(DEVICE).exists();
    match error.kind() {
        io::ErrorKind::NotFound if !has_device => {
            anyhow!("{DEVICE} does not exist: this system has no FUSE (modprobe fuse)")
        }
        io::ErrorKind::NotFound => {
            anyhow!(
                "there is no fusermount3, which users need to mount: install fuse3, or mount as root"
            )
        }
        _ => anyhow!("{}", error.to_string().trim()),
    }
}

impl Mounted {
    /// The folder, as the user gave it.
    pub(super) fn at(&self) -> &str {
        &self.at.given
    }

    /// It is unmounted already: nothing is to be done.
    pub(super) fn leave(self) {
        // Dropped, it would unmount whatever is mounted there now.
        std::mem::forget(self.session);
    }

    /// Unmounts it, also if a program is using it: that gets errors from then on.
    pub(super) fn unmount(self) {
        if self.session.guard.is_finished() {
            return self.leave();
        }
        match unmount(&self.at.path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => self.leave(),
            // A user's mount is unmounted by the program that mounted it.
            Err(_) => drop(self.session),
        }
    }
}
