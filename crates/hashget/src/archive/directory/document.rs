//! What the skippable frame of a directory holds: JSON, compressed with zstd.
//!
//! Invariant: of what a foreign archive says, no more is kept than its number of frames accounts for.

use std::fmt;
use std::io::{self, Read};
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::codec::{Codec, decoder};
use crate::limits::Limits;
use crate::model::{Digest, RelPath};

const FORMAT: &str = "hashget-directory";
const VERSION: u32 = 1;
/// zstd's level for the directory.
const LEVEL: i32 = 19;
/// Bytes of JSON that are read of any directory, and for each frame; most take a hundred.
const BYTES: u64 = 1 << 20;
const BYTES_OF_FRAME: u64 = 64 << 10;
/// The directories of archives of a petabyte are smaller.
const MOST_BYTES: u64 = 1 << 30;

/// What the directory says of the frames, in order.
#[derive(Debug, Serialize)]
pub(in crate::archive) struct Document {
    format: String,
    version: u32,
    /// The entry that each frame begins with or within; `None` is the manifest.
    pub(in crate::archive) frames: Vec<Option<RelPath>>,
    /// What the frames were compressed with; see [`encoder_name`](crate::codec::seekable::encoder_name).
    pub(in crate::archive) encoder: String,
    /// For the first frame of each segment the digest of what it was made of.
    pub(in crate::archive) made_of: Vec<Option<Digest>>,
    /// A checksum of each frame's compressed bytes: 16 hex digits.
    pub(in crate::archive) checksums: Vec<String>,
}

impl Document {
    /// A directory that says this.
    pub(super) fn new(
        frames: Vec<Option<RelPath>>,
        encoder: &str,
        made_of: Vec<Option<Digest>>,
        checksums: Vec<String>,
    ) -> Self {
        let (format, encoder) = (FORMAT.to_owned(), encoder.to_owned());
        Self { format, version: VERSION, frames, encoder, made_of, checksums }
    }

    /// The content of the skippable frame.
    ///
    /// # Errors
    /// zstd failed: out of memory.
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.compress(&json)
    }

    /// Reads the content of the skippable frame, for this number of frames.
    ///
    /// # Errors
    /// It is damaged, or too long for these frames.
    pub(super) fn read(content: impl Read, frames: usize, limits: &Limits) -> io::Result<Self> {
        let most = (frames as u64).saturating_mul(BYTES_OF_FRAME).saturating_add(BYTES);
        let limits = Limits { unpacked_bytes: most.min(MOST_BYTES), ..limits.clone() };
        let json = decoder(Codec::Zstd, Box::new(content), &limits, 1)?;
        let mut json = serde_json::Deserializer::from_reader(json);
        let document = OfFrames(frames).deserialize(&mut json)?;
        json.end()?;
        Ok(document)
    }

    /// Is it of a version that is known?
    pub(super) fn is_known(&self) -> bool {
        self.format == FORMAT && self.version == VERSION
    }
}

/// A document for this number of frames.
struct OfFrames(usize);

impl<'de> DeserializeSeed<'de> for OfFrames {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OfFrames {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a directory")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Document, A::Error> {
        let (mut format, mut version, mut frames) = (None, None, None);
        let (mut encoder, mut made_of, mut checksums) = (String::new(), Vec::new(), Vec::new());
        while let Some(name) = fields.next_key::<String>()? {
            match &*name {
                "format" => format = Some(fields.next_value()?),
                "version" => version = Some(fields.next_value()?),
                "frames" => frames = Some(fields.next_value_seed(AtMost::new(self.0))?),
                "encoder" => encoder = fields.next_value()?,
                "made_of" => made_of = fields.next_value_seed(AtMost::new(self.0))?,
                "checksums" => checksums = fields.next_value_seed(AtMost::new(self.0))?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        let missing = A::Error::missing_field;
        let format = format.ok_or_else(|| missing("format"))?;
        let version = version.ok_or_else(|| missing("version"))?;
        let frames = frames.ok_or_else(|| missing("frames"))?;
        Ok(Document { format, version, frames, encoder, made_of, checksums })
    }
}

/// A list of at most this number of items.
struct AtMost<T>(usize, PhantomData<T>);

impl<T> AtMost<T> {
    fn new(most: usize) -> Self {
        Self(most, PhantomData)
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for AtMost<T> {
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtMost<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {} items, one for each frame", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == self.0 {
                return Err(A::Error::invalid_length(items.len() + 1, &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, frames: usize) -> io::Result<Document> {
        let content = zstd::encode_all(json.as_bytes(), 1).unwrap();
        Document::read(&content[..], frames, &Limits::default())
    }

    #[test]
    fn a_document_comes_back() {
        let path = RelPath::new("a/b").unwrap();
        let frames = vec![None, Some(path)];
        let made_of = vec![None, Some(Digest::of(b"x"))];
        let written = Document::new(frames, "zstd 1", made_of, vec!["0".repeat(16); 2]);
        let read = Document::read(&written.to_bytes().unwrap()[..], 2, &Limits::default()).unwrap();
        assert!(read.is_known());
        assert_eq!(format!("{read:?}"), format!("{written:?}"));
    }

    #[test]
    fn what_a_later_version_adds_is_ignored_and_what_is_missing_is_damage() {
        let known = r#"{"format":"hashget-directory","version":1,"later":[[]],"frames":[null]}"#;
        assert!(read(known, 1).unwrap().is_known());
        assert!(
            !read(r#"{"format":"hashget-directory","version":2,"frames":[]}"#, 1)
                .unwrap()
                .is_known()
        );
        assert!(read(r#"{"format":"hashget-directory","version":1}"#, 1).is_err());
        assert!(read(r#"{"format":"hashget-directory","version":1,"frames":[]} x"#, 1).is_err());
    }

    #[test]
    fn no_more_is_kept_than_the_frames_account_for() {
        for (name, item) in [("frames", "null"), ("made_of", "null"), ("checksums", r#""""#)] {
            let list = |items: usize| {
                let items = vec![item; items].join(",");
                let rest = if name == "frames" { "" } else { r#""frames":[],"# };
                format!(r#"{{{rest}"{name}":[{items}],"format":"hashget-directory","version":1}}"#)
            };
            assert!(read(&list(3), 3).is_ok(), "{name}");
            let message = read(&list(4), 3).unwrap_err().to_string();
            assert!(message.contains("at most 3 items"), "{name}: {message}");
        }
        let long = format!(
            r#"{{"format":"hashget-directory","version":1,"frames":["{}"]}}"#,
            "a".repeat(2 << 20)
        );
        assert!(read(&long, 1).is_err() && read(&long, 100).is_ok());
    }
}
