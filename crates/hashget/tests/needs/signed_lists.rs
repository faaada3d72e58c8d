//! Lists that are really signed: who vouches for a Debian package.
//!
//! Invariant: the keys are made for the test. Only a signature by a key of the table, verified with a keyring of the
//! machine, makes somebody vouch.

use std::path::{Path, PathBuf};
use std::process::Command;

use hashget::detectors::{ArchiveKey, Candidate, Machine};
use hashget::index::detect_tree;
use hashget::model::Digest;
use hashget::monitor::Silent;

use crate::debian_system::{Package, STAMP, System};
use crate::run;

const VOUCHED: &str = "Debian's signed list of stable";

/// A key with its GnuPG home, which no other test has.
struct Key {
    home: tempfile::TempDir,
    fingerprint: String,
}

impl Key {
    fn new() -> Self {
        let mut key = Self { home: tempfile::tempdir().unwrap(), fingerprint: String::new() };
        let who = "An archive <archive@debian.example>";
        run(key.gpg().args(["--passphrase", "", "--quick-gen-key", who, "rsa2048", "sign", "0"]));
        let listed = key.gpg().args(["--with-colons", "--list-keys"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        key.fingerprint = line.split(':').nth(9).unwrap().to_owned();
        key
    }

    fn gpg(&self) -> Command {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--quiet", "--homedir"]).arg(self.home.path());
        command
    }

    fn export(&self, to: &Path) {
        fs_err::create_dir_all(to.parent().unwrap()).unwrap();
        run(self.gpg().arg("--export").arg("--output").arg(to));
    }

    fn export_armored(&self, to: &Path) {
        fs_err::create_dir_all(to.parent().unwrap()).unwrap();
        run(self.gpg().args(["--armor", "--export", "--output"]).arg(to));
    }

    fn of(&self, system: &str) -> ArchiveKey {
        // The case of the digits does not matter.
        let fingerprint = self.fingerprint.to_ascii_lowercase();
        ArchiveKey { system: system.to_owned(), fingerprint }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        _ = command.arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

/// A system with one package, whose list is signed by `key`.
struct Signed {
    system: System,
    key: Key,
    package: Package,
    /// `InRelease`.
    release: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let (mut system, package) = (System::new(), Package::new("tool", "1:1.0"));
        system.install(&package);
        system.list(&[&package], "Debian");
        let lists = fs_err::read_dir(system.root().join("var/lib/apt/lists")).unwrap();
        let release = lists
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_str().unwrap().ends_with("InRelease"))
            .unwrap();
        system.machine = Machine {
            root: Some(system.path("machine")),
            variables: std::env::vars_os().collect(),
            ..Machine::default()
        };
        let signed = Self { system, key: Key::new(), package, release };
        fs_err::write(signed.path("text"), signed.text()).unwrap();
        let clear = ["--clearsign", "--digest-algo", "SHA256", "--output"];
        fs_err::remove_file(&signed.release).unwrap();
        run(signed.key.gpg().args(clear).arg(&signed.release).arg(signed.path("text")));
        signed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.system.path(name)
    }

    /// What is to be signed.
    fn text(&self) -> String {
        let file = fs_err::read_to_string(&self.release).unwrap();
        let text = file.split_once("\n\n").unwrap().1;
        text.split_once("-----BEGIN PGP SIGNATURE").unwrap().0.to_owned()
    }

    /// The machine has the key, and the table has it for the system.
    fn trusted() -> Self {
        let mut signed = Self::new();
        signed.key.export(&signed.path("machine/usr/share/keyrings/own.gpg"));
        signed.system.machine.archive_keys = vec![signed.key.of("debian")];
        signed
    }

    fn candidate(&self) -> (Candidate, Vec<String>) {
        let (mut candidates, notes) = self.system.candidates();
        assert_eq!(candidates.len(), 1);
        // Signed or not, the list names the package.
        assert_eq!(candidates[0].sha256, Some(Digest::of(&self.package.deb())));
        (candidates.remove(0), notes)
    }

    #[track_caller]
    fn assert_vouched(&self) {
        let (candidate, notes) = self.candidate();
        assert_eq!(candidate.vouched.as_deref(), Some(VOUCHED), "{notes:?}");
        assert_eq!(notes, [""; 0]);
    }

    #[track_caller]
    fn assert_not_vouched(&self, note: &str) {
        let (candidate, notes) = self.candidate();
        assert_eq!(candidate.vouched, None);
        assert!(notes.len() == 1 && notes[0].contains(note), "{notes:?}");
    }

    /// Only this program can verify.
    fn only(&mut self, program: &str) {
        let folder = self.path("bin");
        fs_err::create_dir_all(&folder).unwrap();
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(program))
            .find(|file| file.exists());
        if let Some(found) = found {
            fs_err::os::unix::fs::symlink(found, folder.join(program)).unwrap();
        }
        self.system.machine.variables.insert("PATH".into(), folder.into());
    }
}

pub(crate) fn gpgv_makes_the_owner_of_an_archive_key_vouch() {
    let mut signed = Signed::trusted();
    signed.only("gpgv");
    signed.assert_vouched();
    let bulk = signed.candidate().0.bulk.unwrap();
    let url = format!("https://snapshot.debian.org/archive/debian/{STAMP}/dists/stable/InRelease");
    assert_eq!((bulk.url, bulk.size), (url, fs_err::metadata(&signed.release).unwrap().len()));
    assert_eq!(bulk.sha256, Digest::of(&fs_err::read(&signed.release).unwrap()));
}

pub(crate) fn sqv_makes_the_owner_of_an_archive_key_vouch() {
    let mut signed = Signed::trusted();
    signed.only("sqv");
    signed.assert_vouched();
    let text = fs_err::read_to_string(&signed.release).unwrap();
    fs_err::write(&signed.release, text.replace("Label: Debian", "Label:  Debian")).unwrap();
    signed.system.machine.kept = Machine::default().kept;
    signed.assert_not_vouched("no archive key of Debian");
}

pub(crate) fn a_signature_beside_the_file_and_an_armored_keyring_are_enough() {
    let mut signed = Signed::new();
    signed.system.machine.archive_keys = vec![signed.key.of("debian")];
    signed.key.export_armored(&signed.path("machine/etc/apt/trusted.gpg.d/own.asc"));
    let release = PathBuf::from(signed.release.to_str().unwrap().replace("InRelease", "Release"));
    let text = signed.text();
    fs_err::remove_file(&signed.release).unwrap();
    fs_err::write(&release, text).unwrap();
    let signature = format!("{}.gpg", release.display());
    run(signed.key.gpg().args(["--armor", "--detach-sign", "--output", &signature]).arg(&release));
    signed.assert_vouched();
}

pub(crate) fn nobody_vouches_for_what_no_archive_key_signed() {
    let unsigned = "no archive key of Debian vouches for it: its packages are asked for";
    // A good signature by a key of nobody that is known, or of another distribution.
    let mut signed = Signed::trusted();
    for keys in [vec![], vec![signed.key.of("ubuntu")], vec![Key::new().of("debian")]] {
        signed.system.machine.archive_keys = keys;
        signed.system.machine.kept = Machine::default().kept;
        signed.assert_not_vouched(unsigned);
    }
    // The right key, but for other words.
    let signed = Signed::trusted();
    let text = fs_err::read_to_string(&signed.release).unwrap();
    let other = text.replace("Date: Thu, 01 Jan 2026", "Date: Fri, 02 Jan 2026");
    assert_ne!(text, other);
    fs_err::write(&signed.release, other).unwrap();
    signed.assert_not_vouched(unsigned);
    // A list that only says that it is signed.
    let signed = Signed::trusted();
    let cut = text.split_once("-----BEGIN PGP SIGNATURE").unwrap().0;
    fs_err::write(&signed.release, format!("{cut}-----BEGIN PGP SIGNATURE-----\n")).unwrap();
    signed.assert_not_vouched(unsigned);
}

pub(crate) fn what_cannot_be_verified_is_said_once_and_vouched_for_by_nobody() {
    let mut signed = Signed::trusted();
    signed.only("no such program");
    signed.assert_not_vouched("neither sqv nor gpgv is installed");
    let (candidate, notes) = signed.candidate();
    assert_eq!((candidate.vouched, notes), (None, Vec::new()));
    // A keyring in the tree is no keyring of this machine.
    let mut signed = Signed::new();
    signed.system.machine.archive_keys = vec![signed.key.of("debian")];
    signed.key.export(&signed.system.root().join("usr/share/keyrings/own.gpg"));
    signed.assert_not_vouched("this machine has no keyring of apt");
}

pub(crate) fn a_system_in_the_tree_does_not_hide_what_anothers_list_vouches_for() {
    let signed = Signed::trusted();
    let forged = |folder: &str| {
        let mut other = System::new();
        other.machine = signed.system.machine.clone();
        let mut package = signed.package.clone();
        other.install(&package);
        package.files[0].1 = b"forged".repeat(2000);
        other.list(&[&package], "Debian");
        fs_err::rename(other.root(), signed.system.root().join(folder)).unwrap();
    };
    // The candidate is the one that is found first.
    for folder in ["a", "z"] {
        forged(folder);
    }
    let root = signed.system.root();
    let debian = [crate::debian_system::debian()];
    let (candidates, _) = detect_tree(&root, &debian, &signed.system.machine, &Silent).unwrap();
    assert_eq!(candidates.len(), 1);
    let question = candidates[0].question.clone().unwrap();
    let answer = question.look_up(&mut |_| {}).unwrap().unwrap();
    assert_eq!(answer.vouched.as_deref(), Some(VOUCHED));
    assert_eq!(answer.sha256, Some(Digest::of(&signed.package.deb())));
}

pub(crate) fn a_list_of_the_tree_does_not_hide_what_this_machines_list_vouches_for() {
    let signed = Signed::trusted();
    // The machine has the signed list; the tree has one of its own, which names other bytes.
    let lists = signed.path("machine/var/lib/apt/lists");
    fs_err::create_dir_all(lists.parent().unwrap()).unwrap();
    fs_err::rename(signed.system.root().join("var/lib/apt/lists"), lists).unwrap();
    let mut other = signed.package.clone();
    other.files[0].1 = b"forged".repeat(2000);
    signed.system.list(&[&other], "Debian");
    let (candidate, _) = signed.candidate();
    assert_eq!(candidate.vouched.as_deref(), Some(VOUCHED));
    assert!(candidate.mirrors.is_empty(), "{:?}", candidate.mirrors);
}
