//! Things that are kept until the command ends, because others refer to them.
//!
//! Invariant: what is in it stays where it is.

use std::sync::OnceLock;

/// Keeps things.
pub(crate) struct Kept<T> {
    first: OnceLock<(T, Box<Kept<T>>)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { first: OnceLock::new() }
    }
}

impl<T> Kept<T> {
    /// Keeps one more thing.
    pub(crate) fn keep(&self, thing: T) -> &T {
        let (mut list, mut next) = (self, (thing, Box::default()));
        loop {
            match list.first.set(next) {
                Ok(()) => return &list.first.get().expect("it was just set").0,
                Err(refused) => {
                    next = refused;
                    list = &list.first.get().expect("it is set").1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_stay_where_they_are() {
        let kept = Kept::default();
        let first = kept.keep("first".to_owned());
        let second = kept.keep("second".to_owned());
        assert_eq!((first.as_str(), second.as_str()), ("first", "second"));
    }
}
