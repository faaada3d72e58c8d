//! What a person reads: for each command some whole outputs, as snapshots in `tests/snapshots/screens__*.snap`.
//!
//! After a change of messages: `INSTA_UPDATE=always cargo nextest run -p hashget-cli --test screens`, and read
//! the difference.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "support/transcript.rs"]
mod transcript;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::Machine;
use transcript::{Transcript, set_times};

const TOOL: &str = "https://tools.example/file/0a1b2c3d";

fn tool() -> Vec<u8> {
    let text = "a file of the package\n".repeat(9000);
    let other = "another file\n".repeat(500);
    TarBuilder::new()
        .directory("tool")
        .file("tool/text", text.as_bytes())
        .file("tool/other", other.as_bytes())
        .finish()
}

/// A machine with the package `tool.tar` and a folder `tree` that has its files and others.
fn bare_machine() -> Machine {
    let machine = Machine::new();
    machine.write("tool.tar", tool());
    machine.write("tree/tool/text", "a file of the package\n".repeat(9000));
    machine.write("tree/tool/other", "another file\n".repeat(500));
    machine.write("tree/own/diary", "my own words\n".repeat(3000));
    machine.write("tree/own/LICENSE", "mine\n");
    fs_err::create_dir(machine.path("empty")).unwrap();
    fs_err::create_dir(machine.path("got")).unwrap();
    for name in ["tree", "empty", "tool.tar"] {
        set_times(&machine, name);
    }
    machine
}

/// The same, whose HashDB knows the package.
fn machine() -> Machine {
    let machine = bare_machine();
    let words = ["index", "--signature", "deb:tool_1.0_amd64", "--file", "tool.tar", TOOL];
    machine.hashget(&words).expect(0);
    machine
}

/// The same, with an archive `a.tar` of the folder.
fn machine_with_archive() -> Machine {
    let machine = machine();
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    machine
}

/// A machine with an archive `a.tar` whose package lies at a server.
fn machine_with_server(origin: &Origin) -> Machine {
    let machine = bare_machine();
    origin.serve("/tool.tar", tool());
    let words = ["index", "--signature", "deb:tool_1.0_amd64", &origin.url("/tool.tar")];
    machine.hashget(&words).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    machine
}

#[test]
fn usage() {
    let machine = bare_machine();
    Transcript::new(&machine)
        .run("frobnicate")
        .run("pack")
        .run("help nonsense")
        .run("info a.tar --config nowhere.toml")
        .run("info nowhere.tar")
        .assert("usage");
}

#[test]
fn index() {
    let (machine, origin) = (bare_machine(), Origin::start());
    origin.serve("/tool.tar", tool());
    let (there, gone) = (origin.url("/tool.tar"), origin.url("/gone.tar"));
    machine
        .write("tree/tool/hashget-hint.json", format!("{{\"project\":\"x\",\"url\":\"{there}\"}}"));
    Transcript::new(&machine)
        .run(&format!("index --signature deb:tool_1.0_amd64 {there}"))
        .run(&format!("index {there}"))
        .run(&format!("index --jobs 1 {there} {gone}"))
        .run(&format!("index {gone}"))
        .run("index --tree empty")
        .run("index --tree tree")
        .run(&format!("index --file tool.tar {there} {gone}"))
        .run(&format!("index --json {there}"))
        .assert("index");
}

#[test]
fn pack() {
    let (machine, origin) = (machine(), Origin::start());
    origin.always("/refused.tar", Fault::Status(403));
    origin.always("/broken.tar", Fault::Status(501));
    let hint = |name: &str| format!("{{\"project\":\"x\",\"url\":\"{}\"}}", origin.url(name));
    machine.write("hints/refused/hashget-hint.json", hint("/refused.tar"));
    machine.write("hints/broken/hashget-hint.json", hint("/broken.tar"));
    machine.write("hints/gone/hashget-hint.json", hint("/gone.tar"));
    set_times(&machine, "hints");
    Transcript::new(&machine)
        .run("pack tree -f a.tar.zst")
        .run("pack tree -n -v")
        .run("pack empty -f empty.tar")
        .run("pack hints -f hints.tar --jobs 1")
        .run("pack tree -f a.zip")
        .run("pack nowhere -f b.tar")
        .run("pack tree -f a.tar --json")
        .assert("pack");
}

#[test]
fn unpack() {
    let origin = Origin::start();
    let machine = machine_with_server(&origin);
    let mut transcript = Transcript::new(&machine);
    transcript
        .run("unpack a.tar -C back")
        .run("unpack tool.tar -C other")
        .run("unpack tree -C other");
    origin.always("/tool.tar", Fault::Status(404));
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    transcript.run("unpack a.tar -C gone");
    origin.heal("/tool.tar");
    transcript.run("unpack a.tar -C json --json").assert("unpack");
}

