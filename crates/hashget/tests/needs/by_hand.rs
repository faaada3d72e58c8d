//! `tests/restore-by-hand.sh` restores what we restore, without us.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hashget::model::manifest::{
    Assignment, EntryTable, MANIFEST_NAME, MtimeAssignment, OneOrMany, Renamed,
};
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, TarEntry, ZipEntry, deb, zip};

use crate::support::*;

fn write(folder: &Path, name: &str, content: &str, mode: u32, seconds: i64, nanoseconds: u32) {
    let file = folder.join(name);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(&file, content).unwrap();
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    set_time(&file, seconds, nanoseconds);
}

fn set_time(file: &Path, seconds: i64, nanoseconds: u32) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, file, &times, flags).unwrap();
}

fn all(value: u32) -> Vec<Assignment> {
    vec![Assignment { at: None, is: OneOrMany::One(value) }]
}

/// A .deb whose data lies in `usr` with other modes and times, its control files in `info`.
fn debian_part(at: &Path) -> (Vec<u8>, Vec<hashget::model::manifest::Placement>) {
    let directory = |name| TarEntry { name, kind: b'5', mode: 0o755, ..TarEntry::default() };
    let data = TarBuilder::new()
        .entry(&directory(b"./"))
        .entry(&directory(b"./usr/"))
        .entry(&directory(b"./usr/share/"))
        .file("./usr/share/text", b"text")
        .file("./usr/share/gone", b"not in the tree")
        .entry(&TarEntry { mode: 0o4777, ..file(b"./usr/share/tool", b"#!/bin/sh\n") })
        .hard_link("./usr/share/tool-2", "./usr/share/tool")
        .symlink("./usr/share/link", "text")
        .file("./usr/share/doc/a", b"a")
        .file("./usr/share/dated one", b"1")
        .file("./usr/share/dated two", b"2")
        .finish();
    let bytes = deb(&[("control", b"Package: p\n"), ("md5sums", b"0  x\n")], &data, "xz");

    let share = at.join("usr/share");
    write(&share, "text", "text", 0o644, 1_700_003_600, 0);
    write(&share, "tool", "#!/bin/sh\n", 0o4755, 1_700_003_600, 0);
    fs_err::hard_link(share.join("tool"), share.join("tool-2")).unwrap();
    fs_err::os::unix::fs::symlink("text", share.join("link")).unwrap();
    set_time(&share.join("link"), 1_700_003_600, 0);
    write(&share, "dated one", "1", 0o600, -86_400, 250_000_000);
    write(&share, "dated two", "2", 0o640, 1_000_000_000, 9);
    for folder in [&share, &at.join("usr")] {
        set_time(folder, 1_700_003_600, 0);
    }
    write(at, "info/p.md5sums", "0  x\n", 0o644, 77, 0);

    let mut data = tree("data/", "");
    data.except = vec![prefix("usr/share/doc/"), prefix("usr/share/gone")];
    data.umask = Some(0o022);
    // usr, share, text, tool, tool-2, link, dated one, dated two
    data.mode = vec![Assignment { at: Some(vec![6, 7]), is: OneOrMany::Many(vec![0o600, 0o640]) }];
    data.mtime = vec![
        MtimeAssignment { shift: Some(3600), ..Default::default() },
        MtimeAssignment {
            at: Some(vec![6, 7]),
            seconds: Some(vec![-86_400, 1_000_086_400]),
            nanoseconds: Some(vec![250_000_000, 9]),
            ..Default::default()
        },
    ];
    let mut control = tree("control/", "info/p.");
    control.except = vec![prefix("control")];
    control.mode = all(0o644);
    control.mtime =
        vec![MtimeAssignment { at: Some(vec![0]), seconds: Some(vec![77]), ..Default::default() }];
    (bytes, vec![data, control])
}

fn file<'a>(name: &'a [u8], content: &'a [u8]) -> TarEntry<'a> {
    TarEntry { name, content, ..TarEntry::default() }
}

