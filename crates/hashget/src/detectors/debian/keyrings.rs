//! The keyrings that apt uses on a machine.
//!
//! Invariant: a keyring that cannot be read, or is too large, is left out; the others count. A key becomes
//! trusted by its fingerprint alone, not by the file that it lies in.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;

use super::sources::Sources;

/// Folders of keyrings below a system's root.
const FOLDERS: [&str; 3] = ["usr/share/keyrings", "etc/apt/trusted.gpg.d", "etc/apt/keyrings"];

/// A single keyring.
const FILE: &str = "etc/apt/trusted.gpg";

/// Size limit of a keyring; larger ones (those of all developers) are left out.
const MAX_BYTES: u64 = 1 << 20;

/// Limit on the number of keyrings.
const MAX_FILES: usize = 256;

/// The start of an armored keyring, and its end.
const ARMOR: [&str; 2] =
    ["-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"];

/// The keys of the system at `root`, in one binary keyring; empty if there are none.
pub(super) fn read(root: &Path) -> Vec<u8> {
    files(root).iter().take(MAX_FILES).filter_map(|file| keys(file)).flatten().collect()
}

/// The paths of keyrings. Those of a distribution come first: damage to another one cannot hide them.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = vec![root.join(FILE)];
    for folder in FOLDERS {
        let entries = fs_err::read_dir(root.join(folder));
        files.extend(entries.into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    let signed_by = Sources::read(root, &mut |_| {}).into_keyrings();
    files.extend(signed_by.iter().map(|path| root.join(path.trim_start_matches('/'))));
    let is_of_distribution = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.contains("debian") || name.contains("ubuntu")
    };
    files.sort_by_key(|file| (!is_of_distribution(file), file.clone()));
    files.dedup();
    files
}

/// The keys in one file; `None` if it is no keyring that can be used.
fn keys(file: &Path) -> Option<Vec<u8>> {
    if !fs_err::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    fs_err::File::open(file).ok()?.take(MAX_BYTES + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_BYTES {
        return None;
    }
    match std::str::from_utf8(&bytes).ok().filter(|text| text.contains(ARMOR[0])) {
        Some(text) => unarmored(text),
        // The first byte of a key packet; GnuPG's keyboxes begin with another one.
        None => matches!(bytes.first(), Some(0x98..=0x9b | 0xc6)).then_some(bytes),
    }
}

/// The keys of all blocks of an armored keyring.
fn unarmored(text: &str) -> Option<Vec<u8>> {
    let mut keys = Vec::new();
    for block in text.split(ARMOR[0]).skip(1) {
        let block = block.split(ARMOR[1]).next()?.replace('\r', "");
        // Headers, an empty line, the data, and a checksum that begins with "=".
        let (_, data) = block.split_once("\n\n")?;
        let data: String = data.lines().take_while(|line| !line.starts_with('=')).collect();
        keys.extend(base64::engine::general_purpose::STANDARD.decode(data.trim()).ok()?);
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use hashget_testkit::trees;

    use super::*;

    #[test]
    fn armored_and_binary_keyrings_are_read_and_others_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| _ = trees::file(root.path(), path, bytes);
        assert_eq!(read(root.path()), b"");
        write("usr/share/keyrings/zz.gpg", b"\x99z");
        write("usr/share/keyrings/debian.gpg", b"\x99d");
        write("usr/share/keyrings/large.gpg", &vec![0x99; (MAX_BYTES + 1).try_into().unwrap()]);
        write("usr/share/keyrings/box.gpg", b"\0\0\0\x20\x01\x01\0\x02KBXf");
        write("opt/own.pgp", b"\x99o");
        write("etc/apt/sources.list", b"deb [signed-by=/opt/own.pgp] http://apt.example x main\n");
        let [begin, end] = ARMOR;
        let armored = format!("text\n{begin}\r\nVersion: 1\r\n\r\nmWE=\r\n=abcd\r\n{end}\n");
        write("etc/apt/trusted.gpg.d/a.asc", armored.as_bytes());
        write("etc/apt/trusted.gpg.d/b.asc", format!("{begin}\n\n!\n{end}\n").as_bytes());
        assert_eq!(read(root.path()), b"\x99d\x99a\x99o\x99z");
    }
}
