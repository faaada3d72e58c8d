//! Installed wheels: where they are asked for, what proves their files, and trees that cannot be understood.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

use std::path::Path;

use base64::Engine as _;
use hashget::detectors::{Candidate, DetectError, Machine, select};
use hashget::fetch::{FetchOptions, RetryOptions, Sources, standard_sources};
use hashget::hashdb::{HashDb as _, LocalHashDb};
use hashget::index::{Indexer, TreeIndexed, detect_tree};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence};
use hashget::monitor::{Recorder, Silent};
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{ZipEntry, zip};

const SITE: &str = "venv/lib/python3.11/site-packages";
const INFO: &str = "venv/lib/python3.11/site-packages/A_b-1.0.dist-info";
const WHEEL: &str = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn found(root: &Path, machine: &Machine) -> (Vec<Candidate>, Vec<DetectError>) {
    detect_tree(root, &select(&["pypi".to_owned()], &[]).unwrap(), machine, &Silent).unwrap()
}

/// Where the packages that were found are asked for.
fn pages(root: &Path, machine: &Machine) -> Vec<String> {
    let pages = |candidate: &Candidate| match &candidate.question {
        Some(question) => question.pages().to_vec(),
        None => vec![candidate.url.clone()],
    };
    found(root, machine).0.iter().flat_map(pages).collect()
}

/// A tree with one wheel, of which nothing says where it came from.
fn installed() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path(), &format!("{INFO}/WHEEL"), WHEEL);
    write(tree.path(), &format!("{INFO}/INSTALLER"), "pip\n");
    tree
}

fn variables(pairs: &[(&str, &str)]) -> Machine {
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

/// A wheel, as installed below `tree` and as an index on loopback has it.
struct Stage {
    origin: Origin,
    tree: tempfile::TempDir,
    wheel: Vec<u8>,
    hashdb: LocalHashDb,
}

fn stored<'a>(name: &'a str, content: &'a [u8]) -> ZipEntry<'a> {
    ZipEntry { name: name.as_bytes(), content, deflate: false, ..ZipEntry::default() }
}

fn line(path: &str, content: &[u8]) -> String {
    let digest = Digest::of(content);
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest.as_bytes());
    format!("{path},sha256={text},{}\n", content.len())
}

impl Stage {
    fn new(json: bool) -> Self {
        let tree = installed();
        let data = Digest::of(b"noise");
        let noise: Vec<u8> = (0..8000u32)
            .flat_map(|number| {
                Digest::of(&[data.as_bytes(), &number.to_le_bytes()[..]].concat())
                    .as_bytes()
                    .to_vec()
            })
            .collect();
        let files: [(&str, &[u8]); 4] = [
            ("a_b/one.py", b"one = 1\n"),
            ("a_b/noise.bin", &noise),
            ("A_b-1.0.data/purelib/a_b/two.py", b"two = 2\n"),
            ("A_b-1.0.data/data/share/doc", b"documentation"),
        ];
        let record: String = files.iter().map(|(path, content)| line(path, content)).collect();
        let record = record + "\"a_b/o,n\"\"e.py\",,\nA_b-1.0.dist-info/RECORD,,\n";
        let mut entries: Vec<ZipEntry<'_>> =
            files.iter().map(|(name, content)| stored(name, content)).collect();
        entries.push(stored("A_b-1.0.dist-info/WHEEL", WHEEL.as_bytes()));
        entries.push(stored("A_b-1.0.dist-info/RECORD", record.as_bytes()));
        let wheel = zip(&entries);
        for (path, content) in [
            ("a_b/one.py", files[0].1),
            ("a_b/noise.bin", files[1].1),
            ("a_b/two.py", b"two = 22\n"),
            ("../../../share/doc", files[3].1),
        ] {
            write(tree.path(), &format!("{SITE}/{path}"), content);
        }
        let local = line("a_b/one.py", files[0].1)
            + &line("a_b/noise.bin", files[1].1)
            + &line("a_b/two.py", files[2].1)
            + &line("../../../share/doc", files[3].1)
            + &line("../../../bin/tool", b"#!")
            + &line("../../../../../../../../etc/passwd", b"x")
            + "a_b/__pycache__/one.pyc,,\r\n";
        write(tree.path(), &format!("{INFO}/RECORD"), local);
        let origin = Origin::start();
        let (name, digest) = ("A_b-1.0-py3-none-any.whl", Digest::of(&wheel));
        let page = if json {
            format!(
                "{{\"files\": [{{\"filename\": \"{name}\", \"url\": \"../../f/{name}\", \"size\": {}, \"hashes\": \
                 {{\"sha256\": \"{digest}\"}}}}]}}",
                wheel.len()
            )
        } else {
            format!("<html><a href=\"../../f/{name}#sha256={digest}\">{name}</a></html>")
        };
        origin.serve("/simple/a-b/", page.into_bytes());
        origin.serve(&format!("/f/{name}"), wheel.clone());
        let hashdb = LocalHashDb::open(&tree.path().join("db")).unwrap();
        Self { origin, tree, wheel, hashdb }
    }

