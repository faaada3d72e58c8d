//! Who signed a Release file: `sqv` or `gpgv` verify it with the keyrings of this machine, as apt does.
//!
//! Invariant: a signature counts only if one of these programs says that it is good, and only for the
//! distribution in whose table of archive keys the signer's full fingerprint stands. No keyring of a packed
//! tree is used.

use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::archive_keys::ARCHIVE_KEYS;
use super::keyrings;
use super::signed_text::SignedText;
use crate::detectors::Machine;

/// The programs that can verify, in order of preference.
const PROGRAMS: [&str; 2] = ["sqv", "gpgv"];

/// Where programs are searched if the machine does not say.
const PATH: &str = "/usr/bin:/bin";

/// Time limit of one verification, which takes some 40 ms.
const LIMIT: Duration = Duration::from_secs(20);

/// How often a running program is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// Size limit of a program's output.
const MAX_OUTPUT: u64 = 1 << 20;

/// Verifies signatures with what this machine has.
#[derive(Debug)]
pub(super) struct Signers {
    /// Paths of the programs.
    programs: Vec<PathBuf>,
    /// The keys of this machine's keyrings, one after the other.
    keyring: Vec<u8>,
    /// Fingerprints and the systems whose archives they sign.
    keys: Vec<(String, String)>,
    /// Has anybody been notified that nothing can be verified?
    is_reported: AtomicBool,
}

impl Signers {
    /// What `machine` has; its keyrings are read once.
    pub(super) fn load(machine: &Machine) -> Option<Arc<Self>> {
        let root = machine.root.as_deref()?;
        Some(machine.once(root, || Self::gather(root, machine)))
    }

    fn gather(root: &Path, machine: &Machine) -> Self {
        let folders = machine.variable("PATH").unwrap_or(PATH);
        let in_path = |program: &&str| {
            folders
                .split(':')
                .map(|folder| Path::new(folder).join(program))
                .find(|file| fs_err::metadata(file).is_ok_and(|metadata| metadata.is_file()))
        };
        let known = ARCHIVE_KEYS.iter().map(|&(key, system)| (key.to_owned(), system.to_owned()));
        let own = machine.archive_keys.iter();
        let own = own.map(|key| (key.fingerprint.to_ascii_uppercase(), key.system.clone()));
        Self {
            programs: PROGRAMS.iter().filter_map(in_path).collect(),
            keyring: keyrings::read(root),
            keys: known.chain(own).collect(),
            is_reported: AtomicBool::new(false),
        }
    }

    /// Can signatures be verified on this machine?
    ///
    /// # Errors
    /// They cannot; only the first call gets the reason.
    pub(super) fn is_able(&self) -> Result<(), Option<&'static str>> {
        let reason = match (self.programs.is_empty(), self.keyring.is_empty()) {
            (true, _) => "neither sqv nor gpgv is installed",
            (_, true) => "this machine has no keyring of apt",
            _ => return Ok(()),
        };
        Err((!self.is_reported.swap(true, Ordering::Relaxed)).then_some(reason))
    }

    /// Does an archive key of `system` vouch for the text?
    pub(super) fn vouch(&self, signed: &SignedText, system: &str) -> bool {
        if signed.signature.is_empty() || self.keyring.is_empty() {
            return false;
        }
        let is_key_of_system = |fingerprint: &String| {
            self.keys.iter().any(|(key, of)| key == fingerprint && of == system)
        };
        self.programs.iter().any(|program| {
            self.signed_by(program, signed)
                .is_ok_and(|fingerprints| fingerprints.iter().any(is_key_of_system))
        })
    }

    /// The fingerprints of the keys that made good signatures of the text, according to `program`.
    fn signed_by(&self, program: &Path, signed: &SignedText) -> io::Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let file = |bytes: &[u8]| {
            let mut file = tempfile::NamedTempFile::new_in(folder.path())?;
            file.write_all(bytes)?;
            io::Result::Ok(file)
        };
        let (keyring, text) = (file(&self.keyring)?, file(&signed.text)?);
        let signature = file(&signed.signature)?;
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("HOME", folder.path());
        let is_gpgv = program.ends_with("gpgv");
        if is_gpgv {
            command.args(["--status-fd", "1", "--homedir"]).arg(folder.path());
        }
        command.arg("--keyring").args([keyring.path(), signature.path(), text.path()]);
        let (is_success, output) = run(&mut command)?;
        Ok(match (is_gpgv, is_success) {
            (true, _) => good_signatures(&output),
            (false, true) => output.lines().map(|line| line.trim().to_owned()).collect(),
            (false, false) => Vec::new(),
        })
    }
}

/// Runs a program to its end, or ends it after [`LIMIT`]. Returns whether it succeeded, and its output.
fn run(command: &mut Command) -> io::Result<(bool, String)> {
    let mut output = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(output.try_clone()?);
    let mut child = command.spawn()?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < LIMIT => std::thread::sleep(INTERVAL),
            outcome => {
                child.kill()?;
                child.wait()?;
                outcome?;
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    };
    let mut bytes = Vec::new();
    output.rewind()?;
    output.take(MAX_OUTPUT).read_to_end(&mut bytes)?;
    Ok((status.success(), String::from_utf8_lossy(&bytes).into_owned()))
}

/// The fingerprints of primary keys in the status lines of gpgv: of each signature that is good, neither
/// expired nor of an expired or revoked key, and of no weak digest.
fn good_signatures(status: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_good = false;
    for line in status.lines() {
        let mut words = line.strip_prefix("[GNUPG:] ").unwrap_or_default().split_whitespace();
        match words.next() {
            Some("NEWSIG") => is_good = false,
            Some("BADSIG") => return Vec::new(),
            Some("GOODSIG") => is_good = true,
            Some("VALIDSIG") if is_good => {
                let fields: Vec<&str> = words.collect();
                // Digests of OpenPGP from 8 on: SHA-256 and better.
                let is_strong =
                    fields.get(7).and_then(|id| id.parse().ok()).is_some_and(|id: u8| id >= 8);
                if let (true, Some(primary)) = (is_strong, fields.get(9)) {
                    found.push((*primary).to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_signatures_with_strong_digests_count() {
        let valid = |digest: &str, key: &str| {
            format!("[GNUPG:] VALIDSIG SUB 2026-01-01 1 0 4 0 1 {digest} 01 {key}\n")
        };
        let good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 1 Somebody\n";
        let expired = "[GNUPG:] NEWSIG\n[GNUPG:] EXPKEYSIG 1 Somebody\n";
        let status = [
            good,
            &valid("8", "A"),
            expired,
            &valid("8", "B"),
            good,
            &valid("2", "C"),
            good,
            &valid("10", "D"),
            "gpgv: GOODSIG\n",
        ];
        assert_eq!(good_signatures(&status.concat()), ["A", "D"]);
        let bad = format!("{good}{}[GNUPG:] NEWSIG\n[GNUPG:] BADSIG 1 x\n", valid("8", "A"));
        assert_eq!(good_signatures(&bad), [""; 0]);
    }
}
