//! How long hosts keep what they publish: one table, each row with the source of its claim.
//!
//! Invariant: a host is in the table only if its operator has published the promise that the row names. Everything else is
//! unknown, or is what the client says that has the registry built in (see [`PackageRecord::keeping`]).

use url::Url;

use crate::model::{Keeping, PackageRecord};

/// A promise.
struct Row {
    /// Host and beginning of the path of the URLs that it is about.
    urls: &'static str,
    keeping: Keeping,
}

/// Registries that clients have built in are not here: their hosts are learned from the clients, whose documentation says
/// that a version is never replaced, only withdrawn ([`Keeping::Withdrawable`]).
const TABLE: &[Row] = &[
    // "a wayback machine that allows access to old packages based on dates and version numbers" (its front page); removals
    // for legal reasons are listed at /removal.
    Row { urls: "snapshot.debian.org/", keeping: Keeping::Permanent },
    // Launchpad's help, "Packaging/PPA/Deleting": files of the primary archive's history stay in the librarian.
    Row { urls: "launchpad.net/ubuntu/+archive/primary/+files/", keeping: Keeping::Permanent },
    // The kernel's archive ("Mirrors" and "Releases" on its site): releases are signed and never taken away.
    Row { urls: "cdn.kernel.org/pub/linux/kernel/", keeping: Keeping::Permanent },
];

/// What the table promises about a URL.
pub fn of_url(url: &str) -> Keeping {
    let Ok(url) = Url::parse(url) else { return Keeping::Unknown };
    let host = url.host_str().unwrap_or_default();
    let row = TABLE.iter().find(|row| {
        let (name, path) = row.urls.split_once('/').unwrap_or((row.urls, ""));
        name == host
            && url.port().is_none()
            && url.path().strip_prefix('/').is_some_and(|rest| rest.starts_with(path))
    });
    row.map_or(Keeping::Unknown, |row| row.keeping)
}

/// The best promise about the URL of a package: the table's, or that of the client that the URL comes from.
pub fn keeping(record: &PackageRecord) -> Keeping {
    record.keeping.max(of_url(&record.url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_about_a_host_and_a_folder() {
        for (url, keeping) in [
            ("https://snapshot.debian.org/file/00", Keeping::Permanent),
            ("https://snapshot.debian.org.evil.example/file/00", Keeping::Unknown),
            ("https://snapshot.debian.org:8443/file/00", Keeping::Unknown),
            ("https://user.example/snapshot.debian.org/", Keeping::Unknown),
            ("https://cdn.kernel.org/pub/linux/kernel/v6.x/a.tar.xz", Keeping::Permanent),
            ("https://cdn.kernel.org/pub/other/a.tar.xz", Keeping::Unknown),
            ("no URL", Keeping::Unknown),
        ] {
            assert_eq!(of_url(url), keeping, "{url}");
        }
    }
}