    fn index(&self, evidence: Evidence) -> TreeIndexed {
        let machine = variables(&[("PIP_INDEX_URL", &self.origin.url("/simple"))]);
        let retry = RetryOptions { tries: 1, ..RetryOptions::default() };
        let Sources { source, web } =
            standard_sources(&FetchOptions { retry, ..FetchOptions::default() }).unwrap();
        let indexer = Indexer {
            hashdb: &self.hashdb,
            source: &*source,
            web: &*web,
            mirrors: &[],
            limits: &Limits::default(),
            jobs: 1,
            evidence,
        };
        let (detectors, monitor) =
            (select(&["pypi".to_owned()], &[]).unwrap(), Recorder::default());
        indexer.index_tree(&self.tree.path().join("venv"), &detectors, &machine, &monitor).unwrap()
    }

    fn known(&self) -> (Evidence, Vec<String>) {
        let (id, record) = self.hashdb.list().unwrap().pop().unwrap();
        assert_eq!(
            (record.sha256, record.size),
            (Digest::of(&self.wheel), self.wheel.len() as u64)
        );
        let name = format!("pypi:a-b-1.0-py3-none-any@{}", self.origin.url("/simple"));
        assert_eq!(record.signatures[0].to_string(), name);
        let members = self.hashdb.members(id).unwrap();
        let mut paths: Vec<String> = members.iter().map(|member| member.path.to_string()).collect();
        paths.sort();
        (record.evidence, paths)
    }

    fn fetched(&self) -> u64 {
        let of_wheel = |path: &str| path.starts_with("/f/");
        self.origin.requests().iter().filter(|one| of_wheel(&one.path)).map(|one| one.bytes).sum()
    }
}

#[test]
fn each_evidence_gives_what_it_promises() {
    for json in [true, false] {
        let stage = Stage::new(json);
        assert_eq!(stage.index(Evidence::Local).new, 1);
        let asked = &stage.origin.requests_of("/simple/a-b/")[0];
        // As PEP 691 wants it: JSON rather than HTML, and older indexes understand it, too.
        let accept = asked.accept.as_deref().unwrap();
        assert!(accept.starts_with("application/vnd.pypi.simple.v1+json,"), "{accept}");
        assert!(accept.ends_with("text/html;q=0.01"), "{accept}");
        assert_eq!(asked.range, None);
        let unchanged = ["A_b-1.0.data/data/share/doc", "a_b/noise.bin", "a_b/one.py"];
        // The list on this machine proves nothing, so that of the wheel is read.
        assert_eq!(stage.known(), (Evidence::Declared, unchanged.map(str::to_owned).to_vec()));
        assert_eq!(stage.index(Evidence::Declared).known, 1);
        // An index that tells no size costs one byte.
        let tail = stage.fetched() - u64::from(!json);
        assert!(tail * 4 < stage.wheel.len() as u64, "{tail} of {}", stage.wheel.len());
        assert_eq!(stage.index(Evidence::Downloaded).new, 1);
        let (evidence, members) = stage.known();
        assert_eq!((evidence, members.len()), (Evidence::Downloaded, 6));
        assert_eq!(stage.index(Evidence::Downloaded).known, 1);
    }
}

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
