//! `prepare` with the real tools: what they leave out comes back, and exactly that.
//!
//! Invariant: the tools run with a home and a repository of their own.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::trees::{differences, snapshot};

use crate::support::{Machine, files_below};

/// Names that a list has to quote. Each is a file of the package; beside it lies a file of the user's that a
/// pattern taken for a glob, or cut, would catch as well.
const NAMES: &[(&[u8], &[u8])] = &[
    (b"plain", b"plain2"),
    (b"star*", b"starry"),
    (b"what?", b"whats"),
    (b"cl[ab]ss", b"class"),
    (b"back\\slash", b"backslash"),
    (b"back\\sl*sh", b"back\\slosh"),
    (b"-dash", b"dash"),
    (b"#hash", b"hash"),
    (b"!bang", b"bang"),
    (b" leading", b"leading"),
    (b"trailing ", b"trailing"),
    (b"tab\t", b"tab"),
    (b"$HOME", b"HOME"),
    (b"{a,b}", b"a"),
    (b"line\nbreak", b"line"),
    (b"return\r", b"return"),
    (b"caf\xe9", b"caf"),
    ("caf\u{e9}\u{a0}".as_bytes(), "caf\u{e9}".as_bytes()),
    (b"deep/plain", b"deep/star*"),
    (b"re:.*", b"pf:plain"),
];

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A machine with the package unpacked in `tree`, and the user's files.
fn machine(origin: &Origin) -> Machine {
    let mut tar = TarBuilder::new().directory("deep/").symlink("link", "plain");
    let contents = |name: &[u8]| [name, b" is of the package\n"].concat().repeat(40);
    let machine = Machine::new();
    let tree = machine.path("tree");
    fs_err::create_dir_all(tree.join("deep")).unwrap();
    for (packaged, own) in NAMES {
        let path = tree.join(OsStr::from_bytes(packaged));
        fs_err::write(&path, contents(packaged)).unwrap();
        fs_err::write(tree.join(OsStr::from_bytes(own)), [own, &b" mine"[..]].concat()).unwrap();
    }
    for (number, (packaged, _)) in NAMES.iter().enumerate() {
        tar = tar.file(&format!("member {number}"), &contents(packaged));
    }
    origin.serve("/names.tar", tar.finish());
    fs_err::hard_link(tree.join("plain"), tree.join("deep/twin")).unwrap();
    fs_err::hard_link(tree.join("dash"), tree.join("deep/own twin")).unwrap();
    std::os::unix::fs::symlink("plain", tree.join("link")).unwrap();
    let old =
        Command::new("touch").args(["-d", "2021-03-04 05:06:07.123456789"]).arg(&tree).status();
    assert!(old.unwrap().success());
    machine.hashget(&["index", &origin.url("/names.tar")]).expect(0);
    machine
}

/// Prepares, lets `backup` and `bring_back` work, restores and compares.
fn there_and_back(
    tool: &str,
    inexpressible: usize,
    backup: &dyn Fn(&Machine, &Path, &Path),
    bring_back: &dyn Fn(&Machine, &Path) -> PathBuf,
) {
    let origin = Origin::start();
    let machine = machine(&origin);
    let (tree, list) = (machine.path("tree"), machine.path("list"));
    let before = snapshot(&tree);
    let prepare = ["prepare", tree.to_str().unwrap(), "-X", "list", "--for", tool, "--json"];
    let summary = machine.hashget(&prepare).expect(0).last_record();
    assert_eq!(summary["inexpressible"].as_array().unwrap().len(), inexpressible, "{summary}");
    backup(&machine, &tree, &list);
    let back = machine.path("back");
    fs_err::create_dir(&back).unwrap();
    let back = bring_back(&machine, &back);
    let here = files_below(&back);
    let left_out =
        NAMES.iter().filter(|(packaged, _)| !back.join(OsStr::from_bytes(packaged)).exists());
    assert_eq!(left_out.count(), NAMES.len() - inexpressible, "{here:?}");
    for (_, own) in NAMES {
        assert!(back.join(OsStr::from_bytes(own)).exists(), "{}", String::from_utf8_lossy(own));
    }
    machine.hashget(&["restore", back.to_str().unwrap()]).expect(0).says(&["Proven"]);
    fs_err::remove_file(tree.join(".hashget-restore.json")).unwrap();
    let touched =
        Command::new("touch").args(["-d", "2021-03-04 05:06:07.123456789"]).arg(&tree).status();
    assert!(touched.unwrap().success());
    let differences = differences(&before, &snapshot(&back));
    assert!(differences.is_empty(), "{differences:#?}");
}

