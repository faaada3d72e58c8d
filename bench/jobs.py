"""Every job that is measured: its command, its preparation, and the target that it is compared with.

A job's `before` is not timed; `archive` names its output. `limit` is (tool, factor): the job should take at
most that many times as long as the other tool's job of the same table and tree.
"""
import glob
import os
import shlex
import urllib.parse
from dataclasses import dataclass, field

OURS = "hashget"
RAW = "raw limit"


@dataclass
class Job:
    table: str                      # the operation
    tree: str                       # the input
    tool: str                       # the program
    command: str                    # a shell command
    before: str = "true"
    archive: str = ""               # a file or folder whose size is reported
    limit: tuple | None = None      # (tool, factor)
    slow: bool = False              # takes very long: runs only on request, once
    full_only: bool = False
    runs: list = field(default_factory=list)
    bytes: int = 0

    @property
    def is_peer(self):
        return not self.tool.startswith((OURS, RAW))

    def key(self):
        return self.table, self.tree, self.tool


class Inputs:
    """A folder that bench/inputs made, with its paths and URLs."""

    def __init__(self, folder, work, port, binary, peer):
        self.folder, self.work, self.port, self.peer = folder, work, port, peer
        self.binary = binary
        one = lambda pattern: glob.glob(os.path.join(folder, pattern))[0]
        self.xz, self.zip = one("serve/linux-source-*.tar.xz"), one("serve/wordpress-*.zip")
        self.debs = sorted(glob.glob(os.path.join(folder, "debs/*.deb")))

    def tree(self, name):
        return os.path.join(self.folder, "inputs", name)

    def urls(self, name):
        files = {"linux": [self.xz], "wordpress": [self.zip], "debian-lamp": self.debs}[name]
        relative = [urllib.parse.quote(os.path.relpath(file, self.folder)) for file in files]
        return [f"http://127.0.0.1:{self.port}/{path}" for path in relative]

    def ours(self, name, arguments, cache="cache", db="db"):
        base = os.path.join(self.work, name)
        return f"{self.binary} --db {base}/{db} --cache {base}/{cache} -q {arguments}"

    def python(self, name, arguments):
        base = os.path.join(self.work, name)
        return f"{self.peer} --hashdb_path {base}/python {arguments} --hashserver"


def index(inputs, name, full_only):
    base = os.path.join(inputs.work, name)
    urls = shlex.join(inputs.urls(name))
    fresh = f"rm -rf {base}/cold {base}/cold-db"
    debs = f"ls {inputs.folder}/debs/*.deb"
    raw = {
        "linux": f"xz -dc -T2 {inputs.xz} | openssl dgst -sha256",
        "wordpress": f"unzip -p {inputs.zip} | openssl dgst -sha256",
        "debian-lamp": f"{debs} | xargs -P2 -n1 sh -c 'dpkg-deb --fsys-tarfile \"$0\" | openssl dgst -sha256'",
    }[name]
    limit = {"linux": (RAW, 1.15), "debian-lamp": ("Python hashget", 0.1)}.get(name)
    yield Job("index", name, OURS, inputs.ours(name, f"index {urls}", "cold", "cold-db"), fresh, limit=limit)
    if name == "debian-lamp":
        yield Job("index", name, OURS + " --jobs 1",
                  inputs.ours(name, f"--jobs 1 index {urls}", "cold", "cold-db"), fresh)
    yield Job("index", name, RAW, raw)
    if name == "debian-lamp":
        command = f"--index {inputs.tree(name)}"
    else:
        command = f"--submit {urls} -p bench"
    yield Job("index", name, "Python hashget", inputs.python(name, command),
              f"rm -rf {base}/python {inputs.work}/python-cache; mkdir -p {base}/python", full_only=full_only)


