//! Installed wheels: where they are asked for, and trees that cannot be understood.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

mod evidence;
mod private;

use std::path::Path;

use hashget::detectors::{Candidate, DetectError, Machine, select};
use hashget::index::detect_tree;
use hashget::model::Digest;
use hashget::monitor::Silent;

pub(crate) const SITE: &str = "venv/lib/python3.11/site-packages";
pub(crate) const INFO: &str = "venv/lib/python3.11/site-packages/A_b-1.0.dist-info";
pub(crate) const WHEEL: &str = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

pub(crate) fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

pub(crate) fn found(root: &Path, machine: &Machine) -> (Vec<Candidate>, Vec<DetectError>) {
    detect_tree(root, &select(&["pypi".to_owned()], &[]).unwrap(), machine, &Silent).unwrap()
}

/// Where the packages that were found are asked for.
pub(crate) fn pages(root: &Path, machine: &Machine) -> Vec<String> {
    let pages = |candidate: &Candidate| match &candidate.question {
        Some(question) => question.pages().to_vec(),
        None => vec![candidate.url.clone()],
    };
    found(root, machine).0.iter().flat_map(pages).collect()
}

/// A tree with one wheel, of which nothing says where it came from.
pub(crate) fn installed() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), &format!("{INFO}/WHEEL"), WHEEL);
    write(tree.path(), &format!("{INFO}/INSTALLER"), "pip\n");
    tree
}

pub(crate) fn variables(pairs: &[(&str, &str)]) -> Machine {
    let pairs = pairs.iter().map(|(name, value)| (name.into(), value.into()));
    Machine { variables: pairs.collect(), ..Machine::default() }
}

#[test]
fn indexes_are_those_of_the_configuration() {
    let page = |host: &str| format!("https://{host}.example/simple/a-b/");
    for (file, content, expected) in [
        (
            "etc/pip.conf",
            "[global]\nindex-url = https://one.example/simple/\nextra-index-url =\n    https://two.example/simple\n",
            vec![page("one"), page("two")],
        ),
        ("venv/pip.conf", "[install]\nindex_url: https://one.example/simple", vec![page("one")]),
        (
            ".config/uv/uv.toml",
            "[[index]]\nurl = \"https://one.example/simple\"\n",
            vec![page("one")],
        ),
        (
            "pyproject.toml",
            "[tool.uv]\nindex-url = \"https://one.example/simple\"\n",
            vec![page("one")],
        ),
        (
            "pyproject.toml",
            "[[tool.poetry.source]]\nname = \"x\"\nurl = \"https://one.example/simple/\"\n",
            vec![page("one")],
        ),
        (
            "requirements.txt",
            "--index-url https://one.example/simple\n-e .\nnumpy==1\n--extra-index-url=https://two.example/simple\n",
            vec![page("one"), page("two")],
        ),
        (
            "venv/lib/python3.11/site-packages/pip/_internal/models/index.py",
            "class PackageIndex:\n    pass\n\nPyPI = PackageIndex(\"https://one.example/\", x=1)\n",
            vec![page("one")],
        ),
    ] {
        let tree = installed();
        write(tree.path(), file, content);
        assert_eq!(pages(tree.path(), &Machine::default()), expected, "{file}");
        // The environment wins; what is beside it is asked, too, but never another default.
        let machine = variables(&[("PIP_INDEX_URL", "https://zero.example/simple")]);
        let all = pages(tree.path(), &machine);
        assert_eq!(all[0], page("zero"), "{file}");
        assert!(all.len() <= 2, "{all:?}");
    }
}

#[test]
fn the_home_folder_counts_for_trees_that_lie_elsewhere() {
    let (tree, home) = (installed(), tempfile::tempdir().unwrap());
    write(home.path(), ".config/pip/pip.conf", "[global]\nindex-url=https://one.example/simple\n");
    let machine = Machine { homes: vec![home.path().to_owned()], ..Machine::default() };
    assert_eq!(pages(tree.path(), &machine), ["https://one.example/simple/a-b/"]);
    let (nothing, errors) = found(tree.path(), &Machine::default());
    assert!(
        nothing.is_empty() && errors[0].problem.contains("no configuration says"),
        "{errors:?}"
    );
}

#[test]
fn an_index_with_a_password_is_never_asked_and_never_shown() {
    let tree = installed();
    let secret = "[global]\nindex-url = https://user:secret@one.example/simple\n";
    write(tree.path(), "venv/pip.conf", secret);
    let pip = format!("{SITE}/pip/_internal/models/index.py");
    write(tree.path(), &pip, "PyPI = PackageIndex(\"https://default.example/\")\n");
    let (candidates, errors) = found(tree.path(), &Machine::default());
    assert!(candidates.is_empty(), "{candidates:?}");
    assert!(errors[0].problem.contains("password") && !format!("{errors:?}").contains("secret"));
}

