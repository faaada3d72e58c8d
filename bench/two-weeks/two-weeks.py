#!/usr/bin/env python3
"""Two weeks of nights on a machine of its own, and then the loss of that machine.

    two-weeks.py FOLDER [--as qemu|kvm|linux] [--memory MEGABYTES] [--only nights|lost]

FOLDER is what build.sh made. First, the machine runs inside.py (see there). Then its disk is thrown away: a live system, which
has the disk of backups, the key and nothing else of the machine, restores the newest archive of `/` onto an empty disk, makes it
boot, and the new disk is started and logged into, always by qemu. The packages are
served on loopback, as snapshot.debian.org would; nothing else of the network is used.

`qemu` emulates the processor, `kvm` has the host's run the machine. `linux` runs a kernel as a program of the host (Debian's
package user-mode-linux): as fast as the host, and with a clock of its own, where neither of the others is fast.
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
# The network of a machine that is a program; within qemu, the host has this address without it.
TAP, HOST = "hashget0", "10.0.2.2"
# What a live system is told: it does not run what the machine did.
LIVE = "systemd.mask=inside.service"


class Machine:
    """A machine whose console is a socket."""

    def __init__(self, folder, given, drives, how=None):
        self.socket, console = socket.socketpair()
        self.socket.settimeout(1)
        # Nothing is ever written to this.
        silence, self.silence = os.pipe()
        shown = os.open(folder / "shown", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        handed = [console.fileno(), silence, shown]
        if given.kind == "linux" and how != "boots":
            command = self.linux(given, drives, how, *handed)
        else:
            command = self.qemu(folder, given, drives, how, *handed)
        self.process = subprocess.Popen(command, pass_fds=handed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        console.close()
        os.close(silence)
        os.close(shown)
        self.text = ""

    @staticmethod
    def linux(given, drives, how, console, silence, shown):
        """A kernel as a program: its first serial line is the console, the second one is only written to."""
        command = ["linux.uml", f"mem={given.memory}M", "root=/dev/ubda", "rw", "quiet", "con=null", "ssl=null", "console=ttyS0",
                   f"ssl0=fd:{console},fd:{console}", f"ssl1=fd:{silence},fd:{shown}", f"eth0=tuntap,{TAP}"]
        command += [LIVE] if how == "live" else []
        return command + [f"ubd{number}={drive}" for number, drive in enumerate(drives)]

    @staticmethod
    def qemu(folder, given, drives, how, console, silence, shown):
        """With the kernel of the folder (`live`: as a live system), or (`boots`) with the disk's own boot loader."""
        del silence
        command = ["qemu-system-x86_64", "-m", str(given.memory), "-smp", "2", "-display", "none", "-no-reboot",
                   "-add-fd", f"fd={shown},set=1",
                   "-chardev", f"socket,id=c,fd={console}", "-serial", "chardev:c",
                   "-serial", "file:/dev/fdset/1", "-nic", "user,model=virtio-net-pci"]
        command += ["-enable-kvm", "-cpu", "host"] if given.kind == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "max"]
        for drive in drives:
            command += ["-drive", f"file={drive},format=raw,if=virtio,cache=unsafe"]
        if how != "boots":
            command += ["-kernel", str(folder / "kernel"), "-initrd", str(folder / "initrd"),
                        "-append", f"root=/dev/vda rw console=ttyS0 quiet {LIVE if how == 'live' else ''}"]
        return command

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
    disk = "/dev/ubdc" if given.kind == "linux" else "/dev/vdc"
    new.unlink(missing_ok=True)
    with open(new, "wb") as file:
        file.truncate(8 << 30)
    print("== The machine is lost. A live system, its disk of backups, the key", flush=True)
    machine = Machine(folder, given, [live, folder / "backup.img", new], "live")
    machine.login(1800)
    machine.run("mkdir -p /media/disk && mount -o ro LABEL=backup /media/disk")
    machine.run("rm -rf /etc/hashget /var/lib/hashget; cp /media/disk/key-that-lies-elsewhere /tmp/key")
    machine.run("hashget backup list --from /media/disk/web1 | tail -4")
    machine.run(f"parted --script {disk} mklabel gpt mkpart bios 1MiB 2MiB set 1 bios_grub on mkpart root 2MiB 100%"
                f" && udevadm settle && mkfs.ext4 -q {disk}2 && mount {disk}2 /mnt")
    machine.run(f"printf '[[mirror]]\\nprefix = \"https://snapshot.debian.org/\"\\nuse = [\"http://10.0.2.2:{PORT}/\"]\\n' > /tmp/hashget.toml")
    machine.run("hashget --config /tmp/hashget.toml -q backup restore web1_system --from /media/disk/web1 -C /mnt --identity /tmp/key"
                " --cache /mnt/var/cache/hashget")
    machine.run("for folder in dev proc sys run; do mount --bind /$folder /mnt/$folder; done")
    machine.run(f"echo UUID=$(blkid -s UUID -o value {disk}2) / ext4 defaults 0 1 > /mnt/etc/fstab")
    machine.run("echo 'GRUB_CMDLINE_LINUX=\"console=ttyS0 quiet\"' >> /mnt/etc/default/grub")
    machine.run("rm /mnt/etc/systemd/system/multi-user.target.wants/inside.service")
    # GRUB does not see that a disk of a kernel that is a program has partitions.
    machine.run(f"chroot /mnt grub-install --modules='part_gpt ext2' {disk} 2>&1 | tail -1; chroot /mnt update-grub 2>&1 | tail -1")
    machine.run(f"for folder in dev proc sys run; do umount /mnt/$folder; done; umount /mnt && e2fsck -p {disk}2")
    machine.type("poweroff -f")
    machine.end()
    print("== The new disk is started by its own boot loader", flush=True)
    machine = Machine(folder, given, [new], "boots")
    machine.login(1800)
    machine.run("cat /etc/motd /etc/hostname; findmnt -no SOURCE,FSTYPE /; systemctl is-active ssh; systemctl --failed --no-legend")
    machine.type("poweroff")
    machine.end()
    print("The lost machine boots, and root logged in", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--memory", type=int, default=2048)
    arguments.add_argument("--as", dest="kind", choices=["qemu", "kvm", "linux"], default="qemu", help="what runs the machine")
    arguments.add_argument("--only", choices=["nights", "lost"])
    given = arguments.parse_args()
    folder = given.folder.resolve()
    address = str(PORT)
    if given.kind == "linux":
        address = f"{HOST}:{PORT}"
        subprocess.run(["ip", "link", "delete", TAP], stderr=subprocess.DEVNULL)
        for command in (f"tuntap add {TAP} mode tap", f"address add {HOST}/24 dev {TAP}", f"link set {TAP} up"):
            subprocess.run(["ip", *command.split()], check=True)
    server = subprocess.Popen([sys.executable, HERE.parent / "server.py", folder, address],
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
        if given.kind == "linux":
            subprocess.run(["ip", "link", "delete", TAP], stderr=subprocess.DEVNULL)


main()
