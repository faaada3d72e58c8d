//! What the Debian package brings besides the program: the unit, its settings, and what purging leaves.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{ServerProcess, program};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

/// The command of the unit, with a folder and a port of the test's own.
#[test]
fn the_server_starts_as_the_unit_starts_it() {
    let folder = tempfile::tempdir().unwrap();
    let unit = fs_err::read_to_string(packaging("hashget-server.service")).unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let mut arguments = command.split(' ');
    assert_eq!(arguments.next(), Some("/usr/bin/hashget-server"));
    let mut server = program();
    for argument in arguments {
        match argument {
            "/var/lib/hashget-server" => server.arg(folder.path().join("data")),
            "/etc/hashget-server/server.toml" => server.arg(packaging("server.toml")),
            "127.0.0.1:8080" => server.arg("127.0.0.1:0"),
            argument => server.arg(argument),
        };
    }
    let server = ServerProcess::run(server);
    assert_eq!(server.client.get("/readyz").text(), "ready\n");
    assert_eq!(server.client.get("/v1/status").status, 200);
}

/// Every option and command that the program knows.
#[test]
fn the_manual_page_names_all_that_the_program_takes() {
    let page = fs_err::read_to_string(packaging("hashget-server.8")).unwrap().replace('\\', "");
    for command in
        [&[][..], &["token"], &["token", "add"], &["token", "list"], &["token", "remove"]]
    {
        let output = program().args(["--data", "x"]).args(command).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let options = help.split(|one: char| !one.is_ascii_lowercase() && one != '-');
        let options = options.filter(|word| word.starts_with("--"));
        let commands = help.split("Commands:\n").nth(1).unwrap_or_default().lines();
        let commands = commands.take_while(|line| !line.is_empty());
        let commands = commands.filter_map(|line| line.split_whitespace().next());
        for word in options.chain(commands) {
            assert!(page.contains(word), "{word} of {command:?}");
        }
    }
}

/// Runs the script of the package as dpkg does at a purge, with another folder for `/var/lib`.
fn purge(var_lib: &Path) {
    let script = fs_err::read_to_string(packaging("debian-server/postrm")).unwrap();
    let script = script.replace("/var/lib", var_lib.to_str().unwrap());
    let status = Command::new("sh").args(["-c", &script, "postrm", "purge"]).status().unwrap();
    assert!(status.success());
}

fn fill(data: &Path) {
    for file in [
        "hashdb.sqlite",
        "hashdb.sqlite-wal",
        "server.sqlite",
        "server.lock",
        "pool/sha256/ab/package",
        "published/mine/checkpoint",
    ] {
        let file = data.join(file);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, "content").unwrap();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn purging_leaves_what_is_the_owners() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing was ever there.
    purge(folder.path());
    // As systemd makes it for a user of its own: a folder that only root may reach, and a link to it.
    let data = folder.path().join("private/hashget-server");
    fill(&data);
    let link = folder.path().join("hashget-server");
    std::os::unix::fs::symlink("private/hashget-server", &link).unwrap();
    purge(folder.path());
    assert_eq!(names(&data), ["pool", "published"]);
    assert!(data.join("pool/sha256/ab/package").exists() && link.exists());
    // Once the owner has taken all that, nothing is left.
    fs_err::remove_dir_all(&data).unwrap();
    fs_err::create_dir_all(data.join("pool/sha256")).unwrap();
    purge(folder.path());
    assert!(!data.exists() && link.symlink_metadata().is_err());
    // Somebody has run the server without a user of its own.
    fill(&link);
    purge(folder.path());
    assert_eq!(names(&link), ["pool", "published"]);
}