#[test]
fn what_was_not_from_an_index_is_asked_for_nowhere_or_there() {
    for (file, content, expected) in [
        ("INSTALLER", "debian\n", vec![]),
        ("INSTALLER", "conda", vec![]),
        (
            "direct_url.json",
            r#"{"url": "file:///srv/own", "dir_info": {"editable": true}}"#,
            vec![],
        ),
        (
            "direct_url.json",
            r#"{"url": "https://g.example/x.git", "vcs_info": {"vcs": "git"}}"#,
            vec![],
        ),
        (
            "direct_url.json",
            r#"{"url": "https://d.example/A_b-1.0-py3-none-any.whl#x", "archive_info": {"hash": "sha256=00"}}"#,
            vec!["https://d.example/A_b-1.0-py3-none-any.whl"],
        ),
        (
            "direct_url.json",
            r#"{"url": "https://d.example/A_b-1.0.tar.gz", "archive_info": {}}"#,
            vec![],
        ),
        (
            "direct_url.json",
            r#"{"url": "file:///srv/A_b-1.0-py3-none-any.whl", "archive_info": {}}"#,
            vec!["https://one.example/simple/a-b/"],
        ),
    ] {
        let tree = installed();
        write(tree.path(), &format!("{INFO}/{file}"), content);
        let machine = variables(&[("PIP_INDEX_URL", "https://one.example/simple")]);
        assert_eq!(pages(tree.path(), &machine), expected, "{content}");
    }
}

#[test]
fn lock_files_tell_it_without_a_question() {
    let digest = Digest::of(b"wheel");
    let url = "https://f.example/x/A_b-1.0-py3-none-any.whl";
    for (file, content) in [
        (
            "uv.lock",
            format!(
                "[[package]]\nname = \"a-b\"\nversion = \"1.0\"\nwheels = [\n  {{ url = \"{url}\", hash = \
                 \"sha256:{digest}\", size = 5 }},\n]\n"
            ),
        ),
        (
            "pylock.toml",
            format!(
                "[[packages]]\nname = \"A.b\"\nversion = \"1.0\"\n[[packages.wheels]]\nurl = \"{url}\"\nsize = 5\n\
                 hashes = {{ sha256 = \"{digest}\" }}\n"
            ),
        ),
    ] {
        let tree = installed();
        write(tree.path(), file, content);
        let (candidates, _) = found(tree.path(), &Machine::default());
        let [Candidate { url: told, sha256, size, question: None, .. }] = &candidates[..] else {
            panic!("{candidates:?}")
        };
        assert_eq!((told.as_str(), *sha256, *size), (url, Some(digest), Some(5)));
    }
}

#[test]
fn what_cannot_be_understood_is_told_and_harms_nothing() {
    let machine = variables(&[("PIP_INDEX_URL", "https://one.example/simple")]);
    for (file, content) in [
        (format!("{INFO}/direct_url.json"), &b"{\"url\": "[..]),
        (format!("{INFO}/direct_url.json"), b"{\"url\": \"ftp://x/y.whl\", \"archive_info\": {}}"),
        (format!("{SITE}/x y-1.0.dist-info/WHEEL"), WHEEL.as_bytes()),
        (format!("{SITE}/nothing.dist-info/WHEEL"), WHEEL.as_bytes()),
    ] {
        let tree = installed();
        write(tree.path(), &file, content);
        let (_, errors) = found(tree.path(), &machine);
        assert_eq!(errors.len(), 1, "{file}: {errors:?}");
    }
    let tree = installed();
    let large = fs_err::File::create(tree.path().join(INFO).join("WHEEL")).unwrap();
    large.set_len(1 << 40).unwrap();
    assert!(found(tree.path(), &machine).1[0].problem.contains("too many"));
    let tree = installed();
    fs_err::remove_file(tree.path().join(INFO).join("WHEEL")).unwrap();
    fs_err::create_dir(tree.path().join(INFO).join("WHEEL")).unwrap();
    assert!(found(tree.path(), &machine).0.is_empty());
    for broken in ["\0", "[[index", "index-url", "=\n:\n[", "\u{fffd}"] {
        for name in ["venv/pip.conf", "uv.toml", "pyproject.toml", "uv.lock", "requirements.txt"] {
            write(tree.path(), name, broken);
        }
        assert!(found(tree.path(), &machine).0.is_empty());
    }
}

#[test]
fn a_wheel_with_missing_or_broken_tags_is_still_known_by_name_and_version() {
    let machine = variables(&[("PIP_INDEX_URL", "https://one.example/simple")]);
    let list =
        |letter: &str| (0..250).map(|n| format!("{letter}{n}")).collect::<Vec<_>>().join(".");
    let bomb = format!("Tag: {}-{}-{}\n", list("a"), list("b"), list("c"));
    for content in [&b""[..], b"Tag: py3-no", b"\xff\xfe\x00", b"Tag: ../..-x-y\n", bomb.as_bytes()]
    {
        let tree = installed();
        write(tree.path(), &format!("{INFO}/WHEEL"), content);
        let (candidates, errors) = found(tree.path(), &machine);
        assert!(errors.is_empty(), "{errors:?}");
        let name = candidates[0].signature.as_ref().unwrap().to_string();
        assert!(name.starts_with("pypi:a-b-1.0-unknown-cp311@"), "{name}");
    }
    let tree = installed();
    fs_err::remove_file(tree.path().join(INFO).join("WHEEL")).unwrap();
    write(tree.path(), &format!("{INFO}/METADATA"), "Name: A_b\nVersion: 1.0\n");
    assert!(found(tree.path(), &machine).0.is_empty(), "nothing lists its files");
    write(tree.path(), &format!("{INFO}/RECORD"), "");
    assert_eq!(found(tree.path(), &machine).0.len(), 1);
}
