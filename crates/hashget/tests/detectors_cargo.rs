//! Crates in Cargo's folders: whole, partly missing, damaged and private registries.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

use std::path::Path;

use hashget::detectors::{Candidate, DetectError, Machine, select};
use hashget::index::detect_tree;
use hashget::model::{Digest, Keeping};
use hashget::monitor::Silent;

const HOST: &str = "registry.example-0123456789abcdef";

const PLAIN: &str =
    r#"{"dl": "https://crates.example/api/v1/crates", "api": "https://crates.example"}"#;

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn found(root: &Path) -> (Vec<Candidate>, Vec<DetectError>) {
    detect_tree(root, &select(&["cargo".to_owned()], &[]).unwrap(), &Machine::default(), &Silent)
        .unwrap()
}

/// Writes a registry of crates, each unpacked and packed, below `home`.
fn registry(home: &Path, config: &str, crates: &[(&str, &str)]) {
    let registry = home.join("registry");
    write(&registry, &format!("index/{HOST}/config.json"), config);
    for (name, version) in crates {
        write(&registry, &format!("src/{HOST}/{name}-{version}/Cargo.toml"), "[package]\n");
        write(&registry, &format!("src/{HOST}/{name}-{version}/src/lib.rs"), "");
        let packed = packed(name, version);
        write(&registry, &format!("cache/{HOST}/{name}-{version}.crate"), &packed);
        let lower = name.to_lowercase();
        let prefix = match lower.len() {
            length @ (1 | 2) => length.to_string(),
            3 => format!("3/{}", &lower[..1]),
            _ => format!("{}/{}", &lower[..2], &lower[2..4]),
        };
        let line = format!(
            "{version}\0{{\"name\":\"{name}\",\"vers\":\"{version}\",\"cksum\":\"{}\"}}\0",
            Digest::of(&packed)
        );
        let entry = [b"\x03\x02\0\0\0etag: \"x\"\0", line.as_bytes()].concat();
        write(&registry, &format!("index/{HOST}/.cache/{prefix}/{lower}"), entry);
    }
}

fn packed(name: &str, version: &str) -> Vec<u8> {
    format!("packed {name} {version}").into_bytes()
}

#[test]
fn crates_are_found_wherever_the_tree_begins() {
    let home = tempfile::tempdir().unwrap();
    registry(home.path(), PLAIN, &[("base64", "0.23.1"), ("windows-x86_64", "0.1.0-rc.1+b2")]);
    let registry = home.path().join("registry");
    for tree in [
        home.path().to_path_buf(),
        registry.clone(),
        registry.join("src"),
        registry.join("src").join(HOST),
        registry.join("cache"),
        registry.join("cache").join(HOST),
    ] {
        let (candidates, errors) = found(&tree);
        assert!(errors.is_empty(), "{tree:?}: {errors:?}");
        let [base64, windows] = &candidates[..] else { panic!("{tree:?}: {candidates:?}") };
        assert_eq!(base64.url, "https://crates.example/api/v1/crates/base64/0.23.1/download");
        let bytes = packed("base64", "0.23.1");
        assert_eq!(base64.sha256, Some(Digest::of(&bytes)));
        assert_eq!(base64.size, Some(bytes.len() as u64));
        assert_eq!(base64.signature.as_ref().unwrap().to_string(), "crate:base64-0.23.1");
        let local = fs_err::read(base64.local_file.as_ref().unwrap()).unwrap();
        assert_eq!(local, bytes);
        assert_eq!(
            windows.url,
            "https://crates.example/api/v1/crates/windows-x86_64/0.1.0-rc.1+b2/download"
        );
    }
    let one_crate = registry.join("src").join(HOST).join("base64-0.23.1");
    assert_eq!(found(&one_crate).0.len(), 1);
}

