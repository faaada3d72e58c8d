//! The record beside an archive: what must be known of it without reading it.
//!
//! Invariant: a record that was read fits the name beside which it lies, and has no name of a packed file and no digest of one. What may
//! follow it in its file, a copy of the manifest, does.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::series::ArchiveName;

/// The version of records that are written.
const VERSION: u32 = 1;

/// The longest record that is read, in bytes, without what follows it.
pub const MOST_BYTES: usize = 64 << 10;

/// What is known of one archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the record's form.
    record: u32,
    /// The host, as in the archive's name.
    pub host: String,
    /// The job.
    pub job: String,
    /// When the run began, to the second, as in the archive's name.
    #[serde(with = "seconds")]
    pub started: Timestamp,
    /// When packing had ended.
    #[serde(with = "seconds")]
    pub ended: Timestamp,
    /// The exit code of packing: 0, 3 or 5.
    pub exit: u8,
    /// The size in bytes of the archive as it lies in the destination.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// The bytes of the files that were packed.
    pub tree_bytes: u64,
    /// How many of these packages give back.
    pub left_out_bytes: u64,
    /// The number of files that were packed.
    pub files: u64,
    /// The number of problems that packing reported.
    pub problems: u64,
    /// The archive that this one was packed against, which is needed to restore it.
    #[serde(default)]
    pub base: Option<String>,
    /// The bytes of its parity, if it was sent with some.
    #[serde(default)]
    pub parity: Option<Sealed>,
    /// The first bytes of the archive, with the manifest, if they follow the record a second time.
    #[serde(default)]
    pub manifest: Option<Sealed>,
    /// The program that made it.
    pub program: String,
}

/// What is said about an archive in its record, besides what its name and its bytes say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    /// The exit code of packing.
    pub exit: u8,
    /// The bytes of the files that were packed.
    pub tree_bytes: u64,
    /// How many of these packages give back.
    pub left_out_bytes: u64,
    /// The number of files that were packed.
    pub files: u64,
    /// The problems that packing reported, each in a line; none that is only a note.
    pub problems: Vec<String>,
    /// The archive that it was packed against, if something was left out because that has it.
    pub base: Option<String>,
}

impl Packed {
    /// Adds a problem that came after packing.
    pub fn add_problem(&mut self, problem: String) {
        self.problems.push(problem);
        self.exit = if self.exit == 0 { 3 } else { self.exit };
    }
}

/// A record that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// It is no record.
    #[error("the record {name} cannot be read: {problem}")]
    Damaged {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A newer hashget wrote it.
    #[error(
        "the record {name} has version {version}, and this hashget reads version 1: use a newer hashget"
    )]
    TooNew {
        /// Its name.
        name: String,
        /// Its version.
        version: u64,
    },
}

/// The bytes of an archive, or of its parity, as it lies in a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// How many there are.
    pub bytes: u64,
    /// Their SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Record {
    /// The record of an archive without parity that was packed until `ended` by a version of hashget.
    pub fn new(
        name: &ArchiveName,
        sealed: Sealed,
        packed: &Packed,
        ended: Timestamp,
        version: &str,
    ) -> Self {
        Self {
            record: VERSION,
            host: name.series().host().to_owned(),
            job: name.series().job().to_owned(),
            started: name.started(),
            ended,
            exit: packed.exit,
            bytes: sealed.bytes,
            sha256: sealed.sha256,
            tree_bytes: packed.tree_bytes,
            left_out_bytes: packed.left_out_bytes,
            files: packed.files,
            problems: u64::try_from(packed.problems.len()).unwrap_or(u64::MAX),
            base: packed.base.clone(),
            parity: None,
            manifest: None,
            program: format!("hashget {version}"),
        }
    }

    /// Takes over what is said of problems, which may have become more.
    pub fn add_problems(&mut self, packed: &Packed) {
        self.exit = packed.exit;
        self.problems = u64::try_from(packed.problems.len()).unwrap_or(u64::MAX);
    }

    /// As it lies beside its archive.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("it has only texts and numbers");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the record of an archive: the first line of its file.
    ///
    /// # Errors
    /// It is too long, no JSON, lacks something, is of another archive, or is too new.
    pub fn parse(bytes: &[u8], archive: &ArchiveName) -> Result<Self, BadRecord> {
        let name = archive.record();
        let damaged = |problem: String| BadRecord::Damaged { name: name.clone(), problem };
        let bytes = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if bytes.len() > MOST_BYTES {
            return Err(damaged(format!("it has more than {MOST_BYTES} bytes")));
        }
        let value: serde_json::Value = serde_json::from_slice(bytes)
            .map_err(|error| damaged(format!("it is no JSON: {error}")))?;
        match value.get("record").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(BadRecord::TooNew { name, version }),
            None => return Err(damaged("it does not say its version".to_owned())),
        }
        let record: Self =
            serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        let series = archive.series();
        if (&*record.host, &*record.job, record.started)
            != (series.host(), series.job(), archive.started())
        {
            return Err(damaged("it is of another archive".to_owned()));
        }
        let is_digest = |text: &str| {
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let beside = [&record.parity, &record.manifest].into_iter().flatten();
        if !beside.map(|sealed| &*sealed.sha256).chain([&*record.sha256]).all(is_digest) {
            return Err(damaged("its sha256 is none".to_owned()));
        }
        Ok(record)
    }

    /// Is the archive whole, and does it restore what it holds?
    pub fn is_good(&self) -> bool {
        matches!(self.exit, 0 | 3 | 5)
    }

    /// How the bytes of the archive are known.
    pub fn sealed(&self) -> Sealed {
        Sealed { bytes: self.bytes, sha256: self.sha256.clone() }
    }
}

