//! Columns in which most entries have nothing.
//!
//! Invariant: an entry without a value takes two bits; in JSON the column is a list with `null` in its place.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A column: the values of those rows that have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sparse<T> {
    /// A bit for each row: has it a value?
    has_value: Vec<u64>,
    /// How many rows before those of each number in `has_value` have one.
    before: Vec<u32>,
    values: Vec<T>,
    length: u32,
}

/// Rows of one number in `has_value`.
const ROWS: u32 = u64::BITS;

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { has_value: Vec::new(), before: Vec::new(), values: Vec::new(), length: 0 }
    }
}

impl<T> Sparse<T> {
    /// Adds the next row. `None` if there are as many as can be.
    #[must_use]
    fn try_push(&mut self, value: Option<T>) -> Option<()> {
        if self.length.is_multiple_of(ROWS) {
            self.has_value.push(0);
            self.before.push(u32::try_from(self.values.len()).ok()?);
        }
        if let Some(value) = value {
            *self.has_value.last_mut()? |= 1 << (self.length % ROWS);
            self.values.push(value);
        }
        self.length = self.length.checked_add(1)?;
        Some(())
    }

    /// Adds the next row.
    pub(super) fn push(&mut self, value: Option<T>) {
        self.try_push(value).expect("fewer than 2^32 entries");
    }

    /// The value of a row, if it has one.
    pub(super) fn get(&self, row: usize) -> Option<&T> {
        let (number, bit) = (row / ROWS as usize, 1_u64 << (row % ROWS as usize));
        let has_value = *self.has_value.get(number)?;
        if has_value & bit == 0 {
            return None;
        }
        let before = self.before[number] + (has_value & (bit - 1)).count_ones();
        self.values.get(before as usize)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// Are there no rows?
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes all rows away if none has a value.
    pub(super) fn drop_if_nothing(&mut self) {
        if self.values.is_empty() {
            *self = Self::default();
        }
    }
}

impl<T: Serialize> Serialize for Sparse<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.len()))?;
        for row in 0..self.len() {
            sequence.serialize_element(&self.get(row))?;
        }
        sequence.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sparse<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Rows<T> {
            type Value = Sparse<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of values and nulls")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sparse<T>, A::Error> {
                let mut column = Sparse::default();
                while let Some(value) = list.next_element::<Option<T>>()? {
                    column.try_push(value).ok_or_else(|| A::Error::custom("too many values"))?;
                }
                column.has_value.shrink_to_fit();
                column.before.shrink_to_fit();
                column.values.shrink_to_fit();
                Ok(column)
            }
        }

        deserializer.deserialize_seq(Rows(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_nulls_come_back() {
        let many = (0..1000).map(|row| (row % 7 == 3 || row % 64 > 60).then_some(row)).collect();
        let few = vec![None, Some(7), None, None, Some(0)];
        for values in [vec![], vec![None], few, vec![Some(1)], vec![None; 200], many] {
            let mut column = Sparse::default();
            values.iter().for_each(|value| column.push(*value));
            let json = serde_json::to_string(&column).unwrap();
            assert_eq!(json, serde_json::to_string(&values).unwrap());
            let back: Sparse<u64> = serde_json::from_str(&json).unwrap();
            assert_eq!((&back, back.len()), (&column, values.len()));
            let found: Vec<_> = (0..values.len()).map(|row| back.get(row).copied()).collect();
            assert_eq!((found, back.get(values.len())), (values, None));
        }
        assert!(serde_json::from_str::<Sparse<u64>>("[1,\"x\"]").is_err());
    }

    #[test]
    fn a_column_without_values_can_be_dropped() {
        let mut column = Sparse::<u64>::default();
        column.push(None);
        column.drop_if_nothing();
        assert!(column.is_empty());
        column.push(Some(1));
        column.drop_if_nothing();
        assert_eq!(column.len(), 1);
    }
}
