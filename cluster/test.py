#!/usr/bin/env python3
"""Runs the job on a real cluster of Apache Spark on this machine, one master and two workers on loopback, kills a worker half-way,
and compares what comes out with what one machine publishes that indexed the same packages. Takes minutes and 500 MB; needs Java 17,
the program, and a package index for pip that has pyspark. No other test calls it; cluster/README.md says what it printed.

Invariant: ends with an error unless a worker was killed while it read packages and all tables are equal, byte for byte.

    cluster/test.py --hashget target/release/hashget --work /var/tmp/cluster
"""
import argparse
import hashlib
import http.server
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

SPARK = "pyspark==4.3.0"
MASTER = "spark://127.0.0.1:17077"
HERE = pathlib.Path(__file__).resolve().parent
STARTED = time.monotonic()


def say(text):
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


# Packages -------------------------------------------------------------------------------------------------------------------------

def tar_of(files, mode="w:xz"):
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=mode) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 1_700_000_000
            tar.addfile(entry, io.BytesIO(content))
    return output.getvalue()


def deb(name, files):
    control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody\nDescription: of a test\n".encode()
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": tar_of({"./control": control}), "data.tar.xz": tar_of(files)}
    output = b"!<arch>\n"
    for part, content in parts.items():
        output += f"{part:<16}{1700000000:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        output += b"\n" * (len(content) % 2)
    return output


def zip_of(files):
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2023, 11, 14, 0, 0, 0)), content)
    return output.getvalue()


