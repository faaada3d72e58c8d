//! A machine whose archive relies on packages that the world loses, and others that have nothing but what lies beside the archive.
//!
//! Invariant: what is restored is compared with the tree that was packed.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;

use crate::support::{Ended, Machine, files_below};

pub(crate) fn text(name: &str) -> Vec<u8> {
    format!("{name:<12}\n").repeat(1000).into_bytes()
}

/// A package with a large and a small file.
pub(crate) fn package(name: &str) -> Vec<u8> {
    let large = text(name).repeat(10);
    TarBuilder::new()
        .directory(name)
        .file(&format!("{name}/large"), &large)
        .file(&format!("{name}/small"), &text(name))
        .symlink(&format!("{name}/link"), "small")
        .finish()
}

/// A machine with a folder that these packages give, and an archive of it.
pub(crate) fn machine(origin: &Origin, packages: &[&str]) -> Machine {
    let machine = Machine::new();
    for name in packages {
        origin.serve(&format!("/{name}.tar"), package(name));
        lay_down(&machine, name);
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    machine.write("tree/own", "mine\n");
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst", "--detect", "none"]).expect(0);
    machine
}

pub(crate) fn lay_down(machine: &Machine, name: &str) {
    machine.write(&format!("tree/{name}/large"), text(name).repeat(10));
    machine.write(&format!("tree/{name}/small"), text(name));
    std::os::unix::fs::symlink("small", machine.path(&format!("tree/{name}/link"))).unwrap();
    for file in ["large", "small"] {
        let file = fs_err::File::open(machine.path(&format!("tree/{name}/{file}"))).unwrap();
        file.file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
}

/// A machine that has nothing but these files.
pub(crate) fn away(machine: &Machine, files: &[&str]) -> Machine {
    let away = Machine::new();
    for file in files {
        fs_err::copy(machine.path(file), away.path(file)).unwrap();
    }
    away
}

pub(crate) fn gone(origin: &Origin, packages: &[&str]) {
    for name in packages {
        origin.always(&format!("/{name}.tar"), Fault::Status(404));
    }
}

pub(crate) fn restored(machine: &Machine, options: &[&str]) -> Ended {
    let _ = fs_err::remove_dir_all(machine.path("back"));
    machine.hashget(&[&["unpack", "a.tar.zst", "-C", "back"], options].concat())
}

pub(crate) fn same_as(machine: &Machine, back: &Machine) {
    for file in files_below(&machine.path("tree")) {
        let (own, found) = (machine.path("tree").join(&file), back.path("back").join(&file));
        assert_eq!(fs_err::read(own).unwrap(), fs_err::read(found).unwrap(), "{file}");
    }
}

/// A machine with these packages, of which those that are `lost` are gone and whose supplement has their files.
pub(crate) fn healed(origin: &Origin, packages: &[&str], lost: &[&str]) -> Machine {
    let machine = machine(origin, packages);
    gone(origin, lost);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine.hashget(&["audit", "a.tar.zst", "--every", "0s"]).expect(4);
    machine.hashget(&["heal", "a.tar.zst", "--from", "tree"]).expect(0);
    machine
}
