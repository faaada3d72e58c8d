//! Lock files of npm, pnpm and yarn beside what they installed.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

use std::path::Path;

use base64::Engine as _;
use hashget::detectors::{Candidate, DetectError, Machine, select};
use hashget::index::detect_tree;
use hashget::model::Algorithm;
use hashget::monitor::Silent;

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn found(root: &Path, machine: &Machine) -> (Vec<Candidate>, Vec<DetectError>) {
    detect_tree(root, &select(&["npm".to_owned()], &[]).unwrap(), machine, &Silent).unwrap()
}

fn urls(root: &Path, machine: &Machine) -> Vec<String> {
    found(root, machine).0.into_iter().map(|candidate| candidate.url).collect()
}

fn tree(installed: &[&str]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for folder in installed {
        write(tree.path(), &format!("app/node_modules/{folder}/package.json"), "{}");
    }
    tree
}

/// A lock file of one package, with or without its URL.
fn lock(name: &str, more: &str) -> String {
    format!(r#"{{"packages": {{"node_modules/{name}": {{"version": "1.0.0"{more}}}}}}}"#)
}

#[test]
fn only_what_is_installed_is_a_candidate() {
    let url = r#", "resolved": "https://r.example/a/-/a-1.0.0.tgz""#;
    let here = tree(&["a"]);
    write(here.path(), "app/package-lock.json", lock("a", url));
    write(here.path(), "app/node_modules/.package-lock.json", lock("a", url));
    assert_eq!(urls(here.path(), &Machine::default()), ["https://r.example/a/-/a-1.0.0.tgz"]);
    // The tree may begin in node_modules.
    let modules = here.path().join("app/node_modules");
    assert_eq!(urls(&modules, &Machine::default()).len(), 1);
    let other = tree(&["b"]);
    write(other.path(), "app/package-lock.json", lock("a", url));
    assert!(urls(other.path(), &Machine::default()).is_empty());
}

#[test]
fn without_a_url_it_follows_from_the_registry() {
    let tree = tree(&["@s/a", "b"]);
    let both = r#"{"packages": {"node_modules/@s/a": {"version": "1.0.0"}, "node_modules/b": {"version": "2.0.0"}}}"#;
    write(tree.path(), "app/package-lock.json", both);
    let (nothing, errors) = found(tree.path(), &Machine::default());
    assert!(nothing.is_empty() && errors[0].problem.contains("which registry"), "{errors:?}");
    let code = "registry: new Definition('registry', {\n    default: 'https://default.example/',\n    type: url,";
    let home = tempfile::tempdir().unwrap();
    let npm = "usr/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js";
    write(home.path(), npm, code);
    let machine = Machine { root: Some(home.path().to_owned()), ..Machine::default() };
    let expected =
        ["https://default.example/@s/a/-/a-1.0.0.tgz", "https://default.example/b/-/b-2.0.0.tgz"];
    assert_eq!(urls(tree.path(), &machine), expected);
    write(
        tree.path(),
        ".npmrc",
        "registry=https://one.example/npm/\n@s:registry=https://two.example\n",
    );
    let expected =
        ["https://one.example/npm/b/-/b-2.0.0.tgz", "https://two.example/@s/a/-/a-1.0.0.tgz"];
    assert_eq!(urls(tree.path(), &machine), expected);
    write(
        tree.path(),
        "app/.npmrc",
        "@s:registry=https://two.example/\n//two.example/:_authToken=secret\n",
    );
    // What was read of the machine is kept, so this is another run.
    let machine = Machine { root: Some(home.path().to_owned()), ..Machine::default() };
    let (candidates, errors) = found(tree.path(), &machine);
    assert_eq!(candidates.len(), 1);
    assert!(errors[0].problem.contains("token") && !format!("{errors:?}").contains("secret"));
}

#[test]
fn the_cache_has_the_tarball_by_its_digest() {
    let mut hasher = Algorithm::Sha512.hasher();
    hasher.update(b"tarball");
    let checksum = hasher.finish();
    let integrity = base64::engine::general_purpose::STANDARD.encode(checksum.as_bytes());
    let url = format!(
        r#", "resolved": "https://r.example/a-1.0.0.tgz", "integrity": "sha512-{integrity}""#
    );
    let (tree, home) = (tree(&["a"]), tempfile::tempdir().unwrap());
    write(tree.path(), "app/package-lock.json", lock("a", &url));
    let hex = checksum.to_string().replace("sha512:", "");
    let cached =
        format!(".npm/_cacache/content-v2/sha512/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
    write(home.path(), &cached, "tarball");
    let machine = Machine { homes: vec![home.path().to_owned()], ..Machine::default() };
    let (candidates, _) = found(tree.path(), &machine);
    assert_eq!(candidates[0].checksum.as_ref(), Some(&checksum));
    assert_eq!(candidates[0].local_file.as_deref(), Some(home.path().join(cached).as_path()));
    assert_eq!(candidates[0].signature.as_ref().unwrap().to_string(), "npm:a@1.0.0");
}

#[test]
fn yarn_and_pnpm_are_read_beside_what_they_installed() {
    let machine = Machine {
        variables: [("npm_config_registry".into(), "https://one.example".into())].into(),
        ..Machine::default()
    };
    let yarn = tree(&["@s/a"]);
    write(
        yarn.path(),
        "app/yarn.lock",
        "\"@s/a@^1.0.0\":\n  version \"1.0.0\"\n\nb@1:\n  version \"1.0.0\"\n",
    );
    assert_eq!(urls(yarn.path(), &machine), ["https://one.example/@s/a/-/a-1.0.0.tgz"]);
    let pnpm = tree(&[".pnpm/@s+a@1.0.0/node_modules/@s/a"]);
    let lock = "packages:\n\n  '@s/a@1.0.0':\n    resolution: {integrity: sha512-x}\n\n  b@1.0.0:\n    resolution: {}\n";
    write(pnpm.path(), "app/node_modules/.pnpm/lock.yaml", lock);
    assert_eq!(urls(pnpm.path(), &machine), ["https://one.example/@s/a/-/a-1.0.0.tgz"]);
    write(pnpm.path(), "app/pnpm-lock.yaml", lock);
    assert_eq!(urls(pnpm.path(), &machine).len(), 1);
}

#[test]
fn broken_and_hostile_files_are_told_or_passed_over() {
    for content in [&b""[..], b"{\"packages\": {", b"\xff\xfe", b"[1]", b"\"text\""] {
        let tree = tree(&["a"]);
        write(tree.path(), "app/package-lock.json", content);
        let (candidates, errors) = found(tree.path(), &Machine::default());
        assert_eq!((candidates.len(), errors.len()), (0, 1), "{content:?}");
        for name in ["yarn.lock", "pnpm-lock.yaml"] {
            write(tree.path(), &format!("app/{name}"), content);
        }
        assert!(found(tree.path(), &Machine::default()).0.is_empty());
    }
    for url in [
        "https://user:secret@r.example/a.tgz",
        "file:a.tgz",
        "git+ssh://r.example/a.git",
        "https://[/a.tgz",
    ] {
        let tree = tree(&["a"]);
        write(
            tree.path(),
            "app/package-lock.json",
            lock("a", &format!(r#", "resolved": "{url}""#)),
        );
        let (candidates, errors) = found(tree.path(), &Machine::default());
        assert!(
            candidates.is_empty() && !format!("{errors:?}").contains("secret"),
            "{url}: {errors:?}"
        );
    }
    for name in ["../../etc", "a/../../b", "", "%2e", "a b", "@s/../a", ".hidden"] {
        let tree = tree(&["a"]);
        write(tree.path(), "app/package-lock.json", lock(name, ""));
        assert!(found(tree.path(), &Machine::default()).0.is_empty(), "{name}");
    }
    let tree = tree(&[]);
    fs_err::create_dir_all(tree.path().join("app/yarn.lock")).unwrap();
    let large = fs_err::File::create(tree.path().join("app/package-lock.json")).unwrap();
    large.set_len(1 << 40).unwrap();
    assert!(found(tree.path(), &Machine::default()).1[0].problem.contains("too many"));
}

#[test]
fn configuration_that_is_too_large_is_reported_and_ignored() {
    let tree = tree(&["a"]);
    write(tree.path(), "app/package-lock.json", lock("a", ""));
    write(tree.path(), ".npmrc", "registry=https://one.example/\n");
    write(tree.path(), "app/.npmrc", "registry=https://two.example/\n".repeat(1 << 18));
    let (candidates, errors) = found(tree.path(), &Machine::default());
    assert_eq!(candidates[0].url, "https://one.example/a/-/a-1.0.0.tgz");
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.path.ends_with("app/.npmrc") && error.problem.contains("too many"), "{error}");
}

#[test]
fn packages_lie_below_workspaces_others_and_folders_with_peers() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let package = |folder: &str, version: &str| {
        write(root, &format!("{folder}/package.json"), format!("{{\"version\": \"{version}\"}}"));
    };
    write(root, ".npmrc", "registry=https://r.example/\n");
    package("ws/packages/app/node_modules/a", "1.0.0");
    let entry = "\"packages/app/node_modules/a\": {\"version\": \"1.0.0\"}, \"packages/app\": {\"version\": \"0.1.0\"}";
    write(root, "ws/package-lock.json", format!("\u{feff}{{\"packages\": {{{entry}}}}}"));
    package("yarn/node_modules/holder/node_modules/@s/b", "2.0.0");
    package("yarn/node_modules/holder", "1.0.0");
    let yarn = "\"@s/b@^2.0.0\", \"@s/b@2\":\r\n  version \"2.0.0\"\r\n\r\n\"@s/b@^1.0.0\":\r\n  version \"1.0.0\"\r\n";
    write(root, "yarn/yarn.lock", yarn);
    package("pnpm/node_modules/.pnpm/c@3.0.0_react@18.3.1/node_modules/c", "3.0.0");
    package("pnpm/node_modules/.pnpm/d@4.0.0/node_modules/d", "4.0.0");
    write(
        root,
        "pnpm/pnpm-lock.yaml",
        "packages:\n  /c@3.0.0(react@18.3.1):\n    resolution: {integrity: x}\n  /d/4.0.0_fzn43:\n    resolution: {integrity: x}\n",
    );
    let (candidates, errors) = found(root, &Machine::default());
    assert!(errors.is_empty(), "{errors:?}");
    let found: Vec<String> = candidates
        .iter()
        .map(|one| format!("{} {}", one.url, one.covers.as_ref().unwrap()))
        .collect();
    let expected = [
        "https://r.example/@s/b/-/b-2.0.0.tgz yarn/node_modules/holder/node_modules/@s/b",
        "https://r.example/a/-/a-1.0.0.tgz ws/packages/app/node_modules/a",
        "https://r.example/c/-/c-3.0.0.tgz pnpm/node_modules/.pnpm/c@3.0.0_react@18.3.1/node_modules/c",
        "https://r.example/d/-/d-4.0.0.tgz pnpm/node_modules/.pnpm/d@4.0.0/node_modules/d",
    ];
    assert_eq!(found, expected);
}

#[test]
fn old_yarns_have_the_digest_behind_the_url() {
    let tree = tree(&["a"]);
    let sha1 = "0123456789abcdef0123456789abcdef01234567";
    for (fragment, is_digest) in [(sha1, true), ("0", false)] {
        let lock = format!(
            "a@^1.0.0:\n  version \"1.0.0\"\n  resolved \"https://r.example/a-1.0.0.tgz#{fragment}\"\n"
        );
        write(tree.path(), "app/yarn.lock", lock);
        let (candidates, _) = found(tree.path(), &Machine::default());
        let expected = is_digest.then(|| format!("sha1:{sha1}"));
        assert_eq!(candidates[0].checksum.as_ref().map(ToString::to_string), expected);
    }
}

#[test]
fn version_managers_have_an_npm_each() {
    for folder in [
        ".nvm/versions/node/v22.0.0",
        ".volta/tools/image/node/22.0.0",
        ".asdf/installs/nodejs/22.0.0",
    ] {
        let tree = tree(&["a"]);
        write(tree.path(), "app/package-lock.json", lock("a", ""));
        let file =
            "lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js";
        write(
            tree.path(),
            &format!("{folder}/{file}"),
            "new Definition('registry', { default: 'https://own.example/',",
        );
        assert_eq!(
            urls(tree.path(), &Machine::default()),
            ["https://own.example/a/-/a-1.0.0.tgz"],
            "{folder}"
        );
    }
}

#[test]
fn the_caches_of_those_whose_homes_are_packed_are_used() {
    let tree = tempfile::tempdir().unwrap();
    let mut hasher = Algorithm::Sha512.hasher();
    hasher.update(b"tarball");
    let checksum = hasher.finish();
    let integrity = base64::engine::general_purpose::STANDARD.encode(checksum.as_bytes());
    write(tree.path(), "u/app/node_modules/a/package.json", "{}");
    let more = format!(
        r#", "resolved": "https://r.example/a-1.0.0.tgz", "integrity": "sha512-{integrity}""#
    );
    write(tree.path(), "u/app/package-lock.json", lock("a", &more));
    let hex = checksum.to_string().replace("sha512:", "");
    let cached =
        format!("u/.npm/_cacache/content-v2/sha512/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
    write(tree.path(), &cached, "tarball");
    let (candidates, _) = found(tree.path(), &Machine::default());
    let expected = tree.path().canonicalize().unwrap().join(cached);
    assert_eq!(candidates[0].local_file.as_ref(), Some(&expected));
}
