//! URLs that the files of a tree name: secret ones and moving ones never become candidates, in no ecosystem.

#![allow(clippy::unwrap_used, reason = "what a test cannot set up fails the test")]

use std::path::Path;

use hashget::detectors::{Candidate, DetectError, Machine, select};
use hashget::index::detect_tree;
use hashget::model::Digest;
use hashget::monitor::Silent;

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn found(root: &Path) -> (Vec<Candidate>, Vec<DetectError>) {
    let machine = Machine::default();
    detect_tree(root, &select(&["all".to_owned()], &[]).unwrap(), &machine, &Silent).unwrap()
}

/// Makes a tree in which a file names a URL.
type Namer = fn(&Path, &str);

/// Every file in which a tree can name a URL literally.
const NAMERS: &[(&str, Namer)] = &[
    ("hint", |root, url| write(root, "hashget-hint.json", format!("{{\"url\": \"{url}\"}}"))),
    ("npm", |root, url| {
        write(root, "node_modules/a/package.json", "{}");
        let package = format!(
            "{{\"version\": \"1.0.0\", \"resolved\": \"{url}\", \"integrity\": \"sha1-x\"}}"
        );
        write(
            root,
            "package-lock.json",
            format!("{{\"packages\": {{\"node_modules/a\": {package}}}}}"),
        );
    }),
    ("yarn", |root, url| {
        write(root, "node_modules/a/package.json", "{}");
        write(
            root,
            "yarn.lock",
            format!("a@^1.0.0:\n  version \"1.0.0\"\n  resolved \"{url}\"\n  integrity sha1-x\n"),
        );
    }),
    ("pnpm", |root, url| {
        write(root, "node_modules/a/package.json", "{}");
        let resolution = format!("{{integrity: sha1-x, tarball: '{url}'}}");
        write(
            root,
            "pnpm-lock.yaml",
            format!("packages:\n  a@1.0.0:\n    resolution: {resolution}\n"),
        );
    }),
    ("direct_url", |root, url| {
        write(root, "a-1.0.dist-info/WHEEL", "Tag: py3-none-any\n");
        let json = format!("{{\"url\": \"{url}\", \"archive_info\": {{}}}}");
        write(root, "a-1.0.dist-info/direct_url.json", json);
    }),
    ("uv.lock", |root, url| {
        write(root, "a-1.0.dist-info/WHEEL", "Tag: py3-none-any\n");
        let wheel = format!("{{ url = \"{url}\", hash = \"sha256:{}\" }}", Digest::of(b"a"));
        write(
            root,
            "uv.lock",
            format!("[[package]]\nname = \"a\"\nversion = \"1.0\"\nwheels = [{wheel}]\n"),
        );
    }),
    ("conda", |root, url| {
        write(
            root,
            "conda-meta/a-1.0-0.json",
            format!("{{\"url\": \"{url}\", \"fn\": \"a-1.0-0.conda\"}}"),
        );
    }),
    ("metalink", |root, url| {
        write(root, "a.zip", "x");
        let link = url.replace('&', "&amp;");
        write(root, "a.zip.meta4", format!("<m><file name=\"a.zip\"><url>{link}</url></file></m>"));
    }),
    ("attribute", |root, url| {
        write(root, "a.zip", "x");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(root.join("a.zip"), "user.xdg.origin.url", url.as_bytes(), flags)
            .unwrap();
    }),
    ("rustup", |root, url| {
        write(root, "lib/rustlib/components", "cargo\n");
        let (url, hash) = (format!("xz_url = \"{url}\""), Digest::of(b"a"));
        let manifest = format!(
            "date = \"2024-01-01\"\n[pkg.cargo.target.\"*\"]\n{url}\nxz_hash = \"{hash}\"\n"
        );
        write(root, "lib/rustlib/multirust-channel-manifest.toml", manifest);
    }),
];

/// The end of a file's name that the ecosystem needs.
fn file_of(namer: &str) -> &'static str {
    match namer {
        "direct_url" | "uv.lock" => "a-1.0-py3-none-any.whl",
        "npm" | "yarn" | "pnpm" => "a-1.0.0.tgz",
        _ => "a-1.0.zip",
    }
}

#[test]
fn every_namer_gives_a_candidate_for_a_plain_url() {
    for (name, make) in NAMERS {
        let tree = tempfile::tempdir().unwrap();
        let url = format!("https://d.example/p/{}", file_of(name));
        make(tree.path(), &url);
        let urls: Vec<String> = found(tree.path()).0.into_iter().map(|one| one.url).collect();
        assert_eq!(urls, [url], "{name}");
    }
}

#[test]
fn secret_and_moving_urls_are_refused_everywhere() {
    for (name, make) in NAMERS {
        let file = file_of(name);
        for url in [
            format!("https://d.example/p/{file}?token=SECRET"),
            format!("https://d.example/p/{file}?X-Expires=300&X-Signature=SECRET"),
            format!("https://SECRET@d.example/p/{file}"),
            format!("https://u:SECRET@d.example/p/{file}"),
            format!("https://d.example/latest/{file}"),
            format!("https://codeload.d.example/o/p/zip/{file}"),
            format!("https://d.example/o/p/archive/refs/heads/{file}"),
            format!("ftp://d.example/p/{file}"),
        ] {
            let tree = tempfile::tempdir().unwrap();
            make(tree.path(), &url);
            let (candidates, errors) = found(tree.path());
            assert!(candidates.is_empty(), "{name}: {url}: {candidates:?}");
            assert!(!format!("{errors:?}").contains("SECRET"), "{name}: {errors:?}");
        }
    }
}

#[test]
fn a_package_named_in_a_tree_is_only_read_from_a_disk() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    let record = |more: &str| {
        let sha256 = Digest::of(b"package");
        format!("{{\"url\": \"https://d.example/a-1.0-0.conda\", \"sha256\": \"{sha256}\"{more}}}")
    };
    let local_file = |more: &str| {
        write(root, "env/conda-meta/a-1.0-0.json", record(more));
        let (candidates, errors) = found(root);
        assert_eq!((candidates.len(), errors.len()), (1, 0), "{more}: {errors:?}");
        candidates[0].local_file.clone()
    };
    let named = |path: &str| format!(", \"package_tarball_full_path\": \"{path}\"");
    for path in
        ["/proc/kmsg", "/proc/self/environ", "/sys/kernel/notes", "/etc/passwd", "/dev/null", "x"]
    {
        assert_eq!(local_file(&named(path)), None, "{path}");
    }
    // A link among the folders, and a name that leads out of the folder, are no better.
    fs_err::os::unix::fs::symlink("/proc", root.join("env/pkgs")).unwrap();
    assert_eq!(local_file(", \"fn\": \"version\""), None);
    assert_eq!(local_file(", \"fn\": \"../../../../../../../../etc/passwd\""), None);
    write(root, "own/a-1.0-0.conda", "package");
    let own = root.join("own/a-1.0-0.conda").canonicalize().unwrap();
    assert_eq!(local_file(&named(own.to_str().unwrap())), Some(own));
}
