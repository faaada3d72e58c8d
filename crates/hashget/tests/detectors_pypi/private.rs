//! Which indexes and files are left alone: names may be private, and a tree may name any file.

use std::path::Path;

use hashget::detectors::Machine;

use super::{INFO, SITE, found, installed, pages, variables, write};

#[test]
fn a_lock_file_that_is_too_large_is_reported_and_ignored() {
    let tree = installed();
    write(tree.path(), "etc/pip.conf", "[global]\nindex-url = https://one.example/simple\n");
    write(tree.path(), "uv.lock", "");
    too_large(tree.path(), "uv.lock", 33 << 20);
    assert_eq!(pages(tree.path(), &Machine::default()), ["https://one.example/simple/a-b/"]);
    let (_, errors) = found(tree.path(), &Machine::default());
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.path.ends_with("uv.lock") && error.problem.contains("too many"), "{error}");
}

fn too_large(root: &Path, file: &str, bytes: u64) {
    let file = fs_err::OpenOptions::new().write(true).open(root.join(file)).unwrap();
    file.set_len(bytes).unwrap();
}

#[test]
fn no_index_is_told_names_that_may_be_private() {
    let login = "https://user:secret@two.example/simple";
    for (file, content) in [
        ("venv/pip.conf", "[global]\nno-index = true\nfind-links = /srv/wheels\n".to_owned()),
        ("venv/pip.conf", "[install]\nNO_INDEX: Yes\n".to_owned()),
        ("venv/pip.conf", format!("[global]\nextra-index-url = {login}\n")),
        (
            "venv/pip.conf",
            "[global]\nextra-index-url = https://user@two.example/simple\n".to_owned(),
        ),
        ("uv.toml", "no-index = true\n".to_owned()),
        ("uv.toml", format!("a = {}", "[".repeat(200_000))),
        ("pyproject.toml", "[tool.uv.pip]\nno-index = true\n".to_owned()),
        ("pyproject.toml", format!("[[tool.uv.index]]\nurl = \"{login}\"\n")),
        ("requirements.txt", "--no-index\n".to_owned()),
        (".netrc", "machine one.example\n  login user\n  password secret\n".to_owned()),
    ] {
        let tree = installed();
        write(tree.path(), "etc/pip.conf", "[global]\nindex-url = https://one.example/simple\n");
        write(
            tree.path(),
            &format!("{SITE}/pip/_internal/models/index.py"),
            "PyPI = PackageIndex(\"https://default.example/\")\n",
        );
        write(tree.path(), file, &content);
        let (candidates, errors) = found(tree.path(), &Machine::default());
        assert!(candidates.is_empty(), "{file}: {content:.60}: {candidates:?}");
        assert!(!errors.is_empty() && !format!("{errors:?}").contains("secret"), "{errors:?}");
    }
    // A file that cannot be read may say so, too.
    let tree = installed();
    write(tree.path(), "etc/pip.conf", "[global]\nindex-url = https://one.example/simple\n");
    write(tree.path(), "venv/pip.conf", "");
    too_large(tree.path(), "venv/pip.conf", 5 << 20);
    assert!(pages(tree.path(), &Machine::default()).is_empty());
}

#[test]
fn an_explicit_index_is_asked_only_for_what_is_assigned_to_it() {
    let index = |name: &str, more: &str| {
        format!(
            "[[tool.uv.index]]\nname = \"{name}\"\nurl = \"https://{name}.example/simple\"\n{more}\n"
        )
    };
    let indexes = index("special", "explicit = true") + &index("usual", "default = true");
    for (more, expected) in [
        ("", "https://usual.example/simple/a-b/"),
        (
            "[tool.uv.sources]\nA_b = { index = \"special\" }\n",
            "https://special.example/simple/a-b/",
        ),
        (
            "[tool.uv.sources]\nother = { index = \"special\" }\n",
            "https://usual.example/simple/a-b/",
        ),
    ] {
        let tree = installed();
        write(tree.path(), "pyproject.toml", indexes.clone() + more);
        assert_eq!(pages(tree.path(), &Machine::default()), [expected], "{more}");
    }
}

#[test]
fn an_explicit_source_of_poetry_is_not_asked() {
    let source = |name: &str, more: &str| {
        format!(
            "[[tool.poetry.source]]\nname = \"{name}\"\nurl = \"https://{name}.example/simple\"\n{more}\n"
        )
    };
    let tree = installed();
    let project = source("special", "priority = \"explicit\"") + &source("usual", "");
    write(tree.path(), "pyproject.toml", project);
    assert_eq!(pages(tree.path(), &Machine::default()), ["https://usual.example/simple/a-b/"]);
}

#[test]
fn a_wheel_is_bound_to_the_index_that_gave_it() {
    let name = |tree: &tempfile::TempDir, machine: &Machine| {
        found(tree.path(), machine).0[0].signature.as_ref().unwrap().to_string()
    };
    let built_in = installed();
    write(
        built_in.path(),
        &format!("{SITE}/pip/_internal/models/index.py"),
        "PyPI = PackageIndex(\"https://default.example/\")\n",
    );
    assert_eq!(name(&built_in, &Machine::default()), "pypi:a-b-1.0-py3-none-any");
    let machines = ["https://one.example/simple", "https://two.example/simple"]
        .map(|index| variables(&[("PIP_INDEX_URL", index)]));
    let [one, two] = machines.map(|machine| name(&built_in, &machine));
    assert!(one != two && !one.ends_with("any") && !two.ends_with("any"), "{one} {two}");
}

#[test]
fn files_of_the_machine_that_a_tree_names_are_not_read() {
    let machine = variables(&[("PIP_INDEX_URL", "https://one.example/simple")]);
    let elsewhere = tempfile::tempdir().unwrap();
    write(elsewhere.path(), "A_b-1.0-py3-none-any.whl", "wheel");
    let outside = elsewhere.path().join("A_b-1.0-py3-none-any.whl");
    for (named, is_used) in [(outside.as_path(), false), (Path::new("/proc/kmsg"), false)] {
        let tree = installed();
        let url = format!(r#"{{"url": "file://{}", "archive_info": {{}}}}"#, named.display());
        write(tree.path(), &format!("{INFO}/direct_url.json"), &url);
        let (candidates, _) = found(tree.path(), &machine);
        assert_eq!(candidates[0].local_file.is_some(), is_used, "{url}");
        let homes = vec![elsewhere.path().to_owned()];
        let (candidates, _) = found(tree.path(), &Machine { homes, ..machine.clone() });
        assert_eq!(candidates[0].local_file.is_some(), named == outside, "{url}");
    }
}
