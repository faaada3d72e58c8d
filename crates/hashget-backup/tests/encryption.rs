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
use hashget::monitor::Silent;
use hashget::storage::{ArchiveSink, FileSink, SharedSource, StreamSource};
use hashget_backup::encryption::{
    EncryptionError, Identities, Person, Recipients, decrypted, ending, header_of, is_encrypted,
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
    secret: String,
}

impl Encrypted {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (public, secret) = key();
        Self { folder, recipients: recipients(&[&public]), secret }
    }

    fn identities(&self) -> Identities {
        let folder = tempfile::tempdir().unwrap();
        let file = written(folder.path(), "identity", &format!("# a comment\n{}\n", self.secret));
        Identities::of(&[file], &Person::nobody()).unwrap()
    }

    fn open(
        &self,
        source: Box<dyn SharedSource>,
    ) -> Result<Box<dyn SharedSource>, EncryptionError> {
        decrypted(source, "a", || Ok(self.identities()), &Silent)
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
        self.open(Box::new(file))?.read_to_end(&mut found)?;
        Ok(found)
    }
}

impl Place for Encrypted {
    fn sink(&self) -> Box<dyn ArchiveSink + '_> {
        let inner = Box::new(FileSink::create(&self.path()).unwrap());
        self.recipients.sink(inner, &Silent).unwrap()
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
        let random = place.open(Box::new(file())).unwrap();
        assert_eq!(random.size(), Some(u64::from(count)));
        check_source(random, &bytes(count), true);
        let stream = Box::new(StreamSource::new(file()));
        check_source(place.open(stream).unwrap(), &bytes(count), false);
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
    check_failing_sink(place.recipients.sink(inner, &Silent).unwrap(), 500_000);
}

#[test]
fn what_is_not_encrypted_passes_as_it_is() {
    let nobody = || Identities::of(&[], &Person::nobody());
    let plain = bytes(2000);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&plain).unwrap();
    let file = || std::io::Seek::rewind(&mut &file).map(|()| file.try_clone().unwrap()).unwrap();
    check_source(decrypted(Box::new(file()), "a", nobody, &Silent).unwrap(), &plain, true);
    let stream = Box::new(StreamSource::new(Cursor::new(plain.clone())));
    check_source(decrypted(stream, "a", nobody, &Silent).unwrap(), &plain, false);
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
        if let Ok(mut source) = place.open(stream) {
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
    let open = |identities: Identities| {
        let file = std::fs::File::open(place.path()).unwrap();
        decrypted(Box::new(file), "a", || Ok(identities), &Silent).err().unwrap()
    };
    let other = Encrypted::new();
    let error = open(other.identities());
    assert!(matches!(error, EncryptionError::WrongIdentity { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::WrongKey);
    let error = open(Identities::of(&[], &Person::nobody()).unwrap());
    assert_eq!(error.to_string(), "it is encrypted to 1 recipient (X25519)");
    let file = std::fs::File::open(place.path()).unwrap();
    assert_eq!(header_of(&file).unwrap().unwrap().shown(), "1 recipient (X25519)");
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
fn a_passphrase_can_be_the_only_recipient() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "passphrase", "a long one\n");
    let given = format!("passphrase:{}", file.display());
    let recipients = recipients(&[&given]);
    let path = folder.path().join("a");
    let inner = Box::new(FileSink::create(&path).unwrap());
    let mut sink = recipients.sink(inner, &Silent).unwrap();
    sink.write_all(b"contents").unwrap();
    sink.commit().unwrap();
    let open = |identities: &[PathBuf], answer: Option<&'static str>| {
        let passphrase = Arc::new(move |_: &str| answer.map(str::to_owned));
        let person = Person { passphrase, ..Person::nobody() };
        let source: Box<dyn SharedSource> = Box::new(std::fs::File::open(&path).unwrap());
        let mut found = String::new();
        decrypted(source, "a", || Identities::of(identities, &person), &Silent)?
            .read_to_string(&mut found)?;
        Ok::<_, EncryptionError>(found)
    };
    assert_eq!(open(&[], Some("a long one")).unwrap(), "contents");
    assert_eq!(open(&[given.clone().into()], None).unwrap(), "contents");
    for answer in [Some("another"), None] {
        assert!(
            matches!(open(&[], answer).unwrap_err(), EncryptionError::WrongPassphrase),
            "{answer:?}"
        );
    }
    let with_a_key = Recipients::of(&[given, key().0], &Person::nobody()).err().unwrap();
    assert!(matches!(with_a_key, EncryptionError::NotAlone), "{with_a_key}");
    let empty = format!("passphrase:{}", written(folder.path(), "empty", "\n").display());
    let none = Recipients::of(&[empty], &Person::nobody()).err().unwrap();
    assert!(matches!(none, EncryptionError::NoPassphrase { .. }), "{none}");
}

