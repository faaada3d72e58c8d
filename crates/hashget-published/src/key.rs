//! Keys of publishers, written as signed notes write them (<https://c2sp.org/signed-note>).
//!
//! Invariant: only Ed25519 (type 1). A private key is shown by nothing but [`SigningKey::to_text`].

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashget::model::Digest;
use ring::rand::SecureRandom as _;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// The type of Ed25519 keys in signed notes.
const ED25519_TYPE: u8 = 1;

const PRIVATE: &str = "PRIVATE+KEY+";

/// The public key of a publisher: its name (the origin of the publisher's log) and the key itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

/// A text that is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no key of a publisher: {0}; expected NAME+HASH+BASE64, as `hashget publish keygen` prints it"
)]
pub struct BadKey(&'static str);

impl PublicKey {
    /// The name: the origin of the publisher's log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What signatures name the key by, besides its name.
    pub(crate) fn hash(&self) -> [u8; 4] {
        let text = [self.name.as_bytes(), b"\n", &[ED25519_TYPE], &self.key].concat();
        let [a, b, c, d, ..] = *Digest::of(&text).as_bytes();
        [a, b, c, d]
    }

    /// Has this key signed these bytes?
    pub(crate) fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(bytes, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_STANDARD.encode([&[ED25519_TYPE][..], &self.key].concat());
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.hash()))
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let (name, hash, key) = parts(text.trim())?;
        let key = Self { name, key };
        (hash == key.hash()).then_some(key).ok_or(BadKey("its name or hash is misspelt"))
    }
}

/// Name, hash and 32 bytes of a key.
fn parts(text: &str) -> Result<(String, [u8; 4], [u8; 32]), BadKey> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(BadKey("it has not three parts"));
    };
    check_name(name)?;
    let mut bytes = [0; 4];
    hex::decode_to_slice(hash, &mut bytes).map_err(|_| BadKey("its hash is not 8 hex digits"))?;
    let key = BASE64_STANDARD.decode(key).map_err(|_| BadKey("it is no base64"))?;
    match key.split_first() {
        Some((&ED25519_TYPE, key)) => {
            let key = key.try_into().map_err(|_| BadKey("it has not 32 bytes"))?;
            Ok((name.to_owned(), bytes, key))
        }
        _ => Err(BadKey("its type is not Ed25519")),
    }
}

fn check_name(name: &str) -> Result<(), BadKey> {
    let is_good = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    let good = !name.is_empty() && name.chars().all(is_good);
    good.then_some(()).ok_or(BadKey("a name is some characters without spaces and \"+\""))
}

/// A key that signs.
pub struct SigningKey {
    public: PublicKey,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public).finish()
    }
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// The name has a space or a `+`, or the system gives no random bytes.
    pub fn generate(name: &str) -> Result<Self, BadKey> {
        let mut seed = [0; 32];
        ring::rand::SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| BadKey("the system gives no random bytes"))?;
        Self::new(name, seed)
    }

    fn new(name: &str, seed: [u8; 32]) -> Result<Self, BadKey> {
        check_name(name)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| BadKey("it is none"))?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| BadKey("it is none"))?;
        Ok(Self { public: PublicKey { name: name.to_owned(), key }, seed, pair })
    }

    /// The key in `text`, as [`Self::to_text`] writes it.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let text = text.trim().strip_prefix(PRIVATE).ok_or(BadKey("it is no private key"))?;
        let (name, hash, seed) = parts(text)?;
        let key = Self::new(&name, seed)?;
        (hash == key.public.hash()).then_some(key).ok_or(BadKey("its name or hash is misspelt"))
    }

    /// The secret, as a line.
    pub fn to_text(&self) -> String {
        let seed = BASE64_STANDARD.encode([&[ED25519_TYPE][..], &self.seed].concat());
        format!("{PRIVATE}{}+{}+{seed}\n", self.public.name, hex::encode(self.public.hash()))
    }

    /// What the world may know of it.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}
