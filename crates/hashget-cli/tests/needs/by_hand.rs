//! A night of a chain, restored by `tests/restore-by-hand.sh`.
//!
//! Invariant: nothing of hashget is needed for that, and only the two archives.

use std::process::Command;

use crate::support::{Machine, files_below};

pub(crate) fn a_night_of_a_chain_comes_back_without_hashget() {
    let machine = Machine::new();
    for number in 0..10 {
        machine.write(&format!("tree/deep/{number}"), format!("file {number}\n").repeat(3000));
    }
    fs_err::create_dir(machine.path("out")).unwrap();
    let job = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\nshare = \"chain\"\noptions = [\"--detect\", \"none\", \"--with-restorer\"]\n";
    machine.write("own-config.toml", job);
    machine.hashget(&["backup"]).expect(0);
    machine.write("tree/deep/3", "changed\n");
    machine.hashget(&["backup"]).expect(0);
    let archives: Vec<String> = files_below(&machine.path("out"))
        .into_iter()
        .filter(|name| name.ends_with(".tar.zst"))
        .collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/restore-by-hand.sh");
    let ended = Command::new("bash")
        .arg(script)
        .args([machine.path("out").join(&archives[1]), machine.path("back")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("restored"), "{said}");
    machine.hashget(&["diff", "tree", "back"]).expect(0);
}
