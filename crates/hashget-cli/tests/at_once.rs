//! Many processes at once on one HashDB, one cache and one pool, while packages come into the pool and leave
//! it, the HashDB forgets some, and the cache loses some.
//!
//! Invariant: nothing of this is an error, and every tree comes back exactly. `HASHGET_TEST_SECONDS` sets
//! how long it goes on.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(clippy::print_stderr, reason = "a test that goes on for long says what it did")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, compress};
use hashget_testkit::trees::{self, Snapshot, differences, snapshot};
use sha2::{Digest as _, Sha256};
use support::{Machine, files_below};

const PROCESSES: usize = 8;
const PACKAGES: usize = 6;
const FILES: usize = 20;

struct Scene {
    machine: Machine,
    origin: Origin,
    packages: Vec<Vec<u8>>,
    before: Snapshot,
    operations: AtomicU64,
    done: AtomicBool,
}

impl Scene {
    /// A tree with all files of all packages, and a file beside each.
    fn new() -> Self {
        let (machine, origin) = (Machine::new(), Origin::start());
        let tree = machine.path("tree");
        let package = |number: usize| {
            let mut tar = TarBuilder::new();
            for file in 0..FILES {
                let name = format!("p{number}/{file}");
                let content = format!("{number} {file}\n").repeat(200 * (file + 1));
                tar = tar.file(&name, content.as_bytes());
                trees::file(&tree, &name, &content);
                trees::file(&tree, format!("own/{number}/{file}"), &content[..300]);
            }
            let bytes = compress("gzip", &tar.finish());
            origin.serve(&format!("/p{number}.tar.gz"), bytes.clone());
            bytes
        };
        let packages = (0..PACKAGES).map(package).collect();
        fs_err::create_dir(machine.path("pool")).unwrap();
        let (operations, done) = (AtomicU64::new(0), AtomicBool::new(false));
        let before = snapshot(&tree);
        Self { machine, origin, packages, before, operations, done }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let all = [&["--pool", "pool"], arguments].concat();
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.machine.hashget(&all).expect(0).stdout
    }

    /// What one of the processes does, again and again.
    fn round(&self, process: usize, round: usize) {
        let number = (process * 5 + round) % PACKAGES;
        let url = self.origin.url(&format!("/p{number}.tar.gz"));
        self.run(&["index", &url]);
        match process {
            0 => drop(self.run(&["db", "list"])),
            1 => drop(self.run(&["db", "remove", "--package", &url])),
            2 => {
                let hex = hex(&Sha256::digest(&self.packages[number]));
                let path = format!("cache/sha256/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
                drop(fs_err::remove_file(self.machine.path(&path)));
            }
            _ => {}
        }
        let archive = format!("{process}.tar.gz");
        let target = format!("restored-{process}");
        self.run(&["pack", "tree", "-f", &archive, "--detect", "none"]);
        if process.is_multiple_of(2) {
            self.run(&["unpack", &archive, "-C", &target]);
        } else {
            let folder = self.machine.path(&target);
            fs_err::create_dir(&folder).unwrap();
            let mut untar = std::process::Command::new("tar");
            untar.arg("-C").arg(folder).arg("-xf").arg(self.machine.path(&archive));
            assert!(untar.status().unwrap().success());
            self.run(&["restore", &target]);
        }
        let found = snapshot(&self.machine.path(&target));
        let differences = differences(&self.before, &found);
        assert!(differences.is_empty(), "{target}: {differences:?}");
        fs_err::remove_dir_all(self.machine.path(&target)).unwrap();
    }

    /// Packages come into the pool by a rename, under any name, and leave it again.
    fn fill_the_pool(&self) {
        let pool = self.machine.path("pool");
        for number in (0..PACKAGES).cycle() {
            if self.done.load(Ordering::SeqCst) {
                return;
            }
            let (half, name) = (pool.join("half"), pool.join(format!("any name {number}")));
            let bytes = &self.packages[number];
            fs_err::write(&half, &bytes[..bytes.len() / 2]).unwrap();
            fs_err::write(&half, bytes).unwrap();
            fs_err::rename(&half, &name).unwrap();
            let old = pool.join(format!("any name {}", (number + 3) % PACKAGES));
            drop(fs_err::remove_file(old));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn eight_at_once_on_one_hashdb_one_cache_and_one_pool_do_not_disturb_each_other() {
    let seconds: u64 =
        std::env::var("HASHGET_TEST_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
    let (scene, start) = (Scene::new(), Instant::now());
    std::thread::scope(|scope| {
        let filler = scope.spawn(|| scene.fill_the_pool());
        let work = |process| {
            let scene = &scene;
            move || {
                for round in 0.. {
                    if round >= 2 && start.elapsed() >= Duration::from_secs(seconds) {
                        return;
                    }
                    scene.round(process, round);
                }
            }
        };
        let workers: Vec<_> = (0..PROCESSES).map(|process| scope.spawn(work(process))).collect();
        let ended: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        scene.done.store(true, Ordering::SeqCst);
        filler.join().unwrap();
        assert!(ended.iter().all(Result::is_ok));
    });
    let mut litter = files_below(&scene.machine.path("."));
    litter.retain(|name| name.contains(".part") || name.contains("/copy-"));
    assert!(litter.is_empty(), "{litter:?}");
    // What was forgotten can be learned again, and then all is known, once.
    for number in 0..PACKAGES {
        scene.run(&["index", &scene.origin.url(&format!("/p{number}.tar.gz"))]);
    }
    let known = scene.run(&["db", "list", "--json"]);
    let last: serde_json::Value = serde_json::from_str(known.lines().last().unwrap()).unwrap();
    assert_eq!(last["packages"], PACKAGES);
    eprintln!("{} operations in {:?}", scene.operations.into_inner(), start.elapsed());
}
