//! Which packages the fall-backs may be asked for: those that anybody may know of, and that no other source has.
//!
//! Invariant: a package is public only if one of its URLs is: no login, no query that may be a secret, no host of this machine,
//! of its network, or that its user needs a login for, unless the configuration says that the host is public.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::super::fetch_url::FetchUrl;
use super::super::{Credentials, Wanted};
use super::IsPrivate;
use crate::model::Digest;

/// Packages that anybody may know of, and that no source had while restoring.
#[derive(Debug, Default)]
pub struct LostPackages(Mutex<BTreeMap<Digest, Lost>>);

#[derive(Debug, Clone)]
struct Lost {
    /// Its name, safe for a terminal.
    name: String,
    /// Where it was looked for.
    urls: BTreeSet<String>,
}

impl LostPackages {
    pub(super) fn add(&self, sha256: Digest, name: &str, wanted: &Wanted) {
        let urls = std::iter::once(&wanted.url).chain(&wanted.also).cloned().collect();
        let lost = Lost { name: name.to_owned(), urls };
        self.0.lock().expect("nothing panics while it looks").insert(sha256, lost);
    }

    /// The name of a package that is public and lost.
    pub(super) fn name(&self, sha256: &Digest) -> Option<String> {
        self.get(sha256).map(|lost| lost.name)
    }

    /// Where a package that is public and lost was looked for.
    pub(crate) fn urls(&self, sha256: &Digest) -> Option<BTreeSet<String>> {
        self.get(sha256).map(|lost| lost.urls)
    }

    fn get(&self, sha256: &Digest) -> Option<Lost> {
        self.0.lock().expect("nothing panics while it looks").get(sha256).cloned()
    }
}

/// Tells public URLs.
pub(super) struct Public {
    /// Hosts that the configuration says are public.
    pub(super) hosts: BTreeSet<String>,
    /// Logins of the configuration.
    pub(super) credentials: Credentials,
    /// See [`FallbackOptions`](super::FallbackOptions).
    pub(super) is_private: Box<IsPrivate>,
}

impl Public {
    /// The public ones of the package's URLs.
    pub(super) fn urls(&self, wanted: &Wanted) -> Vec<String> {
        let all = std::iter::once(&wanted.url).chain(&wanted.also);
        all.filter(|url| self.has(url)).cloned().collect()
    }

    fn has(&self, url: &str) -> bool {
        let Ok(target) = FetchUrl::parse(url) else { return false };
        let is_everybodys = || {
            target.is_of(&self.hosts)
                || !(self.credentials.is_for(&target)
                    || (self.is_private)(url)
                    || target.is_private())
        };
        !target.as_str().contains('?') && is_everybodys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_of_what_is_not_everybodys() {
        let mut credentials = Credentials::default();
        assert!(credentials.add_token("login.example", "t"));
        let hosts = ["10.0.0.2".to_owned(), "127.0.0.1:8080".to_owned()].into();
        let is_private: Box<IsPrivate> = Box::new(|url| url.contains("client.example"));
        let public = Public { hosts, credentials, is_private };
        for (url, is_public) in [
            ("https://packages.example/a.deb", true),
            ("http://10.0.0.2/a.deb", true),
            ("http://127.0.0.1:8080/a.deb", true),
            ("http://127.0.0.1:8081/a.deb", false),
            ("http://10.0.0.3/a.deb", false),
            ("https://nas.local/a.deb", false),
            ("https://user:word@packages.example/a.deb", false),
            ("https://packages.example/a.deb?token=1", false),
            ("https://login.example/a.deb", false),
            ("https://client.example/a.deb", false),
            ("ftp://packages.example/a.deb", false),
            ("beside:a.tar", false),
        ] {
            let wanted = Wanted { url: url.to_owned(), ..Wanted::default() };
            assert_eq!(public.urls(&wanted).len(), usize::from(is_public), "{url}");
        }
        let also = vec!["https://packages.example/b".to_owned()];
        let wanted = Wanted { url: "http://10.0.0.3/a".to_owned(), also, ..Wanted::default() };
        assert_eq!(public.urls(&wanted), ["https://packages.example/b"]);
    }
}
