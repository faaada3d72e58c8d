//! What every detector must do with a tree that has its file names, and nothing that it understands.
//!
//! Invariant: a suite uses nothing but its trait.

use std::collections::BTreeSet;
use std::path::Path;

use hashget::detectors::{Candidate, Detector, Machine};
use hashget::model::{Digest, RelPath};

/// Paths by which packages are recognised: each detector must be interested in one of them.
const PATHS: [&str; 31] = [
    "hashget-hint.json",
    "linux-6.1/Makefile",
    ".cargo/registry/src/index.example-0123456789abcdef/name-1.0.0/Cargo.toml",
    ".cargo/registry/cache/index.example-0123456789abcdef/name-1.0.0.crate",
    "vendor/name/.cargo-checksum.json",
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/tool",
    "var/lib/pacman/local",
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
    "site-packages/a-1.0.dist-info/WHEEL",
    "app/package-lock.json",
    "app/yarn.lock",
    "app/pnpm-lock.yaml",
    "app/node_modules/.package-lock.json",
    "app/node_modules/.pnpm/lock.yaml",
    ".rustup/toolchains/stable/lib/rustlib/multirust-channel-manifest.toml",
    "go/pkg/mod/cache/download/host.example/module/@v/v1.0.0.ziphash",
    ".m2/repository/org/example/tool/1.2/_remote.repositories",
    ".gradle/caches/modules-2/files-2.1/org.example/tool/1.2/0123456789abcdef0123456789abcdef01234567/tool-1.2.jar",
    "gems/3.1.0/specifications/tool-1.0.gemspec",
    "conda/conda-meta/tool-1.0-0.json",
    "hub/models--a--b/snapshots/0123456789abcdef0123456789abcdef01234567/model.bin",
    "wp-includes/version.php",
    "wp-content/plugins/tool/readme.txt",
    "wp-content/themes/tool/style.css",
    "tool-1.0.tar.gz.meta4",
    "tool-1.0.tar.gz",
    "tool-1.0.zip",
    "tool_1.0_amd64.deb",
    "tool-1.0.metalink",
];

/// Runs the suite of [`Detector`].
pub(crate) fn check(detector: &dyn Detector) {
    let name = detector.name();
    assert!(!name.is_empty() && !["all", "none"].contains(&name));
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
    for path in detector.system_paths() {
        assert!(detector.interested_in(&RelPath::new(*path).unwrap()), "{name}: {path}");
    }
    for path in ["a", "a/b", "\u{fffd}\n", "..."] {
        assert!(!detector.interested_in(&RelPath::new(path).unwrap()), "{name}: {path}");
    }
    let of_system: BTreeSet<&str> = detector.system_paths().iter().copied().collect();
    let interesting: Vec<&str> = PATHS
        .into_iter()
        .chain(of_system)
        .filter(|path| detector.interested_in(&RelPath::new(*path).unwrap()))
        .collect();
    assert!(!interesting.is_empty(), "PATHS has no path for the detector {name}");
    for path in interesting {
        nothing_is_claimed(detector, path, "there is nothing", |_| {});
        nothing_is_claimed(detector, path, "an empty file", |file| {
            fs_err::write(file, "").unwrap();
        });
        nothing_is_claimed(detector, path, "a folder", |file| fs_err::create_dir(file).unwrap());
        // A detector that opens it would wait for ever.
        nothing_is_claimed(detector, path, "a fifo", |file| {
            let (here, kind) = (rustix::fs::CWD, rustix::fs::FileType::Fifo);
            rustix::fs::mknodat(here, file, kind, rustix::fs::Mode::RUSR, 0).unwrap();
        });
        for seed in 0..8_u8 {
            let random = |file: &Path| fs_err::write(file, noise(seed)).unwrap();
            nothing_is_claimed(detector, path, "random bytes", random);
        }
    }
}

fn noise(seed: u8) -> Vec<u8> {
    (0..200_u8).flat_map(|number| *Digest::of(&[seed, number]).as_bytes()).collect()
}

#[track_caller]
fn nothing_is_claimed(detector: &dyn Detector, path: &str, what: &str, make: impl Fn(&Path)) {
    let tree = tempfile::tempdir().unwrap();
    let file = tree.path().join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    make(&file);
    let mut notes = Vec::new();
    let path = RelPath::new(path).unwrap();
    let note = &mut |error| notes.push(error);
    let found = detector.detect(&Machine::default(), tree.path(), &path, note);
    let found: Vec<Candidate> = found.unwrap_or_else(|error| {
        notes.push(error);
        Vec::new()
    });
    assert!(found.is_empty(), "{}: {what} at {path}: {found:?}", detector.name());
    for error in notes {
        let text = error.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
