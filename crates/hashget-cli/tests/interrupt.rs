//! Ctrl-C in the middle of each command: it ends cleanly, says how to go on, and goes on.
//!
//! Invariant: the signal is sent when something was seen (a request that is never answered to its end, bytes
//! that came), never after a time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Read as _;
use std::process::{Child, Stdio};

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::{TarBuilder, compress};
use hashget_testkit::trees::{self, Snapshot, differences, snapshot};
use rustix::process::Signal;
use support::{Ended, Machine, files_below, signal, wait_until};

/// A tree with a file of a package and one of its own, packed; the server falls silent in the middle of the
/// package.
struct Scene {
    machine: Machine,
    origin: Origin,
    before: Snapshot,
}

const PACKAGE: &str = "/p.tar.gz";

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

impl Scene {
    fn new() -> Self {
        let (machine, origin) = (Machine::new(), Origin::start());
        let (tree, given) = (machine.path("tree"), noise(300_000));
        trees::file(&tree, "given", &given);
        trees::file(&tree, "own", "mine");
        let tar = TarBuilder::new().file("given", &given).finish();
        origin.serve(PACKAGE, compress("gzip", &tar));
        let scene = Self { before: snapshot(&tree), machine, origin };
        scene.machine.hashget(&["index", &scene.url()]).expect(0);
        let pack = ["pack", "tree", "-f", "backup.tar", "--detect", "none"];
        scene.machine.hashget(&pack).expect(0).says(&["1 package"]);
        scene
    }

    fn url(&self) -> String {
        self.origin.url(PACKAGE)
    }

    /// Nothing that was downloaded is there any more, and the server falls silent.
    fn silence(&self) {
        fs_err::remove_dir_all(self.machine.path("cache")).unwrap();
        self.origin.always(PACKAGE, Fault::Stall(1000));
    }

    /// Starts a command, and interrupts it once it has asked for the package.
    fn interrupt(&self, arguments: &[&str]) -> Ended {
        let before = self.origin.requests_of(PACKAGE).len();
        let child = self.machine.start(arguments, |_| ());
        wait_until("the request", || self.origin.requests_of(PACKAGE).len() > before);
        signal(&child, Signal::INT);
        Ended::wait(child)
    }

    /// Files outside the cache whose names say that they are not complete.
    fn litter(&self) -> Vec<String> {
        let mut files = files_below(&self.machine.path("."));
        files.retain(|name| name.contains(".part") && !name.starts_with("cache/"));
        files
    }
}

/// Interrupts a command of the scene, and runs it again when the server has healed.
#[track_caller]
fn stops_and_goes_on(scene: &Scene, arguments: &[&str], hint: &str) {
    scene.silence();
    let files = |name: &str| !name.starts_with("cache/") && !name.starts_with("db/");
    let before = files_below(&scene.machine.path("."));
    let ended = scene.interrupt(arguments).expect(130).says(&["stopped: ", "interrupted"]);
    let ended = ended.says(&["hint: ", hint]);
    assert_eq!(ended.stdout, "");
    assert_eq!(scene.litter(), [""; 0]);
    let mut new = files_below(&scene.machine.path("."));
    new.retain(|name| files(name) && !before.contains(name));
    let of_archive = ["restored/.hashget-restore.json", "restored/own"];
    assert!(new.iter().all(|name| of_archive.contains(&&**name)), "{new:?}");
    scene.origin.heal(PACKAGE);
    scene.machine.hashget(arguments).expect(0);
    assert_eq!(scene.litter(), [""; 0]);
}

#[test]
fn unpack_and_restore_go_on() {
    let scene = Scene::new();
    let unpack = ["unpack", "backup.tar", "-C", "restored"];
    stops_and_goes_on(
        &scene,
        &unpack,
        "files that are in place in restored and the downloads are kept",
    );
    let same = |what: &str| {
        let differences = differences(&scene.before, &snapshot(&scene.machine.path("restored")));
        assert!(differences.is_empty(), "{what}: {differences:?}");
    };
    same("unpack");
    fs_err::remove_dir_all(scene.machine.path("restored")).unwrap();
    scene.silence();
    scene.interrupt(&unpack).expect(130);
    let restore = ["restore", "restored"];
    stops_and_goes_on(&scene, &restore, "the manifest and the downloads are kept");
    same("restore");
}

#[test]
fn pool_add_goes_on() {
    let add = ["pool", "add", "--pool", "pool", "backup.tar"];
    stops_and_goes_on(&Scene::new(), &add, "the same command adds the others");
}

