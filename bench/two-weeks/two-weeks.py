#!/usr/bin/env python3
"""Two weeks of nights on a machine of its own, and then the loss of that machine.

    two-weeks.py FOLDER [--kvm] [--memory MEGABYTES] [--only nights|lost]

FOLDER is what build.sh made. First, the machine runs inside.py (see there). Then its disk is thrown away: a live system, which
has the disk of backups, the key and nothing else of the machine, restores the newest archive of `/` onto an empty disk, makes it
boot, and the new disk is started and logged into. Needs qemu-system-x86_64. The packages are
served on loopback, as snapshot.debian.org would; nothing else of the network is used.
"""
import argparse
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PORT = 8090


class Machine:
    """A virtual machine whose console is a socket."""

    def __init__(self, folder, given, drives, kernel=True):
        self.path = folder / "console"
        self.path.unlink(missing_ok=True)
        command = ["qemu-system-x86_64", "-m", str(given.memory), "-smp", "2", "-display", "none", "-no-reboot",
                   "-chardev", f"socket,id=c,path={self.path},server=on,wait=off", "-serial", "chardev:c",
                   "-serial", f"file:{folder / 'shown'}",
                   "-nic", "user,model=virtio-net-pci"]
        command += ["-enable-kvm", "-cpu", "host"] if given.kvm else ["-accel", "tcg,thread=multi", "-cpu", "max"]
        for drive in drives:
            command += ["-drive", f"file={drive},format=raw,if=virtio,cache=unsafe"]
        if kernel:
            command += ["-kernel", str(folder / "kernel"), "-initrd", str(folder / "initrd"),
                        "-append", "root=/dev/vda rw console=ttyS0 quiet"]
        self.process = subprocess.Popen(command)
        self.text = ""
        for _ in range(100):
            if self.path.exists():
                break
            time.sleep(0.1)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(self.path))
        self.socket.settimeout(1)

    def receive(self):
        """Adds to the text what the console shows within a second; False after its end."""
        try:
            received = self.socket.recv(65536)
        except TimeoutError:
            return True
        self.text += received.decode(errors="replace")
        return received != b""

    def wait_for(self, pattern, seconds):
        """What the console shows until this."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.text)
            if found:
                before, self.text = self.text[:found.end()], self.text[found.end():]
                return before
            if not self.receive():
                break
        raise SystemExit(f"the console never showed {pattern!r}; it ends with:\n{self.text[-2000:]}")

    def end(self):
        """Waits until it is switched off. What its console shows is read, since it would wait for that."""
        while self.process.poll() is None and self.receive():
            self.text = self.text[-20000:]
        self.process.wait()

    def login(self, seconds):
        self.wait_for(r"login: ", seconds)
        self.type("root")
        self.wait_for(r"Password: ", 60)
        self.type("root")
        self.wait_for(r"# ", 60)

    def type(self, line):
        self.socket.sendall(line.encode() + b"\n")

    def run(self, command, seconds=7200):
        """Runs a command, and shows what it prints."""
        self.type(f"{command}; echo ended-with=$?=")
        text = self.wait_for(r"ended-with=\d+=", seconds)
        code = int(re.search(r"ended-with=(\d+)=", text).group(1))
        lines = text.replace("\r", "").splitlines()[1:-1] if text.count("\n") > 1 else []
        print(f"# {command}")
        print("\n".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line) for line in lines), flush=True)
        if code:
            raise SystemExit(f"{command} ended with {code}")


def lost_machine(folder, given):
    """From the disk of backups to a machine that boots."""
    live, new = folder / "live.img", folder / "new.img"
    if not live.exists():
        # The same Debian, without anything of the machine but the program.
        subprocess.run(["cp", "--sparse=always", folder / "machine-at-first.img", live], check=True)
    new.unlink(missing_ok=True)
    with open(new, "wb") as disk:
        disk.truncate(8 << 30)
    print("== The machine is lost. A live system, its disk of backups, the key", flush=True)
    machine = Machine(folder, given, [live, folder / "backup.img", new])
    machine.login(1800)
    machine.run("systemctl stop inside.service; mkdir -p /media/disk && mount -o ro /dev/vdb /media/disk")
    machine.run("rm -rf /etc/hashget /var/lib/hashget; cp /media/disk/key-that-lies-elsewhere /tmp/key")
    machine.run("hashget backup list --from /media/disk/web1 | tail -4")
    machine.run("parted --script /dev/vdc mklabel gpt mkpart bios 1MiB 2MiB set 1 bios_grub on mkpart root 2MiB 100%"
                " && udevadm settle && mkfs.ext4 -q /dev/vdc2 && mount /dev/vdc2 /mnt")
    machine.run(f"printf '[[mirror]]\\nprefix = \"https://snapshot.debian.org/\"\\nuse = [\"http://10.0.2.2:{PORT}/\"]\\n' > /tmp/hashget.toml")
    machine.run("hashget --config /tmp/hashget.toml -q backup restore web1_system --from /media/disk/web1 -C /mnt --identity /tmp/key"
                " --cache /mnt/var/cache/hashget")
    machine.run("for folder in dev proc sys run; do mount --rbind /$folder /mnt/$folder; done")
    machine.run("echo UUID=$(blkid -s UUID -o value /dev/vdc2) / ext4 defaults 0 1 > /mnt/etc/fstab")
    machine.run("echo 'GRUB_CMDLINE_LINUX=\"console=ttyS0 quiet\"' >> /mnt/etc/default/grub")
    machine.run("systemctl --root /mnt disable inside.service")
    machine.run("chroot /mnt grub-install /dev/vdc 2>&1 | tail -1; chroot /mnt update-grub 2>&1 | tail -1")
    machine.run("for folder in dev proc sys run; do umount -R /mnt/$folder; done; umount /mnt && sync")
    machine.type("poweroff -f")
    machine.end()
    print("== The new disk is started by its own boot loader", flush=True)
    machine = Machine(folder, given, [new], kernel=False)
    machine.login(1800)
    machine.run("cat /etc/motd /etc/hostname; findmnt -no SOURCE,FSTYPE /; systemctl is-system-running --wait; systemctl --failed --no-legend")
    machine.type("poweroff")
    machine.end()
    print("The lost machine boots, and root logged in", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--memory", type=int, default=2048)
    arguments.add_argument("--kvm", action="store_true", help="let the processor run it; otherwise it is emulated, which is slow")
    arguments.add_argument("--only", choices=["nights", "lost"])
    given = arguments.parse_args()
    folder = given.folder.resolve()
    server = subprocess.Popen([sys.executable, HERE.parent / "server.py", folder, str(PORT)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if given.only != "lost":
            first = folder / "machine-at-first.img"
            if not first.exists():
                subprocess.run(["cp", "--sparse=always", folder / "machine.img", first], check=True)
            subprocess.run(["cp", "--sparse=always", first, folder / "machine.img"], check=True)
            started = time.monotonic()
            machine = Machine(folder, given, [folder / "machine.img", folder / "backup.img"])
            machine.end()
            text = (folder / "shown").read_text(errors="replace").replace("\r", "")
            print(text)
            print(f"== {time.monotonic() - started:.0f} s", flush=True)
            if "ALL IS WELL" not in text:
                raise SystemExit("the two weeks did not end well")
        if given.only != "nights":
            lost_machine(folder, given)
    finally:
        server.terminate()


main()