#[test]
fn a_linked_folder_is_followed_to_where_it_lies() {
    let home = tempfile::tempdir().unwrap();
    registry(home.path(), PLAIN, &[("url", "2.5.8")]);
    let link = home.path().join("elsewhere");
    fs_err::os::unix::fs::symlink(home.path().join("registry/src"), &link).unwrap();
    assert_eq!(found(&link).0.len(), 1);
}

#[test]
fn every_marker_of_a_download_template_is_filled() {
    for (dl, expected) in [
        ("https://c.example/{crate}/{version}.crate", "https://c.example/Inflector/1.0.0.crate"),
        ("https://c.example/{prefix}/{crate}", "https://c.example/In/fl/Inflector"),
        ("https://c.example/{lowerprefix}/x", "https://c.example/in/fl/x"),
        ("https://c.example/{sha256-checksum}", "https://c.example/SUM"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let config = format!("{{\"dl\": \"{dl}\"}}");
        registry(home.path(), &config, &[("Inflector", "1.0.0")]);
        let (candidates, errors) = found(home.path());
        assert!(errors.is_empty(), "{errors:?}");
        let sum = Digest::of(&packed("Inflector", "1.0.0")).to_string();
        assert_eq!(candidates[0].url, expected.replace("SUM", &sum));
    }
}

#[test]
fn a_crate_that_is_not_packed_here_is_a_candidate_without_a_file() {
    let home = tempfile::tempdir().unwrap();
    registry(home.path(), PLAIN, &[("url", "2.5.8")]);
    fs_err::remove_dir_all(home.path().join("registry/cache")).unwrap();
    let (candidates, _) = found(home.path());
    assert_eq!((candidates[0].size, &candidates[0].local_file), (None, &None));
    assert!(candidates[0].sha256.is_some());
}

/// The errors for a registry of three crates after `damage` was done to it.
fn damaged(config: &str, damage: impl FnOnce(&Path)) -> Vec<DetectError> {
    let home = tempfile::tempdir().unwrap();
    registry(home.path(), config, &[("one", "1.0.0"), ("two", "2.0.0"), ("three", "3.0.0")]);
    damage(&home.path().join("registry/index").join(HOST));
    let (candidates, errors) = found(home.path());
    assert!(candidates.is_empty(), "{candidates:?}");
    errors
}

#[test]
fn trouble_with_a_registry_is_told_once() {
    let remove_config = |index: &Path| fs_err::remove_file(index.join("config.json")).unwrap();
    let make_git = |index: &Path| {
        remove_config(index);
        fs_err::create_dir(index.join(".git")).unwrap();
    };
    let remove_cache = |index: &Path| fs_err::remove_dir_all(index.join(".cache")).unwrap();
    let nothing = |_: &Path| {};
    let private = r#"{"dl": "https://c.example", "auth-required": true}"#;
    let cases: [(&str, Vec<DetectError>); 8] = [
        ("config.json", damaged(PLAIN, remove_config)),
        ("Git repository", damaged(PLAIN, make_git)),
        ("does not have", damaged(PLAIN, remove_cache)),
        ("is damaged", damaged("{", nothing)),
        ("is damaged", damaged("{}", nothing)),
        ("asks for a login", damaged(private, nothing)),
        ("user name or password", damaged(r#"{"dl": "https://u:secret@c.example"}"#, nothing)),
        ("scheme", damaged(r#"{"dl": "file:///srv/crates"}"#, nothing)),
    ];
    for (expected, errors) in cases {
        let [error] = &errors[..] else { panic!("{expected}: {errors:?}") };
        let text = error.to_string();
        assert!(text.contains(expected), "{expected}: {text}");
        // Three crates, each unpacked and packed: one error, and five more like it.
        assert!(text.contains("5 more"), "{text}");
        assert!(text.contains(HOST) && !text.contains("secret"), "{text}");
    }
}

#[test]
fn one_crate_missing_from_the_index_does_not_hide_the_others() {
    let home = tempfile::tempdir().unwrap();
    registry(home.path(), PLAIN, &[("one", "1.0.0"), ("three", "3.0.0")]);
    let index = home.path().join("registry/index").join(HOST);
    let entry = index.join(".cache/th/re/three");
    let whole = fs_err::read(&entry).unwrap();
    for damage in [&whole[..whole.len() - 20], b"\x07\0\0", b""] {
        fs_err::write(&entry, damage).unwrap();
        let (candidates, errors) = found(home.path());
        assert_eq!(candidates.len(), 1);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].problem.contains("three is damaged"), "{}", errors[0]);
    }
}

#[test]
fn folders_that_only_look_similar_are_none() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), "vendor/serde-1.0.0/Cargo.toml", "");
    write(tree.path(), "src/lib-0123456789abcdef/not-a-crate/Cargo.toml", "");
    write(tree.path(), "target/package/serde-1.0.0.crate", "");
    write(tree.path(), "Cargo.toml", "");
    let (candidates, errors) = found(tree.path());
    assert!(candidates.is_empty() && errors.is_empty(), "{candidates:?} {errors:?}");
}

