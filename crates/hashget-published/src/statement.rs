//! Statements: what somebody says is in a package (`docs/format-index.md`).
//!
//! Invariant: whoever reads the same package by the same rules makes the same bytes; text that is not canonical is no
//! statement.

use std::fmt;
use std::str::FromStr;

use hashget::formats::RULES;
use hashget::hashdb::member_list;
use hashget::model::{Digest, Member};

const FIRST_LINE: &str = "hashget statement v1";

/// What somebody says is in a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The digest of the package's bytes.
    pub package: Digest,
    /// The number of the package's bytes.
    pub size: u64,
    /// The name of the format that it was read as.
    pub format: String,
    /// Were packages within the package read, too?
    pub nested: bool,
    /// The version of the rules by which it was read.
    pub rules: u32,
    /// The number of its members.
    pub members: u64,
    /// The digest of its member list.
    pub list: Digest,
}

/// Text that is no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no statement of a package: {0}")]
pub struct BadStatement(String);

impl Statement {
    /// What this program says of a package with these members.
    pub fn new(package: Digest, size: u64, format: &str, nested: bool, members: &[Member]) -> Self {
        Self {
            package,
            size,
            format: format.to_owned(),
            nested,
            rules: RULES,
            members: members.len() as u64,
            list: member_list::digest(members),
        }
    }

    /// The digest of the statement's own bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_string().as_bytes())
    }

    /// Do both speak of the same package, read in the same way? Then they are equal, or one of them is wrong.
    pub fn is_comparable(&self, other: &Self) -> bool {
        self.package == other.package && self.nested == other.nested && self.rules == other.rules
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nested = if self.nested { " nested" } else { "" };
        writeln!(f, "{FIRST_LINE}")?;
        writeln!(f, "package {}", self.package)?;
        writeln!(f, "size {}", self.size)?;
        writeln!(f, "format {}{nested}", self.format)?;
        writeln!(f, "rules {}", self.rules)?;
        writeln!(f, "members {}", self.members)?;
        writeln!(f, "list {}", self.list)
    }
}

impl FromStr for Statement {
    type Err = BadStatement;

    fn from_str(text: &str) -> Result<Self, BadStatement> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(BadStatement(format!("its first line is not \"{FIRST_LINE}\"")));
        }
        let mut field = |name: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.ok_or_else(|| BadStatement(format!("the line \"{name}\" is missing")))
        };
        let (package, size) =
            (value("package", field("package")?)?, value("size", field("size")?)?);
        let format = field("format")?;
        let (format, nested) = match format.strip_suffix(" nested") {
            Some(format) => (format, true),
            None => (format, false),
        };
        let statement = Self {
            package,
            size,
            format: format.to_owned(),
            nested,
            rules: value("rules", field("rules")?)?,
            members: value("members", field("members")?)?,
            list: value("list", field("list")?)?,
        };
        // There is one way to write it.
        if statement.to_string() != text || statement.format.contains(char::is_whitespace) {
            return Err(BadStatement("it is not written as statements are".to_owned()));
        }
        Ok(statement)
    }
}

fn value<T: FromStr>(name: &str, text: &str) -> Result<T, BadStatement> {
    text.parse().map_err(|_| BadStatement(format!("the value of \"{name}\" makes no sense")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_way_to_write_a_statement() {
        let of = |nested| Statement::new(Digest::of(b"package"), 1234, "deb", nested, &[]);
        for statement in [of(false), of(true)] {
            let text = statement.to_string();
            assert_eq!(text.parse(), Ok(statement));
            for (from, to) in [
                ("v1", "v2"),
                ("size 1234", "size 01234"),
                ("size 1234", "size +1234"),
                ("format deb", "format  deb"),
                ("rules 1\n", ""),
                ("list ", "list sha256:"),
                ("members 0\n", "members 0\r\n"),
            ] {
                text.replace(from, to).parse::<Statement>().unwrap_err();
            }
            format!("{text}more\n").parse::<Statement>().unwrap_err();
            text.trim_end().parse::<Statement>().unwrap_err();
        }
        assert_ne!(of(false).digest(), of(true).digest());
        assert!(!of(false).is_comparable(&of(true)));
    }
}