def packages(count):
    """Packages by the path of their URL: .debs, tars and zips with files of their own, files that many have, and files twice."""
    chance = random.Random(18)
    made = {}
    for number in range(count):
        name = f"p{chance.randrange(10**6):06d}-{number}"
        files = {f"./usr/share/{name}/{file}": chance.randbytes(chance.randrange(5000)) for file in range(chance.randrange(1, 60))}
        files["./usr/share/licence"] = b"free\n"
        files["./usr/share/empty"] = b""
        files["./usr/share/again"] = next(iter(files.values()))
        kind = number % 3
        content = [deb, lambda _, files: tar_of(files, "w:gz"), lambda _, files: zip_of(files)][kind](name, files)
        made[f"/{name}{['_1.0_all.deb', '.tar.gz', '.zip'][kind]}"] = content
        if number % 20 == 0:
            # The same bytes at another place: published once, with both URLs.
            made[f"/again/{name}{['_1.0_all.deb', '.tar.gz', '.zip'][kind]}"] = content
    made["/damaged.tar"] = tar_of({"a": b"a" * 5000}, "w")[:3000]
    return made


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, content, delay):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.delay, self.requests = content, delay, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """A worker that was killed has closed its connections."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests += 1
        time.sleep(self.server.delay)
        content = self.server.content.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_):
        pass


# The cluster ----------------------------------------------------------------------------------------------------------------------

class Cluster:
    """A master and two workers, each in a session of its own: a worker is killed with everything that it started."""

    def __init__(self, work):
        self.work = work
        python = work / "venv/bin/python"
        if not (work / "venv/lib").exists() or subprocess.run([python, "-c", "import pyspark"], capture_output=True).returncode:
            subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", SPARK], check=True)
        home = subprocess.check_output([python, "-c", "import pyspark, os; print(os.path.dirname(pyspark.__file__))"], text=True)
        self.home = pathlib.Path(home.strip())
        self.environment = {**os.environ, "SPARK_HOME": str(self.home), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(python)}
        self.environment.pop("PYTHONPATH", None)
        self.processes = {}
        self.start("master", "master.Master", "--host", "127.0.0.1", "--port", "17077", "--webui-port", "18080")
        time.sleep(5)
        for worker in ("worker1", "worker2"):
            self.start(worker, "worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", "0",
                       "--work-dir", str(work / worker), MASTER)
        time.sleep(8)

    def start(self, name, what, *options):
        log = open(self.work / f"{name}.log", "w")
        command = [self.home / "bin/spark-class", f"org.apache.spark.deploy.{what}", *options]
        self.processes[name] = subprocess.Popen(
            command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)

    def kill(self, name):
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def submit(self, *options):
        log = open(self.work / "submit.log", "a")
        command = [self.home / "bin/spark-submit", "--master", MASTER, "--driver-memory", "1g", "--executor-memory", "1g",
                   "--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1",
                   "--conf", "spark.ui.enabled=false", "--conf", "spark.sql.shuffle.partitions=8", HERE / "job.py", *options]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True)


def ended(process, what):
    output = process.communicate()[0]
    for line in output.splitlines():
        say(line)
    if process.returncode:
        sys.exit(f"{what} failed: see submit.log")


# The test -------------------------------------------------------------------------------------------------------------------------

class Program:
    """The program, with a HashDB and a key in the folder of the test."""

    def __init__(self, path, work):
        self.path, self.work = path, work
        self.environment = {**os.environ, "HASHGET_DB": str(work / "db"), "HASHGET_CACHE": str(work / "cache"), "HOME": str(work)}

    def __call__(self, *arguments, may_fail=False):
        ran = subprocess.run([self.path, *arguments], env=self.environment, cwd=self.work, capture_output=True, text=True)
        if ran.returncode and not may_fail:
            sys.exit(f"hashget {' '.join(map(str, arguments))}: {ran.stderr}")
        return ran.stdout.strip() or ran.stderr.strip().splitlines()[-1]


def layers(folder):
    [manifest] = (folder / "manifests").iterdir()
    return json.loads(manifest.read_bytes())["layers"]


def gather(cluster, server, work, hashget):
    """Runs both parts of the job; a worker is killed when half of the packages were asked for."""
    (work / "lists").mkdir()
    urls = [f"http://127.0.0.1:{server.server_port}{path}" for path in server.content]
    (work / "lists/all.txt").write_text("".join(f"{url}\n" for url in urls + [urls[0] + ".gone"]))
    server.requests = 0
    facts = cluster.submit("facts", "--lists", str(work / "lists"), "--facts", str(work / "facts"), "--hashget", str(hashget),
                           "--slices", "12")
    while server.requests < len(urls) // 2:
        if facts.poll() is not None:
            ended(facts, "facts")
            sys.exit("the job was done before a worker could be killed")
        time.sleep(0.05)
    asked = server.requests
    cluster.kill("worker1")
    say(f"worker 1 killed after {asked} requests for {len(urls) + 1} packages")
    ended(facts, "facts")
    say(f"{server.requests} requests in all: {server.requests - len(urls) - 1} packages were read again")
    if server.requests <= len(urls) + 1:
        sys.exit("nothing had to be read again: the worker was killed while it did nothing")
    ended(cluster.submit("sort", "--facts", str(work / "facts"), "--gathered", str(work / "gathered"), "--digits", "1",
                         "--rows", "40", "--slices", "4", "--rank", str(work / "rank")), "sort")


def test(hashget, work, count):
    program = Program(hashget, work)
    server = Server(packages(count), 0.02)
    say(f"{len(server.content)} packages, {sum(map(len, server.content.values()))} bytes, on loopback")
    names = sorted(path.rsplit("/", 1)[1].split("_")[0] for path in server.content if path.endswith(".deb"))
    (work / "rank").write_text("".join(f"{name}\n" for name in names[::-3]))
    key = program("publish", "keygen", "--key", "key", "--name", "test.example/log").splitlines()[0]
    urls = [f"http://127.0.0.1:{server.server_port}{path}" for path in server.content]
    random.shuffle(urls)
    say("one machine: " + program("index", *urls, may_fail=True))
    say("one machine: " + program("publish", "-o", "one", "--key", "key", "--rank", "rank"))
    cluster = Cluster(work)
    try:
        say(f"cluster: {SPARK}, one master, two workers")
        gather(cluster, server, work, hashget)
    finally:
        for name in list(cluster.processes):
            cluster.kill(name)
    say("cluster: " + program("publish", "finish", "gathered", "-o", "two", "--key", "key", "--rank", "rank"))
    say(program("publish", "verify", "two", "--key", key))
    say(program("publish", "diff", "one", "two", "--key", key))
    one, two = layers(work / "one"), layers(work / "two")
    if one != two:
        sys.exit("the tables differ")
    tables = sorted(table.name for table in (work / "two/tables").iterdir())
    whole = hashlib.sha256("\n".join(tables).encode()).hexdigest()
    say(f"equal, byte for byte: {len(tables)} tables ({whole[:16]})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hashget", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for everything; the venv in it is used again")
    parser.add_argument("--packages", type=int, default=300)
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for old in work.iterdir():
        if old.name != "venv":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    test(options.hashget.resolve(), work, options.packages)


if __name__ == "__main__":
    main()
