//! Fields of JSON that other programs write: of any type, in files of any size.
//!
//! Invariant: a field of an unexpected type never makes the rest of a file unreadable, and no part of it is kept in
//! memory, however large it is.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// The value of a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Scalar {
    /// It is absent or null.
    #[default]
    Nothing,
    /// A truth value.
    Flag(bool),
    /// A number that is neither negative nor a fraction.
    Number(u64),
    /// A text.
    Text(String),
    /// An object, whatever is in it.
    Object,
    /// Anything else: another number, a list.
    Other,
}

impl Scalar {
    /// The text, if it is one with a character in it.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one above zero.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) if *number > 0 => Some(*number),
            _ => None,
        }
    }

    /// Does the field say neither "no" nor nothing?
    pub(super) fn is_set(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Flag(false))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(u64::try_from(number).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Scalar, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}

/// Takes the fields of an object, in the order of the file.
pub(super) trait Fields<'de> {
    /// Reads the value of the field `key` from `object`, or skips it with [`skip`].
    fn field<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error>;
}

/// Passes over the value of a field.
pub(super) fn skip<'de, A: MapAccess<'de>>(object: &mut A) -> Result<(), A::Error> {
    object.next_value::<IgnoredAny>().map(|_| ())
}

/// Passes the fields of an object on, one by one. Gives `false` for a value that is no object, which is passed over.
pub(super) struct Object<'a, T>(pub(super) &'a mut T);

impl<'de, T: Fields<'de>> DeserializeSeed<'de> for Object<'_, T> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Fields<'de>> Visitor<'de> for Object<'_, T> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        while let Some(key) = object.next_key::<String>()? {
            self.0.field(&key, &mut object)?;
        }
        Ok(true)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }
}

/// The bytes without the mark that some editors write at the start of a file.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_and_only_small_ones_are_kept() {
        for (json, expected) in [
            ("null", Scalar::Nothing),
            ("true", Scalar::Flag(true)),
            ("7", Scalar::Number(7)),
            ("-7", Scalar::Other),
            ("7.5", Scalar::Other),
            ("\"a\\u0062\"", Scalar::Text("ab".to_owned())),
            ("[[1], {\"a\": []}]", Scalar::Other),
            ("{\"a\": {\"b\": [2]}}", Scalar::Object),
        ] {
            assert_eq!(serde_json::from_str::<Scalar>(json).unwrap(), expected, "{json}");
        }
        assert!(serde_json::from_str::<Scalar>(&"[".repeat(100_000)).is_err());
        assert!(!Scalar::Flag(false).is_set() && Scalar::Other.is_set());
        assert_eq!((Scalar::Number(0).number(), Scalar::Text(String::new()).text()), (None, None));
    }
}
