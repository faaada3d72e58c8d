//! Mirrors: URLs that begin with a prefix are fetched from other places.
//!
//! Invariant: only public URLs are recorded; a mirror's URLs are used for fetching alone.

use super::failover::{combine, tell_mismatch};
use super::fetch_url::refused;
use super::mirror_place::{BadTemplate, MirrorPlace};
use super::{ByteRange, FetchError, Fetched, Reach, Source, Wanted, Web};
use crate::model::Digest;
use crate::monitor::Monitor;

/// Where to fetch URLs of one prefix from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRule {
    /// The prefix of the public URLs.
    pub prefix: String,
    /// The replacements, tried in turn; see [`MirrorPlace`] for what may be in one. The public server is asked only if it is
    /// one of them.
    pub use_urls: Vec<String>,
}

/// A rule that is valid.
#[derive(Debug)]
struct Rule {
    prefix: String,
    places: Vec<MirrorPlace>,
}

/// Applies mirror rules.
#[derive(Debug)]
pub struct Mirrors<I> {
    rules: Vec<Rule>,
    inner: I,
}

impl<I> Mirrors<I> {
    /// Applies these rules before asking `inner`. If several rules match a URL, the longest prefix wins.
    ///
    /// # Errors
    /// A place has a template that is not valid.
    pub fn new(rules: Vec<MirrorRule>, inner: I) -> Result<Self, BadTemplate> {
        let checked = |rule: MirrorRule| {
            let places = rule.use_urls.iter().map(|place| MirrorPlace::parse(place));
            Ok(Rule { prefix: rule.prefix, places: places.collect::<Result<_, _>>()? })
        };
        Ok(Self { rules: rules.into_iter().map(checked).collect::<Result<_, _>>()?, inner })
    }

    /// The URLs to try for a public URL, and where each may lead: a place of the configuration to anywhere. Places that have
    /// packages by their digest count only if that is known.
    fn places(&self, url: &str, sha256: Option<&Digest>, reach: Reach) -> Vec<(String, Reach)> {
        let fitting = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule, rest_after(url, &rule.prefix)?)))
            .max_by_key(|(rule, _)| rule.prefix.len());
        let Some((rule, rest)) = fitting else { return vec![(url.to_owned(), reach)] };
        let at = |place: &MirrorPlace| {
            let (there, is_below) = match place {
                MirrorPlace::Prefix(prefix) => {
                    let there = format!("{prefix}{rest}");
                    let is_below = is_below(&there, prefix);
                    (there, is_below)
                }
                // Nothing of the URL that was asked for is in it.
                MirrorPlace::Template(template) => (template.url(sha256?), true),
            };
            let reach = if there != url && is_below { Reach::Configured } else { reach };
            Some((there, reach))
        };
        rule.places.iter().filter_map(at).collect()
    }
}

impl<I: Source> Source for Mirrors<I> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let mut places: Vec<(String, Reach)> = Vec::new();
        for url in std::iter::once(&wanted.url).chain(&wanted.also) {
            for place in self.places(url, wanted.sha256.as_ref(), wanted.reach) {
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
            return Err(no_place(&wanted.url));
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
        for (place, reach) in self.places(url, None, reach) {
            match ask(&place, reach) {
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) => errors.push(error),
                given => return given,
            }
        }
        if errors.is_empty() {
            return Err(no_place(url));
        }
        Err(combine(errors))
    }
}

/// The error for a URL of which no place is to be asked.
fn no_place(url: &str) -> FetchError {
    let problem = "its mirror has packages by their SHA-256 alone, which is not known here: add \
                   a place without {sha256} to `use`";
    refused(url, problem)
}

/// The public URL of `url`: if it begins with a replacement of some rule (the longest wins), the rule's prefix and
/// the rest; otherwise `url` itself.
pub fn public_url(rules: &[MirrorRule], url: &str) -> String {
    rules
        .iter()
        .flat_map(|rule| rule.use_urls.iter().map(move |place| (place, &rule.prefix)))
        // A template says nothing about which URL it stands for.
        .filter(|(place, _)| !place.contains('{'))
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
pub(crate) fn is_below(url: &str, place: &str) -> bool {
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
        let mirrors = Mirrors::new(vec![rule("https://example.org/", &use_urls)], ()).unwrap();
        let places = |url| mirrors.places(url, None, Reach::PublicOnly);
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
    fn a_place_by_digest_counts_only_if_the_digest_is_known() {
        let use_urls = ["http://10.0.0.1/{sha256:0:2}/{sha256:2:}", "https://b.example/"];
        let mirrors = Mirrors::new(vec![rule("https://example.org/", &use_urls)], ()).unwrap();
        let nothing = Digest::of(b"");
        let places = |sha256| mirrors.places("https://example.org/p", sha256, Reach::PublicOnly);
        let there = format!("http://10.0.0.1/e3/{}", &nothing.to_string()[2..]);
        let other = ("https://b.example/p".to_owned(), Reach::Configured);
        assert_eq!(places(Some(&nothing)), [(there, Reach::Configured), other.clone()]);
        assert_eq!(places(None), [other]);
    }

    #[test]
    fn what_a_mirror_gave_is_recorded_under_its_public_url() {
        let rules = [
            rule(
                "https://example.org/",
                &[
                    "http://mirror.example.com/org/",
                    "http://mirror.example.com/{sha256}",
                    "https://example.org/",
                ],
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
