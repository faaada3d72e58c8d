//! The section `[fallback]` of the configuration: which public archives are asked, while restoring, for what no other source has.
//!
//! Invariant: without the section, all of them are asked at their own addresses.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hashget::fetch::{SOFTWARE_HERITAGE, WAYBACK};
use serde::{Deserialize, Deserializer};

use super::checked::{checked, http};
use crate::values;

/// A public archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Service {
    SoftwareHeritage,
    Wayback,
}

/// The section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fallback {
    /// Which are asked; all, if absent.
    #[serde(rename = "use")]
    services: Option<Vec<Service>>,
    /// Another address of Software Heritage.
    #[serde(default, deserialize_with = "base")]
    software_heritage: Option<String>,
    /// Another address of the Wayback Machine.
    #[serde(default, deserialize_with = "base")]
    wayback: Option<String>,
    /// A file with a token for Software Heritage.
    token_file: Option<PathBuf>,
    /// How long to wait in all until a limit of requests is lifted.
    #[serde(default, deserialize_with = "time")]
    pub(crate) wait: Option<Duration>,
}

impl Fallback {
    /// The address of Software Heritage, if it is asked.
    pub(crate) fn software_heritage(&self) -> Option<String> {
        self.address(
            Service::SoftwareHeritage,
            self.software_heritage.as_deref(),
            SOFTWARE_HERITAGE,
        )
    }

    /// The address of the Wayback Machine, if it is asked.
    pub(crate) fn wayback(&self) -> Option<String> {
        self.address(Service::Wayback, self.wayback.as_deref(), WAYBACK)
    }

    /// The file with the token, if Software Heritage is asked.
    pub(crate) fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref().filter(|_| self.uses(Service::SoftwareHeritage))
    }

    /// Relative paths start at this folder.
    pub(super) fn place_below(&mut self, folder: &Path) {
        if let Some(file) = &mut self.token_file {
            *file = folder.join(&*file);
        }
    }

    fn uses(&self, service: Service) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(&service))
    }

    fn address(&self, service: Service, other: Option<&str>, own: &str) -> Option<String> {
        self.uses(service).then(|| other.unwrap_or(own).to_owned())
    }
}

fn base<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(deserializer, |url: String| http(&url).map(Some))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    checked(deserializer, |text: String| values::time(&text).map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Fallback {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn all_are_asked_unless_something_else_is_said() {
        let own = (Some(SOFTWARE_HERITAGE.to_owned()), Some(WAYBACK.to_owned()));
        let of = |fallback: Fallback| (fallback.software_heritage(), fallback.wayback());
        assert_eq!(of(parsed("")), own);
        assert_eq!(of(parsed("use = []")), (None, None));
        assert_eq!(of(parsed("use = [\"wayback\"]")), (None, own.1.clone()));
        let copy = "https://copy.example/swh";
        let other = parsed(&format!("software_heritage = \"{copy}\"\ntoken_file = \"t\""));
        assert_eq!(of(other.clone()), (Some(copy.to_owned()), own.1));
        assert_eq!(other.token_file(), Some(Path::new("t")));
        assert_eq!(parsed("use = [\"wayback\"]\ntoken_file = \"t\"").token_file(), None);
        assert_eq!(parsed("wait = \"90s\"").wait, Some(Duration::from_secs(90)));
        for bad in ["use = [\"web\"]", "wayback = \"web\"", "wait = \"10\"", "uses = []"] {
            assert!(toml::from_str::<Fallback>(bad).is_err(), "{bad}");
        }
    }
}
