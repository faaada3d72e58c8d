//! `mount`: archives as folders, read by other programs, through a real FUSE mount.
//!
//! Invariant: whatever happens, no mount is left when a test ends.

use std::cell::RefCell;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hashget_testkit::object_store::{self, Action, BUCKET, ObjectStore};
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::trees::{self, Nasty, differences, nasty, snapshot};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Signal;

use crate::support::{Ended, Machine, signal, wait_until};

/// A running `hashget mount`.
struct Mounted {
    at: PathBuf,
    child: Option<Child>,
}

fn is_mounted(at: &Path) -> bool {
    let mounts = fs_err::read("/proc/self/mountinfo").unwrap();
    let at = [b" ", at.as_os_str().as_bytes(), b" "].concat();
    mounts.windows(at.len()).any(|part| part == at)
}

impl Mounted {
    /// Mounts in the folder `mnt` of the machine, and waits until it is mounted.
    fn new(machine: &Machine, words: &[&str]) -> Self {
        Self::by(machine, &[&["mount"], words, &["mnt"]].concat(), |_| {})
    }

    /// The same by this command, whose process `place` may change.
    fn by(machine: &Machine, words: &[&str], place: impl FnOnce(&mut Command)) -> Self {
        let at = machine.path("mnt");
        fs_err::create_dir_all(&at).unwrap();
        let at = fs_err::canonicalize(at).unwrap();
        let child = RefCell::new(machine.start(words, place));
        wait_until("the mount", || {
            is_mounted(&at) || child.borrow_mut().try_wait().unwrap().is_some()
        });
        let mounted = Self { at, child: Some(child.into_inner()) };
        assert!(is_mounted(&mounted.at), "{}", mounted.end().stderr);
        mounted
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    fn child(&self) -> &Child {
        self.child.as_ref().unwrap()
    }

    /// Waits for the end of the program.
    fn end(mut self) -> Ended {
        Ended::wait(self.child.take().unwrap())
    }

    /// Unmounts it, and waits for the end of the program.
    fn unmount(self) -> Ended {
        unmount(&self.at, UnmountFlags::empty()).unwrap();
        self.end()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.at, UnmountFlags::DETACH);
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program that reads a file; the bytes come out of it.
fn cat(path: &Path) -> Child {
    let mut command = Command::new("cat");
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn contents(name: &str) -> String {
    format!("{name}\n").repeat(4000)
}

/// A machine with the archive `a.tar.zst` of files of a package and of its own.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    let (a, b) = (contents("a"), contents("b"));
    let tar = TarBuilder::new().file("x/a", a.as_bytes()).file("x/b", b.as_bytes()).finish();
    origin.serve("/lib.tar", tar);
    machine.write("tree/lib/a", &a);
    machine.write("tree/lib/b", &b);
    machine.write("tree/own/note", "mine");
    machine.write("tree/own/secret", "for the owner alone");
    let mode = PermissionsExt::from_mode(0o600);
    fs_err::set_permissions(machine.path("tree/own/secret"), mode).unwrap();
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    machine.hashget(&["pack", "--names", "all", "tree", "-f", "a.tar.zst"]).expect(0);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine
}

/// The number of the error with which a system call failed.
fn code<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

pub(crate) fn the_mounted_tree_is_the_one_that_was_packed() {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("tree")).unwrap();
    nasty(&machine.path("tree"), Nasty::default());
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(|n| (n ^ n << 9).to_le_bytes()).collect();
    machine.write("tree/large", large);
    let before = snapshot(&machine.path("tree"));
    for archive in ["a.tar.zst", "a.tar.gz"] {
        machine.hashget(&["pack", "tree", "-f", archive, "--detect", "none"]).expect(0);
        let mounted = Mounted::new(&machine, &[archive]);
        let differences = differences(&before, &snapshot(&mounted.at));
        assert!(differences.is_empty(), "{archive}:\n{}", differences.join("\n"));
        let read = |folder: &Path| fs_err::read(folder.join("holes/odd")).unwrap();
        assert!(read(&mounted.at) == read(&machine.path("tree")), "holes are zeros");
        let ended = mounted.unmount().expect(0);
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
    }
}

pub(crate) fn an_archive_at_a_url_is_read_by_its_parts() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let noise: Vec<u8> =
        (0..2_000_000_u32).flat_map(|n| (n.wrapping_mul(n) ^ (n << 7)).to_le_bytes()).collect();
    machine.write("tree/own/large", &noise);
    let frames = ["--names", "all", "--no-reuse", "tree", "-f"];
    for name in ["b.tar.zst", "b.tar.gz"] {
        let words = if name.ends_with("zst") { &frames[..] } else { &["tree", "-f"] };
        machine.hashget(&[&["pack"], words, &[name]].concat()).expect(0);
        let before = snapshot(&machine.path("tree"));
        let bytes = fs_err::read(machine.path(name)).unwrap();
        let size = bytes.len() as u64;
        let path = format!("/{name}");
        origin.serve(&path, bytes);
        let mounted = Mounted::new(&machine, &[&origin.url(&path)]);
        assert_eq!(fs_err::read(mounted.path("own/note")).unwrap(), b"mine");
        let sent: u64 = origin.requests_of(&path).iter().map(|request| request.bytes).sum();
        let is_part = sent < size / 2;
        assert_eq!(is_part, name.ends_with("zst"), "{name}: {sent} of {size} bytes");
        let differences = differences(&before, &snapshot(&mounted.at));
        assert!(differences.is_empty(), "{name}:\n{}", differences.join("\n"));
        mounted.unmount().expect(0);
    }
}

