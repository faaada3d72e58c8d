//! What the snapshots of Debian's archives answer to the question where a version of a package is.
//!
//! Invariant: an answer is foreign text: a URL is made of it only when each part of it is what it should
//! be.

use serde::Deserialize;

use crate::detectors::debian::archives::SNAPSHOT;
use crate::detectors::{DebPackage, quoted};
use crate::model::RelPath;

/// More bytes than this are no answer.
pub(super) const MAX_BYTES: u64 = 4 << 20;

/// Archives in the order in which they are preferred when a file is in several.
const ARCHIVES: [&str; 3] = ["debian", "debian-security", "debian-backports"];

/// Where a .deb is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its SHA-1, in lower-case hex digits.
    pub(super) sha1: String,
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

/// The places of `deb` that the answer names, the best first; none if it has no file for the
/// architecture. `size` is the one it must have, where it is known.
///
/// # Errors
/// What is wrong with the answer.
pub(super) fn places(
    answer: &[u8],
    deb: &DebPackage,
    size: Option<u64>,
) -> Result<Vec<Place>, String> {
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|error| format!("the answer is not what the snapshots give: {error}"))?;
    let of = |architecture: &str| -> Vec<&File> {
        answer.result.iter().filter(|file| file.architecture == architecture).collect()
    };
    let mut files = of(&deb.architecture);
    if files.is_empty() {
        files = of("all");
    }
    let mut ranked: Vec<((bool, usize, &str), Place)> = Vec::new();
    for file in files {
        for info in answer.fileinfo.get(&file.hash).into_iter().flatten() {
            let place = place(&file.hash, info)?;
            let other_size = size.is_some_and(|size| size != info.size);
            let archive = ARCHIVES.iter().position(|known| *known == info.archive_name);
            let archive = archive.unwrap_or(ARCHIVES.len());
            ranked.push(((other_size, archive, &info.first_seen), place));
        }
    }
    ranked.sort_by(|(one, a), (other, b)| one.cmp(other).then(a.url.cmp(&b.url)));
    let mut places: Vec<Place> = Vec::new();
    for (_, place) in ranked {
        if places.iter().all(|known| known.sha1 != place.sha1) {
            places.push(place);
        }
    }
    Ok(places)
}

fn place(sha1: &str, info: &Info) -> Result<Place, String> {
    let wrong = |what: &str| Err(format!("the answer of the snapshots names no proper {what}"));
    if sha1.len() != 40 || !sha1.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return wrong("hash");
    }
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
    Ok(Place { sha1: sha1.to_owned(), url, size: info.size })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::detectors::DebPlace;

    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

    fn deb(architecture: &str) -> DebPackage {
        DebPackage {
            name: "g++".to_owned(),
            version: "4:12".to_owned(),
            architecture: architecture.to_owned(),
            place: DebPlace::Snapshot,
            mirrors: Vec::new(),
            root: PathBuf::from("/"),
            md5sums: RelPath::root(),
            conffiles: Vec::new(),
            diversions: Arc::default(),
            unasked: None,
        }
    }

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
        let found = places(&answer("", ""), &deb("amd64"), Some(10)).unwrap();
        let url = format!(
            "{SNAPSHOT}archive/debian/20240101T000000Z/pool/main/g/gcc/g%2B%2B_12_amd64.deb"
        );
        assert_eq!(found, [Place { sha1: SHA1.to_owned(), url, size: 10 }]);
        assert_eq!(places(&answer("", ""), &deb("arm64"), None).unwrap(), []);
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
            let found = places(&answer(field, value), &deb("amd64"), None);
            assert!(found.is_err(), "{field} {value}: {found:?}");
        }
        for text in ["", "<html>", "[]", "{}", "{\"result\": 3, \"fileinfo\": {}}"] {
            assert!(places(text.as_bytes(), &deb("amd64"), None).is_err(), "{text}");
        }
    }
}
