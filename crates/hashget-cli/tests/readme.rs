//! The commands of the README's "One minute", run as they are printed.
//!
//! Invariant: the home folder is the test's own, with what `cargo install` leaves there; no network is used.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::Path;
use std::process::Command;

use hashget_testkit::packages::{TarBuilder, compress};
use hashget_testkit::trees::{self, differences, snapshot};
use sha2::{Digest as _, Sha256};
use support::{Ended, Machine};

const REGISTRY: &str = "registry.example-0123456789abcdef";

/// The lines of the section that run hashget.
fn commands() -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs_err::read_to_string(readme).unwrap();
    let section = readme.split("\n## ").find(|part| part.starts_with("One minute\n")).unwrap();
    let printed = section.lines().filter_map(|line| line.strip_prefix("    "));
    printed.filter(|line| line.starts_with("hashget ")).map(str::to_owned).collect()
}

/// Cargo's folder of registries, as building a program leaves it.
fn registry(home: &Path, crates: &[&str]) {
    let config = br#"{"dl": "https://crates.example/api/v1/crates"}"#;
    let registry = home.join(".cargo/registry");
    trees::file(&registry, format!("index/{REGISTRY}/config.json"), config);
    for name in crates {
        let files = [("Cargo.toml", format!("[package]\nname = \"{name}\"\n").repeat(30))];
        let sources = (0..20).map(|number| format!("src/{number}.rs"));
        let sources =
            sources.map(|path| (path.clone(), format!("// {path} of {name}\n").repeat(99)));
        let mut packed = TarBuilder::new();
        for (path, content) in
            files.map(|(path, text)| (path.to_owned(), text)).into_iter().chain(sources)
        {
            trees::file(&registry, format!("src/{REGISTRY}/{name}-1.0.0/{path}"), &content);
            packed = packed.file(&format!("{name}-1.0.0/{path}"), content.as_bytes());
        }
        trees::file(&registry, format!("src/{REGISTRY}/{name}-1.0.0/.cargo-ok"), "{\"v\":1}");
        let packed = compress("gzip", &packed.finish());
        let sha256: String =
            Sha256::digest(&packed).iter().map(|byte| format!("{byte:02x}")).collect();
        trees::file(&registry, format!("cache/{REGISTRY}/{name}-1.0.0.crate"), packed);
        let entry = format!(
            "\u{3}\u{2}\0\0\0etag: \"x\"\0\
             1.0.0\0{{\"name\":\"{name}\",\"vers\":\"1.0.0\",\"cksum\":\"{sha256}\"}}\0"
        );
        let folder = format!("{}/{}", &name[..2], &name[2..4]);
        trees::file(&registry, format!("index/{REGISTRY}/.cache/{folder}/{name}"), entry);
    }
}

#[test]
fn the_commands_of_one_minute_run_as_printed() {
    let machine = Machine::new();
    registry(&machine.path("home"), &["sample", "other"]);
    let commands = commands();
    assert_eq!(commands.len(), 3, "{commands:?}");
    let program = Path::new(env!("CARGO_BIN_EXE_hashget"));
    for command in &commands {
        let mut shell = Command::new("bash");
        shell.args(["-c", command]).current_dir(machine.path("")).env_clear();
        shell.env("PATH", format!("{}:/usr/bin:/bin", program.parent().unwrap().display()));
        shell.env("HOME", machine.path("home"));
        // As root, hashget would use the HashDB of this machine.
        shell.envs(machine.variables());
        let ended = Ended::of(&mut assert_cmd::Command::from_std(shell)).expect(0);
        if command.starts_with("hashget pack") {
            println!("{}", ended.stderr);
        }
    }
    let sources = machine.path("home/.cargo/registry/src");
    let differences = differences(&snapshot(&sources), &snapshot(&machine.path("restored")));
    assert!(differences.is_empty(), "{differences:?}");
}
