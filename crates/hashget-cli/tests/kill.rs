//! The real program, killed (-9) at random moments and run again.
//!
//! Invariant: moments come from a seed that a failure prints. `HASHGET_TEST_KILLS` sets the number of
//! rounds.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, compress};
use hashget_testkit::trees::{self, Snapshot, differences, snapshot};
use support::{Machine, files_below};

/// Numbers that look random.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

struct Scene {
    machine: Machine,
    origin: Origin,
    before: Snapshot,
}

impl Scene {
    fn new() -> Self {
        let (machine, origin) = (Machine::new(), Origin::start());
        let tree = machine.path("tree");
        let mut seeded = Seeded(7);
        let mut tar = TarBuilder::new();
        for number in 0..150 {
            let name = format!("p/{}/{number}", number % 7);
            let content: Vec<u8> = (0..1000).flat_map(|_| seeded.next().to_le_bytes()).collect();
            tar = tar.file(&name, &content);
            trees::file(&tree, &name, &content);
            trees::file(&tree, format!("own/{number}"), &content[..content.len() / 2]);
        }
        origin.serve("/p.tar.gz", compress("gzip", &tar.finish()));
        let before = snapshot(&tree);
        Self { machine, origin, before }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_hashget"))
            .args(arguments)
            .current_dir(self.machine.path("."))
            .env_clear()
            .env("HASHGET_DB", self.machine.path("db"))
            .env("HASHGET_CACHE", self.machine.path("cache"))
            .env("HASHGET_CONFIG", "/dev/null")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Kills a command after a part of the time that it takes; false if it was done before.
    fn kill(&self, arguments: &[&str], after: Duration) -> bool {
        let mut child = self.start(arguments);
        std::thread::sleep(after);
        child.kill().unwrap();
        !child.wait().unwrap().success()
    }

    fn assert_no_litter(&self, moment: &str) {
        let files = files_below(&self.machine.path("."));
        let litter: Vec<&String> = files.iter().filter(|name| name.contains(".part")).collect();
        assert!(litter.is_empty(), "{moment}: {litter:?}");
    }

    fn forget(&self, names: &[&str]) {
        for name in names {
            let path = self.machine.path(name);
            let removed = if path.is_dir() {
                fs_err::remove_dir_all(path)
            } else {
                fs_err::remove_file(path)
            };
            drop(removed);
        }
    }
}

/// How long a command takes that is not killed.
fn duration(scene: &Scene, arguments: &[&str]) -> Duration {
    let start = Instant::now();
    scene.machine.hashget(arguments).expect(0);
    start.elapsed()
}

fn assert_restored(scene: &Scene, folder: &Path, moment: &str) {
    let differences = differences(&scene.before, &snapshot(folder));
    assert!(differences.is_empty(), "{moment}: {differences:?}");
}

#[test]
fn a_killed_command_run_again_ends_right_and_leaves_no_litter() {
    let rounds: u64 =
        std::env::var("HASHGET_TEST_KILLS").map_or(8, |rounds| rounds.parse().unwrap());
    let scene = Scene::new();
    let url = scene.origin.url("/p.tar.gz");
    let index = ["index", &url];
    let pack = ["pack", "tree", "-f", "backup.tar.zst", "--detect", "none"];
    let unpack = ["unpack", "backup.tar.zst", "-C", "restored"];
    let again: [(&[&str], &[&str]); 3] =
        [(&index, &["db", "cache"]), (&pack, &["backup.tar.zst"]), (&unpack, &["restored"])];
    let times = again.map(|(command, _)| duration(&scene, command));
    let mut seeded = Seeded(0x5eed);
    let mut killed = 0;
    for round in 0..rounds {
        for ((command, results), time) in again.iter().zip(times) {
            let part = u32::try_from(seeded.next() % 1000).unwrap();
            let moment = format!("round {round}: {} after {part}/1000 of {time:?}", command[0]);
            scene.forget(results);
            let was_killed = scene.kill(command, time * part / 1000);
            killed += u32::from(was_killed);
            if command[0] == "pack" && was_killed && scene.machine.path("backup.tar.zst").exists() {
                // It has its name: it is whole.
                scene.machine.hashget(&unpack).expect(0);
            }
            scene.machine.hashget(command).expect(0);
            scene.assert_no_litter(&moment);
            let restored = scene.machine.path("restored");
            if command[0] == "unpack" {
                assert_restored(&scene, &restored, &moment);
            }
        }
    }
    assert!(killed > 0, "nothing was killed");
    eprintln!("{killed} of {} were killed", rounds * 3);
}

#[test]
fn an_unfinished_archive_of_a_process_that_is_no_more_goes_with_the_next() {
    let scene = Scene::new();
    // No process has this number: it is more than there can be.
    scene.machine.write(".backup.tar.999999999.part", "left over");
    scene.machine.write(".backup.tar.x.part", "the user's own");
    scene.machine.hashget(&["pack", "tree", "-f", "backup.tar", "--detect", "none"]).expect(0);
    assert!(!scene.machine.path(".backup.tar.999999999.part").exists());
    assert!(scene.machine.path(".backup.tar.x.part").exists());
}

/// An archive and its parity, as they were or as they are to be.
type Written = (Vec<u8>, Option<Vec<u8>>);

const ARCHIVE: &str = "backup.tar.zst";
const PARITY: &str = "backup.tar.zst.par2";

fn written(machine: &Machine) -> Written {
    let parity = machine.path(PARITY);
    let parity = parity.exists().then(|| fs_err::read(parity).unwrap());
    (fs_err::read(machine.path(ARCHIVE)).unwrap(), parity)
}

fn write(machine: &Machine, (archive, parity): &Written) {
    machine.write(ARCHIVE, archive);
    machine.write(PARITY, parity.as_ref().unwrap());
}

#[test]
fn a_killed_run_leaves_the_old_archive_or_the_new_one_and_no_other_parity() {
    let rounds: u64 =
        std::env::var("HASHGET_TEST_KILLS").map_or(6, |rounds| rounds.parse().unwrap());
    let scene = Scene::new();
    let machine = &scene.machine;
    let pack = ["pack", "tree", "-f", ARCHIVE, "--detect", "none"];
    let with = |more: &[&'static str]| [&pack[..], more].concat();
    let with_parity = with(&["--parity", "10%"]);
    machine.hashget(&with_parity).expect(0);
    let old = written(machine);
    machine.write("earlier.tar.zst", &old.0);
    trees::file(&machine.path("tree"), "own/7", "changed since");
    machine.hashget(&with_parity).expect(0);
    let new = written(machine);
    assert!(old.0 != new.0 && old.1 != new.1);
    let mut damaged = new.clone();
    damaged.0[70_000..90_000].fill(0);
    let commands = [
        (with(&["--no-reuse"]), &old, (new.0.clone(), None)),
        (with(&["--reuse", "earlier.tar.zst"]), &old, (new.0.clone(), None)),
        (with_parity, &old, new.clone()),
        (vec!["repair", ARCHIVE], &damaged, new.clone()),
    ];
    let mut seeded = Seeded(0x51ab);
    let mut killed = 0;
    for (command, before, after) in &commands {
        write(machine, before);
        let time = duration(&scene, command);
        for round in 0..rounds {
            let part = u32::try_from(seeded.next() % 1000).unwrap();
            let moment = format!("round {round}: {command:?} after {part}/1000 of {time:?}");
            scene.forget(&["backup.tar.zst.damaged"]);
            write(machine, before);
            killed += u32::from(scene.kill(command, time * part / 1000));
            let (archive, parity) = written(machine);
            assert!(archive == before.0 || archive == after.0, "{moment}: another archive");
            let of_it = if archive == before.0 { &before.1 } else { &after.1 };
            assert!(parity.is_none() || parity == *of_it, "{moment}: the parity of another one");
            machine.hashget(command).expect(0);
            assert!(written(machine) == *after, "{moment}: not what is to be written");
            scene.assert_no_litter(&moment);
        }
    }
    assert!(killed > 0, "nothing was killed");
}
