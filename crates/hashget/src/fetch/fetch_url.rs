//! Which URLs may be fetched (schemes, credentials, redirects into private networks), and how URLs are shown.
//!
//! Invariant: a [`FetchUrl`] is an http or https URL without credentials; no message shows any.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use url::{Host, Url};

use super::FetchError;
use crate::model::escaped;

/// Top-level domains that exist only inside private networks (RFC 6761, RFC 6762, and the one that is reserved for them).
const PRIVATE_NAMES: &[&str] = &["localhost", "local", "internal"];

/// A URL that may be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FetchUrl {
    url: Url,
}

impl FetchUrl {
    /// Checks a URL.
    pub(super) fn parse(text: &str) -> Result<Self, FetchError> {
        let url =
            Url::parse(text).map_err(|error| refused(text, &format!("it is no URL ({error})")))?;
        Self::check(url)
    }

    /// The URL to which a redirect with this `location` leads.
    pub(super) fn join(&self, location: &str) -> Result<Self, FetchError> {
        let url = self.url.join(location).map_err(|_| {
            let location = escaped(location.as_bytes());
            refused(self.as_str(), &format!("it redirects to \"{location}\", which is no URL"))
        })?;
        Self::check(url)
    }

    fn check(mut url: Url) -> Result<Self, FetchError> {
        let problem = match url.scheme() {
            "http" | "https" => None,
            other => Some(format!("only http and https are fetched, not {other}")),
        };
        let problem = problem
            .or_else(|| {
                let credentials = !url.username().is_empty() || url.password().is_some();
                credentials.then(|| "a URL with a user name or password is not fetched".to_owned())
            })
            .or_else(|| url.host().is_none().then(|| "it has no host".to_owned()));
        if let Some(problem) = problem {
            return Err(refused(url.as_str(), &problem));
        }
        url.set_fragment(None);
        Ok(Self { url })
    }

    /// The URL, which is printable ASCII.
    pub(super) fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Is it https?
    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Host and port: the unit of politeness, and the name in messages.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Its host.
    pub(super) fn url_host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    /// Does it name this machine itself?
    pub(super) fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    }

    /// Is its host (or its host and port) one of these?
    pub(super) fn is_of(&self, hosts: &BTreeSet<String>) -> bool {
        self.names().iter().any(|name| hosts.contains(name))
    }

    /// The names by which the configuration may call its host: with its port, and without.
    pub(super) fn names(&self) -> [String; 2] {
        let port = self.url.port_or_known_default().unwrap_or_default();
        let name = self.url.host_str().unwrap_or_default();
        [format!("{name}:{port}"), name.to_owned()]
    }

    /// The path of the URL.
    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    /// Does the URL itself name this machine or a private network? Without a DNS query.
    pub(super) fn is_private_by_name(&self) -> bool {
        match self.url.host() {
            Some(Host::Ipv4(address)) => is_private(address.into()),
            Some(Host::Ipv6(address)) => is_private(address.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let last = name.rsplit_once('.').map(|(_, last)| last);
                last.is_none_or(|last| PRIVATE_NAMES.contains(&last))
                    || name.ends_with(".home.arpa")
            }
            None => false,
        }
    }

    /// Does the URL name this machine or a private network, or does its host resolve to one?
    pub(super) fn is_private(&self) -> bool {
        let port = self.url.port_or_known_default().unwrap_or(80);
        self.is_private_by_name()
            || (self.url.host_str().unwrap_or_default(), port)
                .to_socket_addrs()
                .is_ok_and(|mut addresses| addresses.any(|address| is_private(address.ip())))
    }
}

/// A [`FetchError::Refused`] whose URL is safe to show.
pub(super) fn refused(url: &str, problem: &str) -> FetchError {
    FetchError::Refused { url: shown(url), problem: problem.to_owned() }
}

