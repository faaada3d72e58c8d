//! Files of which another program has a lease, as Samba and the NFS server have.
//!
//! Invariant: such a file is packed as soon as the other program gives it up.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::support::{Machine, files_below};

/// Takes a lease to write, and gives it up a while after it was asked to.
const HOLDER: &str = "
import fcntl, os, signal, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
def give_up(*_):
    time.sleep(0.2)
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
signal.signal(signal.SIGIO, give_up)
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
sys.stdin.read()
";

pub(crate) fn a_file_is_packed_when_another_program_gives_up_its_lease() {
    let machine = Machine::new();
    machine.write("tree/free", "of nobody");
    let leased = machine.write("tree/leased", "of a client of a file server");
    let mut holder = Command::new("python3");
    holder.arg("-c").arg(HOLDER).arg(&leased).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    holder.stdin.take().unwrap().flush().unwrap();
    assert!(holder.wait().unwrap().success());
    machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
    assert_eq!(files_below(&machine.path("back")), ["free", "leased"]);
}
