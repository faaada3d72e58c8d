//! A column of numbers of which JSON has the differences to the one before.
//!
//! Invariant: what was written is read again, whatever the numbers are; an index that the column cannot have is an error.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

pub(super) fn serialize<N: Copy + Into<i64>, S: Serializer>(
    numbers: &[N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let difference = |before: &mut i64, number: &N| {
        let number = (*number).into();
        Some(number.wrapping_sub(std::mem::replace(before, number)))
    };
    serializer.collect_seq(numbers.iter().scan(0, difference))
}

pub(super) fn deserialize<'de, N: TryFrom<i64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<N>, D::Error> {
    deserializer.deserialize_seq(Numbers(PhantomData))
}

struct Numbers<N>(PhantomData<N>);

impl<'de, N: TryFrom<i64>> Visitor<'de> for Numbers<N> {
    type Value = Vec<N>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of differences")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<N>, A::Error> {
        let (mut numbers, mut before) = (Vec::new(), 0_i64);
        while let Some(difference) = list.next_element::<i64>()? {
            before = before.wrapping_add(difference);
            let number = N::try_from(before);
            numbers.push(number.map_err(|_| {
                A::Error::custom(format!("{before} is no index that this column may have"))
            })?);
        }
        numbers.shrink_to_fit();
        Ok(numbers)
    }
}
