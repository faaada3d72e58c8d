//! Flags of the file system (`chattr`).
//!
//! Invariant: the flag "no dump" excludes only if the user wants it to.

use std::process::Command;

use crate::support::{Machine, files_below};

pub(crate) fn what_is_not_to_be_dumped_is_excluded_on_request() {
    let machine = Machine::new();
    for file in ["a", "b", "c/d", "e/f"] {
        machine.write(&format!("tree/{file}"), file);
    }
    for marked in ["tree/b", "tree/e"] {
        assert!(
            Command::new("chattr").arg("+d").arg(machine.path(marked)).status().unwrap().success()
        );
    }
    let kept = |options: &[&str]| {
        let pack = ["pack", "tree", "-f", "a.tar", "--detect", "none", "--no-index"];
        machine.hashget(&[&pack, options].concat()).expect(0);
        machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
        let files = files_below(&machine.path("back"));
        fs_err::remove_dir_all(machine.path("back")).unwrap();
        files
    };
    assert_eq!(kept(&[]), ["a", "b", "c/d", "e/f"]);
    assert_eq!(kept(&["--respect-nodump"]), ["a", "c/d"]);
    for tree in [&["--tree", "tree"][..], &[]] {
        let explain = ["explain", "tree/b", "--respect-nodump"];
        let stdout = machine.hashget(&[&explain, tree].concat()).expect(0).stdout;
        assert!(stdout.contains("no dump"), "{stdout}");
    }
}
