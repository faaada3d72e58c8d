//! Which archives keep packages permanently, and what their URLs look like.
//!
//! Invariant: every URL made here is permanent, with the version's epoch, `+` and `~` encoded as the archive
//! expects.

use super::status::Installed;
use crate::detectors::{ContentAddress, quoted};
use crate::model::Algorithm;

/// The snapshots of Debian's archives.
pub(super) const SNAPSHOT: &str = "https://snapshot.debian.org/";

/// The content address of every file in the snapshots, by SHA-1.
pub(super) const BY_SHA1: ContentAddress =
    ContentAddress { prefix: "https://snapshot.debian.org/file/", algorithm: Algorithm::Sha1 };

/// The URL below which every package ever published by Ubuntu lies.
const LAUNCHPAD: &str = "https://launchpad.net/ubuntu/+archive/primary/+files/";

/// An archive that keeps packages permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permanent {
    /// An archive in Debian's snapshots; the name is empty if only the snapshots know it.
    Debian(&'static str),
    /// Ubuntu's primary archive.
    Ubuntu,
}

impl Permanent {
    /// The archive for the `ID` in a system's `os-release`.
    pub(super) fn of_system(id: &str) -> Option<Self> {
        match id {
            "debian" => Some(Self::Debian("")),
            "ubuntu" => Some(Self::Ubuntu),
            _ => None,
        }
    }

    /// The archive of a signed Release file.
    pub(super) fn of_release(origin: &str, label: &str) -> Option<Self> {
        match (origin, label) {
            ("Debian", "Debian") | ("Debian Backports", _) | ("Debian", "Debian Backports") => {
                Some(Self::Debian("debian"))
            }
            ("Debian", "Debian-Security") => Some(Self::Debian("debian-security")),
            ("Debian", "Debian debug") => Some(Self::Debian("debian-debug")),
            ("Ubuntu", "Ubuntu") => Some(Self::Ubuntu),
            _ => None,
        }
    }

    /// The `ID` of the system whose archive it is.
    pub(super) fn system(self) -> &'static str {
        match self {
            Self::Debian(_) => "debian",
            Self::Ubuntu => "ubuntu",
        }
    }

    /// The name of the distribution.
    pub(super) fn distribution(self) -> &'static str {
        match self {
            Self::Debian(_) => "Debian",
            Self::Ubuntu => "Ubuntu",
        }
    }

    /// The URL of a package that was at `filename` in the archive at `stamp` (`YYYYMMDDTHHMMSSZ`).
    pub(super) fn url_at(self, package: &Installed, filename: &str, stamp: &str) -> Option<String> {
        match self {
            Self::Debian("") => None,
            Self::Debian(archive) => {
                Some(format!("{SNAPSHOT}archive/{archive}/{stamp}/{}", quoted(filename)))
            }
            Self::Ubuntu => Some(launchpad(package)),
        }
    }
}

/// The URL of an Ubuntu package.
pub(super) fn launchpad(package: &Installed) -> String {
    let version = package.version.split_once(':').map_or(&*package.version, |(_, rest)| rest);
    let file = format!("{}_{version}_{}.deb", package.name, package.architecture);
    format!("{LAUNCHPAD}{}", quoted(&file))
}

/// The snapshots' page that says where a version of a package is.
pub(super) fn question(name: &str, version: &str) -> String {
    format!("{SNAPSHOT}mr/binary/{}/{}/binfiles?fileinfo=1", quoted(name), quoted(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(name: &str, version: &str) -> Installed {
        Installed {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            multi_arch_same: false,
            conffiles: Vec::new(),
            source: None,
        }
    }

    #[test]
    fn odd_characters_are_quoted() {
        assert_eq!(
            question("libstdc++6", "1:2.0~rc1+b1"),
            format!("{SNAPSHOT}mr/binary/libstdc%2B%2B6/1%3A2.0~rc1%2Bb1/binfiles?fileinfo=1")
        );
        let package = installed("g++", "4:12.2.0-3");
        assert_eq!(launchpad(&package), format!("{LAUNCHPAD}g%2B%2B_12.2.0-3_amd64.deb"));
        let url = Permanent::Debian("debian-security").url_at(&package, "pool/g++.deb", "S");
        let expected = format!("{SNAPSHOT}archive/debian-security/S/pool/g%2B%2B.deb");
        assert_eq!(url.as_deref(), Some(&*expected));
        assert_eq!(Permanent::Debian("").url_at(&package, "pool/x.deb", "S"), None);
    }

    #[test]
    fn only_known_archives_are_permanent() {
        assert_eq!(Permanent::of_release("Debian", "Debian"), Some(Permanent::Debian("debian")));
        assert_eq!(Permanent::of_release("Ubuntu", "Ubuntu"), Some(Permanent::Ubuntu));
        assert_eq!(Permanent::of_release("LP-PPA-somebody", "Ubuntu"), None);
        assert_eq!(Permanent::of_release("Raspbian", "Raspbian"), None);
        assert_eq!(Permanent::of_system("linuxmint"), None);
    }
}
