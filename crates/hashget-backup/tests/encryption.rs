//! Encryption: what is written comes back, in any order; wrong keys, damage and secrets in the wrong place are told.
//!
//! Invariant: keys are made for the test.

#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../hashget/tests/conformance/storage.rs"]
mod storage;

use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use hashget::classify::class_of;
use hashget::error::ErrorClass;
use hashget::storage::{ArchiveSink, ArchiveSource, FileSink, StreamSource};
use hashget_backup::encryption::{
    DecryptedSource, EncryptedSink, EncryptionError, Identities, Person, Recipients, is_encrypted,
};
use storage::{Place, check_failing_sink, check_sink, check_source};

fn key() -> (String, String) {
    let identity = age::x25519::Identity::generate();
    (identity.to_public().to_string(), identity.to_string().expose_secret().to_owned())
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs_err::write(&path, text).unwrap();
    path
}

fn recipients(keys: &[&str]) -> Recipients {
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    Recipients::of(&keys, &Person::nobody()).unwrap()
}

/// A file that is encrypted to a key of which its reader has the identity.
struct Encrypted {
    folder: tempfile::TempDir,
    recipients: Recipients,
    identities: Identities,
}

impl Encrypted {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (public, secret) = key();
        let file = written(folder.path(), "identity", &format!("# a comment\n{secret}\n"));
        let identities = Identities::of(&[file.clone()], &Person::nobody()).unwrap();
        fs_err::remove_file(file).unwrap();
        Self { folder, recipients: recipients(&[&public]), identities }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.tar.age")
    }

    fn keep(&self, bytes: &[u8]) {
        let mut sink = self.sink();
        sink.write_all(bytes).unwrap();
        sink.commit().unwrap();
    }

    fn read(&self) -> Result<Vec<u8>, std::io::Error> {
        let file = std::fs::File::open(self.path())?;
        let mut found = Vec::new();
        DecryptedSource::open(Box::new(file), &self.identities)?.read_to_end(&mut found)?;
        Ok(found)
    }
}

impl Place for Encrypted {
    fn sink(&self) -> Box<dyn ArchiveSink + '_> {
        let inner = Box::new(FileSink::create(&self.path()).unwrap());
        Box::new(EncryptedSink::new(inner, &self.recipients).unwrap())
    }

    fn found(&self) -> Option<Vec<u8>> {
        self.path().exists().then(|| self.read().unwrap())
    }

    fn is_clean(&self) -> bool {
        let names = fs_err::read_dir(self.folder.path()).unwrap();
        names.flatten().all(|entry| entry.file_name() == "a.tar.age")
    }
}

fn bytes(count: u32) -> Vec<u8> {
    (0..count).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn the_sink_conforms_and_so_do_both_kinds_of_sources() {
    let place = Encrypted::new();
    check_sink(&place);
    for count in [1001, 65_536, 65_537, 700_000] {
        place.keep(&bytes(count));
        let file = || std::fs::File::open(place.path()).unwrap();
        assert!(is_encrypted(&fs_err::read(place.path()).unwrap()));
        let random = DecryptedSource::open(Box::new(file()), &place.identities).unwrap();
        assert_eq!(random.size(), Some(u64::from(count)));
        check_source(random, &bytes(count), true);
        let stream = Box::new(StreamSource::new(file()));
        check_source(
            DecryptedSource::open(stream, &place.identities).unwrap(),
            &bytes(count),
            false,
        );
    }
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if bytes.len() > 60_000 {
                Err(std::io::ErrorKind::StorageFull.into())
            } else {
                Ok(bytes.len())
            }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let inner = Box::new(hashget::storage::StreamSink::new(Full));
    check_failing_sink(Box::new(EncryptedSink::new(inner, &place.recipients).unwrap()), 500_000);
}

#[test]
fn what_is_not_encrypted_passes_as_it_is() {
    let nobody = Identities::of(&[], &Person::nobody()).unwrap();
    let plain = bytes(2000);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&plain).unwrap();
    let file = || std::io::Seek::rewind(&mut &file).map(|()| file.try_clone().unwrap()).unwrap();
    check_source(DecryptedSource::open(Box::new(file()), &nobody).unwrap(), &plain, true);
    let stream = Box::new(StreamSource::new(Cursor::new(plain.clone())));
    check_source(DecryptedSource::open(stream, &nobody).unwrap(), &plain, false);
}

