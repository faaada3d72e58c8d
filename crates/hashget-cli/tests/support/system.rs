//! A small system of dpkg on a test's machine: its packages are known to the HashDB, and its files lie in `root`.

#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use hashget_testkit::packages::{TarBuilder, TarEntry, deb};

use super::support::Machine;

/// Files of the package NAME, below `usr/lib/NAME`.
pub(crate) const FILES: [&str; 4] = ["data", "doc", "tool", "own"];

/// The script that sets the mode of the file `own`, as packages do.
fn script(name: &str) -> String {
    format!("#!/bin/sh\nchmod 0700 /usr/lib/{name}/own\n")
}

fn text(name: &str, file: &str) -> String {
    format!("{file} of {name}\n").repeat(50)
}

/// The package: a folder, files, a link, configuration and a script.
fn package(name: &str) -> Vec<u8> {
    let folder = format!("./usr/lib/{name}");
    let entry = |kind: u8| TarEntry { kind, mode: 0o755, ..TarEntry::default() };
    let mut data = TarBuilder::new();
    for path in ["./", "./usr/", "./usr/lib/", &format!("{folder}/"), "./etc/"] {
        data = data.entry(&TarEntry { name: path.as_bytes(), ..entry(b'5') });
    }
    for file in FILES {
        let (path, content) = (format!("{folder}/{file}"), text(name, file));
        let file = TarEntry { name: path.as_bytes(), content: content.as_bytes(), ..entry(b'0') };
        data = data.entry(&file);
    }
    let conf = format!("./etc/{name}.conf");
    data = data.symlink(&format!("{folder}/link"), "tool").file(&conf, b"mine = no\n");
    let control = format!("Package: {name}\nVersion: 1:1.0\nArchitecture: none\n");
    let script = script(name);
    deb(&[("control", control.as_bytes()), ("postinst", script.as_bytes())], &data.finish(), "none")
}

/// Lays the system down, and makes its packages known.
pub(crate) fn install(machine: &Machine, names: &[&str]) {
    let mut status = String::new();
    for name in names {
        let file = format!("{name}_1.0_none.deb");
        machine.write(&file, package(name));
        let url = format!("https://packages.example/{file}");
        machine.hashget(&["index", "--file", &file, &url]).expect(0);
        for file in FILES {
            let path = machine.write(&format!("root/usr/lib/{name}/{file}"), text(name, file));
            let mode = if file == "own" { 0o700 } else { 0o755 };
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("tool", machine.path(&format!("root/usr/lib/{name}/link")))
            .unwrap();
        machine.write(&format!("root/etc/{name}.conf"), "mine = no\n");
        machine.write(&format!("root/var/lib/dpkg/info/{name}.postinst"), script(name));
        let conffile = format!("Conffiles:\n /etc/{name}.conf {}\n", "0".repeat(32));
        let source = "Source: all (2.0)\n";
        writeln!(
            status,
            "Package: {name}\nStatus: install ok installed\nVersion: 1:1.0\nArchitecture: none\n{source}{conffile}"
        )
        .unwrap();
    }
    machine.write("root/var/lib/dpkg/status", status);
    machine
        .write("root/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n");
    // Files that tests write have the mode that the umask leaves, and folders, too.
    for folder in ["root", "root/usr", "root/usr/lib", "root/etc"] {
        set_mode(machine, folder, 0o755);
    }
    for name in names {
        set_mode(machine, &format!("root/usr/lib/{name}"), 0o755);
        set_mode(machine, &format!("root/etc/{name}.conf"), 0o644);
        set_mode(machine, &format!("root/var/lib/dpkg/info/{name}.postinst"), 0o644);
    }
}

pub(crate) fn set_mode(machine: &Machine, name: &str, mode: u32) {
    let mode = std::fs::Permissions::from_mode(mode);
    fs_err::set_permissions(machine.path(name), mode).unwrap();
}