/// Times as `2026-11-27T02:30:00Z`.
pub(crate) mod seconds {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom(format!("\"{text}\" is no time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "web1_system_2026-11-27T023000Z.tar.zst";

    fn name() -> ArchiveName {
        ArchiveName::parse(NAME).unwrap()
    }

    fn record() -> Record {
        let sealed = Sealed { bytes: 7, sha256: "0a".repeat(32) };
        let packed = Packed {
            exit: 3,
            tree_bytes: 9,
            files: 2,
            problems: vec!["a: b".into()],
            ..Packed::default()
        };
        Record::new(&name(), sealed, &packed, "2026-11-27T02:31:07.9Z".parse().unwrap(), "0.2.0")
    }

    fn changed(key: &str, value: serde_json::Value) -> Result<Record, BadRecord> {
        let mut json: serde_json::Value = serde_json::from_slice(&record().to_bytes()).unwrap();
        json[key] = value;
        Record::parse(json.to_string().as_bytes(), &name())
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let text = String::from_utf8(record().to_bytes()).unwrap();
        assert!(
            text.contains(
                r#""started":"2026-11-27T02:30:00Z","ended":"2026-11-27T02:31:07Z","exit":3"#
            ),
            "{text}"
        );
        let read = Record::parse(text.as_bytes(), &name()).unwrap();
        assert_eq!((read.problems, read.is_good(), read.files), (1, true, 2));
        assert_eq!(Record { ended: record().ended, ..read }, record());
    }

    #[test]
    fn keys_of_later_versions_are_ignored_and_a_later_version_is_named() {
        assert!(changed("colour", "red".into()).is_ok());
        let parity = Sealed { bytes: 3, sha256: "0b".repeat(32) };
        let with = changed("parity", serde_json::to_value(&parity).unwrap()).unwrap();
        assert_eq!(with.parity, Some(parity));
        let error = changed("record", 2.into()).unwrap_err().to_string();
        assert!(error.contains("version 2") && error.contains("newer hashget"), "{error}");
    }

    #[test]
    fn what_is_no_record_of_this_archive_is_an_error() {
        for (key, value) in [
            ("record", serde_json::Value::Null),
            ("host", "web2".into()),
            ("job", 1.into()),
            ("started", "2026-11-27T02:30:01Z".into()),
            ("started", "yesterday".into()),
            ("bytes", (-1).into()),
            ("sha256", "0A".repeat(32).into()),
            ("sha256", "../../etc".into()),
            ("exit", 300.into()),
            ("parity", 5.into()),
            ("parity", serde_json::json!({ "bytes": 3, "sha256": "x" })),
        ] {
            let error = changed(key, value).unwrap_err().to_string();
            assert!(error.contains(NAME) && error.contains("cannot be read"), "{key}: {error}");
        }
        for bytes in [&b""[..], b"[]", b"{\"record\":1}", b"\xff", &vec![b' '; MOST_BYTES + 1]] {
            assert!(Record::parse(bytes, &name()).is_err());
        }
    }

    #[test]
    fn only_whole_archives_are_good() {
        for (exit, expected) in
            [(0, true), (3, true), (5, true), (1, false), (2, false), (4, false), (130, false)]
        {
            assert_eq!(Record { exit, ..record() }.is_good(), expected, "{exit}");
        }
    }
}
