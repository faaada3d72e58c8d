//! The snapshots' answers to the question where a version of a package is.
//!
//! Invariant: an answer is untrusted text: it becomes a URL only if each of its parts is valid.

use serde::Deserialize;

use super::archives::SNAPSHOT;
use crate::detectors::quoted;
use crate::model::{Algorithm, Checksum, RelPath};

/// Size limit of an answer; a larger one is refused.
const MAX_BYTES: usize = 4 << 20;

/// Archives in order of preference, if a file is in several.
const ARCHIVES: [&str; 3] = ["debian", "debian-security", "debian-backports"];

/// A .deb in the snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SnapshotFile {
    pub(super) sha1: Checksum,
    /// Its permanent URL.
    pub(super) url: String,
    pub(super) size: u64,
}

#[derive(Deserialize)]
struct Answer {
    result: Vec<File>,
    fileinfo: std::collections::BTreeMap<String, Vec<Info>>,
}

#[derive(Deserialize)]
struct File {
    architecture: String,
    hash: String,
}

#[derive(Deserialize)]
struct Info {
    archive_name: String,
    first_seen: String,
    name: String,
    path: String,
    size: u64,
}

/// The files in the answer for `architecture`, best first; none if there is no such file. `size` is the size
/// that the file must have, if known.
///
/// # Errors
/// What is wrong with the answer.
pub(super) fn files(
    answer: &[u8],
    architecture: &str,
    size: Option<u64>,
) -> Result<Vec<SnapshotFile>, String> {
    if answer.len() > MAX_BYTES {
        return Err(format!("the answer has more than {MAX_BYTES} bytes"));
    }
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|error| format!("the answer is not what the snapshots give: {error}"))?;
    let files_for = |architecture: &str| -> Vec<&File> {
        answer.result.iter().filter(|file| file.architecture == architecture).collect()
    };
    let mut files = files_for(architecture);
    if files.is_empty() {
        files = files_for("all");
    }
    let mut ranked: Vec<((bool, usize, &str), SnapshotFile)> = Vec::new();
    for file in files {
        for info in answer.fileinfo.get(&file.hash).into_iter().flatten() {
            let found = snapshot_file(&file.hash, info)?;
            let other_size = size.is_some_and(|size| size != info.size);
            let archive = ARCHIVES.iter().position(|known| *known == info.archive_name);
            let archive = archive.unwrap_or(ARCHIVES.len());
            ranked.push(((other_size, archive, &info.first_seen), found));
        }
    }
    ranked.sort_by(|(one, a), (other, b)| one.cmp(other).then(a.url.cmp(&b.url)));
    let mut found: Vec<SnapshotFile> = Vec::new();
    for (_, file) in ranked {
        if found.iter().all(|known| known.sha1 != file.sha1) {
            found.push(file);
        }
    }
    Ok(found)
}

fn snapshot_file(sha1: &str, info: &Info) -> Result<SnapshotFile, String> {
    let wrong = |what: &str| Err(format!("the answer of the snapshots names no proper {what}"));
    let is_lower = sha1.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let sha1 = Checksum::from_hex(Algorithm::Sha1, sha1).filter(|_| is_lower);
    let Some(sha1) = sha1 else { return wrong("hash") };
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !plain(&info.archive_name) {
        return wrong("archive");
    }
    let stamp = info.first_seen.as_bytes();
    let digits = |range: std::ops::Range<usize>| stamp[range].iter().all(u8::is_ascii_digit);
    if stamp.len() != 16 || stamp[8] != b'T' || stamp[15] != b'Z' || !digits(0..8) || !digits(9..15)
    {
        return wrong("moment");
    }
    let path = format!("{}/{}", info.path.trim_matches('/'), info.name);
    if RelPath::new(path.trim_start_matches('/')).is_err() || info.name.contains('/') {
        return wrong("path");
    }
    let path = quoted(path.trim_start_matches('/'));
    let url = format!("{SNAPSHOT}archive/{}/{}/{path}", info.archive_name, info.first_seen);
    Ok(SnapshotFile { sha1, url, size: info.size })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

    fn answer(field: &str, value: &str) -> Vec<u8> {
        let mut info = json!({
            "archive_name": "debian", "first_seen": "20240101T000000Z", "name": "g++_12_amd64.deb",
            "path": "/pool/main/g/gcc", "size": 10,
        });
        let mut hash = SHA1.to_owned();
        match field {
            "hash" => hash = value.to_owned(),
            "" => {}
            field => info[field] = value.into(),
        }
        let security = json!({
            "archive_name": "debian-security", "first_seen": "20230101T000000Z",
            "name": "g++_12_amd64.deb", "path": "/pool/updates/main/g/gcc", "size": 10,
        });
        let result = json!([
            { "architecture": "i386", "hash": "x" },
            { "architecture": "amd64", "hash": hash.clone() },
        ]);
        let answer = json!({ "result": result, "fileinfo": { hash: [security, info] } });
        answer.to_string().into_bytes()
    }

    #[test]
    fn the_place_of_the_right_architecture_is_found() {
        let found = files(&answer("", ""), "amd64", Some(10)).unwrap();
        let url = format!(
            "{SNAPSHOT}archive/debian/20240101T000000Z/pool/main/g/gcc/g%2B%2B_12_amd64.deb"
        );
        let sha1 = Checksum::from_hex(Algorithm::Sha1, SHA1).unwrap();
        assert_eq!(found, [SnapshotFile { sha1, url, size: 10 }]);
        assert_eq!(files(&answer("", ""), "arm64", None).unwrap(), []);
    }

    #[test]
    fn nonsense_is_refused() {
        for (field, value) in [
            ("hash", "../../evil"),
            ("hash", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
            ("archive_name", "../x"),
            ("archive_name", ""),
            ("first_seen", "yesterday"),
            ("first_seen", "20240101T00000/Z"),
            ("name", "a/b.deb"),
            ("name", ".."),
            ("path", "/pool/../../x"),
        ] {
            let found = files(&answer(field, value), "amd64", None);
            assert!(found.is_err(), "{field} {value}: {found:?}");
        }
        for text in ["", "<html>", "[]", "{}", "{\"result\": 3, \"fileinfo\": {}}"] {
            assert!(files(text.as_bytes(), "amd64", None).is_err(), "{text}");
        }
    }
}
