//! Any bytes in one of the files that describe the packages of a Debian system; the first byte selects the file.
//! Package lists always match their Release file.
#![no_main]

use hashget::detectors::{Machine, select};
use hashget::model::{Digest, RelPath};
use libfuzzer_sys::fuzz_target;

const STATUS: &str = "var/lib/dpkg/status";
const RELEASE: &str = "var/lib/apt/lists/archive.example_dists_x_InRelease";
const LIST: &str = "var/lib/apt/lists/archive.example_dists_x_main_binary-amd64_Packages";

/// The files, with their usual contents.
const FILES: [(&str, &str); 7] = [
    (STATUS, "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"),
    (RELEASE, ""),
    (LIST, ""),
    ("var/lib/dpkg/diversions", "/a\n/b\n:\n"),
    ("etc/os-release", "ID=debian\n"),
    ("etc/apt/sources.list", "deb http://archive.example x main\n"),
    ("etc/apt/sources.list.d/x.sources", ""),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, text)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let chosen = usize::from(first) % FILES.len();
    for (number, (name, otherwise)) in FILES.into_iter().enumerate() {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("there is room");
        let list: &[u8] = if chosen == 2 { text } else { b"" };
        let release = format!(
            "Origin: Debian\nLabel: Debian\nDate: Thu, 31 Dec 2026 10:16:37 UTC\nSHA256:\n {} {} \
             main/binary-amd64/Packages\n",
            Digest::of(list),
            list.len()
        );
        let content = match name {
            _ if number == chosen => text,
            RELEASE => release.as_bytes(),
            _ => otherwise.as_bytes(),
        };
        std::fs::write(path, content).expect("there is room");
    }
    let path = RelPath::new(STATUS).expect("a path");
    let detectors = select(&["debian".to_owned()], &[]).expect("there is one");
    let found = detectors[0].detect(&Machine::default(), folder.path(), &path, &mut |_| {});
    for candidate in found.unwrap_or_default() {
        let question = candidate.question.expect("its lists are not read yet");
        let _ = question.look_up(&mut |_| {});
    }
});
