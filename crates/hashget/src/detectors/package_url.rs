//! Package URLs (purl): what all tools call a package of an ecosystem, as in `pkg:npm/%40scope/name@1.0`.
//!
//! Invariant: what is displayed is canonical: qualifiers are sorted and have values, and bytes are percent-encoded as the
//! specification says, as its own tests and libraries read it: in values of qualifiers, a `/` stays.

use std::collections::BTreeMap;
use std::fmt;

use super::Signature;

/// The name of a package for everybody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageUrl {
    kind: &'static str,
    namespace: Vec<String>,
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<&'static str, String>,
}

impl PackageUrl {
    /// A package of the type `kind`, spelled as the rules of that type want it.
    pub(super) fn new(kind: &'static str, name: impl Into<String>) -> Self {
        let (namespace, version) = (Vec::new(), None);
        Self { kind, namespace, name: name.into(), version, qualifiers: BTreeMap::new() }
    }

    /// With a namespace of one or more parts; empty ones are left out.
    pub(super) fn within<'t>(mut self, namespace: impl IntoIterator<Item = &'t str>) -> Self {
        let parts = namespace.into_iter().filter(|part| !part.is_empty());
        self.namespace.extend(parts.map(str::to_owned));
        self
    }

    /// With a version, unless it is empty.
    pub(super) fn at(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into()).filter(|version| !version.is_empty());
        self
    }

    /// With a qualifier, unless its value is empty.
    pub(super) fn with(mut self, qualifier: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.qualifiers.insert(qualifier, value);
        }
        self
    }

    /// A package that is of no ecosystem with rules of its own: by the file at `url`, and where it is from.
    pub fn of_file(url: &str) -> Self {
        let file = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
        let file = file.rsplit(['/', ':']).next().filter(|file| !file.is_empty()).unwrap_or("file");
        let (name, version) = name_and_version(without_ending(file));
        Self::new("generic", name).at(version).with("download_url", url)
    }

    /// The type: `npm`, `pypi`, ...
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The namespace, with `/` between its parts; empty if there is none.
    pub fn namespace(&self) -> String {
        self.namespace.join("/")
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl fmt::Display for PackageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.kind)?;
        for part in &self.namespace {
            write!(f, "{}/", encoded(part))?;
        }
        f.write_str(&encoded(&self.name))?;
        if let Some(version) = &self.version {
            write!(f, "@{}", encoded(version))?;
        }
        for (number, (qualifier, value)) in self.qualifiers.iter().enumerate() {
            let before = if number == 0 { '?' } else { '&' };
            write!(f, "{before}{qualifier}={}", encoded(value).replace("%2F", "/"))?;
        }
        Ok(())
    }
}

/// Percent-encodes everything but letters, digits, `.-_~` and `:`.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// `NAME-VERSION`: the version begins with the first digit after a `-` after which nothing but a version can be meant, that is
/// after the last such `-` before a `.`.
pub(super) fn name_and_version(text: &str) -> (&str, &str) {
    let dashes = text.match_indices('-').map(|(at, _)| at);
    let is_version = |at: &usize| text[at + 1..].starts_with(|first: char| first.is_ascii_digit());
    let dotted = text.find('.').unwrap_or(text.len());
    let starts: Vec<usize> = dashes.filter(is_version).collect();
    let start = starts.iter().rev().find(|at| **at < dotted).or(starts.first());
    start.map_or((text, ""), |at| (&text[..*at], &text[at + 1..]))
}

/// A file name without the ending of a package.
fn without_ending(file: &str) -> &str {
    let lower = file.to_ascii_lowercase();
    let endings = crate::formats::FORMATS.iter().flat_map(|format| format.endings().iter());
    let longest = endings.filter(|ending| lower.ends_with(**ending)).max_by_key(|end| end.len());
    let stem = longest.map_or(file, |ending| &file[..file.len() - ending.len()]);
    if stem.is_empty() { file } else { stem }
}

