//! What the operations with failing calls work on, and what may be there after them.
//!
//! Invariant: whatever failed, what has a final name is whole: of the tree, of an earlier state of it, or of the archive.

use std::path::Path;
use std::process::Command;

use hashget_testkit::nth_call::{Ended, Failing, Supervisor};
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, compress};
use hashget_testkit::trees::{self, Snapshot, differences, snapshot};
use sha2::{Digest as _, Sha256};

use crate::support::{Machine, files_below};

/// What is done, with names of the files and folders that it makes.
pub(super) struct Operation {
    pub(super) arguments: Vec<String>,
    makes: &'static [&'static str],
    /// The archive among these.
    archive: Option<&'static str>,
    /// Copied before, as what is there already: from where, and to where.
    given: &'static [(&'static str, &'static str)],
}

pub(super) struct Scene {
    pub(super) machine: Machine,
    _origin: Origin,
    url: String,
    before: Snapshot,
    /// Of the folder that is restored over in place.
    old: Snapshot,
    known: String,
}

fn noise(seed: u32, count: u32) -> Vec<u8> {
    (0..count).flat_map(|n| (n + seed).wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

impl Scene {
    /// A package, a tree that has its files, a HashDB, archives, and a folder that `tar xf` made of one.
    pub(super) fn new() -> Self {
        let (machine, origin) = (Machine::new(), Origin::start());
        let tree = machine.path("tree");
        let mut tar = TarBuilder::new();
        for (number, size) in [(1, 100), (2, 30_000), (3, 2000)] {
            let content = noise(number, size);
            tar = tar.file(&format!("p/{number}"), &content);
            trees::file(&tree, format!("p/{number}"), content);
        }
        origin.serve("/p.tar.gz", compress("gzip", &tar.finish()));
        let own = trees::file(&tree, "own/file", noise(9, 20_000));
        trees::hard_link(&tree, "own/linked", &own);
        trees::symlink(&tree, "own/link", "file");
        trees::xattr(&own, "user.own", b"mine");
        trees::mode(&trees::folder(&tree, "own/folder"), 0o700);
        let url = origin.url("/p.tar.gz");
        machine.hashget(&["index", &url]).expect(0);
        let pack = |archive: &str, options: &[&str]| {
            let pack = ["pack", "tree", "--detect", "none", "-f", archive];
            machine.hashget(&[&pack, options].concat()).expect(0);
        };
        pack("earlier.tar.zst", &[]);
        trees::sparse(&tree, "own/holes", 1 << 20, &[(1 << 19, b"in the middle")]);
        pack("reference.tar", &["--parity", "20%"]);
        pack("reference.tar.zst", &["--no-reuse"]);
        let mut damaged = fs_err::read(machine.path("reference.tar")).unwrap();
        damaged[30_000..33_000].fill(0);
        machine.write("damaged.tar", damaged);
        fs_err::create_dir(machine.path("untarred")).unwrap();
        let mut untar = Command::new("tar");
        untar.arg("-C").arg(machine.path("untarred")).arg("-xf").arg(machine.path("reference.tar"));
        assert!(untar.status().unwrap().success());
        let old = use_for_long(&machine);
        let before = snapshot(&tree);
        let mut scene = Self { machine, _origin: origin, url, before, old, known: String::new() };
        scene.known = scene.known();
        scene
    }

    pub(super) fn operation(&self, name: &str) -> Operation {
        let pack = ["pack", "tree", "--detect", "none", "-f"];
        let with = |more: &[&'static str]| [&pack[..], more].concat();
        let (arguments, makes, archive): (Vec<&str>, &'static [&'static str], _) = match name {
            "index" => (vec!["index", &self.url], &["db", "cache"], None),
            "pack" => (with(&["a.tar"]), &["a.tar", "cache"], Some("a.tar")),
            "pack --reuse" => {
                let arguments = with(&["a.tar.zst", "--reuse", "earlier.tar.zst"]);
                (arguments, &["a.tar.zst", "cache"], Some("a.tar.zst"))
            }
            "pack --parity" => {
                let arguments = with(&["a.tar", "--parity", "20%"]);
                (arguments, &["a.tar", "a.tar.par2", "cache"], Some("a.tar"))
            }
            "unpack" => (vec!["unpack", "reference.tar", "-C", "back"], &["back", "cache"], None),
            "unpack in place" => {
                let how = ["unpack", "reference.tar", "-C", "back", "--overwrite", "changed"];
                ([&how[..], &["--delete"]].concat(), &["back", "cache"], None)
            }
            "restore" => (vec!["restore", "back"], &["back", "cache"], None),
            "verify" => (vec!["verify", "--deep", "reference.tar"], &["cache"], None),
            "repair" => {
                let makes = &["a.tar", "a.tar.damaged", "a.tar.par2"];
                (vec!["repair", "a.tar"], makes, Some("a.tar"))
            }
            other => panic!("{other}"),
        };
        let given: &'static [(&'static str, &'static str)] = match name {
            "restore" => &[("untarred", "back")],
            "unpack in place" => &[("used", "back")],
            "repair" => &[("damaged.tar", "a.tar"), ("reference.tar.par2", "a.tar.par2")],
            _ => &[],
        };
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        Operation { arguments, makes, archive, given }
    }

    /// As if the operation had never been.
    pub(super) fn forget(&self, name: &str) {
        let operation = self.operation(name);
        for made in operation.makes {
            let path = self.machine.path(made);
            if path.is_dir() {
                fs_err::remove_dir_all(path).unwrap();
            } else if path.exists() {
                fs_err::remove_file(path).unwrap();
            }
        }
        for (from, to) in operation.given {
            let (from, to) = (self.machine.path(from), self.machine.path(to));
            let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
            assert!(copied.success());
        }
    }

    pub(super) fn run(&self, supervisor: &Supervisor, name: &str, failing: Failing) -> Ended {
        let folder = fs_err::canonicalize(self.machine.path(".")).unwrap();
        let hashget = Path::new(env!("CARGO_BIN_EXE_hashget"));
        let mut command = supervisor.command(failing, &folder, hashget);
        command.args(["--jobs", "2"]).args(self.operation(name).arguments).current_dir(&folder);
        command.env_clear().env("HASHGET_DB", folder.join("db")).env("TMPDIR", &folder);
        command.env("HASHGET_CACHE", folder.join("cache")).env("HASHGET_CONFIG", "/dev/null");
        supervisor.run(&mut command)
    }

    /// Everything that the HashDB knows, but for when it learned it.
    fn known(&self) -> String {
        let shown = self.machine.hashget(&["db", "show", "--package", "all", "--json"]).expect(0);
        let mut records = shown.records();
        for record in &mut records {
            if let Some(record) = record.as_object_mut() {
                record.remove("indexed_at");
            }
        }
        records.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// Nothing is under a final name that is not whole, and the HashDB is sound.
    pub(super) fn assert_whole(&self, what: &str) {
        let machine = &self.machine;
        for name in files_below(&machine.path(".")) {
            if let Some(digest) = name.strip_prefix("cache/sha256/") {
                let bytes = fs_err::read(machine.path(&name)).unwrap();
                assert_eq!(digest.replace('/', ""), hex(&Sha256::digest(bytes)), "{what}: {name}");
            }
        }
        self.assert_files_whole("back", what);
        if machine.path("db/hashdb.sqlite").exists() {
            let sqlite = rusqlite::Connection::open(machine.path("db/hashdb.sqlite")).unwrap();
            let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
            let sound = sqlite.query_row("PRAGMA integrity_check", (), check).unwrap();
            assert_eq!(sound, "ok", "{what}");
        }
    }

    fn assert_files_whole(&self, folder: &str, what: &str) {
        let folder = self.machine.path(folder);
        let found = if folder.exists() { snapshot(&folder) } else { Snapshot::new() };
        for (path, node) in found.into_iter().filter(|(_, node)| node.kind == 'f') {
            let text = String::from_utf8_lossy(&path).into_owned();
            if path != b".hashget-restore.json" && !is_litter(&text) {
                let was =
                    |tree: &Snapshot| tree.get(&path).is_some_and(|b| b.digest == node.digest);
                let is_whole = was(&self.before) || what.contains("in place") && was(&self.old);
                assert!(is_whole, "{what}: {text} is not whole");
            }
        }
    }

    /// Only the metadata of the folder itself is set after the manifest is gone.
    pub(super) fn assert_restored_but_for_the_top(&self, what: &str) {
        let (mut before, mut found) = (self.before.clone(), snapshot(&self.machine.path("back")));
        before.remove(&b""[..]);
        found.remove(&b""[..]);
        let differences = differences(&before, &found);
        assert!(differences.is_empty(), "{what}: {differences:?}");
    }

    /// An archive that has its name is whole, also when it could not get everything; one that was not healed is as it was.
    pub(super) fn assert_archive(&self, name: &str, all: bool, what: &str) {
        let Some(archive) = self.operation(name).archive else { return };
        let path = self.machine.path(archive);
        if !path.exists() {
            assert!(!all && name != "repair", "{what}: there is no archive");
            return;
        }
        let is_like = |other: &str| {
            fs_err::read(&path).unwrap() == fs_err::read(self.machine.path(other)).unwrap()
        };
        if all {
            assert!(is_like(&archive.replace("a.tar", "reference.tar")), "{what}: another archive");
        } else if !(name == "repair" && is_like("damaged.tar")) {
            self.machine.hashget(&["unpack", archive, "-C", "incomplete"]).expect(0);
            self.assert_files_whole("incomplete", what);
            fs_err::remove_dir_all(self.machine.path("incomplete")).unwrap();
        }
        let has_parity = self.machine.path("a.tar.par2").exists();
        assert!(has_parity || !(all && name == "pack --parity"), "{what}: there is no parity");
        if has_parity && name == "pack --parity" {
            let repaired = self.machine.hashget(&["repair", archive]).expect(0);
            repaired.says(&["a.tar is whole"]);
        }
    }

    /// All is there that the operation makes.
    pub(super) fn assert_done(&self, name: &str, what: &str) {
        self.assert_whole(what);
        match name {
            "index" => assert_eq!(self.known(), self.known, "{what}"),
            "unpack" | "unpack in place" | "restore" => {
                let differences = differences(&self.before, &snapshot(&self.machine.path("back")));
                assert!(differences.is_empty(), "{what}: {differences:?}");
            }
            _ => self.assert_archive(name, true, what),
        }
    }

    /// But for a download that could not be looked at or removed: that is swept some other day.
    pub(super) fn assert_no_litter(&self, failed: &str, what: &str) {
        let mut litter = files_below(&self.machine.path("."));
        litter.retain(|name| is_litter(name) && !failed.contains(&format!("/{name}")));
        assert!(litter.is_empty(), "{what}: {litter:?}");
    }
}

/// A folder that was restored once and is used since: files are gone, changed and new. What is in it.
fn use_for_long(machine: &Machine) -> Snapshot {
    let used = machine.path("used");
    let copied = Command::new("cp").arg("-a").arg(machine.path("tree")).arg(&used).status();
    assert!(copied.unwrap().success());
    trees::file(&used, "p/2", noise(20, 30_000));
    trees::file(&used, "own/file", noise(21, 100));
    fs_err::remove_file(used.join("own/link")).unwrap();
    fs_err::remove_file(used.join("p/1")).unwrap();
    trees::file(&used, "stray/deep/file", "not of the archive");
    trees::file(&used, "stray file", "neither");
    trees::mode(&used.join("own/folder"), 0o755);
    snapshot(&used)
}

fn is_litter(name: &str) -> bool {
    name.contains(".part") || name.contains("/copy-") || name.contains("/.tmp")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
