//! Paths below a root, as bytes.
//!
//! Invariant: a [`RelPath`] has no empty, `.` or `..` component, no leading or trailing `/` and no
//! NUL; joined to any root it stays below it. The empty path is the root itself.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// A path below some root: of a member in its package, or of an entry in a tree. Any bytes but NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelPath(Box<[u8]>);

/// Bytes that are not a path below a root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not a path below a folder: {reason}", escaped(path))]
pub struct BadPath {
    path: Vec<u8>,
    reason: &'static str,
}

impl BadPath {
    /// What is wrong with it, without the path.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

impl RelPath {
    /// The root itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Exactly these bytes, or an error if they are not in the one valid form.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, BadPath> {
        let path = bytes.into();
        let reason = if path.is_empty() {
            None
        } else if path.contains(&0) {
            Some("it has a NUL byte")
        } else if path[0] == b'/' {
            Some("it is absolute")
        } else {
            path.split(|&byte| byte == b'/').find_map(|component| match component {
                b"" => Some("it has an empty component"),
                b"." => Some("it has a \".\" component"),
                b".." => Some("it has a \"..\" component"),
                _ => None,
            })
        };
        match reason {
            Some(reason) => Err(BadPath { path, reason }),
            None => Ok(Self(path.into())),
        }
    }

    /// A name as archives write it: leading `/` and `./`, doubled and trailing `/` are taken away.
    /// A `..` component stays an error.
    pub fn normalise(bytes: &[u8]) -> Result<Self, BadPath> {
        let components: Vec<&[u8]> = bytes
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty() && *component != b".")
            .collect();
        Self::new(components.join(&b'/'))
    }

    /// Is this the root itself?
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of the path; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For calls of the operating system; the root is the empty path.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// This path below `root`; `root` itself for the root.
    pub fn below(&self, root: &Path) -> std::path::PathBuf {
        if self.is_root() { root.to_path_buf() } else { root.join(self.as_path()) }
    }

    /// `self/rest`.
    pub fn join(&self, rest: &[u8]) -> Result<Self, BadPath> {
        if self.is_root() {
            return Self::new(rest);
        }
        if rest.is_empty() {
            return Ok(self.clone());
        }
        Self::new([&*self.0, b"/", rest].concat())
    }

    /// The folder that holds it; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        Some(Self(self.0[..end].into()))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or(b"")
    }

    /// The components from the top; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|component| !component.is_empty())
    }
}

/// `bytes`, if they are shown as they are: printable ASCII, as nearly all names are.
fn as_it_is(bytes: &[u8]) -> Option<&str> {
    let is_plain = bytes.iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b'\\');
    if is_plain { std::str::from_utf8(bytes).ok() } else { None }
}

/// `bytes` for a person: printable UTF-8 as it is, everything else (control characters, escape
/// sequences, invalid UTF-8, bidirectional overrides) as `\xNN` or `\u{NNNN}`. Safe on a terminal.
pub fn escaped(bytes: &[u8]) -> String {
    if let Some(text) = as_it_is(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let hidden = matches!(character,
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            match character {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                _ if character.is_control() || hidden => text.extend(character.escape_unicode()),
                _ => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match as_it_is(&self.0) {
            Some("") => f.write_str("."),
            Some(text) => f.write_str(text),
            None => f.write_str(&escaped(&self.0)),
        }
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl TryFrom<&str> for RelPath {
    type Error = BadPath;

    fn try_from(text: &str) -> Result<Self, BadPath> {
        Self::new(text.as_bytes())
    }
}

/// Bytes in JSON: a string where they are UTF-8, else `{"base64": "..."}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes { base64: String },
}

/// Serialises bytes (a name, a link target) as [`RelPath`] does; for `#[serde(with)]`.
pub(crate) mod bytes_as_text {
    use base64::Engine as _;

    use super::{BASE64_STANDARD, Deserialize, Serialize, Text};

    /// See the module.
    pub(crate) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(bytes);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Text::Bytes { base64: BASE64_STANDARD.encode(bytes) }.serialize(serializer),
        }
    }

    /// See the module.
    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<[u8]>, D::Error> {
        if !deserializer.is_human_readable() {
            return Vec::<u8>::deserialize(deserializer).map(Into::into);
        }
        match Text::deserialize(deserializer)? {
            Text::Utf8(text) => Ok(text.into_bytes().into()),
            Text::Bytes { base64 } => {
                BASE64_STANDARD.decode(&base64).map(Into::into).map_err(|error| {
                    serde::de::Error::custom(format!("bad base64 in a name: {error}"))
                })
            }
        }
    }
}

impl Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes_as_text::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytes_as_text::deserialize(deserializer)?;
        Self::new(bytes.into_vec()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_root_are_paths() {
        for bad in [&b"/etc"[..], b"..", b"a/../b", b"a//b", b"a/", b"./a", b"a\0b"] {
            assert!(RelPath::new(bad).is_err(), "{}", escaped(bad));
        }
        assert!(RelPath::normalise(b"../a").is_err());
        assert_eq!(RelPath::normalise(b"./usr//bin/").unwrap().as_bytes(), b"usr/bin");
        assert_eq!(RelPath::normalise(b"./").unwrap(), RelPath::root());
    }

    #[test]
    fn any_bytes_round_trip_through_json() {
        for bytes in [&b"plain"[..], b"caf\xc3\xa9", b"\xff\xfe", b"new\nline"] {
            let path = RelPath::new(bytes).unwrap();
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<RelPath>(&json).unwrap(), path, "{json}");
        }
        assert!(serde_json::from_str::<RelPath>("\"../x\"").is_err());
        assert!(serde_json::from_str::<RelPath>(r#"{"base64":"Li4="}"#).is_err());
    }

    #[test]
    fn parents_and_names() {
        let path = RelPath::new("a/b/c").unwrap();
        assert_eq!(path.parent().unwrap().as_bytes(), b"a/b");
        assert_eq!(path.file_name(), b"c");
        assert_eq!(RelPath::new("a").unwrap().parent().unwrap(), RelPath::root());
        assert_eq!(RelPath::root().parent(), None);
    }

    #[test]
    fn what_is_shown_cannot_move_a_terminal() {
        assert_eq!(escaped(b"a\x1b[31mb\n\xff\\"), "a\\u{1b}[31mb\\n\\xff\\\\");
        assert_eq!(escaped("x\u{202e}y".as_bytes()), "x\\u{202e}y");
    }
}
