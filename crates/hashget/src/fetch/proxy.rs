//! Which proxy a request goes through: that of the configuration, or those of the environment's variables, read as curl
//! reads them.
//!
//! Invariant: no message has a proxy's user name or password. A pool or mirror on this machine is asked directly, unless
//! the configuration itself names the proxy.

use std::net::IpAddr;

use ureq::Proxy;
use url::{Host, Url};

use super::Reach;
use super::fetch_url::FetchUrl;
use crate::error::ErrorClass;

/// The proxies to use. The default is to use none.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    /// Hosts that are asked directly.
    direct: Vec<Direct>,
    from_environment: bool,
}

/// A proxy that cannot be used. The text has no part of its address.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected an address that begins with http://, https://, socks4://, socks4a://, socks5:// or socks5h://"
)]
pub struct BadProxy;

impl BadProxy {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::BadInput
    }
}

/// How a request reaches its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    Direct,
    HttpProxy,
    HttpsProxy,
}

/// One item of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Direct {
    Everything,
    /// A domain with its subdomains.
    Domain(String),
    /// An address, and the number of its leading bits that count.
    Network(IpAddr, u32),
}

impl Proxies {
    /// One proxy for all requests.
    ///
    /// # Errors
    /// It is not the address of a proxy.
    pub fn configured(address: &str) -> Result<Self, BadProxy> {
        let proxy = Some(read(address)?);
        Ok(Self { http: proxy.clone(), https: proxy, ..Self::default() })
    }

    /// The proxies of environment variables; `variable` looks one up. As with curl, `http_proxy`, `https_proxy` and
    /// `all_proxy` in lower case count first, an empty one means none, and `no_proxy` lists domains, addresses and networks
    /// that are asked directly. `HTTP_PROXY` is ignored in a CGI program, where a client could have set it.
    ///
    /// # Errors
    /// The name of a variable whose value is not the address of a proxy.
    pub fn of_variables(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, (String, BadProxy)> {
        let in_cgi = variable("REQUEST_METHOD").is_some();
        let chosen = |names: [&str; 4]| {
            let mut names = names.into_iter().filter(|name| !(in_cgi && *name == "HTTP_PROXY"));
            let (name, value) = names.find_map(|name| Some((name, variable(name)?)))?;
            let value = value.trim().to_owned();
            (!value.is_empty()).then(|| read(&value).map_err(|error| (name.to_owned(), error)))
        };
        let http = chosen(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]).transpose()?;
        let https = chosen(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]).transpose()?;
        let direct = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
        let direct = direct.split([',', ' ']).filter_map(Direct::read).collect();
        Ok(Self { http, https, direct, from_environment: true })
    }

    /// How a request to `target` goes.
    pub(super) fn route(&self, target: &FetchUrl, reach: Reach) -> Route {
        let (proxy, route) = match target.is_secure() {
            true => (&self.https, Route::HttpsProxy),
            false => (&self.http, Route::HttpProxy),
        };
        let own = self.from_environment && reach == Reach::Configured && target.is_loopback();
        let direct = || self.direct.iter().any(|item| item.has(target.url_host()));
        if proxy.is_none() || own || direct() { Route::Direct } else { route }
    }

    /// The proxy of a route.
    pub(super) fn proxy(&self, route: Route) -> Option<&Proxy> {
        match route {
            Route::Direct => None,
            Route::HttpProxy => self.http.as_ref(),
            Route::HttpsProxy => self.https.as_ref(),
        }
    }
}

/// Reads a proxy's address, which may lack the scheme.
fn read(address: &str) -> Result<Proxy, BadProxy> {
    let with_scheme = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let url = Url::parse(&with_scheme).map_err(|_| BadProxy)?;
    let is_known =
        ["http", "https", "socks4", "socks4a", "socks5", "socks5h"].contains(&url.scheme());
    if !is_known || url.host_str().is_none_or(str::is_empty) {
        return Err(BadProxy);
    }
    Proxy::new(&with_scheme).map_err(|_| BadProxy)
}

impl Direct {
    fn read(item: &str) -> Option<Self> {
        let item = item.trim().trim_start_matches('.').trim_end_matches('.').to_ascii_lowercase();
        let address = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        match item.as_str() {
            "" => None,
            "*" => Some(Self::Everything),
            item if let Some(address) = address(item) => Some(Self::Network(address, 128)),
            item => match item.split_once('/') {
                Some((network, bits)) => Some(Self::Network(address(network)?, bits.parse().ok()?)),
                None => Some(Self::Domain(item.trim_start_matches("*.").to_owned())),
            },
        }
    }

    fn has(&self, host: Option<Host<&str>>) -> bool {
        let address = match host {
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
            Some(Host::Domain(name)) => return self.has_name(name.trim_end_matches('.')),
            None => return false,
        };
        match self {
            Self::Everything => true,
            Self::Domain(_) => false,
            Self::Network(network, bits) => in_network(address, *network, *bits),
        }
    }

    fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Network(..) => false,
            Self::Domain(domain) => name
                .strip_suffix(domain.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with('.')),
        }
    }
}

/// Does `address` have the first `bits` bits of `network`?
fn in_network(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let prefix =
        |number: u128, width: u32| number.checked_shr(width - bits.min(width)).unwrap_or(0);
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            prefix(address.to_bits().into(), 32) == prefix(network.to_bits().into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            prefix(address.to_bits(), 128) == prefix(network.to_bits(), 128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values.
    type Variables = &'static [(&'static str, &'static str)];

    fn of(pairs: Variables) -> Result<Proxies, (String, BadProxy)> {
        Proxies::of_variables(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    /// The host and port of the proxy for a URL that the user named.
    fn proxy_of(proxies: &Proxies, url: &str) -> Option<String> {
        let route = proxies.route(&FetchUrl::parse(url).unwrap(), Reach::Anywhere);
        proxies.proxy(route).map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn the_variables_are_chosen_as_curl_does() {
        let table: [(Variables, Option<&str>, Option<&str>); 9] = [
            (&[], None, None),
            (&[("HTTP_PROXY", "http://a:1")], Some("a:1"), None),
            (&[("HTTP_PROXY", "http://a:1"), ("http_proxy", "b:2")], Some("b:2"), None),
            (&[("HTTPS_PROXY", "http://a:1")], None, Some("a:1")),
            (&[("ALL_PROXY", "socks5://a:1")], Some("a:1"), Some("a:1")),
            (&[("all_proxy", "a:1"), ("https_proxy", "b:2")], Some("a:1"), Some("b:2")),
            (&[("all_proxy", "a:1"), ("https_proxy", "")], Some("a:1"), None),
            (&[("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")], None, None),
            (&[("http_proxy", "http://u:p@a:1/")], Some("a:1"), None),
        ];
        for (pairs, http, https) in table {
            let proxies = of(pairs).unwrap();
            assert_eq!(proxy_of(&proxies, "http://example.org/").as_deref(), http, "{pairs:?}");
            assert_eq!(proxy_of(&proxies, "https://example.org/").as_deref(), https, "{pairs:?}");
        }
    }

    #[test]
    fn no_proxy_lists_domains_addresses_and_networks() {
        let table = [
            ("example.org", "http://example.org/", true),
            ("example.org", "http://a.EXAMPLE.org./", true),
            ("example.org", "http://anexample.org/", false),
            (".example.org", "http://example.org/", true),
            ("*.example.org", "http://a.example.org/", true),
            ("other, example.org", "http://example.org/", true),
            ("other example.org", "http://example.org/", true),
            ("*", "http://10.0.0.1/", true),
            ("10.0.0.1", "http://10.0.0.1:8080/", true),
            ("10.0.0.0/8", "http://10.9.8.7/", true),
            ("10.0.0.0/8", "http://11.0.0.1/", false),
            ("10.0.0.0/nonsense", "http://10.0.0.1/", false),
            ("0.0.0.0/0", "http://10.0.0.1/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("[::1]", "http://[::1]/", true),
            ("::1", "http://[::2]/", false),
            ("0.0.1", "http://10.0.0.1/", false),
        ];
        for (list, url, direct) in table {
            let variable = |name: &str| match name {
                "ALL_PROXY" => Some("http://proxy:3128".to_owned()),
                "NO_PROXY" => Some(list.to_owned()),
                _ => None,
            };
            let proxies = Proxies::of_variables(variable).unwrap();
            assert_eq!(proxy_of(&proxies, url).is_none(), direct, "{list}: {url}");
        }
    }

    #[test]
    fn a_place_of_this_machine_is_asked_directly_unless_the_configuration_says_otherwise() {
        let environment = of(&[("ALL_PROXY", "http://proxy:3128")]).unwrap();
        let configuration = Proxies::configured("http://proxy:3128").unwrap();
        for url in ["http://127.0.0.1/", "https://localhost/", "http://[::1]/"] {
            let target = FetchUrl::parse(url).unwrap();
            assert_eq!(environment.route(&target, Reach::Configured), Route::Direct, "{url}");
            assert_ne!(environment.route(&target, Reach::Anywhere), Route::Direct, "{url}");
            assert_ne!(configuration.route(&target, Reach::Configured), Route::Direct, "{url}");
        }
        let pool = FetchUrl::parse("http://pool.example/").unwrap();
        assert_ne!(environment.route(&pool, Reach::Configured), Route::Direct);
    }

    #[test]
    fn a_bad_address_is_told_without_its_password() {
        for bad in ["ftp://u:secret@proxy", "http://", "u:secret@", "socks6://proxy", "http://[bad"]
        {
            let error = Proxies::configured(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        let (name, _) = of(&[("https_proxy", "ftp://u:secret@proxy")]).unwrap_err();
        assert_eq!(name, "https_proxy");
        let proxies = Proxies::configured("http://user:secret@proxy:3128").unwrap();
        assert!(!format!("{proxies:?}").contains("secret"), "{proxies:?}");
    }
}