#[test]
fn restore() {
    let origin = Origin::start();
    let machine = machine_with_server(&origin);
    for folder in ["back", "json"] {
        fs_err::create_dir(machine.path(folder)).unwrap();
        let archive = fs_err::File::open(machine.path("a.tar")).unwrap();
        tar::Archive::new(archive).unpack(machine.path(folder)).unwrap();
    }
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    origin.always("/tool.tar", Fault::Status(404));
    let mut transcript = Transcript::new(&machine);
    transcript.run("restore back").run("restore --offline back");
    origin.heal("/tool.tar");
    transcript
        .run("restore back")
        .run("restore back")
        .run("restore a.tar")
        .run("restore json --json");
    transcript.assert("restore");
}

#[test]
fn in_place() {
    let origin = Origin::start();
    let machine = machine_with_server(&origin);
    let mut transcript = Transcript::new(&machine);
    transcript
        .run("unpack a.tar -C back -n")
        .run("unpack a.tar -C back")
        .run("unpack a.tar -C back -n");
    machine.write("back/tool/text", "mine");
    machine.write("back/tool/stray/file", "mine");
    transcript
        .run("unpack a.tar -C back --overwrite never --dry-run")
        .run("unpack a.tar -C back --overwrite never")
        .run("unpack a.tar -C back --overwrite changed --delete -n --json")
        .run("unpack a.tar -C back --overwrite changed --delete")
        .run("unpack a.tar -C back --delete --json")
        .run("unpack a.tar -C back --overwrite sometimes")
        .run("unpack a.tar -C back --delete --strip-components 1")
        .run("verify --deep --sample 5% --json a.tar")
        .assert("in-place");
}

#[test]
fn prepare() {
    let machine = machine();
    Transcript::new(&machine)
        .run("prepare tree -X list --for tar")
        .run("prepare empty -X empty.list --for restic")
        .run("prepare tree -X tree/list --for rsync")
        .run("prepare nowhere -X list --for borg")
        .run("prepare tree -X list --for borg --json")
        .assert("prepare");
}

#[test]
fn get() {
    let origin = Origin::start();
    let machine = machine_with_server(&origin);
    Transcript::new(&machine)
        .run("get deb:tool_1.0_amd64 -o got")
        .run("get deb:tool_1.0_amd64 -o got")
        .run("get deb:other_1.0_amd64 -o got")
        .run("get deb:tool_1.0_amd64 -o nowhere")
        .run("get nonsense -o got")
        .run("get sha256:f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b -o got")
        .run("get deb:tool_1.0_amd64 -o empty --json")
        .assert("get");
}

#[test]
fn info() {
    let machine = machine_with_archive();
    machine.hashget(&["pack", "empty", "-f", "empty.tar"]).expect(0);
    Transcript::new(&machine)
        .run("info a.tar")
        .run("info -v a.tar")
        .run("info --list a.tar")
        .run("info empty.tar")
        .run("info tool.tar")
        .run("info empty")
        .run("info --json a.tar")
        .assert("info");
}

#[test]
fn list() {
    let machine = machine_with_archive();
    let mut transcript = Transcript::new(&machine);
    transcript
        .run("list a.tar")
        .run("list -l a.tar")
        .run("list a.tar ./tool own/L* nothing")
        .run("list a.tar a[")
        .run("list tool.tar")
        .run("list nowhere.tar")
        .run("list --json a.tar");
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    fs_err::remove_dir_all(machine.path("cache")).unwrap_or_default();
    transcript.run("list a.tar").run("list a.tar ./own").run("list --json a.tar tool");
    transcript.run("list --offline --fetch a.tar").assert("list");
}

#[test]
fn parts() {
    let origin = Origin::start();
    let machine = machine_with_server(&origin);
    Transcript::new(&machine)
        .run("unpack a.tar -C one own/diary")
        .run("unpack a.tar -C two tool nothing")
        .run("unpack a.tar -C three --strip-components 1 --exclude tool")
        .run("unpack a.tar")
        .run("unpack a.tar --to-stdout --json")
        .run("unpack a.tar --to-stdout LICENSE")
        .run("cat a.tar own/LICENSE")
        .run("cat a.tar nothing")
        .run("cat a.tar own")
        .run("unpack a.tar -C four --json own/LICENSE")
        .assert("parts");
}