#[test]
fn get_goes_on() {
    let scene = Scene::new();
    fs_err::create_dir(scene.machine.path("out")).unwrap();
    let records = scene.machine.hashget(&["db", "show", "--json", "--package", "all"]).expect(0);
    let records = records.records();
    let member = records.iter().find(|record| record["path"] == "given").unwrap();
    let what = format!("sha256:{}", member["sha256"].as_str().unwrap());
    stops_and_goes_on(&scene, &["get", &what, "-o", "out"], "nothing is in out yet");
    assert_eq!(files_below(&scene.machine.path("out")), ["given"]);
}

#[test]
fn verify_goes_on() {
    let scene = Scene::new();
    let verify = ["verify", "--deep", "backup.tar"];
    stops_and_goes_on(&scene, &verify, "the answers so far are recorded");
}

#[test]
fn index_goes_on_with_what_came() {
    let scene = Scene::new();
    fs_err::remove_dir_all(scene.machine.path("db")).unwrap();
    let url = scene.url();
    scene.silence();
    let child = scene.machine.start(&["index", &url], |_| ());
    let cache = scene.machine.path("cache");
    let has_come = |name: &String| {
        name.ends_with(".part")
            && fs_err::metadata(cache.join(name)).is_ok_and(|found| found.len() > 0)
    };
    wait_until("the bytes", || cache.exists() && files_below(&cache).iter().any(has_come));
    signal(&child, Signal::INT);
    Ended::wait(child).expect(130).says(&["stopped: ", "downloads are kept"]);
    scene.origin.heal(PACKAGE);
    scene.machine.hashget(&["index", &url]).expect(0);
    let asked = scene.origin.requests_of(PACKAGE).pop().unwrap();
    assert!(asked.range.is_some_and(|range| range != "bytes=0-"), "it began anew");
}

#[test]
fn pack_goes_on_where_it_was_indexing() {
    let scene = Scene::new();
    fs_err::remove_dir_all(scene.machine.path("db")).unwrap();
    fs_err::remove_file(scene.machine.path("backup.tar")).unwrap();
    let rule = format!("[[rule]]\nname = 'own'\npath = '**/own'\nurl = '{}'\n", scene.url());
    scene.machine.write("rules.toml", rule);
    let pack = ["--config", "rules.toml", "pack", "tree", "-f", "backup.tar"];
    scene.silence();
    scene.interrupt(&pack).expect(130).says(&["hint: no archive was written; packages"]);
    assert!(!scene.machine.path("backup.tar").exists());
    assert_eq!(scene.litter(), [""; 0]);
    scene.origin.heal(PACKAGE);
    scene.machine.hashget(&pack).expect(0).says(&["Left out    1 file"]);
}

/// A pack to a pipe from which little was read: it is in the middle of one large file.
fn packing(machine: &Machine) -> Child {
    trees::file(&machine.path("tree"), "large", noise(20 << 20));
    let pack =
        ["pack", "tree", "-f", "-", "--format", "tar", "--detect", "none", "--no-scan-cache"];
    let mut child = machine.start(&pack, |_| ());
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 1000]).unwrap();
    child
}

#[test]
fn pack_stops_in_the_middle_of_a_file() {
    let machine = Machine::new();
    let child = packing(&machine);
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(output.stdout.len() < 20 << 20, "it went on to the end");
    assert!(told.contains("the archive on standard output is incomplete"), "{told}");
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let machine = Machine::new();
    trees::file(&machine.path("tree"), "large", noise(20 << 20));
    let program = env!("CARGO_BIN_EXE_hashget");
    let script = format!(
        "trap '' HUP; exec {program} pack tree -f - --format tar --detect none --db db --config /dev/null"
    );
    let mut command = std::process::Command::new("sh");
    command.current_dir(machine.path("")).args(["-c", &script]).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 1000]).unwrap();
    signal(&child, Signal::HUP);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.len() > 20 << 20);
}

/// The bit of SIGINT is set in a line of a process's status.
fn has_interrupt(child: &Child, line: &str) -> bool {
    let status = fs_err::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let mask = status.lines().find_map(|one| one.strip_prefix(line)).unwrap().trim();
    let bit = 1_u64 << (libc_number(Signal::INT) - 1);
    u64::from_str_radix(mask, 16).unwrap() & bit != 0
}

fn libc_number(signal: Signal) -> u32 {
    u32::try_from(signal.as_raw()).unwrap()
}

#[test]
fn the_second_interrupt_ends_at_once() {
    let machine = Machine::new();
    // It waits for an archive that never comes.
    let child = machine.start(&["unpack", "-", "-C", "restored"], |command| {
        command.stdin(Stdio::piped());
    });
    wait_until("the handler", || has_interrupt(&child, "SigCgt:"));
    signal(&child, Signal::INT);
    wait_until("the first one's arrival", || !has_interrupt(&child, "ShdPnd:"));
    let mut child = child;
    assert!(child.try_wait().unwrap().is_none(), "it waits for its archive");
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
