//! Hosts that are gone: what many packages of theirs cost, and what is said.
//!
//! Invariant: nothing here depends on time; requests and lines are counted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget::model::Digest;
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Ended, Machine};

fn package(number: usize) -> (String, Vec<u8>) {
    let content = format!("contents of package {number} ").repeat(100);
    let tar = TarBuilder::new().file("file", content.as_bytes()).finish();
    (content, tar)
}

/// A tree with the files of so many packages, each with a hint.
fn machine(count: usize) -> Machine {
    let machine = Machine::new();
    for number in 0..count {
        let (content, tar) = package(number);
        let (sha256, size) = (Digest::of(&tar), tar.len());
        machine.write(&format!("tree/{number}/file"), content);
        let url = format!("https://packages.example/p{number}.tar");
        let hint = format!("{{\"url\":\"{url}\",\"sha256\":\"{sha256}\",\"size\":{size}}}");
        machine.write(&format!("tree/{number}/hashget-hint.json"), hint);
    }
    machine
}

/// Packs the tree, with these servers as mirrors of the packages' host.
fn pack(machine: &Machine, mirrors: &[&Origin], options: &[&str]) -> Ended {
    let places: Vec<String> = mirrors.iter().map(|origin| origin.url("/")).collect();
    let configuration = machine.write(
        "config.toml",
        format!("[[mirror]]\nprefix = \"https://packages.example/\"\nuse = {places:?}\n"),
    );
    let mut command = machine.bare();
    command.envs(machine.variables()).env("HASHGET_CONFIG", configuration);
    command.args(["pack", "tree", "-f", "a.tar", "--jobs", "2"]).args(options);
    Ended::of(&mut command)
}

/// Applies the fault to whatever the packages are asked for.
fn always(origin: &Origin, count: usize, fault: &Fault) {
    for number in 0..count {
        origin.always(&format!("/p{number}.tar"), fault.clone());
    }
}

#[test]
fn the_packages_of_hosts_that_are_gone_cost_a_few_requests_and_one_line() {
    const COUNT: usize = 200;
    for fault in [Fault::Drop, Fault::Status(429), Fault::Status(502)] {
        let (first, second) = (Origin::start(), Origin::start());
        for origin in [&first, &second] {
            always(origin, COUNT, &fault);
        }
        let ended = pack(&machine(COUNT), &[&first, &second], &[]).expect(5);
        let warnings: Vec<_> =
            ended.stderr.lines().filter(|line| line.starts_with("warning:")).collect();
        assert_eq!(warnings.len(), 1, "{fault:?}: {warnings:?}");
        assert!(warnings[0].contains("200 more packages"), "{warnings:?}");
        for origin in [&first, &second] {
            // What a busy server says to two at once counts once.
            let asked = origin.requests().len();
            assert!(asked <= 10, "{fault:?}: {asked}");
        }
    }
}

#[test]
fn a_mirror_that_is_gone_costs_a_few_requests_and_no_package() {
    const COUNT: usize = 40;
    let (gone, there) = (Origin::start(), Origin::start());
    always(&gone, COUNT, &Fault::Drop);
    for number in 0..COUNT {
        there.serve(&format!("/p{number}.tar"), package(number).1);
    }
    let machine = machine(COUNT);
    pack(&machine, &[&gone, &there], &[]).expect(0).says(&["To restore  40 packages"]);
    assert!(gone.requests().len() <= 7, "{}", gone.requests().len());
    assert_eq!(there.requests().len(), COUNT);
}

#[test]
fn a_pool_that_is_gone_costs_a_few_requests_and_no_package() {
    const COUNT: usize = 40;
    let (pool, there) = (Origin::start(), Origin::start());
    for number in 0..COUNT {
        there.serve(&format!("/p{number}.tar"), package(number).1);
        let hex = Digest::of(&package(number).1).to_string();
        let place = format!("/sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..]);
        pool.always(&place, Fault::Drop);
    }
    let machine = machine(COUNT);
    let ended = pack(&machine, &[&there], &["--pool", &pool.url("")]).expect(0);
    ended.says(&["To restore  40 packages"]);
    assert!(pool.requests().len() <= 7, "{}", pool.requests().len());
    assert_eq!(there.requests().len(), COUNT);
}
