//! Mirrors: URLs that begin with a prefix are fetched from other places.
//!
//! Invariant: only public URLs are recorded; a mirror's URLs are used for fetching alone.

use super::failover::{combine, tell_mismatch};
use super::{ByteRange, FetchError, Fetched, Reach, Source, Wanted, Web};
use crate::monitor::Monitor;

/// Where to fetch URLs of one prefix from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRule {
    /// The prefix of the public URLs.
    pub prefix: String,
    /// The replacements, tried in turn. The public server is asked only if it is one of them.
    pub use_urls: Vec<String>,
}

/// Applies mirror rules.
pub struct Mirrors<I> {
    rules: Vec<MirrorRule>,
    inner: I,
}

impl<I> Mirrors<I> {
    /// Applies these rules before asking `inner`. If several rules match a URL, the longest prefix wins.
    pub fn new(rules: Vec<MirrorRule>, inner: I) -> Self {
        Self { rules, inner }
    }

    /// The public URL of a URL learned on this machine; see [`public_url`].
    pub fn public_url(&self, url: &str) -> String {
        public_url(&self.rules, url)
    }

    /// The URLs to try for a public URL, and where each may lead: a place of the configuration to anywhere.
    fn places(&self, url: &str, reach: Reach) -> Vec<(String, Reach)> {
        let fitting = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule, rest_after(url, &rule.prefix)?)))
            .max_by_key(|(rule, _)| rule.prefix.len());
        match fitting {
            Some((rule, rest)) => {
                let at = |place: &String| {
                    let there = format!("{place}{rest}");
                    let is_configured = there != url && is_below(&there, place);
                    (there, if is_configured { Reach::Configured } else { reach })
                };
                rule.use_urls.iter().map(at).collect()
            }
            None => vec![(url.to_owned(), reach)],
        }
    }
}

impl<I: Source> Source for Mirrors<I> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let mut places: Vec<(String, Reach)> = Vec::new();
        for url in std::iter::once(&wanted.url).chain(&wanted.also) {
            for place in self.places(url, wanted.reach) {
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        let mut errors = Vec::new();
        let count = places.len();
        for (position, (url, reach)) in places.into_iter().enumerate() {
            let name = wanted.name.clone();
            let there = Wanted { url, reach, also: Vec::new(), name, ..*wanted };
            match self.inner.fetch(&there, monitor) {
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) => {
                    if position + 1 < count {
                        tell_mismatch(&error, &there, monitor);
                    }
                    errors.push(error);
                }
                fetched => return fetched,
            }
        }
        if errors.is_empty() {
            let problem = "the mirror rule for it names no place to fetch from";
            return Err(super::fetch_url::refused(&wanted.url, problem));
        }
        Err(combine(errors))
    }
}

impl<I: Web> Web for Mirrors<I> {
    fn fetch_range(
        &self,
        url: &str,
        reach: Reach,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<ByteRange, FetchError> {
        self.at_each(url, reach, |place, reach| {
            self.inner.fetch_range(place, reach, first, count, monitor)
        })
    }

    fn fetch_page(
        &self,
        url: &str,
        reach: Reach,
        accept: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError> {
        self.at_each(url, reach, |place, reach| {
            self.inner.fetch_page(place, reach, accept, most, monitor)
        })
    }
}

impl<I> Mirrors<I> {
    /// The first answer of the mirrors of `url`.
    fn at_each<T>(
        &self,
        url: &str,
        reach: Reach,
        ask: impl Fn(&str, Reach) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let mut errors = Vec::new();
        for (place, reach) in self.places(url, reach) {
            match ask(&place, reach) {
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) => errors.push(error),
                given => return given,
            }
        }
        if errors.is_empty() {
            let problem = "the mirror rule for it names no place to fetch from";
            return Err(super::fetch_url::refused(url, problem));
        }
        Err(combine(errors))
    }
}

/// The public URL of `url`: if it begins with a replacement of some rule (the longest wins), the rule's prefix and
/// the rest; otherwise `url` itself.
pub fn public_url(rules: &[MirrorRule], url: &str) -> String {
    rules
        .iter()
        .flat_map(|rule| rule.use_urls.iter().map(move |place| (place, &rule.prefix)))
        .filter_map(|(place, prefix)| Some((place.len(), prefix, rest_after(url, place)?)))
        .max_by_key(|(length, ..)| *length)
        .map_or_else(|| url.to_owned(), |(_, prefix, rest)| format!("{prefix}{rest}"))
}

/// What follows `prefix` in `url`. A prefix that ends in the host name (`http://example.org`) does not match another
/// host (`http://example.org.evil/`).
fn rest_after<'a>(url: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = url.strip_prefix(prefix)?;
    let after_scheme = prefix.split_once("://").map_or(prefix, |(_, after)| after);
    let host_is_whole = after_scheme.contains('/') || rest.is_empty() || rest.starts_with('/');
    host_is_whole.then_some(rest)
}

/// Does `url` stay below `place`, once the parts `..` in it are resolved?
fn is_below(url: &str, place: &str) -> bool {
    match (url::Url::parse(url), url::Url::parse(place)) {
        (Ok(url), Ok(place)) => rest_after(url.as_str(), place.as_str()).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: &str, use_urls: &[&str]) -> MirrorRule {
        let use_urls = use_urls.iter().map(|&place| place.to_owned()).collect();
        MirrorRule { prefix: prefix.to_owned(), use_urls }
    }

    #[test]
    fn a_place_of_the_configuration_may_be_anywhere_and_nothing_beside_it() {
        let use_urls = ["http://10.0.0.1/mirror/", "https://example.org/"];
        let mirrors = Mirrors::new(vec![rule("https://example.org/", &use_urls)], ());
        let places = |url| mirrors.places(url, Reach::PublicOnly);
        for (url, reach) in [
            ("https://example.org/a/b", Reach::Configured),
            ("https://example.org/a/../b", Reach::Configured),
            ("https://example.org/../b", Reach::PublicOnly),
            ("https://example.org/a/%2e%2E/../b", Reach::PublicOnly),
        ] {
            let found = places(url);
            assert_eq!((found[0].1, found[1].1), (reach, Reach::PublicOnly), "{found:?}");
        }
        assert_eq!(places("http://10.0.0.1/mirror/a")[0].1, Reach::PublicOnly);
    }

    #[test]
    fn what_a_mirror_gave_is_recorded_under_its_public_url() {
        let rules = [
            rule(
                "https://example.org/",
                &["http://mirror.example.com/org/", "https://example.org/"],
            ),
            rule("https://special.example.org/", &["http://mirror.example.com/org/special/"]),
            rule("https://bare.example.org", &["http://bare.example.com"]),
        ];
        for (url, public) in [
            ("http://mirror.example.com/org/a/b", "https://example.org/a/b"),
            ("http://mirror.example.com/org/special/b", "https://special.example.org/b"),
            ("http://mirror.example.com/other/b", "http://mirror.example.com/other/b"),
            ("https://example.org/a", "https://example.org/a"),
            ("http://bare.example.com/a", "https://bare.example.org/a"),
            ("http://bare.example.com.evil/a", "http://bare.example.com.evil/a"),
        ] {
            assert_eq!(public_url(&rules, url), public);
        }
    }
}
