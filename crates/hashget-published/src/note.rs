//! Signed notes (<https://c2sp.org/signed-note>): text, and who signed it.
//!
//! Invariant: text is believed only if a key that the reader was given has signed it, and none of these keys has a wrong signature
//! below it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::key::{PublicKey, SigningKey};

/// Signatures that are read: the specification lets readers refuse more.
const MOST_SIGNATURES: usize = 100;

/// Text with signatures that have not been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The text, to its last line feed.
    pub text: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    /// The hash of the key, and the signature.
    bytes: Vec<u8>,
}

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// It is none.
    #[error("it is no signed note: {0}")]
    Syntax(&'static str),
    /// Nobody signed it whose key is known.
    #[error("none of the keys that were given has signed it; it names the signers {0}")]
    Unsigned(String),
    /// A key that is known did not sign this text.
    #[error("the signature of {0} is wrong")]
    Wrong(String),
}

impl Note {
    /// `text`, signed by these keys.
    pub fn sign(text: &str, keys: &[SigningKey]) -> Self {
        let signature = |key: &SigningKey| {
            let signature = key.sign(text.as_bytes());
            let bytes = [&key.public().hash()[..], &signature].concat();
            Signature { name: key.public().name().to_owned(), bytes }
        };
        Self { text: text.to_owned(), signatures: keys.iter().map(signature).collect() }
    }

    /// Reads a note.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadNote> {
        let note = std::str::from_utf8(bytes).map_err(|_| BadNote::Syntax("it is no UTF-8"))?;
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(BadNote::Syntax("it has control characters"));
        }
        let end = note.rfind("\n\n").ok_or(BadNote::Syntax("no empty line ends its text"))?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        let Some(lines) = signatures.strip_suffix('\n') else {
            return Err(BadNote::Syntax("its last line does not end"));
        };
        let signatures: Vec<Signature> =
            lines.split('\n').map(Signature::parse).collect::<Result<_, _>>()?;
        if signatures.len() > MOST_SIGNATURES {
            return Err(BadNote::Syntax("it has more than 100 signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, if one of `keys` has signed it, and which of them has.
    ///
    /// # Errors
    /// None of them has, or one of them is named with another signature.
    pub fn verified<'k>(&self, keys: &'k [PublicKey]) -> Result<(&str, &'k PublicKey), BadNote> {
        let mut signer = None;
        for signature in &self.signatures {
            let (hash, bytes) = signature.bytes.split_at(4);
            let is_of = |key: &&PublicKey| key.name() == signature.name && key.hash() == hash;
            let Some(key) = keys.iter().find(is_of) else { continue };
            if !key.has_signed(self.text.as_bytes(), bytes) {
                return Err(BadNote::Wrong(signature.name.clone()));
            }
            signer = signer.or(Some(key));
        }
        let names: Vec<&str> = self.signatures.iter().map(|one| &*one.name).collect();
        signer.map(|key| (&*self.text, key)).ok_or_else(|| BadNote::Unsigned(names.join(", ")))
    }
}

impl Signature {
    fn parse(line: &str) -> Result<Self, BadNote> {
        let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
        let (name, bytes) = parts.ok_or(BadNote::Syntax("a line below it is no signature"))?;
        let bytes = BASE64_STANDARD
            .decode(bytes)
            .map_err(|_| BadNote::Syntax("a signature is no base64"))?;
        let is_named = !name.is_empty() && !name.contains([' ', '+']);
        if !is_named || bytes.len() <= 4 {
            return Err(BadNote::Syntax("a line below it is no signature"));
        }
        Ok(Self { name: name.to_owned(), bytes })
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, bytes } in &self.signatures {
            writeln!(f, "\u{2014} {name} {}", BASE64_STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the documentation of golang.org/x/mod/sumdb/note, from which the specification comes.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SECRET: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_known_note_is_made_and_read() {
        let known = format!("{TEXT}\n{SIGNATURE}");
        let secret = SigningKey::parse(SECRET).unwrap();
        assert_eq!(secret.to_text().trim_end(), SECRET);
        assert_eq!(secret.public().to_string(), KEY);
        let note = Note::sign(TEXT, &[secret]);
        assert_eq!(note.to_string(), known);
        let keys = [KEY.parse().unwrap()];
        assert_eq!(Note::parse(known.as_bytes()).unwrap().verified(&keys), Ok((TEXT, &keys[0])));
    }

    #[test]
    fn only_a_known_key_makes_text_believed() {
        let [one, two] =
            ["one.example/log", "two.example/log"].map(|name| SigningKey::generate(name).unwrap());
        let publics = [&one, &two].map(|key| key.public().clone());
        let note = Note::sign(TEXT, &[one, two]);
        for known in [&publics[..1], &publics[1..], &publics[..]] {
            assert_eq!(note.verified(known).unwrap().0, TEXT);
        }
        let of_none = [KEY.parse().unwrap()];
        assert!(matches!(note.verified(&of_none), Err(BadNote::Unsigned(_))));
        // A key of the same name that is another one.
        let other = [SigningKey::generate("one.example/log").unwrap().public().clone()];
        assert!(matches!(note.verified(&other), Err(BadNote::Unsigned(_))));
        let mut changed = note.clone();
        changed.text = TEXT.replace("answer", "Answer");
        assert!(matches!(changed.verified(&publics), Err(BadNote::Wrong(_))));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let whole = format!("{TEXT}\n{SIGNATURE}");
        for bad in [
            TEXT.to_owned(),
            format!("{TEXT}\n"),
            format!("{TEXT}\n{}", SIGNATURE.trim_end()),
            whole.replace('\u{2014}', "-"),
            whole.replace("x08go", "x08go!"),
            whole.replace("PeterNeumann ", ""),
            whole.replace("think", "th\tink"),
            format!("{TEXT}\n{}", SIGNATURE.repeat(101)),
            format!("{TEXT}\n\u{2014} a AAAA\n"),
        ] {
            assert!(matches!(Note::parse(bad.as_bytes()), Err(BadNote::Syntax(_))), "{bad}");
        }
        Note::parse(b"\xff\n\n\xe2\x80\x94 a AAAAAAAA\n").unwrap_err();
    }

    #[test]
    fn a_key_that_is_misspelt_is_none() {
        for bad in [
            KEY.replace("c74f20a3", "c74f20a4"),
            KEY.replace("Peter", "Pete"),
            KEY.replace("+ARpc", "+BRpc"),
            KEY[..KEY.len() - 4].to_owned(),
            KEY.replace("PeterNeumann", "Peter Neumann"),
            String::new(),
        ] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
            assert!(SigningKey::parse(&format!("PRIVATE+KEY+{bad}")).is_err(), "{bad}");
        }
        SigningKey::generate("a b").unwrap_err();
    }
}