#[test]
fn compare() {
    let machine = machine_with_archive();
    fs_err::write(machine.path("tree/own/diary"), "other words\n").unwrap();
    fs_err::write(machine.path("tree/own/new"), "new\n").unwrap();
    fs_err::remove_file(machine.path("tree/own/LICENSE")).unwrap();
    set_times(&machine, "tree");
    machine.hashget(&["pack", "tree", "-f", "b.tar"]).expect(0);
    Transcript::new(&machine)
        .run("diff a.tar b.tar")
        .run("diff a.tar a.tar")
        .run("diff --json a.tar tree")
        .run("diff a.tar nowhere")
        .run("find a.tar b.tar ./own/*")
        .run("find a.tar b.tar sha256:0a1b")
        .run("find --json a.tar nothing")
        .run("verify --against tree a.tar")
        .run("verify --against tree b.tar")
        .run("verify --json --against tree b.tar")
        .run("verify --against nowhere b.tar")
        .assert("compare");
}

#[test]
fn explain() {
    let machine = machine_with_archive();
    Transcript::new(&machine)
        .run("explain tree/tool/text tree/own/diary")
        .run("explain empty")
        .run("explain nowhere")
        .run("explain --archive a.tar tool/text own/diary nowhere")
        .run("explain --evidence hearsay tree/tool/text")
        .run("explain --json tree/tool/text tree/own/diary")
        .assert("explain");
}

#[test]
fn report() {
    let machine = machine_with_archive();
    let mut transcript = Transcript::new(&machine);
    transcript
        .run("report a.tar -o a.html")
        .run("report tree -o tree.html")
        .run("report empty -o empty.html")
        .run("report a.tar -o nowhere/a.html")
        .run("report a.tar -o - --json")
        .run("report a.tar -o a.html --json");
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    transcript.run("report a.tar -o a.html").assert("report");
}

#[test]
fn verify() {
    let origin = Origin::start();
    let machine = machine_with_server(&origin);
    machine.hashget(&["pack", "empty", "-f", "empty.tar"]).expect(0);
    let mut transcript = Transcript::new(&machine);
    transcript.run("verify a.tar").run("verify --deep a.tar").run("verify empty.tar");
    transcript.run("verify --at-most soon a.tar").run("verify --json a.tar");
    origin.always("/tool.tar", Fault::Status(404));
    transcript.run("verify a.tar");
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    transcript.run("verify a.tar").run("verify --offline a.tar").assert("verify");
}

#[test]
fn pool() {
    let origin = Origin::start();
    let machine = machine_with_server(&origin);
    fs_err::create_dir(machine.path("pool")).unwrap();
    let mut transcript = Transcript::new(&machine);
    transcript
        .run("pool list --pool pool")
        .run("pool add --pool pool a.tar")
        .run("pool add --pool pool a.tar tool.tar")
        .run("pool list --pool pool")
        .run("pool list --pool pool --json")
        .run("pool verify --pool pool")
        .run("pool add a.tar")
        .run("pool add --pool pool nowhere.tar");
    for name in support::files_below(&machine.path("pool")) {
        fs_err::write(machine.path("pool").join(name), "otherwise").unwrap();
    }
    transcript
        .run("pool verify --pool pool")
        .run("pool remove --pool pool sig:deb:tool_1.0_amd64")
        .run("pool remove --pool pool sig:deb:tool_1.0_amd64")
        .assert("pool");
}

#[test]
fn db() {
    let machine = machine();
    Transcript::new(&machine)
        .run("db status")
        .run("db list")
        .run("db list --package sig:deb:other")
        .run("db show --package sig:deb:tool_1.0_amd64")
        .run("db set --package all project=web expires=2030-01-01")
        .run("db set --package all colour=red")
        .run("db verify")
        .run("db export -o export.jsonl")
        .run("db list --json")
        .run("db status --json")
        .run("db remove --package all")
        .run("db import export.jsonl")
        .run("db import nowhere.jsonl")
        .run("db remove")
        .run("db export --package nonsense -o -")
        .assert("db");
}

#[test]
fn man_and_completions() {
    let machine = bare_machine();
    Transcript::new(&machine)
        .run("man pages")
        .run("man tool.tar")
        .run("man pages --json")
        .run("completions tcsh")
        .run("completions")
        .assert("man-and-completions");
}

#[test]
fn backup() {
    let machine = bare_machine();
    machine.write("own-config.toml", JOB);
    fs_err::create_dir(machine.path("out")).unwrap();
    Transcript::new(&machine)
        .run("backup nobody")
        .run("backup status")
        .run("backup")
        .run("backup list")
        .run("backup status")
        .run("backup check --read")
        .run("backup prune -n")
        .run("backup restore web -C got")
        .run("backup restore web@2020 -C got")
        .run("backup check --json")
        .run("backup --enable")
        .assert("backup");
}

const JOB: &str = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\nkeep = { last = 3 }\n\
                   options = [\"--detect\", \"none\"]\n";