def pack(inputs, name, full_only):
    base, tree = os.path.join(inputs.work, name), inputs.tree(name)
    ours = lambda file, more="": inputs.ours(name, f"pack {tree} --no-index -f {base}/{file} {more}", "scan")
    # Output of earlier jobs must neither evict the tree from memory nor be written back during this job. The tree is read
    # twice: the second reader of a page has to mark it as used, and no job should pay for that.
    read = f"find {tree} -type f -print0 | xargs -0 cat > /dev/null"
    warm = f"{read}; {read}; sync"
    first = f"rm -rf {base}/scan {base}/*.ours*; {warm}"
    yield Job("pack, first scan", name, OURS, ours("ours.tar.zst"), first, f"{base}/ours.tar.zst", (RAW, 1.3))
    yield Job("pack, first scan", name, RAW,
              f"find {tree} -type f -print0 | xargs -0 -P2 -n4000 openssl dgst -sha256", warm)
    yield Job("pack, first scan", name, OURS + " --hashes none", ours("none.tar.zst", "--hashes none"), first,
              f"{base}/none.tar.zst")
    if name == "debian-lamp":
        yield Job("pack, first scan", name, OURS + " .tar.zst, level 19", ours("best.tar.zst", "--level 19"), first,
                  f"{base}/best.tar.zst")
        yield Job("pack, first scan", name, OURS + " .tar.gz", ours("ours.tar.gz"), first, f"{base}/ours.tar.gz")
    yield Job("pack again, unchanged", name, OURS, ours("again.tar.zst"),
              f"rm -rf {base}/scan; {ours('again.tar.zst')}; sleep 3; {ours('again.tar.zst')}", f"{base}/again.tar.zst",
              (RAW, 3))
    yield Job("pack again, unchanged", name, RAW, f"find {tree} -printf '%s %T@ %i\\n'")
    table = "back up everything"
    yield Job(table, name, "Python hashget", inputs.python(name, f"--pack {tree} -zf {base}/python.tar.gz"), warm,
              archive=f"{base}/python.tar.gz", full_only=full_only)
    yield Job(table, name, OURS, ours("ours.tar.zst"), first, f"{base}/ours.tar.zst")
    yield Job(table, name, "tar + gzip -6", f"tar -C {tree} -cf - . | gzip -6 > {base}/tar.gz", warm,
              archive=f"{base}/tar.gz", full_only=full_only)
    yield Job(table, name, "tar + zstd -3", f"tar -C {tree} -cf - . | zstd -q -3 -T0 -f -o {base}/tar.zst", warm,
              archive=f"{base}/tar.zst")
    yield Job(table, name, "restic", f"restic -q --no-cache -r {base}/restic backup {tree}",
              f"rm -rf {base}/restic; restic -q init -r {base}/restic; {warm}", f"{base}/restic")
    yield Job(table, name, "borg, zstd", f"borg create -C zstd,3 {base}/borg::a {tree}",
              f"rm -rf {base}/borg; borg init -e none {base}/borg; {warm}", f"{base}/borg")


def restore(inputs, name, full_only):
    base = os.path.join(inputs.work, name)
    fresh = f"rm -rf {base}/restored; mkdir {base}/restored; sync"
    raw = {
        "linux": f"tar -I 'xz -T2' -xf {inputs.xz} -C {base}/restored",
        "wordpress": f"unzip -q {inputs.zip} -d {base}/restored",
        "debian-lamp": f"ls {inputs.folder}/debs/*.deb | xargs -P2 -I'{{}}' dpkg-deb -x '{{}}' {base}/restored",
    }[name]
    ours = lambda more: inputs.ours(name, f"{more} unpack {base}/ours.tar.zst -C {base}/restored")
    table = "restore, packages cached"
    yield Job(table, name, OURS, ours(""), fresh, limit=(RAW, 1.25))
    yield Job(table, name, OURS + " --jobs 1", ours("--jobs 1"), fresh)
    yield Job(table, name, RAW, raw, fresh)
    yield Job(table, name, RAW + " + sync", f"{raw}; sync -f {base}/restored", fresh)
    yield Job(table, name, "Python hashget",
              f"tar xzf {base}/python.tar.gz -C {base}/restored; "
              + inputs.python(name, f"-u {base}/restored"), fresh, slow=name == "linux", full_only=full_only)
    yield Job(table, name, "tar xzf", f"tar xzf {base}/tar.gz -C {base}/restored", fresh, full_only=full_only)


def prepare(inputs, name):
    """The precondition of packing and restoring: everything is indexed, every package is in the cache."""
    return inputs.ours(name, f"index {shlex.join(inputs.urls(name))}")


def jobs(inputs, small):
    """All jobs, in the order of one round. The Python tool's pack needs its index, its restore its pack."""
    chosen = []
    for name in ("wordpress", "debian-lamp", "linux"):
        full_only = name != "wordpress"
        for stage in (index, pack, restore):
            chosen += [job for job in stage(inputs, name, full_only) if not (small and job.full_only)]
    return chosen
