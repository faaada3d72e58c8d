//! The main job with the real program: index, pack, unpack, restore, on packages from loopback.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, compress, deb};
use support::{Machine, files_below};

/// A package with two folders of files, its top folder named `tool-1.0`.
fn package() -> Vec<u8> {
    let tar = TarBuilder::new().directory("tool-1.0/").directory("tool-1.0/src/");
    let tar = (0..40).fold(tar, |tar, number| {
        tar.file(
            &format!("tool-1.0/src/{number}.c"),
            format!("int f{number};\n").repeat(50).as_bytes(),
        )
    });
    let tar =
        tar.symlink("tool-1.0/latest", "src/39.c").hard_link("tool-1.0/0.c", "tool-1.0/src/0.c");
    compress("gzip", &tar.finish())
}

/// Everything of a tree that a listing can show: type, mode, owner, time, links and contents.
fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let metadata = fs_err::symlink_metadata(&folder).unwrap();
        lines.push(line(root, &folder, &metadata));
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else {
                lines.push(line(root, &path, &metadata));
            }
        }
    }
    lines.sort();
    lines
}

fn line(root: &Path, path: &Path, metadata: &std::fs::Metadata) -> String {
    let contents = if metadata.is_file() {
        String::from_utf8_lossy(&fs_err::read(path).unwrap()).into_owned()
    } else if metadata.is_symlink() {
        fs_err::read_link(path).unwrap().display().to_string()
    } else {
        String::new()
    };
    let links = if metadata.is_dir() { 0 } else { metadata.nlink() };
    format!(
        "{} {:o} {}:{} {}.{:09} {links} {contents}",
        path.strip_prefix(root).unwrap().display(),
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec()
    )
}

