#!/usr/bin/env python3
"""Serves the packages of the inputs on loopback: files by path, and Debian packages by the part of the snapshot
interface that the Python tool uses.

    server.py FOLDER [ADDRESS:]PORT [BYTES]

The address is 127.0.0.1 unless another one is given. BYTES limits each answer to that many bytes per second.
"""
import hashlib
import http.server
import json
import os
import re
import sys
import time
import urllib.parse


def pool_name(file):
    """The name of a .deb in an archive's pool: without the epoch."""
    return re.sub(r"_[0-9]+:", "_", urllib.parse.unquote(file), count=1)


def packages(folder):
    """Debian packages: (name, version) to architectures and digests, digest to path, file name to path."""
    by_name, by_digest, by_file = {}, {}, {}
    for file in sorted(os.listdir(folder)):
        name, version, architecture = urllib.parse.unquote(file).removesuffix(".deb").split("_")
        path = os.path.join(folder, file)
        with open(path, "rb") as content:
            digest = hashlib.file_digest(content, "sha1").hexdigest()
        by_name.setdefault((name, version), []).append((architecture, digest))
        by_digest[digest] = path
        by_file[pool_name(file)] = path
    return by_name, by_digest, by_file


class Handler(http.server.SimpleHTTPRequestHandler):
    """GET /mr/..., /file/DIGEST, /archive/..., or a path below the folder."""
    protocol_version = "HTTP/1.1"
    # Without this, the last piece of every answer waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True
    by_name, by_digest, by_file = {}, {}, {}
    bytes_per_second = None
    part = (0, None)

    def copyfile(self, source, outputfile):
        if self.bytes_per_second is None:
            # Sent by the kernel: the server should use as little as possible of the cores that are measured.
            self.wfile.flush()
            self.connection.sendfile(source, *self.part)
            return
        source.seek(self.part[0])
        left = self.part[1]
        while piece := source.read(min(left, self.bytes_per_second // 20)):
            outputfile.write(piece)
            left -= len(piece)
            time.sleep(0.05)

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("/mr/"):
            self.answer(self.snapshot([urllib.parse.unquote(part) for part in self.path.split("?")[0].split("/")[2:]]))
        else:
            super().do_GET()

    def send_head(self):
        """The head of a file, or of the part that was asked for: one range, as hashget asks for it."""
        path = self.translate_path(self.path.split("?")[0])
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not os.path.isfile(path):
            return super().send_head()
        whole = os.path.getsize(path)
        first, last = wanted.groups() if wanted else ("0", "")
        if first == "":
            first, last = max(0, whole - int(last)), ""
        end = min(int(last) + 1, whole) if last else whole
        self.part = int(first), end - int(first)
        if wanted and self.part[1] <= 0:
            self.send_error(416)
            return None
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{whole}")
        self.send_header("Content-Length", str(self.part[1]))
        self.send_header("Accept-Ranges", "bytes")
        # When a registry got it, which is not when this copy was made.
        self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        self.end_headers()
        return open(path, "rb")

    def snapshot(self, parts):
        if parts[0] == "binary":
            found = self.by_name.get((parts[1], parts[2]), [])
            return {"result": [{"architecture": kind, "hash": digest} for kind, digest in found],
                    "fileinfo": {digest: [self.place(digest)] for _, digest in found}}
        return {"result": [self.place(parts[1])]}

    def place(self, digest):
        path = self.by_digest[digest]
        return {"archive_name": "debian", "first_seen": "20240101T000000Z", "path": "/pool",
                "name": pool_name(os.path.basename(path)), "size": os.path.getsize(path)}

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path):
        path = urllib.parse.unquote(path)
        if path.startswith("/file/"):
            return self.by_digest.get(path[6:], "/nonexistent")
        if path.startswith("/archive/"):
            return self.by_file.get(path.split("/")[-1], "/nonexistent")
        return os.path.join(self.directory, path.lstrip("/"))


if __name__ == "__main__":
    root = os.path.abspath(sys.argv[1])
    Handler.by_name, Handler.by_digest, Handler.by_file = packages(os.path.join(root, "debs"))
    Handler.bytes_per_second = int(sys.argv[3]) if len(sys.argv) > 3 else None
    make = lambda *arguments: Handler(*arguments, directory=root)
    address, _, port = sys.argv[2].rpartition(":")
    server = http.server.ThreadingHTTPServer((address or "127.0.0.1", int(port)), make)
    print("listening", flush=True)
    server.serve_forever()
