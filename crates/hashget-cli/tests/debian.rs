//! A Debian system with the real program: there and back, a run that is killed, packages that nobody keeps.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, deb, sha1_hex};
use support::Machine;

/// A package's file and how it is installed. Architectures that no machine has keep this machine's own
/// package lists out of it.
struct Package {
    name: String,
    content: Vec<u8>,
}

impl Package {
    fn new(number: u32) -> Self {
        let name = format!("tool{number}");
        Self { content: name.repeat(10_000).into_bytes(), name }
    }

    fn control(&self) -> String {
        format!("Package: {}\nVersion: 1:1.0\nArchitecture: none\n", self.name)
    }

    fn md5sums(&self) -> String {
        // A list that is not true of its file: what is fetched does not depend on it.
        format!("{}  usr/share/{}/data\n", "0".repeat(32), self.name)
    }

    fn deb(&self) -> Vec<u8> {
        let data = TarBuilder::new()
            .file(&format!("./usr/share/{}/data", self.name), &self.content)
            .file(&format!("./usr/share/{}/name", self.name), self.name.as_bytes());
        let (control, md5sums) = (self.control(), self.md5sums());
        let control = [("control", control.as_bytes()), ("md5sums", md5sums.as_bytes())];
        deb(&control, &data.finish(), "none")
    }
}

/// A machine with a system of `count` packages in `root`, and the snapshots' answers.
fn machine(origin: &Origin, count: u32) -> Machine {
    let machine = Machine::new();
    let mut status = String::new();
    for package in (0..count).map(Package::new) {
        let name = &package.name;
        let control =
            package.control().replacen("Version", "Status: hold ok installed\nVersion", 1);
        writeln!(status, "{control}").unwrap();
        machine.write(&format!("root/usr/share/{name}/data"), &package.content);
        machine.write(&format!("root/usr/share/{name}/name"), name);
        machine.write(&format!("root/var/lib/dpkg/info/{name}.md5sums"), package.md5sums());
        let sha1 = sha1_hex(&package.deb());
        let answer = serde_json::json!({
            "result": [{ "architecture": "none", "hash": sha1 }],
            "fileinfo": { &sha1: [{
                "archive_name": "debian", "first_seen": "20240101T000000Z",
                "name": format!("{name}.deb"), "path": "/pool/t", "size": package.deb().len(),
            }] },
        });
        origin.serve(&format!("/mr/binary/{name}/1%3A1.0/binfiles"), answer.to_string());
        let path = format!("/archive/debian/20240101T000000Z/pool/t/{name}.deb");
        origin.serve(&path, package.deb());
    }
    machine.write("root/var/lib/dpkg/status", status);
    machine.write("root/etc/os-release", "ID=debian\n");
    let config = format!(
        "[[mirror]]\nprefix = \"https://snapshot.debian.org/\"\nuse = [\"{}\"]\n",
        origin.url("/")
    );
    machine.write("config.toml", config);
    machine
}

const CONFIG: [&str; 2] = ["--config", "config.toml"];

#[test]
fn a_system_is_packed_and_comes_back() {
    let origin = Origin::start();
    let machine = machine(&origin, 3);
    let arguments = ["pack", "root", "-f", "a.tar.zst", "--json"];
    let packed = machine.hashget(&[&CONFIG[..], &arguments].concat()).expect(0).last_record();
    assert_eq!(packed["newly_indexed"], 3);
    assert_eq!(packed["packages"], 3);
    let arguments = ["--cache", "other", "unpack", "a.tar.zst", "-C", "back"];
    machine.hashget(&[&CONFIG[..], &arguments].concat()).expect(0);
    let name = fs_err::read_to_string(machine.path("back/usr/share/tool2/name")).unwrap();
    assert_eq!(name, "tool2");
}

#[test]
fn a_run_that_is_killed_is_continued_by_the_next() {
    const PACKAGES: u32 = 40;
    let origin = Origin::start();
    let machine = machine(&origin, PACKAGES);
    let arguments = [
        "index",
        "--tree",
        "root",
        "--detect",
        "debian",
        "--db",
        "db",
        "--cache",
        "cache",
        "--config",
        "config.toml",
        "--json",
    ];
    let mut most = 0;
    for milliseconds in [0, 20, 40, 60, 90, 120, 160] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hashget"))
            .args(arguments)
            .current_dir(machine.path(""))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let status = machine.hashget(&["db", "status", "--json"]).expect(0).last_record();
        let known = status["packages"].as_u64().unwrap();
        assert!(known >= most, "{known} after {most}");
        most = known;
    }
    let ended = machine.hashget(&arguments).expect(0).last_record();
    assert_eq!(ended["known"], most);
    assert_eq!(ended["new"], u64::from(PACKAGES) - most);
    let packed = machine.hashget(&["pack", "root", "-n", "--no-index", "--json"]).expect(0);
    assert_eq!(packed.last_record()["left_out_files"], u64::from(PACKAGES) * 3);
}

#[test]
fn packages_without_a_permanent_url_are_named() {
    let origin = Origin::start();
    let machine = machine(&origin, 2);
    let status = fs_err::read_to_string(machine.path("root/var/lib/dpkg/status")).unwrap();
    let own = "Package: own\nStatus: install ok installed\nVersion: 1\nArchitecture: none\n\n";
    machine.write("root/var/lib/dpkg/status", own.to_owned() + &status);
    let arguments = ["index", "--tree", "root", "--json"];
    let ended = machine.hashget(&[&CONFIG[..], &arguments].concat()).expect(0).last_record();
    assert_eq!(ended["unreliable"], serde_json::json!(["own_1_none"]));
    let arguments = ["pack", "root", "-n"];
    machine
        .hashget(&[&CONFIG[..], &arguments].concat())
        .expect(0)
        .says(&["1 package not relied on, without a permanent URL: own_1_none"]);
}
