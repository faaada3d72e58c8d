//! Which packages are used most: their order within a collection.
//!
//! Invariant: pure. Packages that nothing ranks come last, by their names.

use std::collections::HashMap;

/// Names of packages, most used first.
#[derive(Debug, Clone, Default)]
pub struct Rank(HashMap<String, u32>);

impl Rank {
    /// The order of the lines of a text: a name each, with or without a version. What follows a name behind a space is passed over
    /// (popularity contests have numbers there); so are lines that begin with `#`.
    pub fn parse(text: &str) -> Self {
        let mut ranks = HashMap::new();
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let names = lines.filter_map(|line| line.split_whitespace().next());
        for (rank, name) in (0..).zip(names) {
            ranks.entry(name.to_owned()).or_insert(rank);
        }
        Self(ranks)
    }

    /// The rank of a package with this signature (`KIND:VALUE`); the lowest is used most.
    pub(super) fn of(&self, signature: &str) -> u32 {
        let value = signature.split_once(':').map_or(signature, |(_, value)| value);
        let without_version = ['_', '@', '=']
            .into_iter()
            .filter_map(|mark| value.split_once(mark))
            .chain(value.rsplit_once('-'))
            .map(|(name, _)| name);
        let mut names = std::iter::once(value).chain(without_version);
        names.find_map(|name| self.0.get(name)).copied().unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_order_of_the_lines() {
        let rank = Rank::parse("# most used\nlibc6 100\n  serde\n\nlibc6\nlodash@4.17.21\n");
        assert_eq!(rank.of("deb:libc6_2.36-9_amd64"), 0);
        assert_eq!(rank.of("crate:serde-1.0.200"), 1);
        assert_eq!(rank.of("npm:lodash@4.17.21"), 3);
        assert_eq!(rank.of("npm:lodash@4.17.20"), u32::MAX);
        assert_eq!(rank.of(""), u32::MAX);
    }
}
