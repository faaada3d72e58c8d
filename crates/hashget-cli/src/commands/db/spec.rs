//! How users select packages of the HashDB: by URL, file name, signature or expiry date.
//!
//! Invariant: whether a spec selects a package depends only on its record.

use std::fmt;

use hashget::model::{PackageRecord, Signature};

use crate::values;

/// Selects packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PackageSpec {
    /// Every package.
    All,
    /// Its URL, or one of its other URLs.
    Url(String),
    /// The last part of its URL.
    BaseName(String),
    /// One of its signatures.
    Signature(Signature),
    /// Expired on this day; today if no day is given.
    Expired(Option<String>),
}

/// Parses the value of `--package`.
pub(crate) fn parse(text: &str) -> Result<PackageSpec, String> {
    match text.split_once(':') {
        _ if text.contains("://") => Ok(PackageSpec::Url(text.to_owned())),
        Some(("sig", signature)) => signature.parse().map(PackageSpec::Signature),
        Some(("expired", date)) => values::date(date).map(|date| PackageSpec::Expired(Some(date))),
        _ if text.is_empty() => Err("expected a URL, a file name, sig:TYPE:VALUE, expired, \
                                     expired:YYYY-MM-DD or all"
            .to_owned()),
        _ => Ok(match text {
            "all" => PackageSpec::All,
            "expired" => PackageSpec::Expired(None),
            name => PackageSpec::BaseName(name.to_owned()),
        }),
    }
}

impl PackageSpec {
    /// Does it select this package? `today` is `YYYY-MM-DD`.
    pub(crate) fn picks(&self, record: &PackageRecord, today: &str) -> bool {
        match self {
            Self::All => true,
            Self::Url(url) => record.url == *url || record.also.contains(url),
            Self::BaseName(name) => record.base_name() == name,
            Self::Signature(signature) => record.signatures.contains(signature),
            // Dates in this form can be compared as text.
            Self::Expired(date) => {
                let day = date.as_deref().unwrap_or(today);
                record.expires.as_deref().is_some_and(|expires| expires < day)
            }
        }
    }
}

impl fmt::Display for PackageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Url(text) | Self::BaseName(text) => f.write_str(text),
            Self::Signature(signature) => write!(f, "sig:{signature}"),
            Self::Expired(None) => f.write_str("expired"),
            Self::Expired(Some(date)) => write!(f, "expired:{date}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hashget::model::{Digest, Evidence};

    use super::*;

    fn record() -> PackageRecord {
        PackageRecord {
            url: "https://example.org/pool/vim_9.0%2B1_amd64.deb?x=1".to_owned(),
            also: vec!["https://mirror.example/vim.deb".to_owned()],
            sha256: Digest::of(b""),
            size: 0,
            format: "deb".to_owned(),
            signatures: vec!["deb:vim_2:9.0+1_amd64".parse().unwrap()],
            project: None,
            expires: Some("2027-03-01".to_owned()),
            indexed_at: 0,
            evidence: Evidence::Downloaded,
            vouched: false,
            recursive: false,
            passed_over: 0,
            origin: hashget::model::Origin::User,
            trees: Vec::new(),
            keeping: hashget::model::Keeping::Unknown,
            publisher: None,
        }
    }

    #[test]
    fn each_kind_of_spec_picks_by_its_own_field() {
        for (spec, expected) in [
            ("all", true),
            ("https://example.org/pool/vim_9.0%2B1_amd64.deb?x=1", true),
            ("https://mirror.example/vim.deb", true),
            ("https://example.org/pool/", false),
            ("vim_9.0%2B1_amd64.deb", true),
            ("vim", false),
            ("sig:deb:vim_2:9.0+1_amd64", true),
            ("sig:deb:vim", false),
            ("expired", true),
            ("expired:2027-03-02", true),
            ("expired:2027-03-01", false),
        ] {
            let parsed = parse(spec).unwrap();
            assert_eq!(parsed.picks(&record(), "2027-03-02"), expected, "{spec}");
            assert_eq!(parsed.to_string(), spec);
        }
        assert!(!parse("expired").unwrap().picks(&record(), "2027-03-01"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in ["", "sig:vim", "expired:soon", "expired:2027-02-30"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
