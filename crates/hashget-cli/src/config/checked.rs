//! Values of the configuration, checked while they are read.
//!
//! Invariant: a value that is not valid is an error that says what was expected.

use hashget::detectors;
use hashget::fetch::{MirrorPlace, Proxies};
use serde::{Deserialize, Deserializer};

use crate::values;

pub(super) fn checked<'de, D: Deserializer<'de>, T: Deserialize<'de>, R>(
    deserializer: D,
    check: impl Fn(T) -> Result<R, String>,
) -> Result<R, D::Error> {
    check(T::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

pub(super) fn pools<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    checked(deserializer, |pools: Vec<String>| {
        pools
            .iter()
            .map(|pool| values::pool(pool).map_err(|problem| format!("pool \"{pool}\": {problem}")))
            .collect()
    })
}

pub(super) fn http(url: &str) -> Result<String, String> {
    match url::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(url.to_owned()),
        _ => Err(format!("\"{url}\": expected a URL that begins with http:// or https://")),
    }
}

pub(super) fn url_prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, |url: String| http(&url))
}

/// It is recorded in archives, so it must be public; it gets a trailing `/`.
pub(super) fn archive_url<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    checked(deserializer, |url: String| match detectors::public_url(&url) {
        Ok(public) => Ok(Some(format!("{}/", public.trim_end_matches('/')))),
        Err(error) => Err(error.to_string()),
    })
}

/// Places of a mirror.
pub(super) fn url_prefixes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    checked(deserializer, |urls: Vec<String>| {
        if urls.is_empty() {
            return Err("expected at least one URL".to_owned());
        }
        let checked = |url: &String| {
            MirrorPlace::parse(url).map_err(|error| format!("\"{url}\": {error}"))?;
            http(url)
        };
        urls.iter().map(checked).collect()
    })
}

pub(super) fn proxy<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Proxies>, D::Error> {
    checked(deserializer, |proxy: String| match Proxies::configured(&proxy) {
        Ok(proxies) => Ok(Some(proxies)),
        Err(error) => Err(error.to_string()),
    })
}

pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    checked(deserializer, |size: String| values::bytes(&size).map(Some))
}

pub(super) fn connections<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<usize>, D::Error> {
    checked(deserializer, |connections: usize| match connections {
        1..=64 => Ok(Some(connections)),
        _ => Err("expected from 1 to 64 connections".to_owned()),
    })
}

pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    checked(deserializer, |rate: f64| match rate {
        rate if rate > 0.0 && rate.is_finite() => Ok(Some(rate)),
        _ => Err("expected a number greater than 0".to_owned()),
    })
}