/// A machine with the package unpacked in `tree`, two files of its own beside, and one changed.
fn machine_with_tree(origin: &Origin) -> Machine {
    origin.serve("/tool-1.0.tar.gz", package());
    let machine = Machine::new();
    let tree = machine.path("tree");
    fs_err::create_dir(&tree).unwrap();
    let tarball = machine.write("tool.tar.gz", package());
    run("tar", &["-xzf", tarball.to_str().unwrap(), "-C", tree.to_str().unwrap()]);
    machine.write("tree/tool-1.0/own.conf", "mine");
    fs_err::set_permissions(
        machine.path("tree/tool-1.0/own.conf"),
        std::fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    machine.write("tree/tool-1.0/src/7.c", "changed by me");
    symlink("own.conf", machine.path("tree/tool-1.0/link")).unwrap();
    machine.hashget(&["index", &origin.url("/tool-1.0.tar.gz")]).expect(0);
    machine
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_tree_comes_back_exactly_without_the_hashdb() {
    let origin = Origin::start();
    let machine = machine_with_tree(&origin);
    for archive in ["a.tar", "a.tar.gz", "a.tgz", "a.tar.zst", "a.tar.xz"] {
        let packed = machine.hashget(&["pack", "tree", "-f", archive, "--json"]).expect(0);
        let summary = packed.last_record();
        assert_eq!(summary["left_out_files"], 40, "{summary}");
        assert_eq!(summary["archived_files"], 2, "{summary}");

        let away = Machine::new();
        fs_err::copy(machine.path(archive), away.path(archive)).unwrap();
        away.hashget(&["unpack", archive, "-C", "back"]).expect(0).says(&["Proven"]);
        assert_eq!(listing(&machine.path("tree")), listing(&away.path("back")), "{archive}");
    }
}

#[test]
fn every_choice_of_digests_restores_and_the_same_tree_gives_the_same_bytes() {
    let origin = Origin::start();
    let machine = machine_with_tree(&origin);
    for hashes in ["anchors", "all", "none"] {
        let pack = |archive: &str| {
            machine.hashget(&["pack", "tree", "-f", archive, "--hashes", hashes]).expect(0);
            fs_err::read(machine.path(archive)).unwrap()
        };
        assert_eq!(pack("one.tar.zst"), pack("two.tar.zst"), "{hashes}");
        machine.hashget(&["unpack", "one.tar.zst", "-C", hashes]).expect(0);
        assert_eq!(listing(&machine.path("tree")), listing(&machine.path(hashes)), "{hashes}");
    }
}

#[test]
fn gnu_tar_unpacks_the_archive_and_restore_completes_it() {
    let origin = Origin::start();
    let machine = machine_with_tree(&origin);
    machine.hashget(&["pack", "tree", "-f", "a.tar.gz"]).expect(0);
    fs_err::create_dir(machine.path("back")).unwrap();
    let (archive, back) = (machine.path("a.tar.gz"), machine.path("back"));
    run("tar", &["-xzpf", archive.to_str().unwrap(), "-C", back.to_str().unwrap()]);
    assert_eq!(
        files_below(&back),
        [".hashget-restore.json", "tool-1.0/link", "tool-1.0/own.conf", "tool-1.0/src/7.c"]
    );
    machine.hashget(&["restore", "back"]).expect(0).says(&["Proven"]);
    assert_eq!(listing(&machine.path("tree")), listing(&back));
}

#[test]
fn an_archive_goes_through_pipes() {
    let origin = Origin::start();
    let machine = machine_with_tree(&origin);
    let mut pack = machine.bare();
    pack.env("HASHGET_DB", machine.path("db"))
        .env("HASHGET_CACHE", machine.path("cache"))
        .args(["pack", "tree", "-f", "-", "--format", "tar.zst"]);
    let packed = pack.output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let mut unpack = machine.bare();
    unpack.env("HASHGET_CACHE", machine.path("cache"));
    unpack.args(["unpack", "-", "-C", "back"]).write_stdin(packed.stdout);
    unpack.assert().success();
    assert_eq!(listing(&machine.path("tree")), listing(&machine.path("back")));
}

#[test]
fn a_pool_of_any_names_is_enough_and_nothing_is_asked_of_the_network() {
    let origin = Origin::start();
    let machine = machine_with_tree(&origin);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine.write("pool/deep/some file", package());
    let asked = origin.requests().len();
    let away =
        ["--offline", "--pool", "pool", "--cache", "other", "unpack", "a.tar.zst", "-C", "back"];
    machine.hashget(&away).expect(0);
    assert_eq!(origin.requests().len(), asked);
    assert_eq!(listing(&machine.path("tree")), listing(&machine.path("back")));
}

#[test]
fn hints_are_followed_when_packing_and_a_dry_run_writes_nothing() {
    let origin = Origin::start();
    origin.serve("/tool-1.0.tar.gz", package());
    let machine = Machine::new().with_public_loopback();
    machine.write("tree/x", "y");
    let hint = format!(r#"{{"url": "{}", "project": "tools"}}"#, origin.url("/tool-1.0.tar.gz"));
    machine.write("tree/hashget-hint.json", hint);
    let tarball = machine.write("tool.tar.gz", package());
    let tree = machine.path("tree");
    run("tar", &["-xzf", tarball.to_str().unwrap(), "-C", tree.to_str().unwrap()]);

    let planned = machine.hashget(&["pack", "tree", "--dry-run", "--json"]).expect(0).last_record();
    assert_eq!((&planned["left_out_files"], &planned["newly_indexed"]), (&41.into(), &1.into()));
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    let packages = machine.hashget(&["db", "list", "--project", "tools"]).expect(0);
    assert!(packages.stdout.contains("tool-1.0.tar.gz"), "{}", packages.stdout);

    let without = ["pack", "tree", "-f", "b.tar.zst", "--db", "empty", "--no-index", "--json"];
    assert_eq!(machine.hashget(&without).expect(0).last_record()["left_out_files"], 0);
    assert_eq!(files_below(&machine.path("tree")).len(), 44);
}

#[test]
fn control_files_of_a_deb_are_left_out_where_dpkg_puts_them() {
    let data = TarBuilder::new().directory("./usr/").directory("./usr/bin/");
    let data = data.file("./usr/bin/vim", &b"#!vim\n".repeat(9000)).finish();
    let scripts: Vec<(String, Vec<u8>)> = ["md5sums", "postinst", "prerm", "triggers"]
        .map(|name| (name.to_owned(), format!("# {name}\n").repeat(300).into_bytes()))
        .into();
    let control: Vec<(&str, &[u8])> =
        scripts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let origin = Origin::start();
    origin.serve("/vim.deb", deb(&control, &data, "xz"));
    let machine = Machine::new();
    machine.hashget(&["index", &origin.url("/vim.deb")]).expect(0);
    machine.write("tree/usr/bin/vim", b"#!vim\n".repeat(9000));
    for (name, bytes) in &scripts {
        machine.write(&format!("tree/var/lib/dpkg/info/vim.{name}"), bytes);
    }
    let packed = machine.hashget(&["pack", "tree", "-f", "a.tar.zst", "--json"]).expect(0);
    assert_eq!(packed.last_record()["left_out_files"], 5);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0);
    assert_eq!(listing(&machine.path("tree")), listing(&machine.path("back")));
}

#[test]
fn a_version_1_archive_is_written_and_read() {
    let origin = Origin::start();
    let machine = machine_with_tree(&origin);
    run(
        "find",
        &[machine.path("tree").to_str().unwrap(), "-exec", "touch", "-hd@1700000000", "{}", ";"],
    );
    machine.hashget(&["pack", "tree", "-f", "a.tar.gz", "--manifest-version", "1"]).expect(0);
    let (archive, back) = (machine.path("a.tar.gz"), machine.path("plain"));
    fs_err::create_dir(&back).unwrap();
    run("tar", &["-xzf", archive.to_str().unwrap(), "-C", back.to_str().unwrap()]);
    let manifest = fs_err::read(back.join(".hashget-restore.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    // Two names of one file are more than version 1 can say.
    assert_eq!(manifest["files"].as_array().unwrap().len(), 38);
    assert_eq!(manifest["packages"][0]["url"], origin.url("/tool-1.0.tar.gz"));
    machine.hashget(&["unpack", "a.tar.gz", "-C", "back"]).expect(0);
    assert_eq!(listing(&machine.path("tree")), listing(&machine.path("back")));
}
