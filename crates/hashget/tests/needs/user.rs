//! The same as a user without rights, and archives of root in a user's hands.
//!
//! Invariant: run by root, each check runs again in a process of its own as `nobody`.

use std::path::Path;
use std::process::Command;

use hashget::codec::Codec;
use hashget::model::RelPath;
use hashget::monitor::{ProblemKind, Recorder};
use hashget::pack::PackOptions;
use hashget::restore::RestoreOptions;
use hashget_testkit::programs::{NOBODY, run_test_as_nobody};
use hashget_testkit::trees::{self, Nasty, Node, Snapshot, nasty, snapshot};

use crate::scene::{
    Part, Scene, What, assert_same, finish_folders, gnu_tar, lay_down, options, problems, serious,
    tar,
};

const ARCHIVE: &str = "HASHGET_TEST_ARCHIVE";

pub(crate) fn a_user_packs_and_restores_a_nasty_tree() {
    if trees::is_root() {
        let folder = tempfile::tempdir().unwrap();
        run_test_as_nobody("user::a_user_packs_and_restores_a_nasty_tree", folder.path(), &[]);
        return;
    }
    for own_manifest in [Some(false), Some(true)] {
        let scene = Scene::new();
        let parts = package();
        scene.index("parts.tar", &tar(&parts));
        lay_down(&scene.tree(), &parts);
        nasty(&scene.tree(), Nasty { own_manifest, ..Nasty::default() });
        finish_folders(&scene.tree(), &parts);
        let before = snapshot(&scene.tree());
        assert!(before.len() > 100);
        for codec in [Codec::None, Codec::Gzip] {
            let (archive, packed) = scene.pack_well(&PackOptions { codec, ..options() });
            assert_eq!(packed.left_out_files, 3);
            scene.unpack_well(&archive, &before);
        }
    }
    let scene = Scene::new();
    nasty(&scene.tree(), Nasty { long_paths: false, ..Nasty::default() });
    let before = snapshot(&scene.tree());
    let (archive, _) = scene.pack_well(&options());
    scene.gnu_tar_and_restore_well(&archive, &before);
}

fn package() -> Vec<Part> {
    vec![
        Part::folder("p/"),
        Part::new("p/suid", What::File(vec![1; 4000]), 0o4755),
        Part::file("p/a", vec![2; 4000]),
        Part::file("p/b", vec![3; 4000]),
    ]
}

pub(crate) fn what_a_user_may_not_read_is_named_and_the_rest_is_packed() {
    if trees::is_root() {
        let folder = tempfile::tempdir().unwrap();
        let test = "user::what_a_user_may_not_read_is_named_and_the_rest_is_packed";
        run_test_as_nobody(test, folder.path(), &[]);
        return;
    }
    let scene = Scene::new();
    nasty(&scene.tree(), Nasty { closed: true, ..Nasty::default() });
    let recorder = Recorder::default();
    let (archive, _) = scene.pack(&options(), &recorder).unwrap();
    let mut named: Vec<String> = serious(&recorder).into_iter().map(|(_, path)| path).collect();
    named.sort();
    let before = snapshot(&scene.tree());
    let mut closed: Vec<String> = before
        .iter()
        .filter(|(_, node)| node.closed || (node.kind == 'f' && node.digest.is_none()))
        .map(|(path, _)| String::from_utf8(path.clone()).unwrap())
        .collect();
    closed.sort();
    assert!(closed.len() >= 4, "{closed:?}");
    assert_eq!(named, closed);
    let (target, restored, told) = scene.unpack(&archive);
    assert_eq!((problems(&told).as_str(), restored.proven), ("", Some(true)));
    let mut expected = before;
    expected.retain(|path, node| {
        let unreadable = node.kind == 'f' && node.digest.is_none();
        !unreadable && !path.starts_with(b"closed/")
    });
    assert_same(&expected, &snapshot(&target));
    // So that the folder can be removed.
    trees::mode(&target.join("closed"), 0o700);
}

/// A folder whose names may be read, but in which nothing may be looked at.
pub(crate) fn what_lies_in_a_folder_that_may_only_be_listed_is_named() {
    if trees::is_root() {
        let folder = tempfile::tempdir().unwrap();
        let test = "user::what_lies_in_a_folder_that_may_only_be_listed_is_named";
        run_test_as_nobody(test, folder.path(), &[]);
        return;
    }
    let scene = Scene::new();
    trees::file(&scene.tree(), "listed/one", "1");
    trees::file(&scene.tree(), "two", "2");
    fs_err::create_dir(scene.tree().join("empty")).unwrap();
    trees::mode(&scene.tree().join("listed"), 0o400);
    trees::mode(&scene.tree().join("empty"), 0o400);
    let recorder = Recorder::default();
    let (archive, _) = scene.pack(&options(), &recorder).unwrap();
    let named: Vec<String> = serious(&recorder).into_iter().map(|(_, path)| path).collect();
    assert_eq!(named, ["listed/one"]);
    let (target, restored, told) = scene.unpack(&archive);
    assert_eq!((problems(&told).as_str(), restored.proven), ("", Some(true)));
    assert_eq!(fs_err::read(target.join("two")).unwrap(), b"2");
    for name in ["listed", "empty"] {
        assert!(fs_err::read_dir(target.join(name)).is_ok(), "{name}");
        trees::mode(&scene.tree().join(name), 0o700);
        trees::mode(&target.join(name), 0o700);
    }
}

