//! Version 1: the manifest of the older Python tool (PyPI `hashget` 0.176), read and written.
//!
//! Invariant: names are bytes here; Python's lone surrogates (PEP 383) exist in the JSON only.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};

use crate::model::{Digest, RelPath, escaped};

/// A manifest of the Python tool.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct ManifestV1 {
    /// The packages to look into.
    pub packages: Vec<PackageV1>,
    /// The files to find there.
    pub files: Vec<FileV1>,
    /// Bytes of all packages together.
    #[serde(default)]
    pub packagesize: u64,
    /// `YYYY-MM-DD`.
    #[serde(default)]
    pub expires: Option<String>,
}

/// A package of a version 1 manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct PackageV1 {
    /// Where it is.
    pub url: String,
    /// `sha256:HEX` of its bytes.
    pub hash: Digest,
}

/// A file of a version 1 manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct FileV1 {
    /// Its path.
    #[serde(deserialize_with = "python_path")]
    pub file: RelPath,
    /// Of its contents.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// Permission bits, 0777.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Whole seconds.
    pub atime: i64,
    /// Whole seconds.
    pub ctime: i64,
    /// Whole seconds.
    pub mtime: i64,
}

impl ManifestV1 {
    /// The JSON as Python's `json.dump(indent=4, sort_keys=True)` writes it: the Python tool reads
    /// files written by any JSON writer, but people compare them.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = String::from("{\n");
        if let Some(expires) = &self.expires {
            json += &format!("    \"expires\": {},\n", python_string(expires.as_bytes()));
        }
        let files: Vec<String> = self
            .files
            .iter()
            .map(|file| {
                format!(
                    "        {{\n            \"atime\": {},\n            \"ctime\": {},\n            \
                     \"file\": {},\n            \"gid\": {},\n            \"mode\": {},\n            \
                     \"mtime\": {},\n            \"sha256\": \"{}\",\n            \"size\": {},\n            \
                     \"uid\": {}\n        }}",
                    file.atime,
                    file.ctime,
                    python_string(file.file.as_bytes()),
                    file.gid,
                    file.mode,
                    file.mtime,
                    file.sha256,
                    file.size,
                    file.uid
                )
            })
            .collect();
        let packages: Vec<String> = self
            .packages
            .iter()
            .map(|package| {
                format!(
                    "        {{\n            \"hash\": \"sha256:{}\",\n            \"url\": {}\n        }}",
                    package.hash,
                    python_string(package.url.as_bytes())
                )
            })
            .collect();
        json += &format!("    \"files\": {},\n", list(&files));
        json += &format!("    \"packages\": {},\n", list(&packages));
        json += &format!("    \"packagesize\": {},\n", self.packagesize);
        json += "    \"packagesize_exact\": true\n}";
        json.into_bytes()
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "[]".to_owned() } else { format!("[\n{}\n    ]", items.join(",\n")) }
}

/// A JSON string in ASCII as Python writes a file name: bytes that are not UTF-8 become lone
/// surrogates.
fn python_string(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                ' '..='~' => text.push(character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        text.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\udc{byte:02x}"));
        }
    }
    text.push('"');
    text
}

/// Reads a path that Python wrote. `serde_json` gives lone surrogates to a visitor of bytes as
/// three bytes each (WTF-8), which no valid UTF-8 holds.
fn python_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RelPath, D::Error> {
    struct Name;
    impl Visitor<'_> for Name {
        type Value = RelPath;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a path below the tree")
        }

        fn visit_bytes<E: de::Error>(self, wtf8: &[u8]) -> Result<RelPath, E> {
            let bytes = without_surrogates(wtf8).ok_or_else(|| {
                E::custom(format!("\"{}\" has a lone surrogate that is no byte", escaped(wtf8)))
            })?;
            RelPath::new(bytes).map_err(E::custom)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<RelPath, E> {
            self.visit_bytes(text.as_bytes())
        }
    }
    deserializer.deserialize_bytes(Name)
}

/// Turns the lone surrogates U+DC80 to U+DCFF back into bytes; `None` for any other surrogate.
fn without_surrogates(wtf8: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(wtf8.len());
    let mut rest = wtf8;
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail) {
            (0xed, &[second @ 0xa0..=0xbf, third, ..]) => {
                let unit = 0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
                let byte =
                    u8::try_from(unit.checked_sub(0xdc00)?).ok().filter(|&byte| byte >= 0x80)?;
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &[u8]) -> FileV1 {
        FileV1 {
            file: RelPath::new(name).unwrap(),
            sha256: Digest::of(b"x"),
            size: 1,
            mode: 0o644,
            uid: 0,
            gid: 0,
            atime: 1,
            ctime: 2,
            mtime: 3,
        }
    }

    #[test]
    fn any_name_round_trips() {
        let manifest = ManifestV1 {
            packages: vec![PackageV1 {
                url: "http://example.org/a".into(),
                hash: Digest::of(b"p"),
            }],
            files: [
                &b"plain"[..],
                b"caf\xc3\xa9",
                b"\xff\x80x",
                b"q\"\\\n",
                "\u{1f600}".as_bytes(),
            ]
            .map(file)
            .into(),
            packagesize: 7,
            expires: Some("2030-01-01".into()),
        };
        let json = manifest.to_json();
        assert!(json.is_ascii());
        assert!(String::from_utf8_lossy(&json).contains("\\udcff\\udc80x"));
        assert_eq!(serde_json::from_slice::<ManifestV1>(&json).unwrap(), manifest);
    }

    #[test]
    fn names_that_leave_the_tree_or_are_no_bytes_are_refused() {
        for name in ["/etc/passwd", "../x", "a/../../x", "", "\\ud800", "\\udc7f"] {
            let json = format!(
                r#"{{"packages":[],"files":[{{"file":"{name}","sha256":"{}","size":0,"mode":0,
                "uid":0,"gid":0,"atime":0,"ctime":0,"mtime":0}}]}}"#,
                Digest::of(b"")
            );
            let result = serde_json::from_str::<ManifestV1>(&json);
            assert!(name.is_empty() || result.is_err(), "{name}: {result:?}");
        }
    }
}
