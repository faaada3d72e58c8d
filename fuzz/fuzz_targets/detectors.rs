//! Any bytes in one of the files that detectors look for; the first byte selects the file.
#![no_main]

use hashget::detectors::{DETECTORS, Machine};
use hashget::model::RelPath;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 14] = [
    "hashget-hint.json",
    ".hashget-hint.json",
    "Makefile",
    "registry/src/example.org-0123456789abcdef/xy-1.0.0/Cargo.toml",
    "registry/index/example.org-0123456789abcdef/config.json",
    "registry/index/example.org-0123456789abcdef/.cache/2/xy",
    "var/lib/pacman/local/x-1-1/desc",
    "var/lib/pacman/local/x-1-1/mtree",
    "var/lib/pacman/sync/extra.db",
    "etc/pacman.conf",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "etc/yum.repos.d/x.repo",
    "var/cache/libdnf5/x/repodata/repomd.xml",
];

/// Folders that detectors look for.
const FOLDERS: [&str; 1] = ["var/lib/pacman/local"];

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, text)) = bytes.split_first() else { return };
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    for name in NAMES {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("there is room");
        let wanted = name == NAMES[usize::from(first) % NAMES.len()];
        std::fs::write(path, if wanted { text } else { b"" }).expect("there is room");
    }
    for detector in DETECTORS {
        for name in NAMES.iter().chain(&FOLDERS) {
            let path = RelPath::new(*name).expect("a path");
            if detector.interested_in(&path) {
                let found = detector.detect(&Machine::default(), folder.path(), &path, &mut |_| {});
                for list in found.iter().flatten().flat_map(|candidate| &candidate.lists) {
                    let _ = list.local();
                }
            }
        }
    }
});
