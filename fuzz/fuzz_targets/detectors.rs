//! Any bytes in the files that detectors look for; the first byte says in which.
#![no_main]

use hashget::detectors::{DETECTORS, RuleConfig};
use hashget::model::RelPath;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = [
    "hashget-hint.json",
    ".hashget-hint.json",
    "Makefile",
    "x-1.0.0/Cargo.toml",
    "x-1.0.0/.cargo-checksum.json",
    "x-1.0.0/.cargo_vcs_info.json",
    "var/lib/dpkg/status",
    "registry/index/x/config.json",
];

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
        for name in NAMES {
            let path = RelPath::new(name).expect("a path");
            if detector.interested_in(&path) {
                let _ = detector.detect(folder.path(), &path);
            }
        }
    }
    let _ = std::any::type_name::<RuleConfig>();
});
