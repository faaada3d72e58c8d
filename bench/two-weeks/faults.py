#!/usr/bin/env python3
"""Faults at random moments of `hashget backup` with three destinations: a folder on a small disk, a bucket, a folder behind sshd.

    faults.py HASHGET WEED FOLDER [--faults N] [--seed N]

After each fault the job runs again without one. Looked at each time: the run without a fault ends with 0; every archive that was
under its name before is still there; every name is one of an archive or a record, and each archive is as its record says (each 25th
time by reading every byte); nothing unfinished is left in any store, no multipart upload, no spool. Each 10th time the newest archive is
unpacked and compared. Needs root (a loop device, sshd), and WEED, SeaweedFS's program. What was found is printed, and the exit code is
1 if anything was wrong.
"""
import argparse
import atexit
import collections
import os
import pathlib
import pwd
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

S3, S3_BEHIND, SSH, SSH_BEHIND = 18333, 18334, 18222, 18223
NAME = re.compile(r"web_tree_\d{4}-\d\d-\d\dT\d{6}Z\.tar\.zst(\.json)?")


class Proxy:
    """Passes connections on, until told to do something else to the next ones."""

    def __init__(self, port, behind, is_http):
        self.behind, self.is_http, self.faults = behind, is_http, collections.deque()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=50)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        fault = self.faults.popleft() if self.faults else ("none", 0)
        try:
            if fault[0] == "refuse":
                client.close()
                return
            if fault[0] == "503" and self.is_http:
                client.recv(65536)
                client.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self.behind))
            threading.Thread(target=self.pump, args=(server, client, ("none", 0)), daemon=True).start()
            self.pump(client, server, fault)
        except OSError:
            client.close()

    def pump(self, source, sink, fault):
        passed = 0
        try:
            while data := source.recv(16384):
                if fault[0] == "cut" and passed + len(data) > fault[1]:
                    sink.sendall(data[:max(0, fault[1] - passed)])
                    break
                if fault[0] == "stall" and passed <= fault[1] < passed + len(data):
                    time.sleep(4)
                if fault[0] == "slow":
                    time.sleep(len(data) / 200_000)
                sink.sendall(data)
                passed += len(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Place:
    """Stores, a job, and a tree that changes."""

    def __init__(self, given):
        self.hashget, self.weed, self.folder = given.hashget.resolve(), given.weed.resolve(), given.folder.resolve()
        self.chance = random.Random(given.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tree, self.disk, self.remote = (self.folder / name for name in ("tree", "disk", "remote"))
        for path in (self.tree, self.disk, self.remote):
            path.mkdir(exist_ok=True)
        self.processes, self.wrong = [], []
        atexit.register(self.end)
        self.start_disk()
        self.start_weed()
        self.start_sshd()
        self.proxies = {"s3": Proxy(S3, S3_BEHIND, True), "sftp": Proxy(SSH, SSH_BEHIND, False)}
        user = pwd.getpwuid(os.getuid()).pw_name
        ssh = (f"ssh -F none -p {SSH} -i {self.folder}/key -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no "
               "-o LogLevel=ERROR -o BatchMode=yes")
        (self.folder / "config.toml").write_text(f'''
[s3."faults"]
endpoint = "http://127.0.0.1:{S3}"
region = "us-east-1"
path_style = true
[backup.tree]
host = "web"
sources = ["{self.tree}"]
options = ["--detect", "none"]
to = ["{self.disk}/archives", "s3://faults/web", "sftp://{user}@127.0.0.1{self.remote}"]
keep = {{ last = 1000 }}
''')
        (self.disk / "archives").mkdir(exist_ok=True)
        self.environment = {**os.environ, "HASHGET_STATE": str(self.folder / "state"), "HASHGET_SSH": ssh,
                            "HASHGET_DB": str(self.folder / "db"), "XDG_CACHE_HOME": str(self.folder / "cache"),
                            "AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "secret"}

    def start_disk(self):
        image = self.folder / "disk.img"
        with open(image, "wb") as file:
            file.truncate(2 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.disk], check=True)

    def start_weed(self):
        (self.folder / "s3.json").write_text('{"identities":[{"name":"a","credentials":[{"accessKey":"reader",'
                                             '"secretKey":"secret"}],"actions":["Admin","Read","Write","List"]}]}')
        (self.folder / "weed").mkdir(exist_ok=True)
        self.processes.append(subprocess.Popen(
            [self.weed, "server", f"-dir={self.folder}/weed", "-ip=127.0.0.1", "-master.port=19333", "-volume.port=18080",
             "-filer", "-filer.port=18888", "-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.port={S3_BEHIND}", f"-s3.config={self.folder}/s3.json",
             "-master.volumeSizeLimitMB=64", "-volume.max=60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for _ in range(120):
            if self.processes[-1].poll() is not None:
                raise SystemExit("the object store has ended: is one of its ports taken?")
            self.weed_shell("s3.bucket.create -name faults")
            if "faults" in self.weed_shell("s3.bucket.list"):
                return
            time.sleep(1)
        raise SystemExit("the object store did not start")

    def weed_shell(self, command):
        # Without a server, its shell waits for ever.
        try:
            done = subprocess.run([self.weed, "shell", "-master=127.0.0.1:19333"], input=command + "\n", text=True,
                                  capture_output=True, timeout=30)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout

    def start_sshd(self):
        for key in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key],
                           input="n\n", text=True, stdout=subprocess.DEVNULL)
        (self.folder / "authorized").write_text((self.folder / "key.pub").read_text())
        (self.folder / "sshd.conf").write_text(
            f"Port {SSH_BEHIND}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/authorized\n"
            f"PidFile none\nStrictModes no\nPermitRootLogin yes\nUsePAM no\nMaxStartups 100\nSubsystem sftp internal-sftp\n")
        os.makedirs("/run/sshd", exist_ok=True)
        self.processes.append(subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", self.folder / "sshd.conf"],
                                               stderr=subprocess.DEVNULL))

    def command(self, *words):
        return [str(self.hashget), "--config", str(self.folder / "config.toml"), *words]

    def run(self, *words, seconds=300):
        return subprocess.run(self.command(*words), env=self.environment, text=True, capture_output=True, timeout=seconds)

    def change(self):
        for _ in range(3):
            size = self.chance.randrange(1, 400_000)
            (self.tree / f"file{self.chance.randrange(8)}").write_bytes(self.chance.randbytes(size))

    def names(self):
        """What each store holds, by its own account."""
        listed = self.weed_shell("fs.ls /buckets/faults/web")
        folder = set(os.listdir(self.disk / "archives")) - {".hashget-spool"}
        found = {"folder": folder, "sftp": os.listdir(self.remote),
                 "s3": [line.split()[-1] for line in listed.splitlines() if "web_tree" in line or ".part" in line]}
        return {store: set(names) for store, names in found.items()}

    def uploads(self):
        listed = self.weed_shell("fs.ls /buckets/faults/.uploads")
        return [line for line in listed.splitlines() if re.fullmatch(r"[0-9a-f_-]{20,}", line.strip())]

    def fault(self):
        """Runs the job with a fault; what it was."""
        kind = self.chance.choice(["kill", "kill", "interrupt", "full", "cut", "cut", "503", "slow", "stall", "refuse", "ssh"])
        filler = self.disk / "filler"
        for proxy in self.proxies.values():
            if kind in ("cut", "503", "slow", "stall", "refuse"):
                for _ in range(self.chance.randrange(1, 4)):
                    proxy.faults.append((kind, self.chance.randrange(600_000)))
        if kind == "full":
            free = os.statvfs(self.disk)
            with open(filler, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - self.chance.randrange(1_500_000)))
        process = subprocess.Popen(self.command("backup"), env=self.environment, text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        if kind in ("kill", "interrupt", "ssh"):
            time.sleep(self.chance.random() * self.usual * 1.1)
            if kind == "ssh":
                subprocess.run(["pkill", "-f", "sshd: .*notty"], check=False)
            else:
                process.send_signal(signal.SIGKILL if kind == "kill" else signal.SIGINT)
        try:
            text = process.communicate(timeout=300)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            text = process.communicate()[0]
            self.wrong.append(f"{kind}: still running after 300 s")
        filler.unlink(missing_ok=True)
        for proxy in self.proxies.values():
            proxy.faults.clear()
        return kind, process.returncode, text

    def round(self, number):
        self.change()
        before = self.names()
        kind, code, text = self.fault()
        wrong = []
        if code not in (0, 1, 5, 130, -9):
            wrong.append(f"ended with {code}: {text}")
        after = self.names()
        for store, names in before.items():
            if names - after[store]:
                wrong.append(f"lost in {store}: {names - after[store]}")
        started = time.monotonic()
        again = self.run("backup")
        self.usual = 0.8 * self.usual + 0.2 * (time.monotonic() - started)
        if again.returncode != 0:
            wrong.append(f"the next run ended with {again.returncode}: {again.stdout}{again.stderr}")
        found = self.names()
        for store, names in found.items():
            strange = sorted(name for name in names if not NAME.fullmatch(name))
            if strange:
                wrong.append(f"left in {store}: {strange}")
        if len({frozenset(names) for names in found.values()}) != 1:
            wrong.append("the stores differ: " + "; ".join(f"{store} {len(names)}" for store, names in found.items()))
        if self.uploads():
            wrong.append(f"uploads are left: {self.uploads()}")
        spool = self.disk / "archives/.hashget-spool"
        if spool.exists() and os.listdir(spool):
            wrong.append(f"left in the spool: {os.listdir(spool)}")
        check = self.run("backup", "check", *(["--read"] if number % 25 == 0 else []))
        if check.returncode != 0:
            wrong.append(f"check ended with {check.returncode}: {check.stdout}{check.stderr}")
        if number % 10 == 0:
            wrong += self.restored()
        self.wrong += [f"{number} {kind}: {problem}" for problem in wrong]
        print(f"{number:4} {kind:10} {code:4}  {'; '.join(wrong) or 'well'}", flush=True)
        return kind

    def restored(self):
        target = self.folder / "back"
        subprocess.run(["rm", "-rf", target])
        places = [f"{self.disk}/archives", "s3://faults/web", f"sftp://root@127.0.0.1{self.remote}"]
        place = self.chance.choice(places)
        done = self.run("backup", "restore", "web_tree", "--from", place, "-C", str(target))
        differs = subprocess.run(["diff", "-r", self.tree, target], capture_output=True, text=True)
        if done.returncode or differs.returncode:
            return [f"restoring from {place}: {done.stderr}{differs.stdout}"]
        return []

    def end(self):
        for process in self.processes:
            # What it keeps is of no use to anybody.
            process.kill()
            process.wait()
        subprocess.run(["umount", "-l", self.disk])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hashget", type=pathlib.Path)
    parser.add_argument("weed", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    # What it has started ends with it, however that is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    place = Place(given)
    place.change()
    started = time.monotonic()
    first = place.run("backup")
    place.usual = time.monotonic() - started
    if first.returncode:
        raise SystemExit(f"the first run ended with {first.returncode}: {first.stdout}{first.stderr}")
    kinds = collections.Counter(place.round(number) for number in range(1, given.faults + 1))
    print(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    print(f"{given.faults} faults, {len(place.wrong)} problems")
    for problem in place.wrong:
        print(problem)
    sys.exit(1 if place.wrong else 0)


main()
