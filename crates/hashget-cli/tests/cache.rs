//! `cache`: how much is kept, what is deleted and in which order, and that nothing is deleted while somebody needs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use rustix::process::Signal;
use support::{Ended, Machine, files_below, signal, wait_until};

const SIZE: u64 = 20 * 1024;

/// The bytes of a package. All have the same size.
fn package(number: usize) -> Vec<u8> {
    let content = vec![u8::try_from(number).unwrap(); 16 * 1024];
    let mut tar = TarBuilder::new().file("file", &content).finish();
    tar.resize(usize::try_from(SIZE).unwrap(), 0);
    tar
}

/// A machine whose cache has packages that were last used 0, 10, 20, ... days ago.
fn machine(origin: &Origin, count: usize) -> Machine {
    let machine = Machine::new();
    for number in 0..count {
        let path = format!("/p{number}.tar");
        origin.serve(&path, package(number));
        machine.hashget(&["index", &origin.url(&path)]).expect(0);
    }
    for number in 0..count {
        let days = u64::try_from(number).unwrap() * 10;
        set_age(&machine, number, Duration::from_secs(days * 24 * 60 * 60));
    }
    machine
}

/// Where the cache keeps a package.
fn place(machine: &Machine, number: usize) -> std::path::PathBuf {
    let hex = hashget::model::Digest::of(&package(number)).to_string();
    machine.path(&format!("cache/sha256/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]))
}

fn set_age(machine: &Machine, number: usize, age: Duration) {
    let file = fs_err::OpenOptions::new().write(true).open(place(machine, number)).unwrap();
    file.file().set_modified(SystemTime::now() - age).unwrap();
}

/// The packages that are kept.
fn kept(machine: &Machine, count: usize) -> Vec<usize> {
    (0..count).filter(|number| place(machine, *number).exists()).collect()
}

#[test]
fn status_says_how_much_is_kept() {
    let origin = Origin::start();
    let machine = machine(&origin, 3);
    let status = machine.hashget(&["cache", "status", "--json"]).expect(0).last_record();
    assert_eq!((status["packages"].as_u64(), status["bytes"].as_u64()), (Some(3), Some(3 * SIZE)));
    assert_eq!(status["limit"], 10_u64 << 30);
    let said = machine.hashget(&["cache", "status"]).expect(0);
    assert!(said.stderr.contains("3, 60 KiB") || said.stdout.contains("3, 60 KiB"));
    Machine::new().hashget(&["cache", "status"]).expect(0);
}

#[test]
fn what_was_not_used_for_long_is_deleted_and_the_rest_if_asked_for() {
    let origin = Origin::start();
    let machine = machine(&origin, 5);
    let clean = |options: &[&str]| {
        let arguments = [&["cache", "clean", "--json"], options].concat();
        machine.hashget(&arguments).expect(0).last_record()["removed"].as_u64().unwrap()
    };
    assert_eq!(clean(&["--older-than", "35d"]), 1);
    assert_eq!(kept(&machine, 5), [0, 1, 2, 3]);
    assert_eq!(clean(&["--older-than", "90d", "--larger-than", "60K"]), 1);
    assert_eq!(kept(&machine, 5), [0, 1, 2]);
    machine.write("cache/scan/other", "not a package");
    machine.write("cache/sha256/aa/bb/other", "not a package");
    assert_eq!(clean(&[]), 3);
    assert!(kept(&machine, 5).is_empty());
    assert!(machine.path("cache/scan/other").exists());
    assert!(machine.path("cache/sha256/aa/bb/other").exists());
    machine.hashget(&["cache", "clean", "--older-than", "soon"]).expect(2);
}

#[test]
fn a_command_that_downloads_trims_the_cache_and_keeps_what_it_used() {
    let origin = Origin::start();
    let machine = machine(&origin, 4);
    let configuration = machine.write("config.toml", "cache_limit = \"60K\"\n");
    let run = |arguments: &[&str]| {
        let mut command = machine.bare();
        command.envs(machine.variables()).env("HASHGET_CONFIG", &configuration).args(arguments);
        Ended::of(&mut command)
    };
    origin.serve("/p4.tar", package(4));
    // What was indexed already is only used: this makes the oldest the latest.
    run(&["db", "verify"]).expect(0);
    set_age(&machine, 0, Duration::from_secs(3600 * 24 * 99));
    run(&["index", &origin.url("/p4.tar")]).expect(0);
    let left = kept(&machine, 5);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&4) && !left.contains(&0), "{left:?}");
}

#[test]
fn nothing_is_deleted_while_another_command_uses_the_cache() {
    let origin = Origin::start();
    let machine = machine(&origin, 2);
    origin.always("/slow.tar", Fault::Hang);
    let child =
        machine.start(&["index", &origin.url("/p9.tar"), &origin.url("/slow.tar")], |one| {
            one.stderr(Stdio::null());
        });
    wait_until("the download has begun", || !origin.requests_of("/slow.tar").is_empty());
    machine.hashget(&["cache", "clean"]).expect(1).says(&["another hashget uses the cache"]);
    assert_eq!(kept(&machine, 2), [0, 1]);
    signal(&child, Signal::INT);
    Ended::wait(child);
    machine.hashget(&["cache", "clean"]).expect(0);
    let left = files_below(&machine.path("cache"));
    assert!(!left.iter().any(|name| name.starts_with("sha256/")), "{left:?}");
}
