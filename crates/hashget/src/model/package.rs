//! What is known of a package as a whole.
//!
//! Invariant: `sha256` and `size` are of the package's bytes as they were read; `url` is where the
//! world finds it (never a mirror's address).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Digest;

/// How it is known that a package's URL gives a member's bytes. Stronger is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Only metadata on this machine says so.
    Local,
    /// The package's own list of digests was fetched from the URL, and the local bytes match it.
    Declared,
    /// A publisher says so, under a key that the user trusts.
    Signed,
    /// The package was fetched and every member hashed here.
    Downloaded,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Declared => "declared",
            Self::Signed => "signed",
            Self::Downloaded => "downloaded",
        })
    }
}

impl FromStr for Evidence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Local, Self::Declared, Self::Signed, Self::Downloaded]
            .into_iter()
            .find(|level| level.to_string() == text)
            .ok_or_else(|| format!("\"{text}\": expected downloaded, signed, declared or local"))
    }
}

/// Who named a package's URL, or what it rests on. Better is greater.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A file in the packed tree, which may belong to anyone.
    #[default]
    Tree,
    /// The configuration of a client on this machine, or what the client has built in.
    Client,
    /// The user: on the command line, in the configuration, by a rule.
    User,
}

/// How long a host promises that a URL gives the same bytes. Better is greater.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Keeping {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Until somebody withdraws the package: registries.
    Withdrawable,
    /// For ever: archives that never remove a file.
    Permanent,
}

/// Text for an enum whose values are written in lower case, and the value of a text.
macro_rules! words {
    ($type:ident: $($value:ident = $word:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$value => $word),+ })
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$value),)+
                    _ => Err(format!("\"{text}\": expected {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words!(Origin: Tree = "tree", Client = "client", User = "user");
words!(Keeping: Unknown = "unknown", Withdrawable = "withdrawable", Permanent = "permanent");

/// A package's name in its ecosystem, such as `deb` and `vim_2:9.0.1378-2_amd64`, or `crate` and
/// `serde-1.0.200`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// The ecosystem: `deb`, `crate`, ... Has no `:`.
    pub kind: String,
    /// The name within it.
    pub value: String,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

impl FromStr for Signature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((kind, value)) if !kind.is_empty() && !value.is_empty() => {
                Ok(Self { kind: kind.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!(
                "\"{text}\" is not a signature: expected TYPE:VALUE, as in deb:vim_9.0_amd64"
            )),
        }
    }
}

/// What the HashDB keeps of a package, besides its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRecord {
    /// The permanent public URL.
    pub url: String,
    /// Other URLs of the same bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The digest of the package's bytes.
    pub sha256: Digest,
    /// The number of the package's bytes.
    pub size: u64,
    /// The name of the reader that read it: `deb`, `tar`, `zip`, `gem`, or `file` when the file itself
    /// is the package.
    pub format: String,
    /// Its names in ecosystems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
    /// The user's own grouping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The day after which the URL may be gone, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// When it was indexed: seconds since 1970 UTC.
    pub indexed_at: i64,
    /// How it is known that the URL gives these bytes.
    pub evidence: Evidence,
    /// The user (`index --file`), or somebody whose signature counts, vouches that the URL gives these bytes.
    #[serde(default)]
    pub vouched: bool,
    /// Who named the URL.
    #[serde(default)]
    pub origin: Origin,
    /// The trees, as absolute paths, whose files named the URL: if nobody better did, only they rely on it.
    #[serde(skip)]
    pub trees: Vec<String>,
    /// What the client that the URL comes from promises; the table in `keeping.rs` may know more.
    #[serde(default)]
    pub keeping: Keeping,
    /// Packages within the package were read too.
    #[serde(default)]
    pub recursive: bool,
    /// Number of its members that could not be read, and are not recorded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passed_over: u64,
    /// Whose word the evidence `signed` is: the origin of a publisher's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PackageRecord {
    /// All of its URLs, the one that it is recorded under first.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.also).map(|url| &**url)
    }

    /// The ecosystems that it has names in.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| &*signature.kind)
    }

    /// Does somebody vouch that this URL gives the package?
    pub fn is_vouched_at(&self, url: &str) -> bool {
        self.vouched && url == self.url
    }

    /// Must it stay if `new` is to be recorded for the same URL?
    pub fn stays_before(&self, new: &Self) -> bool {
        self.evidence > new.evidence || self.origin > new.origin && self.sha256 != new.sha256
    }

    /// The record with what `change` does to the fields that are not read from the package itself: its other URLs,
    /// signatures, project and expiry day, who named or vouches for its URL, and how long it is kept.
    pub fn amended(&self, change: &dyn Fn(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        Self {
            url: self.url.clone(),
            sha256: self.sha256,
            size: self.size,
            format: self.format.clone(),
            indexed_at: self.indexed_at,
            evidence: self.evidence,
            recursive: self.recursive,
            passed_over: self.passed_over,
            publisher: self.publisher.clone(),
            ..changed
        }
    }

    /// Takes over what is better in `known`, an earlier record of the same bytes at the same URL: who named or vouches
    /// for the URL, for which trees, and how long it is kept.
    pub fn take_merits_of(&mut self, known: &Self) {
        self.origin = self.origin.max(known.origin);
        self.keeping = self.keeping.max(known.keeping);
        self.vouched |= known.vouched;
        for tree in &known.trees {
            if !self.trees.contains(tree) {
                self.trees.push(tree.clone());
            }
        }
    }

    /// The last part of the URL's path: what a person calls the file.
    pub fn base_name(&self) -> &str {
        base_name(&self.url)
    }

    /// What a person calls the package: see [`display_name`]. Details show the URL beside it.
    pub fn display_name(&self) -> &str {
        self.own_name().unwrap_or_else(|| self.base_name())
    }

    /// The value of its first signature, if it has one.
    pub fn own_name(&self) -> Option<&str> {
        self.signatures.first().map(|signature| &*signature.value)
    }
}

/// What a person calls a package with these signatures (each as [`Signature`] displays it): the value of the first
/// one, such as `vim_9.0_amd64`; the file name of the URL where there is none.
pub fn display_name<'a>(signatures: &'a [String], url: &'a str) -> &'a str {
    own_name(signatures).unwrap_or_else(|| base_name(url))
}

/// The value of the first of these signatures (each as [`Signature`] displays it), if there is one.
pub fn own_name(signatures: &[String]) -> Option<&str> {
    let (_, value) = signatures.first()?.split_once(':')?;
    Some(value)
}

fn base_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    match path.trim_end_matches('/').rsplit_once('/') {
        Some((_, name)) => name,
        // A URL without a path: what lies beside an archive.
        None => path.rsplit_once(':').map_or(path, |(_, name)| name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_called_by_its_first_signature_or_by_its_file() {
        let signatures = ["kind:name_2:9.0".to_owned(), "kind:other".to_owned()];
        assert_eq!(display_name(&signatures, "https://a.example/file/0a1b"), "name_2:9.0");
        assert_eq!(display_name(&[], "https://a.example/b/c.zip?d=/e"), "c.zip");
        assert_eq!(
            display_name(&[], "beside:h_j_2026-11-27T023000Z.tar.zst"),
            "h_j_2026-11-27T023000Z.tar.zst"
        );
    }
}
