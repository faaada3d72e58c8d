//! The program age and we, on each other's files; and whoever is asked for a passphrase.

use std::process::{Command, Stdio};

use hashget_testkit::terminal::Terminal;
use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::{Ended, Machine, signal, wait_until};

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

/// The terminal is left as it was: what is typed next is seen.
pub(crate) fn whoever_is_asked_for_a_passphrase_can_stop() {
    let (machine, mut terminal) = (Machine::new(), Terminal::new(80));
    machine.write("tree/notes.txt", "remember\n");
    machine.write("passphrase", "correct horse\n");
    let pack = ["pack", "tree", "--detect", "none", "-f", "a.tar.zst.age"];
    let recipient = ["--recipient", "passphrase:passphrase"];
    machine.hashget(&[&pack[..], &recipient].concat()).expect(0);
    let end = terminal.end();
    let shows_what_is_typed = || tcgetattr(&end).unwrap().local_modes.contains(LocalModes::ECHO);
    // The terminal is that of its session, as it is for a person.
    let mut command = Command::new("setsid");
    command.args(["--ctty", env!("CARGO_BIN_EXE_hashget"), "list", "a.tar.zst.age"]);
    command.current_dir(machine.path("")).env("HOME", machine.path("home"));
    command.stdin(end.try_clone().unwrap()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_until("the question", || terminal.lines().join("").contains("Passphrase"));
    wait_until("the silence", || !shows_what_is_typed());
    signal(&child, Signal::INT);
    Ended::wait(child).expect(130).says(&["interrupted"]);
    assert!(shows_what_is_typed());
}