/// Vendors a crate, and gives the digests of its files.
fn vendor(folder: &Path, name: &str, version: &str, package: Option<Digest>) {
    let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n");
    let (own, lib) = (Digest::of(manifest.as_bytes()), Digest::of(b"pub fn f() {}\n"));
    write(folder, &format!("vendor/{name}/Cargo.toml"), manifest);
    write(folder, &format!("vendor/{name}/src/lib.rs"), "pub fn f() {}\n");
    let package = package.map_or("null".to_owned(), |digest| format!("\"{digest}\""));
    let checksums = format!(
        "{{\"files\":{{\"Cargo.toml\":\"{own}\",\"src/lib.rs\":\"{lib}\",\"../x\":\"{lib}\"}},\"package\":{package}}}"
    );
    write(folder, &format!("vendor/{name}/.cargo-checksum.json"), checksums);
}

/// A machine whose Cargo takes crates from the registry of `HOST` instead of the one that it has built in.
fn mirrored(home: &Path) {
    registry(home, PLAIN, &[("base64", "0.23.1")]);
    let configuration = "[source.built-in]\nreplace-with = \"one\"\n[source.one]\nreplace-with = \"two\"\n\
                         [registries.two]\nindex = \"sparse+https://registry.example/index/\"\n";
    write(home, "config.toml", configuration);
}

#[test]
fn a_crate_from_a_mirror_gets_the_public_url() {
    let home = tempfile::tempdir().unwrap();
    mirrored(home.path());
    let public = r#"{"dl": "https://public.example/crates", "api": "https://public.example"}"#;
    write(home.path(), "registry/index/public.example-0123456789abcdef/config.json", public);
    let (candidates, errors) = found(home.path());
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(candidates[0].url, "https://public.example/crates/base64/0.23.1/download");
    assert_eq!(candidates[0].sha256, Some(Digest::of(&packed("base64", "0.23.1"))));
}

#[test]
fn a_mirror_of_nothing_that_is_known_is_told() {
    let home = tempfile::tempdir().unwrap();
    mirrored(home.path());
    // Another registry of the configuration is not the one that Cargo has built in.
    let own = "[registries.own]\nindex = \"sparse+https://own.example/\"\n";
    let configuration = fs_err::read_to_string(home.path().join("config.toml")).unwrap();
    write(home.path(), "config.toml", configuration + own);
    let other = r#"{"dl": "https://own.example/crates"}"#;
    write(home.path(), "registry/index/own.example-0123456789abcdef/config.json", other);
    let (candidates, errors) = found(home.path());
    assert_eq!(candidates[0].url, "https://crates.example/api/v1/crates/base64/0.23.1/download");
    assert_eq!(candidates[0].keeping, Keeping::Unknown, "it is no registry of anybody else's");
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in ["config.toml says that it is a mirror", "where the mirror is reachable"] {
        assert!(errors[0].problem.contains(part), "{errors:?}");
    }
}