/// A URL for a message: without user name and password, safe for a terminal.
pub fn shown(url: &str) -> String {
    let text = match Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Both fail only for URLs that cannot have credentials.
            let cleared = parsed.set_username("").and_then(|()| parsed.set_password(None));
            if cleared.is_ok() { parsed.into() } else { "(a URL with a password)".to_owned() }
        }
        Ok(_) => url.to_owned(),
        // Text that does not parse may still contain a password.
        Err(_) => match url.rsplit_once('@') {
            Some((_, rest)) => format!("...@{rest}"),
            None => url.to_owned(),
        },
    };
    escaped(text.as_bytes())
}

/// Is this an address of this machine or of a private network, or not the address of a single host?
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        // Shared address space of carriers.
        || (first == 100 && (64..128).contains(&second))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || address.to_ipv4_mapped().is_some_and(is_private_v4)
        // An IPv4 address behind a translator (NAT64) or a tunnel (6to4).
        || (segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] && embedded(segments[6], segments[7]))
        || (segments[0] == 0x2002 && embedded(segments[1], segments[2]))
}

/// Resolves names only to public addresses: used for redirects of public servers, and for URLs that untrusted files
/// name.
#[derive(Debug, Default)]
pub(super) struct PublicOnly {
    inner: DefaultResolver,
    /// Where the proxy is, which may be anywhere.
    proxy: Option<Uri>,
}

impl PublicOnly {
    /// Besides public addresses it finds those of the proxy.
    pub(super) fn with_proxy(proxy: Option<Uri>) -> Self {
        Self { proxy, ..Self::default() }
    }
}

/// A host of which only public addresses are allowed has a private one.
#[derive(Debug, thiserror::Error)]
#[error("its host has {0}, an address of a private network")]
pub(super) struct PrivateAddress(IpAddr);

impl Resolver for PublicOnly {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = self.inner.resolve(uri, config, timeout)?;
        if self.proxy.as_ref() == Some(uri) {
            return Ok(addresses);
        }
        match addresses.iter().find(|address| is_private(address.ip())) {
            Some(address) => Err(ureq::Error::Other(Box::new(PrivateAddress(address.ip())))),
            None => Ok(addresses),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_without_credentials_is_a_target() {
        for bad in [
            "file:///etc/passwd",
            "ftp://example.org/a",
            "data:text/plain,x",
            "http://user@example.org/",
            "https://user:secret@example.org/",
            "no url",
            "http://",
        ] {
            let error = FetchUrl::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        assert_eq!(
            FetchUrl::parse("http://example.org/a#b").unwrap().as_str(),
            "http://example.org/a"
        );
        assert!(!shown("http://u:secret@[bad/").contains("secret"));
    }

    #[test]
    fn a_redirected_public_client_connects_to_no_private_address() {
        let config = ureq::Agent::config_builder().build();
        let resolve = |uri: &'static str| {
            let uri = Uri::from_static(uri);
            PublicOnly::default().resolve(&uri, &config, NextTimeout::default())
        };
        let error = resolve("http://127.0.0.1/").unwrap_err().to_string();
        assert!(error.contains("private network"), "{error}");
        assert_eq!(resolve("http://1.1.1.1/").unwrap().len(), 1);
    }

    #[test]
    fn private_addresses_are_known_in_all_their_disguises() {
        for private in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0.0.0.0/",
            "http://10.1.2.3/",
            "http://172.16.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/",
            "http://100.64.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://localhost/",
            "http://a.LOCALHOST./",
            "http://printer/",
            "http://nas.local/",
            "http://metadata.provider.internal./",
            "http://router.home.arpa/",
        ] {
            assert!(FetchUrl::parse(private).unwrap().is_private_by_name(), "{private}");
        }
        for public in ["http://1.1.1.1/", "http://[2606:4700::1]/", "http://example.org/"] {
            assert!(!FetchUrl::parse(public).unwrap().is_private_by_name(), "{public}");
        }
    }
}