pub(crate) fn attributes_that_no_entry_has_are_not_supported() {
    let machine = machine(&Origin::start());
    let noted = machine.path("tree/own/note");
    let asked = |mounted: &Mounted, attribute: &str| {
        let path = mounted.path("own/secret");
        rustix::fs::getxattr(path, attribute, &mut [0_u8; 64][..]).unwrap_err()
    };
    let list = "system.posix_acl_access";
    let mounted = Mounted::new(&machine, &["a.tar.zst"]);
    assert_eq!(asked(&mounted, "user.note"), Errno::NOTSUP, "nothing has attributes");
    mounted.unmount().expect(0);
    // Of an attribute that programs ask of every file, one answer is enough; others may be there.
    assert!(trees::xattr(&noted, "user.note", b"kept"));
    machine.hashget(&["pack", "--names", "all", "tree", "-f", "b.tar.zst"]).expect(0);
    for words in [&["b.tar.zst"][..], &["--allow-other", "b.tar.zst"]] {
        let mounted = Mounted::new(&machine, words);
        assert_eq!(asked(&mounted, list), Errno::NOTSUP);
        assert_eq!(asked(&mounted, "security.selinux"), Errno::NOTSUP);
        assert_eq!(asked(&mounted, "user.note"), Errno::NODATA);
        mounted.unmount().expect(0);
    }
}

pub(crate) fn nothing_can_be_changed_and_numbers_stay() {
    let machine = machine(&Origin::start());
    let inodes = |mounted: &Mounted| {
        ["", "own", "own/note"].map(|name| fs_err::metadata(mounted.path(name)).unwrap().ino())
    };
    let mounted = Mounted::new(&machine, &["a.tar.zst"]);
    let read_only = Some(Errno::ROFS.raw_os_error());
    assert_eq!(code(std::fs::write(mounted.path("own/note"), "other")), read_only);
    assert_eq!(code(std::fs::remove_file(mounted.path("own/note"))), read_only);
    let first = inodes(&mounted);
    mounted.unmount().expect(0);
    let mounted = Mounted::new(&machine, &["a.tar.zst"]);
    assert_eq!(inodes(&mounted), first);
    mounted.unmount().expect(0);
}

pub(crate) fn while_one_waits_for_a_server_others_read() {
    let origin = Origin::start();
    let machine = machine(&origin);
    origin.always("/lib.tar", Fault::Hang);
    let asked = origin.requests_of("/lib.tar").len();
    let mounted = Mounted::new(&machine, &["a.tar.zst"]);
    let waiting = [cat(&mounted.path("lib/a")), cat(&mounted.path("lib/b"))];
    wait_until("the request", || origin.requests_of("/lib.tar").len() > asked);
    let listed = Command::new("ls").arg("-lR").arg(&mounted.at).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("note"));
    let read = cat(&mounted.path("own/note")).wait_with_output().unwrap();
    assert_eq!((read.status.success(), &*read.stdout), (true, &b"mine"[..]));
    assert_eq!(origin.requests_of("/lib.tar").len(), asked + 1, "both wait for one download");
    // A stop does not wait for the server, and readers get an error.
    signal(mounted.child(), Signal::INT);
    let at = mounted.at.clone();
    mounted.end().expect(130).says(&["nothing is mounted at mnt any more"]);
    assert!(!is_mounted(&at));
    for reader in waiting {
        assert!(!reader.wait_with_output().unwrap().status.success());
    }
}

