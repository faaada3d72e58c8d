//! The blocks of `docs/first-hour.md`, run as they are printed, in one folder and in their order.
//!
//! Invariant: the page's site and its package are made here, and a mirror on loopback stands for its host; no other network
//! is used. What the page shows of the output must be in the real one, but for numbers.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::Path;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, compress};
use hashget_testkit::trees;
use regex::Regex;
use support::{Ended, Machine};

const PACKAGE: &str = "/site-1.0.tar.gz";

/// The commands of the page's blocks, each with the lines that the page shows after it.
fn steps() -> Vec<(String, Vec<String>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/first-hour.md");
    let page = fs_err::read_to_string(page).unwrap();
    let mut steps = Vec::new();
    for block in page.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => steps.push((command.to_owned(), Vec::new())),
                None => steps.last_mut().unwrap().1.push(line.to_owned()),
            }
        }
    }
    steps
}

/// The site of the page: what its package has, a password of its own, and an upload.
fn site(machine: &Machine) -> Vec<u8> {
    let module = |number: u32| {
        let line = format!("function step{number}($value) {{ return $value + {number}; }}\n");
        (format!("lib/module{number:03}.php"), format!("<?php\n{}", line.repeat(60)))
    };
    let style = |number: u32| {
        let line = format!(".page{number} {{ margin: {number}px; }}\n");
        (format!("theme/page{number:02}.css"), line.repeat(80))
    };
    let index = ("index.php".to_owned(), "<?php require 'lib/module001.php';\n".repeat(40));
    let config = ("config.php".to_owned(), "<?php\n$password = '';\n".to_owned());
    let files = (1..=120).map(module).chain((1..=30).map(style)).chain([index, config]);
    let tree = machine.path("site");
    let mut package = TarBuilder::new();
    for (path, content) in files {
        package = package.file(&format!("site-1.0/{path}"), content.as_bytes());
        trees::file(&tree, path, content);
    }
    trees::file(&tree, "config.php", "<?php\n$password = 'secret';\n");
    let noise = (0..200_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    trees::file(&tree, "uploads/photo.jpg", noise.collect::<Vec<u8>>());
    compress("gzip", &package.finish())
}

#[test]
fn the_blocks_of_the_first_hour_run_as_printed() {
    let (machine, origin) = (Machine::new(), Origin::start());
    origin.serve(PACKAGE, site(&machine));
    // The job is written into the same file.
    let mirror = format!(
        "[[mirror]]\nprefix = \"https://downloads.example/\"\nuse = [\"{}\"]\n",
        origin.url("/")
    );
    machine.write("own-config.toml", mirror);
    let program = Path::new(env!("CARGO_BIN_EXE_hashget")).parent().unwrap();
    let numbers = Regex::new(r"[0-9][0-9,.:TZ-]*( [KM]iB| B)?").unwrap();
    let spaces = Regex::new(r" +").unwrap();
    let plain =
        |line: &str| spaces.replace_all(&numbers.replace_all(line, "N"), " ").trim().to_owned();
    let steps = steps();
    assert!(steps.len() > 12, "{steps:?}");
    for (command, shown) in steps {
        let mut shell = machine.bare_program("bash");
        shell.args(["-c", &command]).envs(machine.variables());
        shell.env("PATH", format!("{}:/usr/bin:/bin", program.display()));
        let ended = Ended::of(&mut shell).expect(0);
        let printed = format!("{}\n{}", ended.stdout, ended.stderr);
        let lines: Vec<String> = printed.lines().map(plain).collect();
        for line in shown.iter().filter(|line| !names_a_place(line)) {
            assert!(lines.contains(&plain(line)), "{command}: no {line:?} in\n{printed}");
        }
    }
    assert_eq!(
        fs_err::read(machine.path("again/uploads/photo.jpg")).unwrap(),
        fs_err::read(machine.path("site/uploads/photo.jpg")).unwrap()
    );
}

/// The name of the configuration and of the host are others on each machine.
fn names_a_place(line: &str) -> bool {
    line.contains("config.toml") || line.contains(": vm_site_")
}
