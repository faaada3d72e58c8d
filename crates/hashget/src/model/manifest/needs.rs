//! Features of an archive without which a reader would restore something else.
//!
//! Invariant: names and versions are short and of plain characters, so that they can be printed as they are;
//! a manifest is only used when each of its features is in [`FEATURES`].

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::ManifestError;
use crate::model::escaped;

/// Something that a manifest can use and that older readers do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name in `needs`.
    pub name: &'static str,
    /// The first version of hashget that reads it, such as `0.3`.
    pub since: &'static str,
}

/// A program that restores the archive without hashget is its second entry.
pub const RESTORER: Feature = Feature { name: "restorer", since: "0.1" };

/// Some files are made out of packages by recipes.
pub const DERIVED: Feature = Feature { name: "derived", since: "0.1" };

/// Some files are put together out of pieces of package members and a rest.
pub const PIECES: Feature = Feature { name: "pieces", since: "0.1" };

/// Some derived files are made by programs out of packages.
pub const TOOLS: Feature = Feature { name: "tools", since: "0.1" };

/// Some of these files are compressed by a program when they have been put together.
pub const ENCODED: Feature = Feature { name: "encoded", since: "0.1" };

/// The features that this version reads, one line each. `docs/format.md` defines them.
pub const FEATURES: &[Feature] = &[RESTORER, DERIVED, PIECES, TOOLS, ENCODED];

/// Bytes of a feature's name.
const NAME_BYTES: usize = 64;
/// Bytes of a version.
const VERSION_BYTES: usize = 16;
/// Features of one manifest.
const MOST_FEATURES: usize = 256;

/// The `needs` of a manifest: the names of the features that it uses, each with the first version of hashget
/// that reads it. A list of names without versions is read, too; it is not written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Needs(BTreeMap<String, Option<String>>);

impl Needs {
    /// Does the manifest use nothing but what every reader of its version knows?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does the manifest use this feature?
    pub fn has(&self, feature: &Feature) -> bool {
        self.0.contains_key(feature.name)
    }

    /// The names of the features, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Refuses a manifest that uses a feature which is not in `known`.
    ///
    /// # Errors
    /// [`ManifestError::Needs`] names the unknown features, and the version that reads them all.
    pub(super) fn check(&self, known: &[Feature]) -> Result<(), ManifestError> {
        let is_known = |name: &String| known.iter().any(|feature| feature.name == name);
        let unknown: Vec<_> = self.0.iter().filter(|(name, _)| !is_known(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        // The version that reads them all is only known if each of them has one.
        let since: Option<Vec<&String>> = unknown.iter().map(|(_, since)| since.as_ref()).collect();
        let since = since.and_then(|all| all.into_iter().max_by_key(|since| numbers(since)));
        let version = match since {
            Some(since) => format!("hashget {since} or later"),
            None => format!("a hashget later than {}", env!("CARGO_PKG_VERSION")),
        };
        let names: Vec<&str> = unknown.iter().map(|(name, _)| name.as_str()).collect();
        let features = if names.len() == 1 { "feature" } else { "features" };
        Err(ManifestError::Needs { version, features: format!("{features} {}", names.join(", ")) })
    }
}

impl<'f> FromIterator<&'f Feature> for Needs {
    fn from_iter<I: IntoIterator<Item = &'f Feature>>(features: I) -> Self {
        let pair = |feature: &Feature| (feature.name.to_owned(), Some(feature.since.to_owned()));
        Self(features.into_iter().map(pair).collect())
    }
}

/// The numbers of a version, to compare it with others.
fn numbers(version: &str) -> Vec<u64> {
    version.split('.').map(|number| number.parse().unwrap_or(u64::MAX)).collect()
}

/// Lower-case letters, digits and hyphens, beginning with a letter.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= NAME_BYTES
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(allowed)
}

/// Two or three numbers with dots between them.
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= VERSION_BYTES
        && (2..=3).contains(&text.split('.').count())
        && text.split('.').all(is_number)
}

/// The beginning of a foreign text, safe to print.
fn shown(text: &str) -> String {
    let beginning: String = text.chars().take(NAME_BYTES).collect();
    escaped(beginning.as_bytes())
}