pub(crate) fn a_package_that_is_gone_is_an_error_of_its_files_alone() {
    let origin = Origin::start();
    let machine = machine(&origin);
    origin.always("/lib.tar", Fault::Status(404));
    let mounted = Mounted::new(&machine, &["a.tar.zst"]);
    assert_eq!(code(std::fs::read(mounted.path("lib/a"))), Some(Errno::IO.raw_os_error()));
    assert_eq!(fs_err::read(mounted.path("own/note")).unwrap(), b"mine");
    origin.heal("/lib.tar");
    let lib = mounted.path("lib/a");
    wait_until("the package again", || {
        fs_err::read_to_string(&lib).is_ok_and(|a| a == contents("a"))
    });
    let asked = origin.requests().len();
    assert_eq!(fs_err::read_to_string(mounted.path("lib/b")).unwrap(), contents("b"));
    assert_eq!(origin.requests().len(), asked, "the package was fetched for the first file");
    let ended = mounted.unmount().expect(5).says(&["lib/a in a.tar.zst", "lib.tar"]);
    assert_eq!(ended.stderr.matches("lib/b").count(), 0, "{}", ended.stderr);
}

pub(crate) fn unmounted_while_in_use_it_serves_to_the_end() {
    let machine = machine(&Origin::start());
    let mounted = Mounted::new(&machine, &["a.tar.zst"]);
    let mut open = fs_err::File::open(mounted.path("own/note")).unwrap();
    assert_eq!(unmount(&mounted.at, UnmountFlags::empty()), Err(Errno::BUSY));
    unmount(&mounted.at, UnmountFlags::DETACH).unwrap();
    assert!(!is_mounted(&mounted.at));
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "mine");
    drop(open);
    mounted.end().expect(0);
}

pub(crate) fn an_interrupt_unmounts_even_what_is_in_use() {
    let machine = machine(&Origin::start());
    let mounted = Mounted::new(&machine, &["a.tar.zst"]);
    let mut open = fs_err::File::open(mounted.path("lib/a")).unwrap();
    signal(mounted.child(), Signal::TERM);
    let at = mounted.at.clone();
    mounted.end().expect(130);
    assert!(!is_mounted(&at));
    assert!(open.read(&mut [0; 9]).is_err());
}