/// What everybody calls a package with this signature and URL.
pub fn package_url(signature: Option<&Signature>, url: &str) -> PackageUrl {
    let of_detector =
        |signature| super::DETECTORS.iter().find_map(|one| one.package_url(signature, url));
    signature.and_then(of_detector).unwrap_or_else(|| PackageUrl::of_file(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purl(signature: &str, url: &str) -> String {
        package_url(Some(&signature.parse().unwrap()), url).to_string()
    }

    #[test]
    fn each_ecosystem_has_its_own_rules() {
        let nowhere = "https://a.example/x";
        for (signature, expected) in [
            (
                "deb:vim_2:9.0.1378-2+deb12u2_amd64",
                "pkg:deb/debian/vim@2:9.0.1378-2%2Bdeb12u2?arch=amd64",
            ),
            ("rpm:gtk+-2~rc1-1^git.fc40.x86_64", "pkg:rpm/gtk%2B@2~rc1-1%5Egit.fc40?arch=x86_64"),
            ("arch:Pacman-1:6.0.1-1-x86_64", "pkg:alpm/arch/pacman@1:6.0.1-1?arch=x86_64"),
            ("pypi:django-allauth-0.50-py3-none-any", "pkg:pypi/django-allauth@0.50"),
            ("pypi:a-1.0+cpu-cp311-cp311-linux_x86_64@idx", "pkg:pypi/a@1.0%2Bcpu"),
            ("npm:@Angular/Animation@12.3.1", "pkg:npm/%40angular/animation@12.3.1"),
            ("npm:left-pad@1.3.0", "pkg:npm/left-pad@1.3.0"),
            ("crate:md-5-0.10.6", "pkg:cargo/md-5@0.10.6"),
            ("crate:a-2-1.0.0-rc.1+x", "pkg:cargo/a-2@1.0.0-rc.1%2Bx"),
            ("gem:net-http2-1.2.3", "pkg:gem/net-http2@1.2.3"),
            ("gem:nokogiri-1.15.4-x86_64-linux", "pkg:gem/nokogiri@1.15.4?platform=x86_64-linux"),
            (
                "go:github.com/BurntSushi/toml@v1.2.0+incompatible",
                "pkg:golang/github.com/burntsushi/toml@v1.2.0%2Bincompatible",
            ),
            (
                "maven:org/apache/commons/commons-io/2.6/commons-io-2.6-sources.jar",
                "pkg:maven/org.apache.commons/commons-io@2.6?classifier=sources",
            ),
            ("maven:a/b/c/1/c-1.war", "pkg:maven/a.b/c@1?type=war"),
            (
                "conda:absl-py-0.4.1-py36h06a4308_0.tar.bz2",
                "pkg:conda/absl-py@0.4.1?build=py36h06a4308_0&type=tar.bz2",
            ),
            (
                "huggingface:microsoft/deberta-v3@559062A/model.bin",
                "pkg:huggingface/microsoft/deberta-v3@559062a",
            ),
            (
                "wordpress:plugin/akismet-5.3",
                "pkg:generic/akismet@5.3?download_url=https://a.example/x",
            ),
            ("mine:x", "pkg:generic/x?download_url=https://a.example/x"),
        ] {
            assert_eq!(purl(signature, nowhere), expected, "{signature}");
        }
    }

    #[test]
    fn files_have_a_name_and_a_version_of_their_own() {
        for (url, expected) in [
            ("https://a.example/linux-6.1.192.tar.xz", ("linux", Some("6.1.192"))),
            ("https://a.example/md-5-0.10.zip?x", ("md-5", Some("0.10"))),
            ("https://a.example/tool.tar.gz", ("tool", None)),
            ("https://a.example/7zip-23", ("7zip", Some("23"))),
            ("https://a.example", ("a.example", None)),
            ("https://a.example/.zip", (".zip", None)),
        ] {
            let found = PackageUrl::of_file(url);
            assert_eq!((found.name(), found.version()), expected, "{url}");
        }
    }
}
