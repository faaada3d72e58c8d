//! What a file system keeps about a file besides its contents.
//!
//! Invariant: a [`Timestamp`] has `nanoseconds < 1_000_000_000`, also before 1970 (so that
//! 0.25 s before the epoch is `-1 s + 750_000_000 ns`); a mode is within `0o7777`.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// A point in time: seconds since 1970 UTC, and nanoseconds after that second.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01 00:00:00 UTC; negative before.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// Nanoseconds in a second.
const NANOSECONDS: i64 = 1_000_000_000;

impl Timestamp {
    /// A whole second.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }

    /// That many nanoseconds after `seconds`, or before. A kernel may say any number of them: Linux's CIFS gives negative ones
    /// before 1970. What is beyond all times becomes the first or the last one.
    pub const fn normalised(seconds: i64, nanoseconds: i64) -> Self {
        let seconds = seconds.saturating_add(nanoseconds.div_euclid(NANOSECONDS));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the remainder is at least 0 and below 10^9"
        )]
        let nanoseconds = nanoseconds.rem_euclid(NANOSECONDS) as u32;
        Self { seconds, nanoseconds }
    }
}

type XattrMap = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// Extended attributes: name to raw value. ACLs and file capabilities are among them.
///
/// A map that takes one word while it is empty: most files have none, and there may be millions of them.
#[derive(Debug, Clone, Default)]
pub struct Xattrs(Option<Box<XattrMap>>);

impl std::hash::Hash for Xattrs {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl Deref for Xattrs {
    type Target = XattrMap;

    fn deref(&self) -> &XattrMap {
        static NONE: XattrMap = BTreeMap::new();
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Xattrs {
    fn deref_mut(&mut self) -> &mut XattrMap {
        self.0.get_or_insert_default()
    }
}

impl PartialEq for Xattrs {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Xattrs {}

impl<M: Into<XattrMap>> From<M> for Xattrs {
    fn from(map: M) -> Self {
        map.into().into_iter().collect()
    }
}

impl FromIterator<(Box<[u8]>, Box<[u8]>)> for Xattrs {
    fn from_iter<I: IntoIterator<Item = (Box<[u8]>, Box<[u8]>)>>(pairs: I) -> Self {
        let map: XattrMap = pairs.into_iter().collect();
        Self((!map.is_empty()).then(|| Box::new(map)))
    }
}

impl<'a> IntoIterator for &'a Xattrs {
    type Item = (&'a Box<[u8]>, &'a Box<[u8]>);
    type IntoIter = std::collections::btree_map::Iter<'a, Box<[u8]>, Box<[u8]>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// All metadata of an entry in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits with set-user-id, set-group-id and sticky: `0o7777`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Time of the last change of the contents.
    pub mtime: Timestamp,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// The metadata that a package records for a member; `None` where its format has no such field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Hash)]
pub struct MemberMetadata {
    /// Permission bits, `0o7777`.
    pub mode: Option<u32>,
    /// Numeric owner.
    pub uid: Option<u32>,
    /// Numeric group.
    pub gid: Option<u32>,
    /// Modification time. Where the format records a local time without a zone (zip), that local
    /// time read as UTC.
    pub mtime: Option<Timestamp>,
    /// Extended attributes.
    #[serde(with = "xattrs_as_pairs")]
    pub xattrs: Xattrs,
}

/// A map with byte keys, for formats whose maps want text keys.
mod xattrs_as_pairs {
    use super::{Deserialize, Serialize, Xattrs};

    pub(super) fn serialize<S: serde::Serializer>(
        xattrs: &Xattrs,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let pairs: Vec<(&[u8], &[u8])> =
            xattrs.iter().map(|(name, value)| (&**name, &**value)).collect();
        pairs.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Xattrs, D::Error> {
        let pairs = Vec::<(Vec<u8>, Vec<u8>)>::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_less_than_a_second_of_nanoseconds() {
        let of = |seconds, nanoseconds| {
            let time = Timestamp::normalised(seconds, nanoseconds);
            (time.seconds, time.nanoseconds)
        };
        assert_eq!(of(7, 0), (7, 0));
        assert_eq!(of(-7, 999_999_999), (-7, 999_999_999));
        // As Linux's CIFS says 1965-03-04 05:06:07.1234567.
        assert_eq!(of(-152_391_232, -876_543_300), (-152_391_233, 123_456_700));
        assert_eq!(of(1, 2_000_000_001), (3, 1));
        assert_eq!(of(i64::MIN, -1), (i64::MIN, 999_999_999));
    }
}