/// Each kind of damage, wherever it is, is told as such.
#[test]
fn damage_is_found_and_nothing_damaged_is_given_out() {
    let place = Encrypted::new();
    let sent = bytes(200_000);
    place.keep(&sent);
    let whole = fs_err::read(place.path()).unwrap();
    let damaged = |error: &std::io::Error| class_of(error) == Some(ErrorClass::ArchiveDamaged);
    for position in [60, 120, 180, 300, 70_000, 150_000, whole.len() - 1] {
        let mut other = whole.clone();
        other[position] ^= 1;
        fs_err::write(place.path(), &other).unwrap();
        let error = place.read().unwrap_err();
        let is_of_key = class_of(&error) == Some(ErrorClass::WrongKey);
        assert!(damaged(&error) || (position < 180 && is_of_key), "{position}: {error:?}");
        let stream = Box::new(StreamSource::new(Cursor::new(other)));
        let mut found = Vec::new();
        if let Ok(mut source) = DecryptedSource::open(stream, &place.identities) {
            let error = source.read_to_end(&mut found).unwrap_err();
            assert!(damaged(&error), "{position}: {error:?}");
        }
        assert!(sent.starts_with(&found));
    }
    for length in [10, 100, 300, 66_000, whole.len() - 20_000, whole.len() - 1] {
        fs_err::write(place.path(), &whole[..length]).unwrap();
        let read = place.read();
        // Of less than the first line, nothing says that it is encrypted.
        assert!(read.as_ref().is_err_and(damaged) || length == 10, "{length}: {read:?}");
    }
}

#[test]
fn a_wrong_key_and_no_key_are_told_with_the_kinds_of_recipients() {
    let place = Encrypted::new();
    place.keep(b"x");
    let open = |identities: &Identities| {
        let file = std::fs::File::open(place.path()).unwrap();
        DecryptedSource::open(Box::new(file), identities).err().unwrap()
    };
    let other = Encrypted::new();
    let error = open(&other.identities);
    assert!(matches!(error, EncryptionError::WrongIdentity { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::WrongKey);
    let error = open(&Identities::of(&[], &Person::nobody()).unwrap());
    assert_eq!(error.to_string(), "it is encrypted to 1 recipient (X25519)");
}

#[test]
fn keys_are_read_from_files_and_secrets_are_not_taken_for_recipients() {
    let folder = tempfile::tempdir().unwrap();
    let (public, secret) = key();
    let list = written(folder.path(), "list", &format!("# two\n{public}\n\n{}\n", key().0));
    recipients(&[&public, list.to_str().unwrap()]);
    let with_secret = written(folder.path(), "secret", &format!("{public}\n{secret}\n"));
    let empty = written(folder.path(), "empty", "# nothing\n");
    let ssh = "-----BEGIN OPENSSH PRIVATE KEY-----";
    let wrong = |given: &str| Recipients::of(&[given.to_owned()], &Person::nobody()).err().unwrap();
    for given in [&secret, &secret.to_lowercase(), with_secret.to_str().unwrap(), ssh] {
        let error = wrong(given);
        assert!(matches!(error, EncryptionError::Secret { .. }), "{error}");
        assert!(!error.to_string().to_uppercase().contains("AGE-SECRET"), "{error}");
    }
    for given in [
        "age1",
        &public[..30],
        "ssh-ed25519 AAAA",
        "ssh-dss AAAA",
        "somebody",
        empty.to_str().unwrap(),
        "",
    ] {
        assert_eq!(wrong(given).class(), ErrorClass::BadInput, "{given}");
    }
    let plugin = wrong("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t");
    assert!(plugin.to_string().contains("age-plugin-yubikey"), "{plugin}");
    let identities =
        |path: &Path| Identities::of(&[path.to_owned()], &Person::nobody()).err().unwrap();
    for path in [&list, &empty, &written(folder.path(), "ssh", ssh)] {
        assert!(
            matches!(identities(path), EncryptionError::NotAnIdentity { .. }),
            "{}",
            path.display()
        );
    }
    let none = identities(&folder.path().join("none")).to_string();
    assert!(none.contains("none: no such file"), "{none}");
}

#[test]
fn a_passphrase_can_be_the_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "passphrase", "a long one\n");
    let recipients = Recipients::of_passphrase(&file).unwrap();
    let path = folder.path().join("a");
    let inner = Box::new(FileSink::create(&path).unwrap());
    let mut sink = Box::new(EncryptedSink::new(inner, &recipients).unwrap());
    sink.write_all(b"contents").unwrap();
    sink.commit().unwrap();
    let open = |answer: Option<&'static str>| {
        let passphrase = Arc::new(move |_: &str| answer.map(str::to_owned));
        let identities = Identities::of(&[], &Person { passphrase, ..Person::nobody() }).unwrap();
        let source: Box<dyn ArchiveSource> = Box::new(std::fs::File::open(&path).unwrap());
        let mut found = String::new();
        DecryptedSource::open(source, &identities)?.read_to_string(&mut found)?;
        Ok::<_, EncryptionError>(found)
    };
    assert_eq!(open(Some("a long one")).unwrap(), "contents");
    for answer in [Some("another"), None] {
        assert!(
            matches!(open(answer).unwrap_err(), EncryptionError::WrongPassphrase),
            "{answer:?}"
        );
    }
}