/// Through `tr`, which is its own inverse.
struct Rotated {
    folder: tempfile::TempDir,
}

const ROTATION: &str = "exec:tr '\\000-\\377' '\\200-\\377\\000-\\177'";

impl Rotated {
    fn open(&self, command: &str) -> Box<dyn SharedSource> {
        let file = std::fs::File::open(self.folder.path().join("a")).unwrap();
        let identities = || Identities::of(&[command.into()], &Person::nobody());
        decrypted(Box::new(file), "a", identities, &Silent).unwrap()
    }
}

impl Place for Rotated {
    fn sink(&self) -> Box<dyn ArchiveSink + '_> {
        let inner = Box::new(FileSink::create(&self.folder.path().join("a")).unwrap());
        recipients(&[ROTATION]).sink(inner, &Silent).unwrap()
    }

    fn found(&self) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        self.folder.path().join("a").exists().then(|| {
            self.open(ROTATION).read_to_end(&mut found).unwrap();
            found
        })
    }

    fn is_clean(&self) -> bool {
        let names = fs_err::read_dir(self.folder.path()).unwrap();
        names.flatten().all(|entry| entry.file_name() == "a")
    }
}

#[test]
fn a_command_is_a_sink_and_a_source_as_well() {
    let place = Rotated { folder: tempfile::tempdir().unwrap() };
    check_sink(&place);
    for count in [1001, 65_536, 700_000] {
        let mut sink = place.sink();
        sink.write_all(&bytes(count)).unwrap();
        sink.commit().unwrap();
        let kept = fs_err::read(place.folder.path().join("a")).unwrap();
        assert_eq!(kept[0], bytes(count)[0].wrapping_add(128));
        check_source(place.open(ROTATION), &bytes(count), false);
    }
}

#[test]
fn a_command_that_fails_makes_no_archive_and_reads_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for command in
        ["exec:cat; echo no key >&2; exit 3", "exec:exit 3", "exec:head -c 100000 >/dev/null"]
    {
        let inner = Box::new(FileSink::create(&path).unwrap());
        let mut sink = recipients(&[command]).sink(inner, &Silent).unwrap();
        let ended = sink.write_all(&bytes(500_000)).and_then(|()| sink.commit());
        let error = ended.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") || error.contains("before it had"), "{error}");
        assert_eq!(error.contains("no key"), command.contains("no key"), "{error}");
        assert!(!path.exists(), "{command}");
    }
    fs_err::write(&path, bytes(500_000)).unwrap();
    let place = Rotated { folder };
    let mut found = Vec::new();
    let error = place.open("exec:head -c 70000; exit 1").read_to_end(&mut found).unwrap_err();
    assert!(error.to_string().contains("exit status: 1"), "{error}");
    for wrong in [&["exec:cat".to_owned(), key().0][..], &["exec: ".to_owned()]] {
        let error = Recipients::of(wrong, &Person::nobody()).err().unwrap();
        assert_eq!(error.class(), ErrorClass::BadInput, "{error}");
    }
}

#[test]
fn names_say_how_an_archive_is_encrypted() {
    let of =
        |given: &[&str]| ending(&given.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
    assert_eq!((of(&[]), of(&["age1x", "file"]), of(&["exec:gpg"])), ("", ".age", ".enc"));
}

/// A head that asks for so much work that a machine would be busy for hours.
#[test]
fn a_passphrase_that_takes_too_much_work_is_not_tried() {
    let mut head = b"age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 60\n".to_vec();
    head.extend(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
    head.extend([0; 100]);
    let folder = tempfile::tempdir().unwrap();
    let given = format!("passphrase:{}", written(folder.path(), "passphrase", "x\n").display());
    let identities = || Identities::of(&[given.into()], &Person::nobody());
    let stream = Box::new(StreamSource::new(Cursor::new(head)));
    let error = decrypted(stream, "a", identities, &Silent).err().unwrap();
    assert!(matches!(error, EncryptionError::TooMuchWork { required: 60, .. }), "{error:?}");
}