pub(crate) fn tar_there_and_back() {
    there_and_back(
        "tar",
        1,
        &|machine, tree, list| {
            let mut tar = Command::new("tar");
            tar.arg("-C").arg(tree).arg("-X").arg(list).arg("-cf").arg(machine.path("b.tar"));
            run(tar.arg("."));
        },
        &|machine, back| {
            run(Command::new("tar").arg("-xpf").arg(machine.path("b.tar")).arg("-C").arg(back));
            back.to_path_buf()
        },
    );
}

pub(crate) fn rsync_there_and_back() {
    there_and_back(
        "rsync",
        0,
        &|machine, tree, list| {
            let mut rsync = Command::new("rsync");
            rsync.args(["-aHAX", "--from0", "--exclude-from"]).arg(list);
            run(rsync.arg(format!("{}/", tree.display())).arg(machine.path("copy")));
        },
        &|machine, back| {
            let copy = machine.path("copy");
            run(Command::new("rsync").arg("-aHAX").arg(format!("{}/", copy.display())).arg(back));
            back.to_path_buf()
        },
    );
}

pub(crate) fn borg_there_and_back() {
    let borg = |machine: &Machine| {
        let mut borg = Command::new("borg");
        borg.env("BORG_BASE_DIR", machine.path("borg")).env("LANG", "C.UTF-8");
        borg.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        borg
    };
    there_and_back(
        "borg",
        0,
        &|machine, tree, list| {
            run(borg(machine).args(["init", "-e", "none"]).arg(machine.path("repository")));
            let archive = format!("{}::one", machine.path("repository").display());
            let mut create = borg(machine);
            create.args(["create", "--exclude-from"]).arg(list).arg(archive).arg(".");
            run(create.current_dir(tree));
        },
        &|machine, back| {
            let archive = format!("{}::one", machine.path("repository").display());
            run(borg(machine).arg("extract").arg(archive).current_dir(back));
            back.to_path_buf()
        },
    );
}

pub(crate) fn restic_there_and_back() {
    let restic = |machine: &Machine| {
        let mut restic = Command::new("restic");
        restic.env("RESTIC_PASSWORD", "test").env("RESTIC_REPOSITORY", machine.path("repository"));
        restic.env("RESTIC_CACHE_DIR", machine.path("restic-cache"));
        restic
    };
    there_and_back(
        "restic",
        1,
        &|machine, tree, list| {
            run(restic(machine).arg("init"));
            run(restic(machine).args(["backup", "--exclude-file"]).arg(list).arg(tree));
        },
        &|machine, back| {
            run(restic(machine).args(["restore", "latest", "--target"]).arg(back));
            back.join(machine.path("tree").strip_prefix("/").unwrap())
        },
    );
}

pub(crate) fn what_cannot_be_prepared_is_told() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let prepare = |list: &str| machine.hashget(&["prepare", "tree", "-X", list, "--for", "tar"]);
    prepare("tree/list").expect(2).says(&["must not lie in the folder"]);
    prepare("list").expect(0).says(&["Now: tar -C tree -X list", "1 entry not left out"]);
    // Once more: the older manifest is no part of the tree.
    let list = fs_err::read(machine.path("list")).unwrap();
    prepare("list").expect(0);
    assert_eq!(fs_err::read(machine.path("list")).unwrap(), list);
    machine.write("tree/.hashget-restore.json", "the user's own");
    prepare("list").expect(1).says(&["it is no manifest"]);
}