#[test]
fn vendored_crates_are_found_in_the_registry_that_has_them() {
    let home = tempfile::tempdir().unwrap();
    registry(&home.path().join(".cargo"), PLAIN, &[("base64", "0.23.1"), ("other", "1.0.0")]);
    let project = home.path().join("project");
    vendor(&project, "base64", "0.23.1", Some(Digest::of(&packed("base64", "0.23.1"))));
    vendor(&project, "unknown", "1.0.0", Some(Digest::of(b"a crate that no index here has")));
    vendor(&project, "from-git", "1.0.0", None);
    let (candidates, errors) = found(&project);
    assert!(errors.is_empty(), "{errors:?}");
    let urls: Vec<&str> = candidates.iter().map(|candidate| candidate.url.as_str()).collect();
    let expected = ["base64/0.23.1", "unknown/1.0.0"]
        .map(|path| format!("https://crates.example/api/v1/crates/{path}/download"));
    assert_eq!(urls, expected);
    let [known, unknown] = &candidates[..] else { panic!("{candidates:?}") };
    assert!(known.local_file.is_some() && unknown.local_file.is_none());
    // Who patches a vendored crate brings the list of its files up to date, so that it proves nothing.
    assert!(known.lists.is_empty() && unknown.lists.is_empty());
}

#[test]
fn vendored_crates_without_a_registry_or_sense_are_told() {
    let folder = tempfile::tempdir().unwrap();
    vendor(folder.path(), "base64", "0.23.1", Some(Digest::of(b"x")));
    vendor(folder.path(), "serde", "1.0.0", Some(Digest::of(b"x")));
    let (candidates, errors) = found(folder.path());
    assert!(candidates.is_empty());
    assert_eq!(errors.len(), 1, "told once for the folder: {errors:?}");
    assert!(errors[0].problem.contains("no registry"), "{errors:?}");
    registry(&folder.path().join(".cargo"), PLAIN, &[("base64", "0.23.1")]);
    for (file, content) in [
        ("Cargo.toml", &b""[..]),
        ("Cargo.toml", b"[package]\nname = \"../x\"\nversion = \"1.0.0\"\n"),
        ("Cargo.toml", b"\xff"),
        (".cargo-checksum.json", b""),
        (".cargo-checksum.json", b"{\"files\": {}, \"package\": \"12\"}"),
        (".cargo-checksum.json", b"{\"files\": {\"a\":"),
    ] {
        vendor(folder.path(), "serde", "1.0.0", Some(Digest::of(b"x")));
        write(folder.path(), &format!("vendor/serde/{file}"), content);
        let (candidates, errors) = found(&folder.path().join("vendor/serde"));
        assert_eq!((candidates.len(), errors.len()), (0, 1), "{content:?}: {errors:?}");
    }
}

#[test]
fn crates_of_a_registry_with_a_token_are_not_public() {
    let home = tempfile::tempdir().unwrap();
    let cargo = home.path().join(".cargo");
    registry(&cargo, PLAIN, &[("base64", "0.23.1")]);
    assert_eq!(found(home.path()).0.len(), 1);
    write(&cargo, "credentials.toml", "[registries.own]\ntoken = \"secret\"\n");
    write(
        &cargo,
        "config.toml",
        "[registries.own]\nindex = \"sparse+https://other.example/index/\"\n",
    );
    assert_eq!(found(home.path()).0.len(), 1);
    write(
        &cargo,
        "config.toml",
        "[registries.own]\nindex = \"sparse+https://registry.example/index/\"\n",
    );
    let (candidates, errors) = found(home.path());
    assert!(candidates.is_empty() && errors[0].problem.contains("token"), "{errors:?}");
    assert!(!format!("{errors:?}").contains("secret"));
}