impl Needs {
    /// Adds a feature as a manifest names it.
    fn add<E: serde::de::Error>(&mut self, name: String, since: Option<String>) -> Result<(), E> {
        if !is_name(&name) {
            let problem = format!("needs: \"{}\" is not the name of a feature", shown(&name));
            return Err(E::custom(problem));
        }
        if let Some(since) = since.as_ref().filter(|since| !is_version(since)) {
            let problem = format!("needs.{name}: \"{}\" is not a version", shown(since));
            return Err(E::custom(problem));
        }
        self.0.insert(name, since);
        if self.0.len() > MOST_FEATURES {
            return Err(E::custom(format!("needs: more than {MOST_FEATURES} features")));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Needs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NeedsVisitor)
    }
}

struct NeedsVisitor;

impl<'de> Visitor<'de> for NeedsVisitor {
    type Value = Needs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`needs`: an object of feature names and versions, or a list of feature names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Needs, A::Error> {
        let mut needs = Needs::default();
        while let Some((name, since)) = object.next_entry::<String, String>()? {
            needs.add(name, Some(since))?;
        }
        Ok(needs)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Needs, A::Error> {
        let mut needs = Needs::default();
        while let Some(name) = list.next_element::<String>()? {
            needs.add(name, None)?;
        }
        Ok(needs)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: &[Feature] =
        &[Feature { name: "pieces", since: "0.3" }, Feature { name: "recipes", since: "0.4" }];

    fn needs(json: serde_json::Value) -> Result<Needs, String> {
        serde_json::from_str(&json.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_known_features_are_accepted() {
        assert!(Needs::default().check(&[]).is_ok());
        let all = Needs::from_iter(KNOWN);
        assert!(all.check(KNOWN).is_ok());
        let message = all.check(&KNOWN[..1]).unwrap_err().to_string();
        assert_eq!(message, "this archive needs hashget 0.4 or later (feature recipes)");
    }

    #[test]
    fn the_version_that_is_named_reads_all_features() {
        let needs = needs(json!({"b": "0.10", "a": "0.9.1", "c": "0.2.0"})).unwrap();
        let message = needs.check(&[]).unwrap_err().to_string();
        assert_eq!(message, "this archive needs hashget 0.10 or later (features a, b, c)");
    }

    #[test]
    fn a_list_of_names_is_read_too() {
        let listed = needs(json!(["recipes", "pieces"])).unwrap();
        assert!(listed.check(KNOWN).is_ok());
        let message = listed.check(&KNOWN[..1]).unwrap_err().to_string();
        let version = env!("CARGO_PKG_VERSION");
        let expected =
            format!("this archive needs a hashget later than {version} (feature recipes)");
        assert_eq!(message, expected);
        assert!(needs(json!(["a b"])).unwrap_err().contains("is not the name of a feature"));
    }

    #[test]
    fn json_is_read_as_it_is_written() {
        let needs = Needs::from_iter(KNOWN);
        let json = serde_json::to_string(&needs).unwrap();
        assert_eq!(json, r#"{"pieces":"0.3","recipes":"0.4"}"#);
        assert_eq!(serde_json::from_str::<Needs>(&json).unwrap(), needs);
        assert_eq!(needs.names().collect::<Vec<_>>(), ["pieces", "recipes"]);
    }

    #[test]
    fn what_is_no_name_and_no_version_is_refused_and_escaped() {
        let long = "x".repeat(1 << 20);
        for name in ["", "Recipes", "a b", "-a", "1", "a\n", "\u{1b}[31m", "a_b", "\u{202e}", &long]
        {
            let message = needs(json!({ name: "0.3" })).unwrap_err();
            assert!(message.contains("is not the name of a feature"), "{message}");
            assert!(message.len() < 1000 && !message.contains(char::is_control), "{message:?}");
        }
        for version in ["", "1", "1.", "1.2.3.4", "0.3-beta", "0.3\n", "1.999999999999999", &long] {
            let message = needs(json!({ "recipes": version })).unwrap_err();
            assert!(message.contains("is not a version"), "{message}");
            assert!(message.len() < 1000 && !message.contains(char::is_control), "{message:?}");
        }
        for shape in [json!("recipes"), json!({"recipes": 3}), json!([3]), json!(null), json!(1)] {
            assert!(needs(shape).is_err());
        }
        let many: BTreeMap<String, &str> = (0..300).map(|n| (format!("f{n}"), "1.0")).collect();
        assert!(needs(json!(many)).unwrap_err().contains("more than 256 features"));
    }
}