/// A zip, laid down in `web`; its times are local ones without a zone.
fn zip_part(at: &Path) -> (Vec<u8>, Vec<hashget::model::manifest::Placement>) {
    let file = |name, content, mode| ZipEntry { name, content, mode, ..ZipEntry::default() };
    let folder = |name| ZipEntry { deflate: false, ..file(name, b"", Some(0o40_755)) };
    let bytes = zip(&[
        folder(b"site-1.0/"),
        file(b"site-1.0/index.php", b"<?php\n", Some(0o100_644)),
        folder(b"site-1.0/sub/"),
        file(b"site-1.0/sub/page.php", b"page", Some(0o100_755)),
    ]);
    write(at, "web/index.php", "<?php\n", 0o644, 1_700_000_000, 0);
    write(at, "web/sub/page.php", "page", 0o755, 1_700_000_000, 0);
    set_time(&at.join("web/sub"), 1_700_000_000, 0);
    let mut laid = tree("site-1.0/", "web/");
    laid.uid = all(rustix::process::geteuid().as_raw());
    laid.gid = all(rustix::process::getegid().as_raw());
    (bytes, vec![laid])
}

pub(crate) fn the_script_restores_what_we_restore() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("tree");
    fs_err::create_dir(&at).unwrap();
    let origin = Origin::start();
    let (deb_bytes, deb_trees) = debian_part(&at);
    let (zip_bytes, zip_trees) = zip_part(&at);
    write(&at, "private/notes", "mine", 0o600, 5, 5);
    fs_err::hard_link(at.join("private/notes"), at.join("private/notes again")).unwrap();
    fs_err::hard_link(at.join("usr/share/text"), at.join("private/text of the package")).unwrap();
    write(&at, "copies/text", "text", 0o444, 1, 2);
    write(&at, "copies/package.bin", "\u{1}binary", 0o644, 3, 0);
    write(&at, MANIFEST_NAME, "the tree's own", 0o644, 8, 8);
    fs_err::set_permissions(at.join("private"), std::fs::Permissions::from_mode(0o2510)).unwrap();
    set_time(&at.join("private"), 123, 456);
    set_time(&at, 1_234, 5_678);

    let scan = scan_of(&at);
    let entry = |name: &str| scan.get(&path(name)).unwrap().clone();
    let mut packages = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, format, trees| {
        origin.serve(name, bytes.clone());
        packages.push((package(&origin.url(name), &bytes, format, trees), bytes));
    };
    add("/file.bin", b"\x01binary".to_vec(), "file", Vec::new());
    add("/p.deb", deb_bytes, "deb", deb_trees);
    add("/site.zip", zip_bytes, "zip", zip_trees);
    packages[0].0.files = EntryTable::new([&entry("copies/package.bin")]).with_from(vec![None]);
    packages[1].0.files =
        EntryTable::new([&entry("copies/text")]).with_from(vec![Some(path("data/usr/share/text"))]);
    let mut fixture = Fixture::new(folder, packages);
    let stored = path("stored-elsewhere");
    fixture.manifest.renamed = vec![Renamed { stored: stored.clone(), name: path(MANIFEST_NAME) }];
    let own = fixture.in_tar.iter_mut().find(|path| path.as_bytes() == MANIFEST_NAME.as_bytes());
    *own.unwrap() = stored.clone();
    fs_err::rename(at.join(MANIFEST_NAME), at.join(stored.as_path())).unwrap();
    fixture.archive();
    fs_err::rename(at.join(stored.as_path()), at.join(MANIFEST_NAME)).unwrap();
    set_time(&at, 1_234, 5_678);

    let archive = fixture.folder.path().join("archive.tar");
    let recorder = hashget::monitor::Recorder::default();
    let bytes = fs_err::read(&archive).unwrap();
    let summary = unpack(&fixture.source(), &bytes, &fixture.target(), &recorder).unwrap();
    fixture.assert_restored(&summary, &recorder);

    let by_hand = fixture.folder.path().join("by hand");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/restore-by-hand.sh");
    let arguments = [archive.to_str().unwrap(), by_hand.to_str().unwrap()];
    run(script.to_str().unwrap(), &arguments, fixture.folder.path());
    assert_same_trees(&fixture.tree(), &by_hand);
}
