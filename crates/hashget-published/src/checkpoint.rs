//! Checkpoints (<https://c2sp.org/tlog-checkpoint>): how many entries the log of a publisher has, and their root.
//!
//! Invariant: what is read is what was written, line by line; the time is the one extension line that is understood.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashget::model::Digest;

use crate::error::PublishedError;
use crate::key::{PublicKey, SigningKey};
use crate::note::{BadNote, Note};

/// The name of the file.
pub(crate) const FILE: &str = "checkpoint";

/// The state of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// The number of its entries.
    pub size: u64,
    /// The root of their Merkle tree.
    pub root: Digest,
    /// When it was signed, in seconds since 1970 UTC, if it says so.
    pub time: Option<i64>,
}

impl Checkpoint {
    /// The checkpoint in a signed note that one of `keys` has signed.
    ///
    /// # Errors
    /// It is none, or none of the keys has signed it.
    pub fn open(note: &[u8], keys: &[PublicKey]) -> Result<Self, PublishedError> {
        let note = Note::parse(note).map_err(|bad| not_signed(&bad))?;
        let (text, key) = note.verified(keys).map_err(|bad| not_signed(&bad))?;
        let checkpoint =
            Self::parse(text).map_err(|problem| PublishedError::damaged(FILE, problem))?;
        if checkpoint.origin != key.name() {
            let problem = format!("it is of the log {}, not of {}", checkpoint.origin, key.name());
            return Err(PublishedError::NotSigned { file: FILE.to_owned(), problem });
        }
        Ok(checkpoint)
    }

    /// The signed note of the checkpoint.
    pub fn sign(&self, keys: &[SigningKey]) -> String {
        Note::sign(&self.text(), keys).to_string()
    }

    fn text(&self) -> String {
        let root = BASE64_STANDARD.encode(self.root.as_bytes());
        let time = self.time.map(|time| format!("time {time}\n")).unwrap_or_default();
        format!("{}\n{}\n{root}\n{time}", self.origin, self.size)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let mut line = |what: &str| {
            lines.next().filter(|line| !line.is_empty()).ok_or_else(|| format!("it has no {what}"))
        };
        let (origin, size, root) = (line("origin")?, line("size")?, line("root")?);
        let is_plain = size.bytes().all(|byte| byte.is_ascii_digit())
            && (size == "0" || !size.starts_with('0'));
        let size = size.parse().ok().filter(|_| is_plain);
        let root = BASE64_STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        let times: Vec<&str> = lines.filter_map(|line| line.strip_prefix("time ")).collect();
        let time = times.first().map(|time| time.parse().map_err(|_| "its time is no number"));
        Ok(Self {
            origin: origin.to_owned(),
            size: size.ok_or("its size is no number")?,
            root: root.map(Digest::from_bytes).ok_or("its root is no SHA-256 in base64")?,
            time: time.transpose()?,
        })
    }
}

fn not_signed(bad: &BadNote) -> PublishedError {
    PublishedError::NotSigned { file: FILE.to_owned(), problem: bad.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let read = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!((&*read.origin, read.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(read.text(), EXAMPLE);
        let timed = Checkpoint { time: Some(1_764_500_000), ..read };
        assert_eq!(Checkpoint::parse(&timed.text()), Ok(timed));
        for (from, to) in [
            ("20852163", "020852163"),
            ("20852163", "-1"),
            ("CsUY", "CsU"),
            ("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", ""),
        ] {
            Checkpoint::parse(&EXAMPLE.replace(from, to)).unwrap_err();
        }
        // Others may add lines.
        assert_eq!(Checkpoint::parse(&format!("{EXAMPLE}more\n")).unwrap().time, None);
        Checkpoint::parse(&format!("{EXAMPLE}time soon\n")).unwrap_err();
    }

    #[test]
    fn a_key_signs_for_its_own_log_only() {
        let key = SigningKey::generate("one.example/log").unwrap();
        let keys = [key.public().clone()];
        let of = |origin: &str| Checkpoint {
            origin: origin.to_owned(),
            size: 0,
            root: Digest::of(b""),
            time: None,
        };
        let own = of("one.example/log");
        let signed = own.sign(std::slice::from_ref(&key));
        assert_eq!(Checkpoint::open(signed.as_bytes(), &keys).unwrap(), own);
        let other = of("two.example/log").sign(&[key]);
        assert!(matches!(
            Checkpoint::open(other.as_bytes(), &keys),
            Err(PublishedError::NotSigned { .. })
        ));
    }
}
