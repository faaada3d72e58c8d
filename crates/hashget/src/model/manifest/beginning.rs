//! The first fields of a manifest, of which no more is read.
//!
//! Invariant: they are given only if another field follows that `hashget` writes after them; then none of them comes later.

use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{ManifestHeader, Needs};

/// The field that is written after those of the header.
const NEXT: &str = "tool";

/// The header of a manifest that begins with it.
pub(super) fn of(json: impl Read) -> Option<ManifestHeader> {
    let mut found = None;
    // Reading ends in the middle of an object, which is an error, after all that counts was found.
    let _ = Beginning(&mut found).deserialize(&mut serde_json::Deserializer::from_reader(json));
    found
}

struct Beginning<'f>(&'f mut Option<ManifestHeader>);

impl<'de> DeserializeSeed<'de> for Beginning<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Beginning<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (mut version, mut needs) = (None, None);
        while let Some(name) = fields.next_key::<String>()? {
            match &*name {
                "format" => drop(fields.next_value::<IgnoredAny>()?),
                "version" => version = Some(fields.next_value::<u64>()?),
                "needs" => needs = Some(fields.next_value::<Needs>()?),
                _ => {
                    if version.is_some() && name == NEXT {
                        let needs = needs.unwrap_or_default();
                        *self.0 = Some(ManifestHeader { version, needs });
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