/// What a user keeps of root's tree: everything but owners, devices, and what only root may set.
fn as_a_user_has_it(node: &Node, uid: u32, gid: u32) -> Node {
    let mut node = node.clone();
    let other_owner = (node.uid, node.gid) != (uid, gid);
    (node.uid, node.gid) = (uid, gid);
    if other_owner && node.kind != 'd' {
        node.mode &= !0o6000;
    }
    if node.kind == 'l' {
        node.mode = 0o777;
    }
    node.xattrs.retain(|name, _| name.starts_with(b"user.") || name.starts_with(b"system."));
    // A closed file cannot be compared by who may not read it.
    if node.mode & 0o400 == 0 {
        (node.digest, node.data) = (None, None);
    }
    node
}

pub(crate) fn a_user_restores_a_nasty_tree_of_roots() {
    let test = "user::a_user_restores_a_nasty_tree_of_roots";
    if let Some(archive) = std::env::var_os(ARCHIVE) {
        restore_run_test_as_nobody(Path::new(&archive));
        return;
    }
    let scene = Scene::new();
    nasty(&scene.tree(), Nasty { long_paths: false, own_manifest: None, ..Nasty::default() });
    let (archive, _) = scene.pack_well(&options());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("archive");
    fs_err::write(&file, &archive).unwrap();
    run_test_as_nobody(test, folder.path(), &[(ARCHIVE, &file)]);
    let before = snapshot(&scene.tree());
    for name in ["unpacked", "restored"] {
        let found = snapshot(&folder.path().join(name));
        let expected: Snapshot = before
            .iter()
            .filter(|(_, node)| !matches!(node.kind, 'c' | 'b'))
            .map(|(path, node)| (path.clone(), as_a_user_has_it(node, NOBODY, NOBODY)))
            .collect();
        let found: Snapshot = found
            .into_iter()
            .filter(|(path, _)| !path.ends_with(b".hashget-restore.json") || path.contains(&b'/'))
            .map(|(path, node)| (path, as_a_user_has_it(&node, NOBODY, NOBODY)))
            .collect();
        // The top folder's time: the manifest stays in it, since devices are missing.
        let without_top = |mut tree: Snapshot| {
            tree.get_mut(&b""[..]).unwrap().mtime = (0, 0);
            tree
        };
        assert_same(&without_top(expected), &without_top(found));
    }
}

/// In the user's process: unpacks, and unpacks by GNU tar and restores.
fn restore_run_test_as_nobody(archive: &Path) {
    let folder = archive.parent().unwrap();
    let bytes = fs_err::read(archive).unwrap();
    let scene = Scene::new();
    let (unpacked, restored) = (folder.join("unpacked"), folder.join("restored"));
    let told = Recorder::default();
    let summary = scene
        .restorer()
        .unpack(&mut &bytes[..], &unpacked, &RestoreOptions::default(), &told)
        .unwrap();
    judge(&summary, &told);
    fs_err::create_dir(&restored).unwrap();
    // It complains of devices and goes on.
    let mut tar =
        Command::new("tar").arg("-C").arg(&restored).arg("-xf").arg(archive).spawn().unwrap();
    tar.wait().unwrap();
    let told = Recorder::default();
    let summary = scene.restorer().restore(&restored, &RestoreOptions::default(), &told).unwrap();
    judge(&summary, &told);
}

/// Said once, with counts; nothing else is wrong. What a user cannot have is a loss, except owners: they were not asked for.
fn judge(summary: &hashget::restore::Summary, told: &Recorder) {
    let lost: Vec<&str> = summary.not_applied.keys().map(String::as_str).collect();
    assert_eq!(lost, ["capability", "device", "extended attribute"], "{}", problems(told));
    let not_asked_for: Vec<&str> = summary.not_asked_for.keys().map(String::as_str).collect();
    assert_eq!(not_asked_for, ["owner", "set-user-id or set-group-id bit"], "{}", problems(told));
    let said = told.recorded().problems;
    assert_eq!(said.len(), lost.len() + not_asked_for.len(), "{}", problems(told));
    assert_eq!(serious(told).len(), lost.len(), "{}", problems(told));
    assert!(serious(told).iter().all(|(kind, _)| *kind == ProblemKind::Incomplete));
    assert_eq!(summary.proven, None);
    assert_eq!(summary.missing, Vec::<(RelPath, String)>::new());
}

pub(crate) fn a_plain_tar_of_roots_in_a_users_hands_has_all_contents() {
    let scene = Scene::new();
    trees::file(&scene.tree(), "a/b", "content");
    let (archive, _) = scene.pack_well(&options());
    let target = scene.target();
    gnu_tar(&archive, &target);
    assert_eq!(fs_err::read(target.join("a/b")).unwrap(), b"content");
}
