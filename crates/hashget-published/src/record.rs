//! The record of a package as it is published: what everybody would say of it, and where the publisher got it.
//!
//! Invariant: nothing of the publisher's own machine is in it (projects, trees, who named the URL).

use hashget::formats::RULES;
use hashget::hashdb::{Check, is_public_url};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence, Keeping, Origin, PackageRecord, Signature};
use hashget::places::Standing;
use serde::{Deserialize, Serialize};

use crate::statement::Statement;

const DAY: i64 = 24 * 60 * 60;

/// Seconds for which a publisher's claim that a URL gave a package counts.
const CLAIM_COUNTS_FOR: i64 = 365 * DAY;

/// The day on which the first URL of a package gave its bytes, if it did and has not lost or changed them since. What somebody else
/// vouches for is not claimed.
pub(crate) fn seen(record: &PackageRecord, checks: &[Check]) -> Option<String> {
    let standing = Standing::new(checks, &record.url);
    let fetched = standing.fetched_at.filter(|_| standing.lost_at.is_none() && !standing.moves)?;
    let seen = jiff::Timestamp::from_second(fetched).ok()?;
    Some(seen.strftime("%Y-%m-%d").to_string())
}

/// May this be the URL of a published package? Readers refuse others: nothing in it is left out silently, as parsers of URLs do with
/// line breaks.
pub(crate) fn is_publishable(url: &str) -> bool {
    is_public_url(url) && !url.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// One row of `record` in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRecord {
    /// The digest of the package's bytes.
    pub sha256: Digest,
    /// The number of the package's bytes.
    pub size: u64,
    /// The name of its format.
    pub format: String,
    /// Packages within it were read, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nested: bool,
    /// The version of the rules by which it was read.
    pub rules: u32,
    /// The number of its members.
    pub members: u64,
    /// The digest of its member list.
    pub list: Digest,
    /// Members that could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passed_over: u64,
    /// Its URLs; the first one is the one that it is recorded under.
    pub urls: Vec<String>,
    /// The day on which the publisher got it from the first URL: `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Its names: signatures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How long its URLs are kept.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub keeping: Keeping,
    /// The day after which its URL may be gone: `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_unknown(value: &Keeping) -> bool {
    *value == Keeping::Unknown
}

impl PublishedRecord {
    /// What is published of a package with this record, whose member list has not been read yet.
    pub fn unread(record: &PackageRecord, seen: Option<String>) -> Self {
        Self {
            sha256: record.sha256,
            size: record.size,
            format: record.format.clone(),
            nested: record.recursive,
            rules: RULES,
            members: 0,
            list: Digest::of(b""),
            passed_over: record.passed_over,
            urls: record.urls().map(str::to_owned).collect(),
            seen,
            names: record.signatures.iter().map(ToString::to_string).collect(),
            keeping: record.keeping,
            expires: record.expires.clone(),
        }
    }

    /// What it says is in the package.
    pub fn statement(&self) -> Statement {
        Statement {
            package: self.sha256,
            size: self.size,
            format: self.format.clone(),
            nested: self.nested,
            rules: self.rules,
            members: self.members,
            list: self.list,
        }
    }

    /// Its signatures.
    pub fn signatures(&self) -> impl Iterator<Item = Signature> {
        self.names.iter().filter_map(|name| name.parse().ok())
    }

    /// When the publisher got it from its first URL, in seconds since 1970 UTC: the start of that day.
    pub fn seen_at(&self) -> Option<i64> {
        let day: jiff::civil::Date = self.seen.as_ref()?.parse().ok()?;
        let start = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(start.timestamp().as_second())
    }

    /// The record for a HashDB, on the word of the publisher whose log has this origin. `now` is in seconds since 1970 UTC: an old
    /// claim vouches for nothing.
    pub fn into_record(self, publisher: &str, now: i64) -> PackageRecord {
        let signatures = self.signatures().collect();
        let vouched = self.seen_at().is_some_and(|seen| {
            // The start of a day, somewhere on the earth.
            seen <= now + DAY && now.saturating_sub(seen) <= CLAIM_COUNTS_FOR
        });
        let mut urls = self.urls.into_iter();
        PackageRecord {
            url: urls.next().unwrap_or_default(),
            also: urls.collect(),
            sha256: self.sha256,
            size: self.size,
            format: self.format,
            signatures,
            project: None,
            expires: self.expires,
            indexed_at: now,
            evidence: Evidence::Signed,
            vouched,
            origin: Origin::Tree,
            trees: Vec::new(),
            keeping: self.keeping,
            recursive: self.nested,
            passed_over: self.passed_over,
            publisher: Some(publisher.to_owned()),
        }
    }

    /// What is wrong with it, if it cannot be what a publisher means.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let is_day = |day: &Option<String>| {
            day.as_ref().is_none_or(|day| day.parse::<jiff::civil::Date>().is_ok())
        };
        if self.members > Limits::default().entries {
            return Some("a package has more members than any reader takes");
        }
        if self.urls.is_empty() || !self.urls.iter().all(|url| is_publishable(url)) {
            return Some("a URL of a package is no public one (http or https)");
        }
        if !is_day(&self.seen) || !is_day(&self.expires) {
            return Some("a day of a package is none (YYYY-MM-DD)");
        }
        (self.signatures().count() != self.names.len())
            .then_some("a name of a package is no signature (KIND:VALUE)")
    }
}
