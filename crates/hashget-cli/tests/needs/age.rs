//! The program age and we, on each other's files.

use std::process::{Command, Stdio};

use crate::support::{Ended, Machine};

fn shell(machine: &Machine, command: &str) -> String {
    let output = Command::new("sh")
        .args(["-ec", command])
        .current_dir(machine.path(""))
        .stdin(Stdio::null())
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn age_opens_what_we_encrypt_and_we_what_it_does() {
    let machine = Machine::new();
    machine.write("tree/notes.txt", "remember\n");
    shell(
        &machine,
        "age-keygen -o key 2>/dev/null; age-keygen -y key > public; ssh-keygen -q -t ed25519 -N '' -f ssh",
    );
    let pack = ["pack", "tree", "--detect", "none", "-f", "a.tar.zst.age"];
    let keys = ["--recipient", "public", "--recipient", "ssh.pub"];
    machine.hashget(&[&pack[..], &keys].concat()).expect(0);
    for key in ["key", "ssh"] {
        let command = format!(
            "mkdir {key}.d; age -d -i {key} a.tar.zst.age | zstd -dc | tar x -C {key}.d; cat {key}.d/notes.txt"
        );
        assert_eq!(shell(&machine, &command), "remember\n");
    }
    shell(
        &machine,
        "age -d -i key a.tar.zst.age > plain.tar.zst; age -R public -o b.tar.zst.age plain.tar.zst",
    );
    for key in ["key", "ssh"] {
        let list = ["list", "a.tar.zst.age", "--identity", key];
        machine.hashget(&list).expect(0).prints(&["notes.txt"]);
    }
    let mut cat = machine.bare();
    cat.args(["cat", "b.tar.zst.age", "notes.txt", "--identity", "key"]);
    Ended::of(&mut cat).expect(0).prints(&["remember"]);
    machine.hashget(&["info", "b.tar.zst.age", "--identity", "ssh"]).expect(1).says(&["X25519"]);
}
