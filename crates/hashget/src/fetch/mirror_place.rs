//! A place of a mirror: a prefix in place of another one, or a template over the digest of a package.
//!
//! Invariant: a URL made from a template differs for each digest, and nothing enters it but the configuration's text and
//! digits of the digest.

use std::fmt::Write as _;

use crate::error::ErrorClass;
use crate::model::{Digest, escaped};

/// Number of hex digits of a SHA-256.
const DIGITS: usize = 64;

/// One of the places in `use` of a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorPlace {
    /// It stands for the prefix of the rule: the rest of the URL follows it.
    Prefix(String),
    /// It has packages by their digest.
    Template(Template),
}

/// A URL with digits of a SHA-256 in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The hex digits from the first index up to, and without, the second.
    Digits(usize, usize),
}

/// A text that is no place of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// Something in braces has no meaning.
    #[error("\"{found}\" in braces has no meaning: expected sha256, sha256:A:B or sha256:A:")]
    Unknown {
        /// What is between the braces, safe for a terminal.
        found: String,
    },
    /// The digits are not in the digest, or none.
    #[error(
        "\"{found}\" in braces names no digits: expected sha256:A:B with A < B, and B at most 64"
    )]
    Slice {
        /// What is between the braces, safe for a terminal.
        found: String,
    },
    /// A brace has no partner.
    #[error("a brace has no partner")]
    Brace,
    /// The same URL would stand for several packages.
    #[error(
        "digit {missing} of the digest is not in it, so that one URL would stand for several packages"
    )]
    Incomplete {
        /// The first digit that is missing, counted from 0.
        missing: usize,
    },
}

impl BadTemplate {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unknown { .. } | Self::Slice { .. } | Self::Brace | Self::Incomplete { .. } => {
                ErrorClass::BadInput
            }
        }
    }
}

impl MirrorPlace {
    /// A place as the configuration writes it: with braces it is a template.
    ///
    /// # Errors
    /// See [`BadTemplate`].
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        if text.contains(['{', '}']) {
            return Template::parse(text).map(Self::Template);
        }
        Ok(Self::Prefix(text.to_owned()))
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, BadTemplate> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some(position) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at(position);
            let (inside, after) = braced
                .strip_prefix('{')
                .and_then(|inside| inside.split_once('}'))
                .ok_or(BadTemplate::Brace)?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(digits(inside)?);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let has = |digit: usize| {
            let is_in = |piece: &Piece| match piece {
                Piece::Digits(first, end) => (*first..*end).contains(&digit),
                Piece::Text(_) => false,
            };
            pieces.iter().any(is_in)
        };
        match (0..DIGITS).find(|digit| !has(*digit)) {
            Some(missing) => Err(BadTemplate::Incomplete { missing }),
            None => Ok(Self { pieces }),
        }
    }

    /// The URL of the package with this digest.
    pub fn url(&self, sha256: &Digest) -> String {
        let (hex, mut url) = (sha256.to_string(), String::new());
        for piece in &self.pieces {
            let text = match piece {
                Piece::Text(text) => text,
                Piece::Digits(first, end) => &hex[*first..*end],
            };
            // Writing to a string cannot fail.
            let _ = url.write_str(text);
        }
        url
    }
}

/// What stands between braces.
fn digits(inside: &str) -> Result<Piece, BadTemplate> {
    let found = || escaped(inside.as_bytes());
    let slice = match inside.strip_prefix("sha256") {
        Some("") => return Ok(Piece::Digits(0, DIGITS)),
        Some(rest) => rest.strip_prefix(':').and_then(|slice| slice.split_once(':')),
        None => None,
    };
    let Some((first, end)) = slice else { return Err(BadTemplate::Unknown { found: found() }) };
    let index = |text: &str, absent| match text {
        "" => Some(absent),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    match (index(first, 0), index(end, DIGITS)) {
        (Some(first), Some(end)) if first < end && end <= DIGITS => Ok(Piece::Digits(first, end)),
        _ => Err(BadTemplate::Slice { found: found() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(template: &str) -> String {
        match MirrorPlace::parse(template).unwrap() {
            MirrorPlace::Template(template) => template.url(&Digest::of(b"")),
            MirrorPlace::Prefix(prefix) => panic!("{prefix} is no template"),
        }
    }

    #[test]
    fn layouts_by_digest_can_be_written() {
        // The digest of nothing.
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for (template, expected) in [
            ("https://a.example/by-hash/SHA256/{sha256}", format!("by-hash/SHA256/{hex}")),
            (
                "https://a.example/sha256/{sha256:0:2}/{sha256:2:4}/{sha256:4:6}/{sha256:6:}",
                format!("sha256/e3/b0/c4/{}", &hex[6..]),
            ),
            ("https://a.example/{sha256::2}/{sha256}.bin?x", format!("e3/{hex}.bin?x")),
        ] {
            assert_eq!(url(template), format!("https://a.example/{expected}"));
        }
        let prefix = MirrorPlace::parse("https://a.example/").unwrap();
        assert_eq!(prefix, MirrorPlace::Prefix("https://a.example/".to_owned()));
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said() {
        for (template, expected) in [
            ("{sha512}", "\"sha512\" in braces has no meaning: expected sha256"),
            ("{}", "\"\" in braces has no meaning"),
            ("{sha256:2}", "\"sha256:2\" in braces has no meaning"),
            ("{path}\u{1b}", "\"path\" in braces has no meaning"),
            ("{sha256:2:2}", "\"sha256:2:2\" in braces names no digits"),
            ("{sha256:0:65}", "A < B, and B at most 64"),
            ("{sha256:-1:2}", "names no digits"),
            ("{sha256:+1:2}", "names no digits"),
            ("{sha256", "a brace has no partner"),
            ("{sha256}}", "a brace has no partner"),
            ("{sha256:0:2}", "digit 2 of the digest is not in it"),
            ("{sha256:1:}", "digit 0 of the digest is not in it"),
        ] {
            let error = MirrorPlace::parse(&format!("https://a.example/{template}")).unwrap_err();
            assert!(error.to_string().contains(expected), "{template}: {error}");
        }
    }
}
