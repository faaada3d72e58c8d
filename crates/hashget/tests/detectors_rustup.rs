//! Rust toolchains: which of a channel's components are installed.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

use std::path::Path;

use hashget::detectors::{Candidate, DetectError, Machine, select};
use hashget::index::detect_tree;
use hashget::model::Digest;
use hashget::monitor::Silent;

const MANIFEST: &str = "stable/lib/rustlib/multirust-channel-manifest.toml";
const COMPONENTS: &str = "stable/lib/rustlib/components";

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn found(root: &Path) -> (Vec<Candidate>, Vec<DetectError>) {
    let detectors = select(&["rustup".to_owned()], &[]).unwrap();
    detect_tree(root, &detectors, &Machine::default(), &Silent).unwrap()
}

fn manifest(url: &str) -> String {
    let target = |package: &str, target: &str| {
        format!(
            "[pkg.{package}.target.\"{target}\"]\navailable = true\nurl = \"{url}/{package}-{target}.tar.gz\"\nhash = \
             \"{}\"\nxz_url = \"{url}/{package}-{target}.tar.xz\"\nxz_hash = \"{}\"\n",
            Digest::of(b"gz"),
            Digest::of(package.as_bytes())
        )
    };
    format!(
        "manifest-version = \"2\"\ndate = \"2026-01-02\"\n[pkg.rustc]\nversion = \"1\"\n{}{}{}[pkg.none.target.t]\n\
         available = false\n",
        target("rustc", "x86_64-unknown-linux-gnu"),
        target("rustc", "aarch64-apple-darwin"),
        target("rust-src", "*")
    )
}

#[test]
fn installed_components_alone_are_named() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), MANIFEST, manifest("https://dist.example/2026-01-02"));
    write(tree.path(), COMPONENTS, "rustc-x86_64-unknown-linux-gnu\nrust-src\n");
    let (candidates, errors) = found(tree.path());
    assert!(errors.is_empty(), "{errors:?}");
    let shown: Vec<String> = candidates
        .iter()
        .map(|one| format!("{} {}", one.url, one.signature.as_ref().unwrap()))
        .collect();
    let expected = [
        "https://dist.example/2026-01-02/rust-src-*.tar.xz rust:rust-src-2026-01-02",
        "https://dist.example/2026-01-02/rustc-x86_64-unknown-linux-gnu.tar.xz \
         rust:rustc-x86_64-unknown-linux-gnu-2026-01-02",
    ];
    assert_eq!(shown, expected);
    assert_eq!(candidates[1].sha256, Some(Digest::of(b"rustc")));
}

#[test]
fn what_cannot_be_understood_is_told() {
    let whole = manifest("https://dist.example");
    for (manifest, components, expected) in [
        (whole.clone(), "rustc-other\n", "does not have rustc-other"),
        (whole.clone(), "none-t\n", "no URL and digest"),
        (manifest("https://u:secret@dist.example"), "rust-src\n", "its URL"),
        (whole.replace("xz_hash = \"", "xz_hash = \"zz"), "rust-src\n", "its digest"),
        (String::new(), "rust-src\n", "has no [pkg]"),
        (whole[..whole.len() / 2].to_owned(), "rust-src\n", ""),
        ("\0".to_owned(), "rust-src\n", "not TOML"),
    ] {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), MANIFEST, manifest);
        write(tree.path(), COMPONENTS, components);
        let (candidates, errors) = found(tree.path());
        assert!(candidates.is_empty(), "{candidates:?}");
        assert!(errors[0].problem.contains(expected), "{expected}: {errors:?}");
        assert!(!format!("{errors:?}").contains("secret"));
    }
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), MANIFEST, b"\xff\xfe");
    assert!(found(tree.path()).1[0].problem.contains("no list of components"));
    fs_err::File::create(tree.path().join(MANIFEST)).unwrap().set_len(1 << 40).unwrap();
    assert!(found(tree.path()).1[0].problem.contains("too many"));
    fs_err::remove_file(tree.path().join(MANIFEST)).unwrap();
    fs_err::create_dir(tree.path().join(MANIFEST)).unwrap();
    assert!(found(tree.path()).0.is_empty());
}