pub(crate) fn a_folder_of_archives_has_a_folder_for_each() {
    let origin = Origin::start();
    let machine = machine(&origin);
    fs_err::create_dir(machine.path("nightly")).unwrap();
    for name in ["2026-11-01.tar.zst", "2026-11-02.tar.zst"] {
        fs_err::copy(machine.path("a.tar.zst"), machine.path("nightly").join(name)).unwrap();
    }
    machine.write("nightly/broken.tar", "no tar");
    machine.write("nightly/notes.txt", "no archive");
    let mounted = Mounted::new(&machine, &["nightly"]);
    let names = |folder: &str| {
        let entries = fs_err::read_dir(mounted.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(""), ["2026-11-01", "2026-11-02", "broken"]);
    assert_eq!(names("2026-11-01"), ["lib", "own"]);
    assert_eq!(fs_err::read(mounted.path("2026-11-02/own/note")).unwrap(), b"mine");
    assert_eq!(fs_err::read_to_string(mounted.path("2026-11-02/lib/b")).unwrap(), contents("b"));
    let note = |date: &str| fs_err::metadata(mounted.path(date).join("own/note")).unwrap();
    assert_ne!(note("2026-11-01").ino(), note("2026-11-02").ino());
    let broken = std::fs::metadata(mounted.path("broken/x"));
    assert_eq!(code(broken), Some(Errno::IO.raw_os_error()));
    mounted.unmount().expect(3).says(&["nightly/broken.tar: this is not an archive"]);
}

pub(crate) fn a_bucket_of_archives_is_read_when_it_is_entered() {
    let (machine, store) = (Machine::new(), ObjectStore::start());
    machine.write("tree/note", "mine");
    let endpoint = store.endpoint();
    let config = format!(
        "[s3.{BUCKET}]\nendpoint = \"{endpoint}\"\npath_style = true\n\n[backup.web]\nsources = [\"tree\"]\n\
         host = \"h\"\nto = [\"exec:cat >/dev/null\", \"s3://{BUCKET}/hosts\"]\noptions = [\"--detect\", \"none\"]\n"
    );
    machine.write("own-config.toml", config);
    let login = |command: &mut Command| {
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hidden");
        command.env("PATH", std::env::var("PATH").unwrap());
    };
    for _ in 0..2 {
        Ended::wait(machine.start(&["backup"], login)).expect(0);
    }
    let before = store.log().len();
    let mounted = Mounted::by(&machine, &["backup", "mount", "web", "mnt"], login);
    let mut names: Vec<PathBuf> =
        fs_err::read_dir(&mounted.at).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 2);
    assert!(store.log()[before..].iter().all(|action| *action == Action::List));
    // A store that refuses is an error of what is asked for, and not of what comes after.
    store.fault(Action::Head, object_store::Fault::Error(403, "AccessDenied"));
    let refused = std::fs::read(names[0].join("note"));
    assert_eq!(code(refused), Some(Errno::IO.raw_os_error()));
    for name in &names {
        assert_eq!(fs_err::read(name.join("note")).unwrap(), b"mine");
    }
    let made = fs_err::metadata(&names[0]).unwrap();
    assert_eq!(made.permissions().mode() & 0o777, 0o500);
    mounted.unmount().expect(5).says(&["refused"]);
}

pub(crate) fn archives_of_every_version_are_shown() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    for archive in ["v1.tar.gz", "v2.tar.gz", "v2.tar.zst"] {
        let machine = Machine::new();
        fs_err::create_dir(machine.path("pool")).unwrap();
        fs_err::copy(frozen.join("tool-1.0.tar.gz"), machine.path("pool/any name")).unwrap();
        let archive = frozen.join(archive);
        let archive = archive.to_str().unwrap();
        let pool = ["--offline", "--pool", "pool"];
        machine.hashget(&[&pool[..], &["unpack", archive, "-C", "back"]].concat()).expect(0);
        let mounted = Mounted::new(&machine, &[&pool[..], &[archive]].concat());
        let mut expected = snapshot(&machine.path("back"));
        let mut found = snapshot(&mounted.at);
        if archive.ends_with("v1.tar.gz") {
            // It does not have the folder that was packed, nor those that packages give.
            for tree in [&mut expected, &mut found] {
                for node in tree.values_mut().filter(|node| node.kind == 'd') {
                    (node.mode, node.mtime, node.uid, node.gid) = (0, (0, 0), 0, 0);
                }
            }
        }
        let differences = differences(&expected, &found);
        assert!(differences.is_empty(), "{archive}:\n{}", differences.join("\n"));
        mounted.unmount().expect(0);
    }
}

pub(crate) fn other_users_are_let_in_with_the_rights_of_the_archive() {
    let machine = machine(&Origin::start());
    // Others may come to the folder where it is mounted.
    for folder in ["", "mnt"] {
        fs_err::create_dir_all(machine.path(folder)).unwrap();
        trees::mode(&machine.path(folder), 0o755);
    }
    let reads = |mounted: &Mounted, name: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"]);
        command.arg(mounted.path(name)).stderr(Stdio::null());
        command.output().unwrap().status.success()
    };
    let mounted = Mounted::new(&machine, &["a.tar.zst"]);
    assert!(!reads(&mounted, "own/note"));
    mounted.unmount().expect(0);
    let mounted = Mounted::new(&machine, &["--allow-other", "a.tar.zst"]);
    assert!(reads(&mounted, "own/note") && !reads(&mounted, "own/secret"));
    assert!(fs_err::read(mounted.path("own/secret")).is_ok());
    mounted.unmount().expect(0);
}
