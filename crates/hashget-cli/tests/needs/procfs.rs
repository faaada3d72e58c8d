//! Without /proc nothing is packed or restored: deep files and attributes would look as if they were not there.

use crate::support::{Ended, Machine};

/// The program in a namespace whose /proc was taken away.
fn without_procfs(machine: &Machine, arguments: &str) -> Ended {
    let program = env!("CARGO_BIN_EXE_hashget");
    let script = format!("umount -l /proc && exec '{program}' --db db --cache cache {arguments}");
    let mut command = assert_cmd::Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).current_dir(machine.path(""));
    Ended::of(&mut command)
}

pub(crate) fn a_system_without_procfs_is_told_and_gets_no_half_backup() {
    let machine = Machine::new();
    machine.write("tree/a", "a");
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    let ended = without_procfs(&machine, "pack tree -f - --format tar").expect(1);
    assert_eq!(ended.stdout, "");
    ended.says(&["there is no /proc", "mount -t proc"]);
    without_procfs(&machine, "unpack a.tar -C back").expect(1).says(&["there is no /proc"]);
    assert!(!machine.path("back").exists());
}
