#!/usr/bin/env python3
"""Restore an archive of hashget without hashget.

    restore.py ARCHIVE -C TARGET      unpack an archive, fetch what it left out, and check the result
    restore.py FOLDER                 complete a folder into which tar has unpacked an archive

Supplements are used that lie beside the archive, or are named by --also.

The program needs Python 3.9 or later on a Unix system, and nothing else for most archives. It was written from the
description of the format, docs/format.md, and follows its order. Whoever has that page and this file can restore an
archive when hashget itself is no longer there.

Other programs are called for what Python's standard library cannot read:

    zstd      .tar.zst and other zstd data, where Python is older than 3.14
    lz4       packages compressed with lz4
    gzip      packages compressed with compress (.Z)
    bsdtar    packages of the format 7z (Debian: libarchive-tools)

Not read: Alpine packages of version 3, and what is encrypted. Damage in an archive ends the reading of it; hashget,
or the PAR2 file beside the archive, gets back what lies behind the damage.

Memory: contents pass through in pieces. The manifest, and about 500 bytes for each entry of the tree, are kept.

Invariants:
  * Nothing is written outside of the target. Folders are entered only if they are folders, never through a symbolic
    link, and symbolic links are made last.
  * No file that was there before is replaced.
  * Bytes that nothing has proven get no name: a package has the SHA-256 of the manifest, or each of its files has.
"""
import argparse
import base64
import binascii
import bz2
import calendar
import functools
import gzip
import hashlib
import http.client
import inspect
import io
import itertools
import json
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib

MANIFEST = b".hashget-restore.json"
RESTORER = b".hashget-restore.py"
RESTS = b".hashget-rest"
SUPPLEMENT = b".hashget-supplement.json"
FLAGS = b"hashget.flags"
CHUNK = 1 << 18
ROOT = os.geteuid() == 0
# Features of the table "Needs" of docs/format.md that this program knows.
KNOWN_FEATURES = frozenset(["restorer", "derived", "pieces", "tools", "encoded"])


# ---------------------------------------------------------------------------------------------------------------------
# What is told, and the exit code
# ---------------------------------------------------------------------------------------------------------------------

DONE, FAILED, USAGE, INCOMPLETE, UNPROVEN, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class Failure(Exception):
    """Nothing can be restored at all; the text says why."""


class Damaged(Exception):
    """What was read is not as its format says; the text says how."""


class Problem(Exception):
    """One thing cannot be restored: the text says why, `code` what the exit code becomes."""

    def __init__(self, text, code=INCOMPLETE):
        super().__init__(text)
        self.code = code


# What readers of damaged data raise.
DAMAGE = (Damaged, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError,
          KeyError, IndexError, TypeError, struct.error, NotImplementedError, RuntimeError)


def shown(path):
    """A name for people: nothing in it can act on a terminal."""
    text = path.decode("utf-8", "backslashreplace") if isinstance(path, bytes) else str(path)
    return "".join(c if c.isprintable() else "\\x%02x" % ord(c) for c in text) or "(top folder)"


class Report:
    """Tells progress and problems on standard error, and keeps what the exit code follows from."""

    def __init__(self, quiet=False, verbose=False):
        self.quiet, self.most = quiet, sys.maxsize if verbose else 20
        self.codes, self.counts = set(), {}

    def progress(self, text):
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def problem(self, what, text, code=INCOMPLETE):
        """`what` is the kind: of each kind, the first twenty are named, all are counted."""
        self.codes.add(code)
        self.counts[what] = self.counts.get(what, 0) + 1
        if self.counts[what] <= self.most:
            print("restore.py: %s: %s" % (what, text), file=sys.stderr, flush=True)

    def exit_code(self):
        return next((code for code in (UNPROVEN, UNREACHABLE, INCOMPLETE) if code in self.codes), DONE)


# ---------------------------------------------------------------------------------------------------------------------
# Streams: a part of a file, compression
# ---------------------------------------------------------------------------------------------------------------------

class Section(io.RawIOBase):
    """The bytes of `file` from `start` on, `size` of them, as a file of its own."""

    def __init__(self, file, start, size):
        super().__init__()
        self.file, self.start, self.size, self.at = file, start, size, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self.at = max(0, offset + (0, self.at, self.size)[whence])
        return self.at

    def tell(self):
        return self.at

    def readinto(self, buffer):
        self.file.seek(self.start + self.at)
        data = self.file.read(max(0, min(len(buffer), self.size - self.at)))
        buffer[:len(data)] = data
        self.at += len(data)
        return len(data)


class Piped(io.RawIOBase):
    """What a program makes of a stream. Reading it to its end tells whether the program succeeded."""

    def __init__(self, command, source):
        super().__init__()
        if shutil.which(command[0]) is None:
            raise Damaged("the program %s is needed to read it; install it and run this again" % command[0])
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        threading.Thread(target=self.feed, args=(source,), daemon=True).start()

    def feed(self, source):
        try:
            with self.process.stdin as pipe:
                shutil.copyfileobj(source, pipe, CHUNK)
        except (OSError, ValueError):
            pass  # The program has ended: what it has left out shows in its exit code.

    def readable(self):
        return True

    def readinto(self, buffer):
        count = self.process.stdout.readinto(buffer)
        if not count and self.process.wait() != 0:
            raise Damaged("%s says that the data is damaged" % self.command[0])
        return count


def starts_with(file):
    """The first bytes of a file, which stay unread."""
    file = file if hasattr(file, "peek") else io.BufferedReader(file, CHUNK)
    return file, file.peek(600)[:600]


def decompressed(file):
    """The stream behind the compression that the first bytes show, or the file itself."""
    file, head = starts_with(file)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return lzma.LZMAFile(file)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if head.startswith(b"\x28\xb5\x2f\xfd") or head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5f:
        try:
            from compression import zstd  # Python 3.14
            return zstd.ZstdFile(file)
        except ImportError:
            return io.BufferedReader(Piped(["zstd", "-dcq", "--long=31"], file), CHUNK)
    if head.startswith(b"\x04\x22\x4d\x18"):
        return io.BufferedReader(Piped(["lz4", "-dcq"], file), CHUNK)
    if head.startswith(b"\x1f\x9d"):
        return io.BufferedReader(Piped(["gzip", "-dcq"], file), CHUNK)
    return file


def pieces(file):
    """The contents of a file as (offset, bytes)."""
    offset = 0
    while True:
        data = file.read(CHUNK)
        if not data:
            return
        yield offset, data
        offset += len(data)


def stretches(file, places):
    """The contents of some places of a file, (offset, length) each."""
    for offset, length in places:
        file.seek(offset)
        yield from Part(file, length).pieces()


class Part:
    """The next `size` bytes of a stream that cannot go back: read once, or passed over."""

    def __init__(self, stream, size):
        self.stream, self.size, self.left = stream, size, size

    def pieces(self):
        while self.left:
            data = self.stream.read(min(CHUNK, self.left))
            if not data:
                raise Damaged("it ends too early")
            offset = self.size - self.left
            self.left -= len(data)
            yield offset, data

    def all(self):
        return b"".join(data for _, data in self.pieces())

    def skip(self):
        for _ in self.pieces():
            pass


# ---------------------------------------------------------------------------------------------------------------------
# Members: what packages, and the archive itself, consist of
# ---------------------------------------------------------------------------------------------------------------------

class Member:
    """One thing in a package. `path` is clean; `time` counts nanoseconds. What the format does not record is None.

    `contents` gives the bytes of a file as (offset, bytes) once, before the next member is asked for.
    `inside` is the part of the path that leads to the package in the package that the member is in.
    """

    __slots__ = ("path", "type", "mode", "uid", "gid", "time", "size", "target", "device", "xattrs", "contents",
                 "inside")

    def __init__(self, path, kind, mode=None, uid=None, gid=None, time=None, size=0, target=b"", device=None,
                 xattrs=None, contents=None):
        self.path, self.type, self.mode, self.uid, self.gid, self.time = path, kind, mode, uid, gid, time
        self.size, self.target, self.device, self.xattrs = size, target, device, xattrs
        self.contents = contents or (lambda: pieces(io.BytesIO()))
        self.inside = b""


def clean(path):
    """A member path without empty and `.` components; None if it is not inside, and for the top folder."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    return None if b".." in parts or not parts else b"/".join(parts)


KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFCHR: "c", stat.S_IFBLK: "b",
         stat.S_IFIFO: "p"}
TAR_KINDS = {tarfile.LNKTYPE: "h", tarfile.SYMTYPE: "l", tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b",
             tarfile.DIRTYPE: "d", tarfile.FIFOTYPE: "p"}


def as_bytes(text):
    return text.encode("utf-8", "surrogateescape")


def decimal_nanoseconds(text):
    """A decimal number of seconds, as extended headers have it, in nanoseconds."""
    whole, _, fraction = text.strip().partition(".")
    value = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return int(whole) * 10**9 + (-value if whole.startswith("-") else value)


def tar_members(stream, prefix=b"", top=False):
    """The members of a tar, compressed or not. With `top`, also the top folder (empty path), and paths with `..`."""
    with tarfile.open(fileobj=decompressed(stream), mode="r|", encoding="utf-8", errors="surrogateescape",
                      bufsize=CHUNK) as tar:
        while True:
            info = tar.next()
            tar.members = []
            if info is None:
                return
            # A sparse file in an extended header has a name of its own besides that for readers that do not know of it.
            name = as_bytes(info.pax_headers.get("GNU.sparse.name", info.name))
            size = info.pax_headers.get("GNU.sparse.realsize", info.pax_headers.get("GNU.sparse.size", info.size))
            path = clean(name)
            if path is None and not top:
                continue
            if path is None:  # The top folder, or a path that leads out of it, which is refused by its name.
                path = name if b".." in name.split(b"/") else b""
            kind = TAR_KINDS.get(info.type, "f")
            exact = info.pax_headers.get("mtime")
            # As GNU tar does: `=` and `%` in names of attributes are %3D and %25.
            xattrs = {as_bytes(key[13:].replace("%3D", "=").replace("%25", "%")): as_bytes(value) for key, value in info.pax_headers.items()
                      if key.startswith("SCHILY.xattr.")}
            target = as_bytes(info.linkname)
            if kind == "h":
                target = prefix + (clean(target) or b"")
            yield Member(prefix + path, kind, info.mode & 0o7777, info.uid, info.gid,
                         decimal_nanoseconds(exact) if exact else int(info.mtime) * 10**9, int(size), target,
                         (info.devmajor, info.devminor), xattrs, lambda: tar_contents(tar, info))


def tar_contents(tar, info):
    """A sparse file has its stretches of data one behind the other."""
    tar.fileobj.seek(info.offset_data)
    for start, size in info.sparse if info.sparse is not None else [(0, info.size)]:
        for offset, data in Part(tar.fileobj, size).pieces():
            yield start + offset, data


def ar_members(file):
    """The members of an ar archive: of static libraries, and the parts of a .deb."""
    if file.read(8) != b"!<arch>\n":
        raise Damaged("it does not begin as an ar archive")
    at, names = 8, b""
    while True:
        file.seek(at)
        head = file.read(60)
        if not head:
            return
        if len(head) < 60 or head[58:] != b"`\n":
            raise Damaged("the ar archive has a damaged header")
        name, size = head[:16].rstrip(b" "), int(head[48:58])
        start, at = at + 60, at + 60 + size + size % 2
        if name == b"//":
            names = file.read(size)
            continue
        if name.startswith(b"/") and name[1:].isdigit():
            name = names[int(name[1:]):].split(b"\n", 1)[0]
        elif name.startswith(b"#1/"):
            length = int(name[3:])
            name, start, size = file.read(length).rstrip(b"\0"), start + length, size - length
        elif name in (b"/", b"/SYM64/"):
            continue
        path = clean(name[:-1] if name.endswith(b"/") else name)
        if path is None or path.startswith(b"__.SYMDEF"):
            continue
        number = [int(head[a:b].strip() or b"0", base) for a, b, base in ((16, 28, 10), (28, 34, 10), (34, 40, 10),
                                                                        (40, 48, 8))]
        part = io.BufferedReader(Section(file, start, size), CHUNK)
        yield Member(path, "f", number[3] & 0o7777, number[1], number[2], number[0] * 10**9, size,
                     contents=lambda: pieces(part), device=part)


def deb_members(file):
    """`control/...` and `data/...`, from the two tars in the ar archive."""
    for part in ar_members(file):
        for name in (b"control", b"data"):
            if part.path.startswith(name + b".tar"):
                yield from tar_members(part.device, name + b"/")


def gem_members(file):
    """The members of the outer tar, and of its data.tar.gz as `data/...`."""
    for member in tar_members(file):
        if member.path == b"data.tar.gz":
            with spooled(member) as inner:
                yield member
                inner.seek(0)
                yield from tar_members(inner, b"data/")
        else:
            yield member


def conda_members(file):
    """The members of the outer zip, with those of the tars `pkg-...` and `info-...` in the place of these."""
    for member in zip_members(file):
        found = re.match(rb"(pkg|info)-[^/]*\.tar\.zst$", member.path)
        if found:
            with spooled(member) as inner:
                yield from tar_members(inner, found.group(1) + b"/")
        else:
            yield member


def apk_members(file):
    """Version 2: gzip streams one behind the other, each with a tar: `signature/`, `control/` and `data/`."""
    if file.read(3) == b"ADB":
        raise Damaged("Alpine packages of version 3 are not read by this program")
    file.seek(0)
    data, part = b"", 0
    while True:
        unpack, began = zlib.decompressobj(31), False
        with tempfile.TemporaryFile() as tar:
            while not unpack.eof:
                data = data or file.read(CHUNK)
                if not data:
                    break
                began = True
                tar.write(unpack.decompress(data))
                data = unpack.unused_data
            if not began:
                return
            if not unpack.eof:
                raise Damaged("the gzip data ends too early")
            tar.seek(0)
            # A package without a signature begins with its control part. The data may be several streams.
            if part == 0 and not tar.read(6).startswith(b".SIGN."):
                part = 1
            tar.seek(0)
            yield from tar_members(tar, (b"signature/", b"control/", b"data/")[min(part, 2)])
            part += 1


def zip_members(file):
    """The members in the order of the zip's directory. Times without a zone count as UTC."""
    with zipfile.ZipFile(file) as archive:
        # Of several entries of one name the last one counts, at the place of the first.
        entries = {info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"): info
                   for info in archive.infolist()}
        for name, info in entries.items():
            path = clean(name)
            if path is None:
                continue
            mode = info.external_attr >> 16
            mode = mode if mode and info.create_system in (3, 19) else None
            kind = "d" if name.endswith(b"/") else KINDS.get(stat.S_IFMT(mode or 0), "f")
            target = archive.read(info) if kind == "l" else b""
            yield Member(path, kind, None if mode is None else mode & 0o7777, time=zip_time(info),
                         size=info.file_size, target=target, contents=lambda: zip_contents(archive, info))


def zip_contents(archive, info):
    with archive.open(info) as file:
        yield from pieces(file)


def zip_time(info):
    """In nanoseconds: of the extra field 0x5455 if it is there, else the entry's own, which has no zone; None if that is none."""
    extra, at = info.extra, 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 0x5455 and size >= 5 and extra[at + 4] & 1:
            return struct.unpack_from("<i", extra, at + 5)[0] * 10**9
        at += 4 + size
    try:
        seconds = calendar.timegm(info.date_time + (0, 0, 0))
        same = time.gmtime(seconds)[:6] == tuple(info.date_time)
    except (ValueError, OverflowError):
        return None
    return seconds * 10**9 if same else None


CPIO_MAGIC = (b"070701", b"070702", b"070707", b"07070X")
CPIO_BINARY = {b"\xc7\x71": "<", b"\x71\xc7": ">"}


def cpio_members(stream, described=None):
    """The entries of cpio archives, one or several. `described` has what an .rpm's header says, by path and by index."""
    magic = stream.read(6)
    while True:
        # Between two archives there are zeros, up to a multiple of 4 bytes or more.
        while magic and not magic.strip(b"\0"):
            magic = magic[4:] + stream.read(4)
        if magic not in CPIO_MAGIC and magic[:2] not in CPIO_BINARY:
            return
        waiting = {}
        while magic and magic.strip(b"\0"):
            member, inode, part, padding = cpio_entry(stream, magic, described)
            if member is None:
                magic = stream.read(6)
                break
            # Of several names of a file, all but the one with the contents are empty.
            if inode is not None and part.size == 0:
                waiting.setdefault(inode, []).append(member)
            elif member.path:
                others = [hard_link(other, member) for other in waiting.pop(inode, [])]
                yield member
                yield from others
            part.skip()
            Part(stream, padding).skip()
            magic = stream.read(6)
        for names in waiting.values():
            others = [hard_link(other, names[0]) for other in names[1:]]
            yield names[0]
            yield from others


def hard_link(other, member):
    return Member(other.path, "h", member.mode, member.uid, member.gid, member.time, target=member.path)


def cpio_entry(stream, magic, described):
    """The next entry as (member, identity of a file with several names, contents, bytes that fill up); None at the end."""
    identity, header = None, None
    if magic == b"07070X":  # Of an .rpm with large files: only the index of the file in the header.
        header = described[int(Part(stream, 8).all(), 16)]
        name, size, padding = header.path, header.size, -header.size % 4
        Part(stream, -14 % 4).skip()
    elif magic[:2] in CPIO_BINARY:  # Words of two bytes; numbers of two words have the upper one first.
        words = struct.unpack(CPIO_BINARY[magic[:2]] + "12H", magic[2:] + Part(stream, 20).all())
        mode, uid, gid, mtime, length = *words[2:5], words[7] << 16 | words[8], words[9]
        size, rdev = words[10] << 16 | words[11], (words[6] >> 8, words[6] & 255)
        name, padding = Part(stream, length + length % 2).all().rstrip(b"\0"), size % 2
    elif magic == b"070707":
        field = Part(stream, 70).all()
        _, inode, mode, uid, gid, links, device, mtime, length, size = (
            int(field[a:b], 8) for a, b in ((0, 6), (6, 12), (12, 18), (18, 24), (24, 30), (30, 36), (36, 42), (42, 53),
                                            (53, 59), (59, 70)))
        name, padding, rdev = Part(stream, length).all().rstrip(b"\0"), 0, (device >> 8, device & 255)
    else:
        field = Part(stream, 104).all()
        inode, mode, uid, gid, links, mtime, size, major, minor, rmajor, rminor, length, _ = (
            int(field[at:at + 8], 16) for at in range(0, 104, 8))
        name, padding, rdev = Part(stream, length).all().rstrip(b"\0"), -size % 4, (rmajor, rminor)
        Part(stream, -(110 + length) % 4).skip()
        identity = (inode, major, minor) if links > 1 and stat.S_ISREG(mode) else None
    if name == b"TRAILER!!!":
        return None, None, None, 0
    part, path = Part(stream, size), clean(name) or b""
    if described:
        header = header or described.get(path)
        if header is None:
            raise Damaged("%s is not in the header of the package" % shown(path))
        mode, uid, gid, mtime, rdev = header.mode, header.uid, header.gid, header.time // 10**9, header.device
    kind = KINDS.get(stat.S_IFMT(mode), "f")
    member = Member(path, kind, mode & 0o7777, uid, gid, mtime * 10**9, size, part.all() if kind == "l" else b"", rdev,
                    contents=part.pieces)
    return member, identity, part, padding


def rpm_members(file):
    """The files of an .rpm: what its header says of them, with the contents of its cpio archive."""
    if file.read(4) != b"\xed\xab\xee\xdb":
        raise Damaged("it does not begin as an rpm package")
    file.seek(96)
    rpm_header(file)
    file.seek(-file.tell() % 8, 1)
    tags = rpm_header(file)
    described = {}
    folders, users, groups = tags.get(1118, []), tags.get(1039, []), tags.get(1040, [])
    for index, base in enumerate(tags.get(1117, [])):
        path = clean(folders[tags[1116][index]] + base) or b""
        device = tags[1033][index] & 0xffff
        described[path] = described[index] = Member(
            path, "f", tags[1030][index] & 0xffff, 0 if users[index] == b"root" else None,
            0 if groups[index] == b"root" else None, tags[1034][index] * 10**9, tags.get(5008, tags.get(1028))[index],
            device=(device >> 8, device & 255))
    yield from cpio_members(decompressed(file), described)


def rpm_header(file):
    """One header of an .rpm: a list of values for each tag. Numbers: types 2 to 5; texts: 6, 8 and 9."""
    if file.read(4) != b"\x8e\xad\xe8\x01":
        raise Damaged("the rpm package has a damaged header")
    file.read(4)
    count, size = struct.unpack(">II", file.read(8))
    index, store, tags = file.read(16 * count), file.read(size), {}
    for at in range(0, 16 * count, 16):
        tag, kind, offset, number = struct.unpack_from(">IIII", index, at)
        if kind in (2, 3, 4, 5):
            tags[tag] = struct.unpack_from(">%d%s" % (number, " -BHIQ"[kind]), store, offset)
        elif kind in (6, 8, 9):
            tags[tag] = store[offset:].split(b"\0", number)[:number]
    return tags


def seven_zip_members(file):
    """bsdtar makes a tar of it. Members without contents come last, as docs/format.md says."""
    last = []
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfileobj(file, copy, CHUNK)
        copy.flush()
        for member in tar_members(Piped(["bsdtar", "-cf", "-", "--format=pax", "@" + copy.name], io.BytesIO())):
            member.uid = member.gid = None
            if member.size or member.type == "l":
                yield member
            else:
                member.contents = lambda: pieces(io.BytesIO())
                last.append(member)
    yield from last


SECTOR = 2048
FOR_MOVED = (b"rr_moved", b".rr_moved")
ISO_TYPES = {0o010000: "p", 0o020000: "c", 0o040000: "d", 0o060000: "b", 0o100000: "f", 0o120000: "l"}


class NoMember(Exception):
    """An entry of an image that is no member."""


def both(data, at):
    """A number in both byte orders; None if they differ."""
    numbers = struct.unpack_from("<I", data, at) + struct.unpack_from(">I", data, at + 4)
    return numbers[0] if numbers[0] == numbers[1] else None


def agreed(data, at):
    number = both(data, at) if len(data) >= at + 8 else None
    if number is None:
        raise NoMember
    return number


def iso_time(year, month, day, hour, minute, second, hundredths, zone):
    """In nanoseconds; None if it is none. The zone counts 15 minutes."""
    zone = zone - 256 if zone > 127 else zone
    seconds = calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0)) if 1 <= month <= 12 and day else 0
    if not -48 <= zone <= 52 or time.gmtime(seconds)[:6] != (year, month, day, hour, minute, second):
        return None
    return (seconds - zone * 900) * 10**9 + hundredths * 10**7


def short_time(data):
    return iso_time(1900 + data[0], *data[1:6], 0, data[6]) if len(data) >= 7 else None


def long_time(data):
    digits = data[:16]
    if len(data) < 17 or not digits.isdigit() or not 1900 <= int(digits[:4]) <= 2300:
        return None
    return iso_time(int(digits[:4]), *(int(digits[at:at + 2]) for at in range(4, 16, 2)), data[16])


class IsoRecord:
    """One entry of a folder's listing."""

    def __init__(self, data):
        length, name = data[0] if data else 0, data[33:33 + data[32]] if len(data) > 33 else b""
        if length < 34 or length > len(data) or not name or 33 + data[32] > length:
            raise Damaged("an entry of a folder has an impossible length")
        self.name, self.flags, self.fields = name, data[25], data[33 + len(name) + 1 - len(name) % 2:length]
        self.time, self.itself = short_time(data[18:25]), name in (b"\0", b"\1")
        block, size = both(data, 2), both(data, 10)
        plain = not self.flags & 4 and data[26:28] == b"\0\0" and None not in (block, size)
        self.place = (block + data[1], size) if plain else None


class IsoImage:
    """An image of ISO 9660: blocks, and which names count."""

    def __init__(self, file):
        self.file, self.size, self.seen, self.listed = file, file.seek(0, 2), set(), 0
        primary = joliet = None
        for number in range(16, 80):
            sector = self.read(number * SECTOR, SECTOR)
            if sector[1:7] != b"CD001\1" or sector[0] == 255:
                break
            if sector[0] == 1:
                primary = primary or sector
            elif sector[0] == 2 and sector[88:91] in (b"%/@", b"%/C", b"%/E"):
                joliet = joliet or sector
        if primary is None:
            raise Damaged("it has no descriptor of its volume")
        self.joliet, self.skipped = False, None
        self.block, self.top = self.described(primary)
        itself = next(self.records(*self.top), None)
        for at in (0, 14) if itself and itself.itself else ():
            if itself.fields[at:at + 6] == b"SP\x07\1\xbe\xef" and self.skipped is None:
                skipped = itself.fields[at + 6]
                try:
                    there = set(self.attributes(itself.fields[at:])) - {b"ZF"}
                except NoMember:
                    there = True
                self.skipped = skipped if there else None
                break
        if self.skipped is None and joliet:
            self.joliet = True
            self.block, self.top = self.described(joliet)

    def described(self, sector):
        block, record = struct.unpack_from("<H", sector, 128)[0], IsoRecord(sector[156:])
        if record.place is None or block not in (512, 1024, 2048):
            raise Damaged("it does not say where its top folder is")
        return block, (record.place[0] * block, record.place[1])

    def read(self, start, length):
        if start + length > self.size:
            raise Damaged("something lies outside of the image")
        self.file.seek(start)
        return self.file.read(length)

    def contents(self, places):
        """The contents of a file in several parts, as (offset, bytes)."""
        before = 0
        for start, length in places:
            self.file.seek(start)
            for offset, data in Part(self.file, length).pieces():
                yield before + offset, data
            before += length

    def records(self, start, length):
        """The entries of a listing. None of them goes on in another sector."""
        for at in range(0, length, SECTOR):
            sector = self.read(start + at, min(SECTOR, length - at))
            while sector and sector[0]:
                yield IsoRecord(sector)
                sector = sector[sector[0]:]

    def listing(self, start, length):
        """The entries of a folder that has not been listed. All listings have together no more bytes than the image."""
        self.listed += length
        if start in self.seen or self.listed > self.size:
            raise Damaged("a folder lists what another one has listed")
        self.seen.add(start)
        return self.records(start, length)

    def attributes(self, fields):
        """What Rock Ridge says of an entry, by the names of its fields."""
        found, name_goes_on, separator = {}, False, b""
        for _ in range(33):
            further = None
            while len(fields) >= 4 and fields[:2].isalpha() and fields[:2].isupper() and fields[2] >= 4:
                kind, data, whole = fields[:2], fields[4:fields[2]], fields[2] <= len(fields)
                if not whole:
                    raise NoMember
                fields = fields[fields[2]:]
                if kind == b"ST":
                    break
                if kind == b"CE":
                    further = [agreed(data, at) for at in (0, 8, 16)]
                elif kind == b"PX":
                    found[kind] = [agreed(data, at) for at in (0, 16, 24)]
                elif kind == b"PN":
                    found[kind] = [agreed(data, at) for at in (0, 8)]
                elif kind == b"CL":
                    found[kind] = agreed(data, 0)
                elif kind == b"TF" and data:
                    width, read = (17, long_time) if data[0] & 0x80 else (7, short_time)
                    at = 1 + (width if data[0] & 1 else 0)
                    changed = read(data[at:at + width]) if data[0] & 2 else None
                    found[kind] = changed if changed is not None else found.get(kind)
                elif kind == b"NM":
                    if not data:
                        raise NoMember
                    part = {0: data[1:], 1: data[1:], 2: b".", 4: b".."}.get(data[0])
                    if part is not None:
                        found[kind] = (found.get(kind, b"") if name_goes_on else b"") + part
                        name_goes_on = data[0] == 1
                elif kind == b"SL":
                    target, at = found.get(kind, b""), 1
                    while at + 2 <= len(data):
                        flags, length = data[at], data[at + 1]
                        text = {0: data[at + 2:at + 2 + length], 1: data[at + 2:at + 2 + length], 2: b".", 4: b"..",
                                8: b"/"}.get(flags)
                        at += 2 + length
                        if text is None or at > len(data):
                            raise NoMember
                        target += (separator if target else b"") + text
                        separator = b"" if flags in (1, 8) else b"/"
                    found[kind] = target
                elif kind in (b"RE", b"RR", b"ZF", b"TF"):
                    found.setdefault(kind)
            if further is None:
                return found
            block, offset, length = further
            if offset + length > self.block:
                raise NoMember
            fields = self.read(block * self.block + offset, length)
        raise Damaged("the attributes of an entry are in too many places")

    def rock_ridge(self, record):
        return {} if self.skipped is None else self.attributes(record.fields[self.skipped:])

    def name(self, record, found):
        """One component of a path."""
        if self.joliet:
            name = record.name[:-4] if record.name.endswith(b"\0;\0001") and len(record.name) > 4 else record.name
            try:
                name = name.decode("utf-16-be").encode()
            except UnicodeError:
                raise NoMember from None
        else:
            name = found.get(b"NM")
            if name is None:
                name = record.name
                for end in (b";1", b"."):
                    name = name[:-len(end)] if name.endswith(end) and len(name) > len(end) else name
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or len(name) > 1024:
            raise NoMember
        return name

    def moved(self, block):
        """The entry for itself of the folder whose listing begins there, and what Rock Ridge says of it."""
        record = next(self.records(block * self.block, self.block), None)
        if record is None or not record.itself or not record.flags & 2 or not record.place or record.place[0] != block:
            raise NoMember
        return record, self.rock_ridge(record)

    def only_moved(self, start, length):
        """Is there nothing in this folder but folders that belong elsewhere?"""
        for record in self.records(start, length):
            try:
                if not record.itself and b"RE" not in self.rock_ridge(record):
                    return False
            except NoMember:
                return False
        return True

    def places(self, record, records):
        """Where the contents lie whose first entry is `record`, in bytes, None if they cannot be read; reads their others."""
        name, places, readable = record.name, [], record.flags & 0x82 != 0x82
        while True:
            readable = readable and record.place is not None
            start, length = (record.place[0] * self.block, record.place[1]) if readable else (0, 0)
            if places and sum(places[-1]) == start:
                places[-1] = places[-1][0], places[-1][1] + length
            elif length or not places:
                places.append((start, length))
            if not record.flags & 0x80:
                return places if readable else None
            record = next(records, None)
            if record is None or record.name != name:
                raise Damaged("a file goes on, and there is no more of it")

    def member(self, record, places, prefix):
        """The member that an entry with contents at these places lists, and its place; raises `NoMember` if it is none."""
        found = self.rock_ridge(record)
        if places is None:
            raise NoMember
        name = self.name(record, found)
        if b"RE" in found and (prefix or name not in FOR_MOVED):
            raise NoMember
        if b"CL" in found:
            if record.flags & 2:
                raise NoMember
            record, found = self.moved(found[b"CL"])
            places = [(record.place[0] * self.block, record.place[1])]
        path = prefix + (b"/" if prefix else b"") + name
        mode, uid, gid = found.get(b"PX", (None, None, None))
        folder = bool(record.flags & 2)
        kind = ISO_TYPES.get((mode or 0) & 0o170000 or (0o040000 if folder else 0o100000))
        if kind is None or (kind == "d") != folder or len(path) > 1 << 16:
            raise NoMember
        target, device = found.get(b"SL", b""), tuple(found.get(b"PN", ()))
        if (kind == "l" and (not target or b"\0" in target)) or (kind in "cb" and not device) \
                or (kind == "f" and b"ZF" in found):
            raise NoMember
        if kind in "cb" and not device[0]:
            low = device[1]
            device = low >> 8 & 0xFFF, low & 0xFF | low >> 12 & 0xFFF00
        changed = found.get(b"TF")
        if any(size and start + size > self.size for start, size in places if kind in "df"):
            raise Damaged("something lies outside of the image")
        return Member(path, kind, None if mode is None else mode & 0o7777, uid, gid,
                      record.time if changed is None else changed,
                      sum(size for _, size in places) if kind == "f" else 0, target, device,
                      contents=lambda: self.contents(places)), places[0]


def iso_members(file):
    """The entries of an image of ISO 9660: each folder, followed by what is in it."""
    image = IsoImage(file)
    folders = [(b"", image.listing(*image.top))]
    while folders:
        prefix, records = folders[-1]
        record = next(records, None)
        if record is None:
            folders.pop()
            continue
        if record.itself:
            continue
        places = image.places(record, records)
        try:
            member, place = image.member(record, places, prefix)
        except NoMember:
            continue
        listing = image.listing(*place) if member.type == "d" and place[1] else None
        path = member.path
        if not (listing and path in FOR_MOVED and image.skipped is not None and image.only_moved(*place)):
            yield member
        if listing:
            folders.append((path, listing))


def compressed_members(file):
    yield Member(b"contents", "f", contents=lambda: pieces(decompressed(file)))


READERS = {"tar": tar_members, "deb": deb_members, "gem": gem_members, "conda": conda_members, "apk": apk_members,
           "zip": zip_members, "cpio": lambda file: cpio_members(decompressed(file)), "rpm": rpm_members,
           "ar": ar_members, "7z": seven_zip_members, "iso9660": iso_members, "compressed": compressed_members,
           "file": lambda file: iter(())}


def recognised(file):
    """The format of a package inside a package, by its contents; None if it is none that members are found in."""
    file.seek(0)
    head = file.read(0x8007)
    file.seek(0)
    if head.startswith(b"!<arch>\ndebian"):
        return "deb"
    if head.startswith(b"\xed\xab\xee\xdb"):
        return "rpm"
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "7z"
    if zipfile.is_zipfile(file) and head[257:262] != b"ustar":
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        return "conda" if any(re.match(r"pkg-[^/]*\.tar\.zst$", name) for name in names) else "zip"
    file.seek(0)
    try:
        inner, start = starts_with(decompressed(file))
    except DAMAGE:
        return None
    if start[257:262] == b"ustar":
        name = start[:100].rstrip(b"\0")
        if name.startswith((b".SIGN.", b".PKGINFO")) and head.startswith(b"\x1f\x8b"):
            return "apk"
        return "gem" if name in (b"metadata.gz", b"data.tar.gz", b"checksums.yaml.gz") else "tar"
    if head[0x8001:] == b"CD001\1":
        return "iso9660"
    return "cpio" if start[:6] in CPIO_MAGIC or start[:2] in CPIO_BINARY else None


class spooled:
    """The contents of a member, in a file that can be read in any order; the member's contents are read from it."""

    def __init__(self, member):
        self.member = member

    def __enter__(self):
        self.file = tempfile.TemporaryFile()
        for offset, data in self.member.contents():
            self.file.seek(offset)
            self.file.write(data)
        self.file.seek(0)
        self.member.contents = self.again
        return self.file

    def again(self):
        self.file.seek(0)
        return pieces(self.file)

    def __exit__(self, *_):
        self.file.close()


def members_of(file, form, opens, depth=0):
    """All members of a package; those of a package inside it below `OUTER!/`, if `opens(OUTER!/)` says so."""
    if form not in READERS:
        raise Problem("packages of the format %s are not known to this program" % shown(form))
    file.seek(0)
    for member in READERS[form](file):
        inside = member.path + b"!/"
        if member.type != "f" or depth > 8 or not opens(inside):
            yield member
            continue
        with spooled(member) as inner:
            yield member
            kind = recognised(inner)
            if kind is not None:
                for deeper in members_of(inner, kind, lambda path: opens(inside + path), depth + 1):
                    deeper.path, deeper.inside = inside + deeper.path, inside + deeper.inside
                    if deeper.type == "h":
                        deeper.target = inside + deeper.target
                    yield deeper


# ---------------------------------------------------------------------------------------------------------------------
# Derived files: recipes that make further members out of a package
# ---------------------------------------------------------------------------------------------------------------------

MOST_INPUT, MOST_MADE, MOST_NAMES = 64 << 20, 256 << 20, 64 << 20


class Kept:
    """The contents of a member, digested and perhaps kept while somebody reads them."""

    def __init__(self, contents, keeps):
        self.digest, self.data, self.keeps, self.at = hashlib.sha256(), bytearray(), keeps, 0
        self.pieces = self.read(contents)

    def read(self, contents):
        for offset, data in contents:
            self.add(bytes(offset - self.at))
            self.add(data)
            yield offset, data

    def add(self, data):
        self.at += len(data)
        self.digest.update(data)
        if self.keeps:
            self.data += data
            self.keeps = len(self.data) <= MOST_INPUT

    def finish(self):
        """Reads what nobody has read."""
        for _ in self.pieces:
            pass


def with_derived(members, derived, wanted, failed):
    """All members, then those that are wanted of the `derived` list: their paths are `!/0`, `!/1`, ... `failed` is told the
    path and the reason of those that cannot be made."""
    tasks = {b"!/%d" % number: how for number, how in enumerate(derived) if b"!/%d" % number in wanted}
    sources, listed, names = {}, [], 0
    for path, how in tasks.items():
        if "from" in how:
            sources.setdefault(name_of(how["from"]), []).append(path)
    is_digested = any(how["recipe"] == "wheel-record" for how in tasks.values())

    def made(path, *given):
        how = tasks.pop(path)
        if how["recipe"] not in RECIPES:
            return failed(path, "the recipe %s is not known to this program" % shown(how["recipe"]))
        try:
            data = RECIPES[how["recipe"]](how.get("with", {}), *given)
        except (Problem, KeyError, TypeError, ValueError, AttributeError) as error:
            return failed(path, "the recipe %s: %s" % (how["recipe"], shown(error)))
        if len(data) > min(MOST_MADE, max(entry.size for _, entry in wanted[path])):
            return failed(path, "the recipe %s makes more than it should" % how["recipe"])
        return [Member(path, "f", size=len(data), contents=lambda: pieces(io.BytesIO(data)))]

    for member in members:
        ready = sources.pop(member.path, []) if member.type == "f" else []
        if member.type == "f" and tasks and (ready or is_digested):
            kept = Kept(member.contents(), bool(ready))
            member.contents = lambda kept=kept: kept.pieces
            yield member
            kept.finish()
            listed.append((member.path, "f", member.size, kept.digest.digest()))
            for path in ready:
                yield from made(path, bytes(kept.data) if kept.keeps else None) or ()
        else:
            if tasks:
                listed.append((member.path, member.type, member.size, None))
            yield member
        names += len(member.path)
        if tasks and (names > MOST_NAMES or len(listed) > 1 << 20):
            for path in [path for path in tasks if "from" not in tasks[path]]:
                failed(path, "the package has too many members for a recipe")
                del tasks[path]
            listed = []
    for path in list(tasks):
        if "from" in tasks[path]:
            failed(path, "the package has no file %s to make it from" % shown(name_of(tasks.pop(path)["from"])))
        else:
            yield from made(path, listed) or ()


def dpkg_list(_, members):
    """What dpkg writes into info/NAME.list."""
    return b"".join([b"/.\n"] + [b"/" + path[5:] + b"\n" for path, *_ in members if path.startswith(b"data/")])


def wheel_record(given, members):
    """What an installer of wheels writes into NAME.dist-info/RECORD."""
    rows = set()
    tag = given.get("compiled", "")
    if len(tag.encode("utf-8")) > 254 or any(letter in tag for letter in "/\n\r"):
        raise ValueError("the parameter compiled is no part of a file's name")
    for path, kind, size, digest in members:
        try:
            name = path.decode("utf-8")
        except UnicodeDecodeError:
            continue
        top = name.partition("/")[0]
        if kind != "f" or top != name and top.endswith(".data") or name.endswith((".dist-info/RECORD.jws",
                                                                                 ".dist-info/RECORD.p7s")):
            continue
        if name.endswith(".dist-info/RECORD") and name.count("/") == 1:
            rows.add(record_row(name, ","))
            continue
        encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        rows.add(record_row(name, "sha256=%s,%d" % (encoded, size)))
        if "compiled" in given and name.endswith(".py"):
            folder, slash, module = name[:-3].rpartition("/")
            rows.add(record_row("%s%s__pycache__/%s.%s.pyc" % (folder, slash, module, given["compiled"]), ","))
    rows -= {(record_path(line), line) for line in given.get("without", "").split("\n") if line}
    rows |= {(record_path(line), line) for line in given.get("rows", "").split("\n") if line}
    end = {"lf": "\n", "crlf": "\r\n"}[given["ends"]]
    # In Rust and here, texts are sorted by their characters.
    return "".join(line + end for _, line in sorted(rows)).encode("utf-8")


def record_row(path, rest):
    quoted = '"%s"' % path.replace('"', '""') if any(mark in path for mark in ',"\n\r') else path
    return path, "%s,%s" % (quoted, rest)


def record_path(line):
    """The first field of a line."""
    if not line.startswith('"'):
        return line.partition(",")[0]
    return re.match(r'"((?:[^"]|"")*)', line).group(1).replace('""', '"')


def conda_prefix(given, contents):
    """A file into which a client of conda wrote the path of the environment."""
    old, new = given["placeholder"].encode("utf-8"), given["prefix"].encode("utf-8")
    if contents is None or not old:
        raise Problem("it cannot be made of this member")
    if len(contents) + contents.count(old) * max(0, len(new) - len(old)) > MOST_MADE:
        raise Problem("it makes too much")
    if given["mode"] == "text":
        return contents.replace(old, new)
    if given["mode"] != "binary" or len(new) > len(old):
        raise Problem("its parameters are wrong")
    # Each string that ends with a NUL keeps its length.
    return re.sub(re.escape(old) + b"[^\0]*(?=\0)",
                  lambda found: found.group().replace(old, new).ljust(len(found.group()), b"\0"), contents)


RECIPES = {"conda-prefix": conda_prefix, "dpkg-list": dpkg_list, "wheel-record": wheel_record}


# ---------------------------------------------------------------------------------------------------------------------
# The manifest: names, needs, entry tables, placements
# ---------------------------------------------------------------------------------------------------------------------

class Entry:
    """What one path of the tree shall be, or a file with several names: they share it. `first` is their first by bytes."""

    __slots__ = ("type", "mode", "uid", "gid", "time", "size", "sha256", "target", "device", "xattrs", "holes", "first",
                 "archived")

    def __init__(self, kind, mode, uid, gid, time, size=None, sha256=None, target=b"", device=None, xattrs=None,
                 holes=None, archived=False):
        self.type, self.mode, self.uid, self.gid, self.time, self.size = kind, mode, uid, gid, time, size
        self.sha256, self.target, self.device, self.xattrs = sha256, target, device, xattrs or {}
        self.holes, self.first, self.archived = holes, None, archived

    def stretches(self):
        """Where the file has data: (offset, length), or None if it has no holes."""
        if not self.holes:
            return None
        data, at = [], 0
        for offset, length in self.holes + [[self.size, 0]]:
            if offset > at:
                data.append((at, offset - at))
            at = offset + length
        return data


def name_of(value):
    """A name of the manifest as bytes: a text, or an object {"base64": ...}."""
    if isinstance(value, dict):
        return base64.b64decode(value["base64"], validate=True)
    return value.encode("utf-8")


def checked(path):
    """The path, if it is one below the tree."""
    if path and (b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/"))):
        raise Problem("%s is not a path below the tree" % shown(path), UNPROVEN)
    return path


def check_needs(manifest):
    needs = manifest.get("needs", {})
    if not isinstance(needs, (dict, list)):
        raise Failure("the manifest's `needs` is neither an object nor a list")
    unknown = [name for name in needs if name not in KNOWN_FEATURES]
    if unknown and isinstance(needs, dict):
        version = max((needs[name] for name in unknown), key=lambda text: [int(n) for n in text.split(".")])
        raise Failure("this archive needs hashget %s or later (feature %s), or a newer restore.py"
                      % (shown(version), shown(", ".join(unknown))))
    if unknown:
        raise Failure("this archive needs a newer hashget or restore.py (feature %s)" % shown(", ".join(unknown)))


def sums(differences):
    total = 0
    for difference in differences:
        total += difference
        yield total


def attributes(value):
    return {as_bytes(name): base64.b64decode(text, validate=True) for name, text in (value or {}).items()}


def table_entries(table, archived=False):
    """The entries of a table as (path, member or None, entry)."""
    count = len(table["path"])
    nothing = [None] * count
    columns = [table.get(name) or nothing for name in ("from", "size", "sha256", "target", "device", "xattrs", "holes")]
    required = [table["type"], table["mode"], table["uid"], table["gid"], list(sums(table["seconds"])),
                table["nanoseconds"]]
    if any(len(column) != count for column in columns + required):
        raise Failure("the columns of a table in the manifest differ in length")
    for path, kind, mode, uid, gid, seconds, nanoseconds, member, size, sha256, target, device, xattrs, holes in zip(
            table["path"], *required, *columns):
        if kind not in "fdlcbp":
            raise Failure("the manifest has an entry of the unknown type %s" % shown(kind))
        yield name_of(path), None if member is None else name_of(member), Entry(
            kind, mode, uid, gid, seconds * 10**9 + nanoseconds, size, sha256, b"" if target is None else
            name_of(target), device and tuple(device), attributes(xattrs), holes, archived)


class Run:
    """Some bytes of a file that are bytes of a member: where in the file's data, how many, and where in the member."""

    __slots__ = ("file", "package", "at", "length", "offset")

    def __init__(self, file, package, at, length, offset):
        self.file, self.package, self.at, self.length, self.offset = file, package, at, length, offset

    def copy(self, contents):
        """Writes them, if the contents of the member have them."""
        if self.file.part is not None and contents.seek(0, 2) >= self.offset + self.length:
            contents.seek(self.offset)
            self.file.write(self.at, Part(contents, self.length))
            self.file.left.discard(self)


class PiecedFile:
    """A file that is put together out of runs and a rest, beside its place, until its digest is right."""

    def __init__(self, path, entry, rest, packages):
        self.path, self.entry, self.rest, self.packages = path, entry, rest, packages
        self.runs, self.left, self.part, self.file, self.recipe = [], set(), None, None, None
        self.stretches = entry.stretches() or ([(0, entry.size)] if entry.holes is None else [])
        self.bytes = sum(length for _, length in self.stretches)

    def begin(self, _, target):
        """Puts the rest in its places. A file that is there already is only looked at in the end."""
        disk = target.disk(self.path)
        if target.room(disk) is not None:
            return
        if self.recipe is not None:
            raise Problem("%s: not made, a program compresses it (%s): `hashget restore --derive all` does that"
                          % (shown(self.path), shown(self.recipe)))
        part = os.path.join(os.path.dirname(disk), b".hashget-restore-pieces-%d-%d" % (os.getpid(), self.rest))
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self.part, self.file = part, open(handle, "r+b", buffering=0)
        try:
            self.file.truncate(self.entry.size)
            self.put_rest(target)
        except BaseException:
            self.drop()
            raise
        self.left = set(self.runs)

    def drop(self):
        self.file.close()
        os.unlink(self.part)
        self.part = None

    def put_rest(self, target):
        try:
            handle = os.open(os.path.join(target.top, RESTS, b"%d" % self.rest), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            raise Problem("%s: its rest is not there; unpack the archive again" % shown(self.path)) from None
        with open(handle, "rb") as rest:
            end = 0
            for run in self.runs + [Run(self, None, self.bytes, 0, 0)]:
                try:
                    self.write(end, Part(rest, run.at - end))
                except Damaged:
                    raise Problem("%s: its rest is too short" % shown(self.path), UNPROVEN) from None
                end = run.at + run.length

    def write(self, at, part):
        """Writes bytes to a place of the data, which holes are not counted in."""
        for offset, data in part.pieces():
            place = at + offset
            for start, length in self.stretches:
                count = max(0, min(len(data), length - place))
                if count:
                    self.file.seek(start + place)
                    self.file.write(data[:count])
                    data, place = data[count:], place + count
                place -= length

    def finish(self, _, target):
        """Gives the file its name, if it is the one that was packed."""
        if self.part is None:
            return
        digest = digest_of(stretches(self.file, self.stretches))
        if self.left or digest != self.entry.sha256:
            self.drop()
            lacking = sorted({shown(self.packages[run.package]["url"]) for run in self.left})
            raise Problem("%s: %s" % (shown(self.path), "it is made of pieces, and not all came from " + ", ".join(lacking[:3])
                                      if lacking else "its pieces give other contents"), UNPROVEN if not lacking else INCOMPLETE)
        self.file.close()
        os.rename(self.part, target.disk(self.path))


class Pieces:
    """The files that are made of pieces. `wanted` has, by the index of the package and the path of the member, the runs."""

    def __init__(self, columns, entries, packages):
        column = lambda name: columns.get(name, [])
        members = [(package, name_of(path)) for package, path in zip(column("package"), column("member"))]
        runs = zip(column("gap"), column("length"), sums(column("of")), column("offset"))
        counts = {len(column(name)) for name in ("gap", "length", "of", "offset")} | {sum(column("runs"))}
        if len(counts) != 1 or len(members) != len(column("member")) or not len(column("path")) == len(column("rest")) \
                == len(column("runs")):
            raise Failure("the columns of `pieces` in the manifest differ in length")
        self.files, self.wanted = [], {}
        encoded = column("encoded") or [None] * len(column("path"))
        if len(encoded) != len(column("path")):
            raise Failure("the columns of `pieces` in the manifest differ in length")
        for path, rest, count, how in zip(map(name_of, column("path")), column("rest"), column("runs"), encoded):
            entry = entries.get(path)
            if entry is None or entry.type != "f" or entry.sha256 is None:
                raise Failure("`pieces` in the manifest has %s, which is no file with a digest" % shown(path))
            file, end = PiecedFile(path, entry, rest, packages), 0
            if how is not None:
                file.recipe, file.bytes = how["recipe"], how["size"]
            for gap, length, member, offset in itertools.islice(runs, count):
                package, name = members[member] if 0 <= member < len(members) else (-1, b"")
                if min(gap, length - 1, offset) < 0 or end + gap + length > file.bytes or not 0 <= package < len(packages):
                    raise Failure("a run of %s in the manifest leaves the file, or is of no member" % shown(path))
                run = Run(file, package, end + gap, length, offset)
                end = run.at + length
                if how is not None:
                    continue
                file.runs.append(run)
                self.wanted.setdefault(package, {}).setdefault(name, []).append(run)
            self.files.append(file)


class Placement:
    """One object of `trees`: which members are given, where they go, and what differs there from their own metadata."""

    def __init__(self, fields):
        self.source, self.to = name_of(fields["from"]), name_of(fields["to"])
        rests = [name_of(rest) for rest in fields.get("except", [])]
        self.without = set(rests)
        self.folders = any(rest.endswith(b"/") for rest in rests)
        self.umask, self.count = fields.get("umask", 0), 0
        self.values = {name: self.assigned(fields.get(name, [])) for name in ("mode", "uid", "gid", "xattrs")}
        self.times = self.assigned_times(fields.get("mtime", []))
        digests = fields.get("sha256", {"is": []})
        self.digests = dict(zip(digests.get("at", range(len(digests["is"]))), digests["is"]))

    @staticmethod
    def assigned(assignments):
        """Values by position, and one for all others (or None)."""
        values, rest = {}, None
        for assignment in assignments if isinstance(assignments, list) else [assignments]:
            at, value = assignment.get("at"), assignment["is"]
            if at is None and not isinstance(value, list):
                values, rest = {}, value
            elif isinstance(value, list):
                values.update(zip(range(len(value)) if at is None else at, value))
            else:
                values.update((position, value) for position in at)
        return values, rest

    @staticmethod
    def assigned_times(assignments):
        """By position: (True, nanoseconds to add) or (False, nanoseconds); and one for all others."""
        values, rest = {}, None
        for assignment in assignments:
            at = assignment.get("at")
            if "shift" in assignment:
                change = (True, assignment["shift"] * 10**9)
                if at is None:
                    values, rest = {}, change
                else:
                    values.update((position, change) for position in at)
            else:
                seconds = list(sums(assignment["seconds"]))
                parts = assignment.get("nanoseconds") or [0] * len(seconds)
                for position, whole, part in zip(range(len(seconds)) if at is None else at, seconds, parts):
                    values[position] = (False, whole * 10**9 + part)
        return values, rest

    def rest_of(self, member):
        """The member's path after `from`; None if the placement does not give it."""
        if not member.path.startswith(self.source) or not self.source.startswith(member.inside):
            return None
        rest = member.path[len(self.source):]
        if not rest or rest in self.without or rest + b"/" in self.without:
            return None
        at = rest.find(b"/") if self.folders else -1
        while at >= 0:
            if rest[:at + 1] in self.without:
                return None
            at = rest.find(b"/", at + 1)
        return rest

    def entry(self, member, position):
        """What the member becomes: its own metadata, with what is assigned to this position."""
        def value(name, own):
            values, rest = self.values[name]
            return values.get(position, own if rest is None else rest)

        times, rest = self.times
        adds, time = times.get(position, rest or (True, 0))
        if adds and time and member.time is None or adds and member.time is None:
            time = 0
        elif adds:
            time += member.time
        xattrs = value("xattrs", None)
        own = 0 if member.mode is None else member.mode & ~self.umask
        return Entry(member.type, value("mode", own), value("uid", member.uid or 0), value("gid", member.gid or 0), time,
                     member.size, self.digests.get(position), member.target, member.device,
                     member.xattrs if xattrs is None else attributes(xattrs))


# ---------------------------------------------------------------------------------------------------------------------
# The target: all that is written is written here
# ---------------------------------------------------------------------------------------------------------------------

class Target:
    """The folder that is restored into. `stored` maps a name of the tree to that under which the tar has it."""

    def __init__(self, folder):
        self.top, self.stored, self.folders, self.own = os.path.realpath(folder), {}, set(), set()
        self.unfinished = b".hashget-restore-part-%d" % os.getpid()

    def disk(self, path):
        """Where a path of the tree is on the disk until everything is restored. Everything on the disk is reached by this."""
        checked(path)
        for name, stored in self.stored.items():
            if path == name or path.startswith(name + b"/"):
                path = stored + path[len(name):]
        return os.path.join(self.top, path) if path else self.top

    def below(self, disk):
        return disk[len(self.top) + 1:]

    def look(self, disk):
        try:
            return os.lstat(disk)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def make_folder(self, disk):
        """Makes a folder and those above it; refuses to pass through anything else."""
        above = []
        while disk not in self.folders:
            above.append(disk)
            if len(disk) <= len(self.top):
                break
            disk = os.path.dirname(disk)
        for folder in reversed(above):
            found = self.look(folder)
            if found is None:
                os.mkdir(folder, 0o700)
            elif not stat.S_ISDIR(found.st_mode):
                raise Problem("%s is not a folder, and nothing is written through it" % shown(self.below(folder)), UNPROVEN)
            elif found.st_mode & 0o700 != 0o700 and (ROOT or found.st_uid == os.geteuid()):
                os.chmod(folder, stat.S_IMODE(found.st_mode) | 0o700)
            self.folders.add(folder)

    def room(self, disk):
        """Makes the folder above, and tells what lies at the place already; what this run has made is removed."""
        if disk == self.top:
            raise Problem("the top folder cannot be anything else than a folder", UNPROVEN)
        self.make_folder(os.path.dirname(disk))
        found = self.look(disk)
        if found is not None and disk in self.own and not stat.S_ISDIR(found.st_mode):
            os.unlink(disk)
            found = None
        self.own.add(disk)
        return found

    def put_file(self, path, contents, size=None, sha256=None):
        """Writes a file. What was there before is compared and kept. With `sha256`, only these bytes get the name."""
        disk = self.disk(path)
        found = self.room(disk)
        if found is not None:
            self.compare(disk, found, contents, size)
            return
        part, digest, at = os.path.join(os.path.dirname(disk), self.unfinished), hashlib.sha256(), 0
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(handle, "wb", buffering=0) as file:
                for offset, data in contents:
                    if offset != at:
                        file.seek(offset)
                    file.write(data)
                    digest.update(data)
                    at = offset + len(data)
                if size is not None and size != at:
                    file.truncate(size)
            if sha256 is not None and digest.hexdigest() != sha256:
                raise Problem("%s has other contents in the package" % shown(path), UNPROVEN)
            os.rename(part, disk)
        except BaseException:
            if self.look(part):
                os.unlink(part)
            raise

    def compare(self, disk, found, contents, size):
        same = stat.S_ISREG(found.st_mode)
        if same:
            if not ROOT and found.st_uid == os.geteuid() and not found.st_mode & 0o400:
                os.chmod(disk, 0o600)
            end = 0
            with open(disk, "rb") as file:
                for offset, data in contents:
                    file.seek(offset)
                    same = same and file.read(len(data)) == data
                    end = offset + len(data)
            same = same and found.st_size == (end if size is None else size)
        if not same:
            raise Problem("%s is there already with other contents; it is not replaced: move it away and run this again"
                          % shown(self.below(disk)))

    def put_copy(self, path, other):
        with open(self.disk(other), "rb") as file:
            self.put_file(path, pieces(file), os.fstat(file.fileno()).st_size)

    def put_other(self, path, entry):
        """Makes a folder, device, pipe or symbolic link."""
        disk = self.disk(path)
        if entry.type == "d":
            self.make_folder(disk)
            return
        found = self.room(disk)
        kinds = {"l": stat.S_IFLNK, "c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
        if found is not None:
            if stat.S_IFMT(found.st_mode) != kinds[entry.type] or entry.type == "l" and os.readlink(
                    disk) != entry.target:
                raise Problem("%s is there already as something else; it is not replaced" % shown(path))
        elif entry.type == "l":
            os.symlink(entry.target, disk)
        elif entry.type == "p":
            os.mkfifo(disk, 0o600)
        else:
            os.mknod(disk, kinds[entry.type] | 0o600, os.makedev(*entry.device))

    def put_name(self, path, to):
        """Makes another name of what is at `to`."""
        disk, source = self.disk(path), self.disk(to)
        self.make_folder(os.path.dirname(source))
        there, found = self.look(source), self.room(disk)
        if there is None:
            raise Problem("%s is missing, which is the same file" % shown(to))
        if found is not None and (found.st_dev, found.st_ino) != (there.st_dev, there.st_ino):
            raise Problem("%s is there already as something else; it is not replaced" % shown(path))
        if found is None:
            os.link(source, disk, follow_symlinks=False)

    def move(self, name, stored):
        """Gives what the tar has under the name `stored` its own."""
        self.make_folder(os.path.dirname(self.disk(name)))
        self.make_folder(os.path.dirname(self.disk(stored)))
        if self.look(self.disk(name)) is not None:
            raise Problem("%s is there already; it is not replaced by %s" % (shown(name), shown(stored)))
        os.rename(self.disk(stored), self.disk(name))

    # -- Metadata ------------------------------------------------------------------------------------------------------

    def set_metadata(self, path, entry):
        """Owner, attributes, mode, time, in this order: each would change those before it. `differences` shows what failed."""
        disk = self.disk(path)
        for step in (self.set_owner, self.set_attributes, self.set_mode, self.set_time):
            try:
                step(disk, entry)
            except (OSError, OverflowError):
                pass

    def set_owner(self, disk, entry):
        if ROOT:
            os.chown(disk, entry.uid, entry.gid, follow_symlinks=False)

    def set_attributes(self, disk, entry):
        names = set(map(os.fsencode, os.listxattr(disk, follow_symlinks=False)))
        for name in names - set(entry.xattrs):
            if name.startswith((b"user.", b"system.posix_acl_")):
                os.removexattr(disk, name, follow_symlinks=False)
        for name, value in entry.xattrs.items():
            try:
                if name != FLAGS and (name not in names or os.getxattr(disk, name, follow_symlinks=False) != value):
                    os.setxattr(disk, name, value, follow_symlinks=False)
            except OSError:
                pass  # The others are set all the same.

    def set_mode(self, disk, entry):
        if entry.type != "l":
            os.chmod(disk, own_mode(entry))

    def set_time(self, disk, entry):
        os.utime(disk, ns=(entry.time, entry.time), follow_symlinks=False)

    def set_flags(self, path, entry):
        """The flags of `chattr` that docs/format.md names, by the ioctl of Linux."""
        import fcntl
        bits = {b"append": 0x20, b"immutable": 0x10, b"nodump": 0x40}
        handle = os.open(self.disk(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            buffer = bytearray(fcntl.ioctl(handle, 0x80086601, bytes(8)))
            flags = int.from_bytes(buffer[:4], sys.byteorder)
            for name in entry.xattrs[FLAGS].split(b","):
                flags |= bits[name]
            fcntl.ioctl(handle, 0x40086602, flags.to_bytes(4, sys.byteorder) + bytes(4))
        finally:
            os.close(handle)

    def differences(self, path, entry):
        """In what the disk differs from what the entry shall be."""
        disk = self.disk(path)
        found = self.look(disk)
        if found is None or KINDS.get(stat.S_IFMT(found.st_mode)) != entry.type:
            return ["it is not there"]
        pairs = [("mode", stat.S_IMODE(found.st_mode), own_mode(entry) if entry.type != "l" else stat.S_IMODE(
            found.st_mode)), ("time", found.st_mtime_ns, entry.time)]
        if ROOT:
            pairs += [("owner", found.st_uid, entry.uid), ("group", found.st_gid, entry.gid)]
        if entry.type == "f":
            pairs.append(("size", found.st_size, entry.size))
        if entry.type in "cb":
            pairs.append(("device", (os.major(found.st_rdev), os.minor(found.st_rdev)), entry.device))
        if entry.type == "l":
            pairs.append(("target", os.readlink(disk), entry.target))
        if entry.first != path:
            other = self.look(self.disk(entry.first))
            pairs.append(("hard link", found.st_ino, other and other.st_ino))
        texts = ["its %s differs" % name for name, is_so, shall in pairs if is_so != shall]
        names = {os.fsencode(name) for name in os.listxattr(disk, follow_symlinks=False)}
        for name in sorted(names | set(entry.xattrs)):
            value = os.getxattr(disk, name, follow_symlinks=False) if name in names else None
            # A security module of the machine sets attributes of its own.
            own = name.startswith(b"security.") and name not in entry.xattrs
            if name != FLAGS and value != entry.xattrs.get(name) and not own:
                texts.append("its attribute %s differs" % shown(name))
        return texts


def own_mode(entry):
    """The mode to set. A file whose owner is not restored must not run with the rights of another one."""
    mode = entry.mode
    if not ROOT and entry.type == "f":
        if entry.uid != os.geteuid():
            mode &= ~stat.S_ISUID
        if entry.gid != os.getegid():
            mode &= ~stat.S_ISGID
    return mode


# ---------------------------------------------------------------------------------------------------------------------
# Getting packages
# ---------------------------------------------------------------------------------------------------------------------

class Places:
    """Where packages come from: folders on this machine, then their URLs and what `--mirror` makes of these."""

    def __init__(self, folders, mirrors, offline, beside, work, supplements, report):
        self.mirrors, self.offline, self.beside, self.work, self.report = mirrors, offline, beside, work, report
        self.supplements = supplements
        self.local, self.digests = [], {}
        for folder in folders:
            for below, _, names in os.walk(folder):
                for name in sorted(names):
                    path = os.path.join(below, name)
                    if os.path.isfile(path):
                        self.local.append((os.path.getsize(path), path))

    def get(self, package):
        """An open file of the package's bytes, and whether their SHA-256 is right."""
        wanted, size, url = package["sha256"], package.get("size"), package["url"]
        for found, path in self.local:
            if size in (None, found):
                if path not in self.digests:
                    with open(path, "rb") as file:
                        self.digests[path] = digest_of(pieces(file))
                if self.digests[path] == wanted:
                    return open(path, "rb"), True
        for supplement in self.with_some_of(wanted):
            if wanted in supplement.files:
                return open(supplement.files[wanted], "rb"), True
        reasons, wrong = [], None
        for address in self.addresses([url] + package.get("also", [])):
            try:
                file = self.next_to_archive(address) or self.download(address, size)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reasons.append("%s: %s" % (shown(address), shown(error)))
                continue
            digest = digest_of(pieces(file))
            if digest == wanted:
                return file, True
            reasons.append("%s gave other bytes: SHA-256 %s instead of %s" % (shown(address), digest, wanted))
            wrong = wrong or file
        what = "; ".join(reasons) or "%s is in none of the folders of --packages, and --offline forbids to ask for it" % shown(url)
        if wrong is None:
            raise Problem(what, UNREACHABLE)
        self.report.problem("package with other bytes", what, UNPROVEN)
        return wrong, False

    def with_some_of(self, package):
        """The supplements that have something of a package, read to their ends."""
        for supplement in self.supplements:
            if package in supplement.packages:
                supplement.read(self.work, self.report)
                yield supplement

    def members(self, package):
        """The members of a package that cannot be had, as far as a supplement knows them and has their contents."""
        for supplement in self.with_some_of(package["sha256"]):
            if package["sha256"] in supplement.lists:
                return itertools.chain(supplement.members(package["sha256"]), supplement.derived(package))
        return None

    def addresses(self, urls):
        """The URLs of mirrors first. A URL of the manifest itself may not name a file of this machine."""
        yield from (url for url in urls if url.startswith("beside:"))
        if self.offline:
            return
        for url in urls:
            for old, new in self.mirrors:
                if url.startswith(old):
                    yield new + url[len(old):]
        yield from (url for url in urls if url.startswith(("http://", "https://")))

    def next_to_archive(self, url):
        """An earlier archive in the folder of this one, if the URL is `beside:NAME`; None for other URLs."""
        if not url.startswith("beside:"):
            return None
        name = url[len("beside:"):]
        if name.startswith(".") or not name.isprintable() or len(as_bytes(name)) > 255 or set(name) & set("/\\\0"):
            raise ValueError("this is no name of a file")
        path = os.path.join(self.beside or ".", name)
        if self.beside is None or not os.path.isfile(path):
            raise OSError("it is not beside the archive; put it into a folder and name that by --packages")
        return open(path, "rb")

    def download(self, url, size):
        request = urllib.request.Request(url, headers={"User-Agent": "hashget-restore", "Accept-Encoding": "identity"})
        for pause in (1, 4, None):
            file = tempfile.TemporaryFile(dir=self.work)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    length = answer.headers.get("Content-Length")
                    for offset, data in pieces(answer):
                        file.write(data)
                        if size is not None and offset + len(data) > size:
                            break  # Too long: other bytes, whatever follows.
                    if length is not None and file.tell() < min(int(length), size or sys.maxsize):
                        raise ConnectionError("the connection was closed too early")
                file.seek(0)
                return file
            except urllib.error.HTTPError as error:
                if pause is None or error.code not in (429, 500, 502, 503, 504):
                    raise
            except (OSError, http.client.HTTPException):
                if pause is None or url.startswith("file:"):
                    raise
            time.sleep(pause)


def digest_of(contents):
    digest = hashlib.sha256()
    for _, data in contents:
        digest.update(data)
    return digest.hexdigest()


class Supplement:
    """What the world was losing of the archive when this file was made. All that it has is taken by its digest alone."""

    def __init__(self, path):
        self.path, self.files, self.lists, self.folder = path, {}, {}, None
        with open(path, "rb") as file:
            first = next(tar_members(file), None)
            if first is None or first.path != SUPPLEMENT:
                raise Damaged("its first entry is not %s" % shown(SUPPLEMENT))
            said = json.loads(b"".join(data for _, data in first.contents()))
            if said["hashget_supplement"] != 1:
                raise Damaged("it has another version than 1")
            self.packages = {package["sha256"] for package in said["packages"]}

    def read(self, work, report):
        """Keeps what it has under its digests, once. It may have 100 times its own size, or 64 MiB."""
        if self.folder is not None:
            return
        self.folder = tempfile.TemporaryDirectory(dir=work)
        left = max(64 << 20, 100 * os.path.getsize(self.path))
        try:
            with open(self.path, "rb") as file:
                for member in tar_members(file):
                    left -= member.size
                    if left < 0:
                        raise Damaged("it unpacks to more than 100 times its size")
                    if member.path == b"members.jsonl":
                        for line in b"".join(data for _, data in member.contents()).splitlines()[1:]:
                            package = json.loads(line)
                            self.lists[package["record"]["sha256"]] = package["members"]
                    elif member.type == "f" and member.path.startswith((b"packages/", b"tree/")):
                        self.keep(member)
        except DAMAGE as error:
            report.problem("damaged supplement", "%s: %s" % (shown(self.path), shown(error)), UNPROVEN)

    def keep(self, member):
        digest, part = hashlib.sha256(), os.path.join(self.folder.name, "part")
        with open(part, "wb") as file:
            for offset, data in member.contents():
                file.seek(offset)
                file.write(data)
                digest.update(data)
        path = os.path.join(self.folder.name, digest.hexdigest())
        os.rename(part, path)
        self.files[digest.hexdigest()] = path

    def members(self, package):
        outer = set()
        for fields in self.lists[package]:
            kind, value = fields["kind"], {}
            if isinstance(kind, dict):
                (kind, value), = kind.items()
            if kind not in LISTED:
                continue  # A later hashget knows of it; what needs it is told to be missing.
            own, time = fields["metadata"], fields["metadata"].get("mtime")
            member = Member(name_of(fields["path"]), LISTED[kind], own.get("mode"), own.get("uid"), own.get("gid"),
                            time and time["seconds"] * 10**9 + time["nanoseconds"], value.get("size", 0),
                            name_of(value.get("target", "")), (value["major"], value["minor"]) if "major" in value else None,
                            {bytes(name): bytes(value) for name, value in own.get("xattrs") or []})
            ends = [found.start() for found in re.finditer(b"!/", member.path) if member.path[:found.start()] in outer]
            member.inside = member.path[:ends[-1] + 2] if ends else b""
            if member.type == "f":
                outer.add(member.path)
                member.contents = functools.partial(self.contents, fields["sha256"], member)
            yield member

    def derived(self, package):
        """Derived members, which no list has, by their digests."""
        for _, path, entry in table_entries(package["files"]) if "files" in package else ():
            if path is not None and path.startswith(b"!/") and entry.sha256 in self.files:
                member = Member(path, "f", size=entry.size)
                member.contents = functools.partial(self.contents, entry.sha256, member)
                yield member

    def contents(self, sha256, member):
        if member.size and sha256 not in self.files:
            raise Problem("%s is not in the supplement" % shown(member.path), UNREACHABLE)
        if member.size:
            with open(self.files[sha256], "rb") as file:
                yield from pieces(file)


LISTED = {"File": "f", "Directory": "d", "Symlink": "l", "HardLink": "h", "CharDevice": "c", "BlockDevice": "b", "Fifo": "p"}


def supplements_of(options):
    """Those that are named, which must be some, and those beside the archive that can be read."""
    paths = list(options.also)
    if options.target is not None and options.source != "-":
        folder, name = os.path.split(options.source)
        stem = re.sub(r"\.tar(\.gz|\.zst|\.xz)?$", "", name)
        series = re.sub(r"_\d{4}-\d\d-\d\dT\d{6}Z$", "_", stem)
        starts = (stem + ".",) if series == stem else (stem + ".", series)
        beside = (other for other in sorted(os.listdir(folder or "."))
                  if re.search(r"\.sup\.tar(\.gz|\.zst|\.xz)?$", other) and other.startswith(starts))
        paths += (os.path.join(folder, other) for other in beside)
    for path in paths:
        try:
            yield Supplement(path)
        except DAMAGE as error:
            if path in options.also:
                raise Failure("--also %s: %s" % (shown(path), shown(error)))
            print("restore.py: %s is not used: %s" % (shown(path), shown(error)), file=sys.stderr)


# ---------------------------------------------------------------------------------------------------------------------
# Restoring
# ---------------------------------------------------------------------------------------------------------------------

class Restore:
    def __init__(self, target, places, report):
        self.target, self.places, self.report = target, places, report
        self.entries, self.names, self.named, self.manifest = {}, [], set(), None
        self.is_proven, self.has_restorer, self.has_rests, self.pieced = True, False, False, None

    def attempt(self, what, call, *arguments):
        """Does one thing; what hinders it is told, and all else goes on. Returns whether it was done."""
        try:
            call(*arguments)
            return True
        except Problem as problem:
            self.report.problem(what, str(problem), problem.code)
        except (OSError, OverflowError) as error:
            self.report.problem(what, "%s: %s" % (shown(arguments[0]), shown(getattr(error, "strerror", error))))
        self.named.add(arguments[0])
        return False

    def add(self, path, entry):
        """One more entry of the tree. Who describes a folder first decides on it."""
        known = self.entries.setdefault(checked(path), entry)
        if known is not entry and not known.type == entry.type == "d":
            raise Problem("%s is described twice" % shown(path), UNPROVEN)

    # -- 1. The tar ----------------------------------------------------------------------------------------------------

    def unpack(self, archive):
        """Unpacks the tar, keeps its manifest in memory (the last one counts) and beside the entries."""
        try:
            for member in tar_members(archive, top=True):
                if member.path == MANIFEST and member.type == "f":
                    self.manifest = b"".join(data for _, data in member.contents())
                    self.parsed()
                    try:
                        self.target.put_file(MANIFEST, [(0, self.manifest)])
                    except OSError as error:
                        raise Failure("cannot write into %s: %s" % (shown(self.target.top), shown(error.strerror)))
                    continue
                if member.path == RESTORER and self.has_restorer:
                    continue  # It is this program, and no entry of the tree.
                if self.has_rests and (member.path == RESTS or member.path.startswith(RESTS + b"/")):
                    if member.type == "f":
                        self.attempt("rest", self.target.put_file, member.path, member.contents(), member.size)
                    continue
                if not self.attempt("entry of the tar", checked, member.path):
                    continue
                entry = Entry(member.type, member.mode, member.uid, member.gid, member.time, member.size,
                              target=member.target, device=member.device, xattrs=member.xattrs, archived=True)
                if member.type == "f":
                    contents = member.contents()
                    if self.attempt("archived file", self.target.put_file, member.path, contents, member.size):
                        self.entries[member.path] = entry
                elif member.type == "h":
                    self.names.append((member.path, member.target))
                else:
                    self.entries[member.path] = entry
        except DAMAGE as error:
            if self.manifest is None:
                raise Failure("the archive cannot be read: %s" % shown(error))
            self.report.problem("damaged archive", "%s; what lies behind it is not restored" % shown(error), UNPROVEN)

    def parsed(self):
        """The manifest as an object, after the checks that come before all else."""
        try:
            manifest = json.loads(self.manifest)
            check_needs(manifest)
            self.has_restorer = "restorer" in manifest.get("needs", {})
            self.has_rests = "pieces" in manifest.get("needs", {})
            version = manifest.get("version")
            if version is None and "files" in manifest or version == 2 and manifest.get("format") == "hashget-restore":
                return manifest
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise Failure("the manifest %s is damaged: %s" % (shown(MANIFEST), shown(error)))
        raise Failure("the manifest %s is of the unknown version %s" % (shown(MANIFEST), shown(version)))

    # -- 2. The packages -----------------------------------------------------------------------------------------------

    def restore(self):
        manifest = self.parsed()
        try:
            if manifest.get("version") is None:
                return self.restore_version_1(manifest)
            for renamed in manifest.get("renamed", []):
                self.target.stored[checked(name_of(renamed["name"]))] = checked(name_of(renamed["stored"]))
            in_tar, self.entries = self.entries, {}
            for path, _, entry in table_entries(manifest["archived"], archived=True):
                self.attempt("entry", self.add, path, entry)
            # In the tar are names of archived files, and the manifest has these as well.
            self.names = [(name_of(link["path"]), name_of(link["to"])) for link in manifest.get("links", [])]
            packages = manifest["packages"]
            self.pieced = Pieces(manifest.get("pieces", {}), self.entries, packages)
            for file in self.pieced.files:
                self.attempt("file of pieces", file.begin, file.path, self.target)
            for number, package in enumerate(packages):
                self.restore_package(package, "[%d/%d]" % (number + 1, len(packages)), self.pieced.wanted.get(number, {}))
            for file in self.pieced.files:
                self.attempt("file of pieces", file.finish, file.path, self.target)
            if UNREACHABLE not in self.report.codes:
                self.look_at_tar(in_tar)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise Failure("the manifest is damaged: %s %s" % (type(error).__name__, shown(error)))
        except Problem as problem:
            raise Failure("the manifest is damaged: %s" % problem)
        self.finish(manifest["tree"]["sha256"])

    def look_at_tar(self, in_tar):
        """What is in the tar has to be in the tree. (Folders of packages are in the tar for plain tar.)"""
        stored = {self.target.below(self.target.disk(path)) for path in self.entries}
        for path in in_tar:
            if path not in stored:
                self.report.problem("entry of the tar that the manifest does not describe", shown(path), UNPROVEN)

    def restore_package(self, package, label, runs):
        url, placements = shown(package["url"]), [Placement(fields) for fields in package.get("trees", [])]
        wanted, whole, derived = {}, [], package.get("derived", [])
        for path, member, entry in table_entries(package["files"]) if "files" in package else ():
            self.attempt("entry", self.add, path, entry)
            if entry.type == "f":
                whole.append((path, entry)) if member is None else wanted.setdefault(member, []).append((path, entry))
        self.left_to_programs(wanted, derived)
        if not (placements or wanted or whole or runs):
            return
        self.report.progress("%s %s" % (label, url))
        try:
            file, right = self.places.get(package)
        except Problem as problem:
            members = self.places.members(package)
            if members is None:
                self.report.problem("package", str(problem), problem.code)
                return
            # What the list says of the files is proven by the tree digest, in the end.
            try:
                for member in members:
                    self.lay(member, placements, wanted, True)
            except Problem as problem:
                self.report.problem("package", "%s: %s" % (url, problem), problem.code)
            except (*DAMAGE, AttributeError) as error:
                why = "%s: what a supplement says of its members cannot be read: %s" % (url, shown(error))
                self.report.problem("damaged supplement", why, UNPROVEN)
            return self.left_over(wanted, url)
        with file:
            prefixes = [placement.source for placement in placements] + list(wanted)
            prefixes += [name_of(how["from"]) for how in derived if "from" in how]
            failed = lambda path, why: [self.report.problem("derived file", "%s: %s" % (shown(name), why))
                                        for name, _ in wanted.pop(path)] and None
            try:
                if right:
                    for path, entry in whole:
                        file.seek(0)
                        self.attempt("file", self.target.put_file, path, pieces(file))
                if placements or wanted or runs:
                    opens = lambda path: any(prefix.startswith(path) for prefix in prefixes)
                    members = members_of(file, package["format"], opens)
                    for member in with_derived(members, derived, wanted, failed):
                        if member.type == "f" and member.path in runs:
                            with spooled(member) as contents:
                                for run in runs.pop(member.path):
                                    run.copy(contents)
                                self.lay(member, placements, wanted, right)
                            continue
                        # Only its digest proves what a recipe makes.
                        self.lay(member, placements, wanted, right and not member.path.startswith(b"!/"))
            except Problem as problem:
                self.report.problem("package", "%s: %s" % (url, problem), problem.code)
            except DAMAGE as error:
                self.report.problem("package", "%s cannot be read: %s" % (url, shown(error)), UNPROVEN)
        self.left_over(wanted, url)

    def left_to_programs(self, wanted, derived):
        """Names what programs of packages make: this program runs none."""
        for number, how in enumerate(derived):
            start = b"!/%d/" % number
            made = [wanted.pop(member) for member in list(wanted) if how.get("tool") and member.startswith(start)]
            if made:
                paths = [path for entries in made for path, _ in entries]
                self.named.update(paths)
                files = "%d files" % len(paths) if len(paths) > 1 else "1 file"
                self.report.problem("derived file", "%s not made, which a program makes (recipe %s): `hashget restore --derive all` does "
                                    "that (%s)" % (files, shown(how.get("recipe")), shown(min(paths))), INCOMPLETE)

    def left_over(self, wanted, url):
        for entries in wanted.values():
            for path, _ in entries:
                self.report.problem("missing", "%s: its member is not in %s" % (shown(path), url), UNPROVEN)

    def lay(self, member, placements, wanted, right):
        """Puts one member wherever it is given. Of a package with other bytes, only files with a digest are taken."""
        places = []
        for placement in placements:
            rest = placement.rest_of(member)
            if rest is None:
                continue
            path, position = placement.to + rest, placement.count
            placement.count += 1
            if member.type == "h":
                target = placement.to + member.target[len(placement.source):]
                if not member.target.startswith(placement.source):
                    self.report.problem("hard link", "%s: the package does not give its file" % shown(path), UNPROVEN)
                elif right:
                    self.names.append((path, target))
                continue
            entry = placement.entry(member, position)
            if right or member.type == "d" or entry.sha256 is not None:
                if self.attempt("entry", self.add, path, entry) and member.type == "f":
                    places.append((path, entry))
        if member.type == "f":
            places += wanted.pop(member.path, [])
            self.put_everywhere(member, places, right)

    def put_everywhere(self, member, places, right):
        """Writes the contents to the first place that takes them, and copies them from there to the others."""
        written, contents = None, member.contents()
        for path, entry in places:
            if written is not None:
                self.attempt("file", self.target.put_copy, path, written)
            elif inspect.getgeneratorstate(contents) == inspect.GEN_CREATED and (right or entry.sha256 is not None):
                if self.attempt("file", self.target.put_file, path, contents, None, None if right else entry.sha256):
                    written = path

    # -- 3. to 6.: further names, metadata, the tree digest, the look at the disk -----------------------------------------

    def finish(self, tree_digest):
        self.report.progress("Setting metadata and checking")
        self.is_proven = tree_digest is not None  # Version 1 has no digests of what is in the tar.
        self.make_others()
        failed, digest = set(), hashlib.sha256()
        paths = sorted(self.entries)
        for path in paths:
            entry = self.entries[path]
            if entry.first is None:
                entry.first = path
            try:
                digest.update(self.record_digest(path, entry))
            except (OSError, Problem) as error:
                failed.add(path)
                if path not in self.named:
                    text = getattr(error, "strerror", None) or str(error)
                    self.report.problem("missing", "%s: %s" % (shown(path), text), getattr(error, "code", INCOMPLETE))
        proven = digest.hexdigest() == tree_digest if not failed else None
        present = [path for path in paths if path not in failed and path]
        for path in sorted(present, key=lambda path: (self.entries[path].type == "d", path.count(b"/") * -1)):
            if self.entries[path].first == path:
                self.target.set_metadata(path, self.entries[path])
        for path in present:
            self.look_at(path)
        self.conclude(proven, tree_digest is None, failed)

    def make_others(self):
        """Folders first, then pipes and devices, symbolic links, and further names at the very end."""
        for kinds in ("d", "pcb", "l"):
            for path, entry in self.entries.items():
                if entry.type in kinds:
                    self.attempt({"d": "folder", "l": "symbolic link", "pcb": "device or pipe"}[kinds],
                                 self.target.put_other, path, entry)
        # A name may be one of a file that is itself in this list; names in a circle belong to nothing.
        to = dict(self.names)
        for path in to:
            source, seen = to[path], {path}
            while source in to and source not in seen:
                seen.add(source)
                source = to[source]
            if source not in self.entries or source in seen:
                self.report.problem("hard link", "%s: %s is missing, which is the same file"
                                    % (shown(path), shown(source)))
            elif self.attempt("hard link", self.target.put_name, path, source):
                self.attempt("hard link", self.add, path, self.entries[source])

    def record_digest(self, path, entry):
        """The entry digest of docs/format.md, of the metadata that shall be and the contents that are on the disk."""
        seconds, nanoseconds = divmod(entry.time, 10**9)
        fields = [path, entry.type, 0o777 if entry.type == "l" else entry.mode, entry.uid, entry.gid, seconds,
                  nanoseconds]
        disk = self.target.disk(path)
        if path:
            self.target.make_folder(os.path.dirname(disk))  # Nothing is looked at through a link either.
        if entry.type == "f":
            if entry.first == path and (self.is_proven or entry.sha256 is not None):
                handle = os.open(disk, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                with open(handle, "rb") as file:
                    size, data = os.fstat(file.fileno()).st_size, entry.stretches()
                    if entry.size is not None and size != entry.size:
                        raise Problem("it has %d bytes instead of %d" % (size, entry.size), UNPROVEN)
                    digest = digest_of(pieces(file) if data is None else stretches(file, data))
                if entry.sha256 not in (None, digest):
                    raise Problem("it has the SHA-256 %s instead of %s" % (digest, entry.sha256), UNPROVEN)
                entry.size, entry.sha256 = size, digest
            elif self.is_proven and None in (entry.size, entry.sha256):
                raise Problem("%s is missing, which is the same file" % shown(entry.first))
            fields += [entry.size or 0, entry.sha256 or ""]
            fields += [number for pair in entry.stretches() or [] for number in pair]
        elif self.target.look(disk) is None:
            raise Problem("it is not there")
        if entry.type == "l":
            fields.append(entry.target)
        if entry.type in "cb":
            fields += entry.device
        if entry.type != "d":
            fields.append(entry.first)
        for name in sorted(entry.xattrs):
            fields += [name, len(entry.xattrs[name]), entry.xattrs[name]]
        record = b"".join((field if isinstance(field, bytes) else b"%d" % field if isinstance(field, int)
                           else field.encode()) + b"\0" for field in fields)
        return hashlib.sha256(record).digest()

    def look_at(self, path):
        """Compares what is on the disk with what shall be there."""
        try:
            for text in self.target.differences(path, self.entries[path]):
                self.report.problem("not restored", "%s: %s" % (shown(path), text))
        except OSError as error:
            self.report.problem("not restored", "%s: %s" % (shown(path), error.strerror))

    def conclude(self, proven, without_proof, failed):
        if not without_proof and proven is False and not self.report.codes:
            self.report.problem("tree digest", "it is not that of the manifest: some entry is not as it was packed, or this"
                                " program understood a package differently", UNPROVEN)
        complete = not self.report.codes and not failed
        if complete:
            os.unlink(os.path.join(self.target.top, MANIFEST))
            self.remove_restorer()
            self.remove_rests()
            stored, self.target.stored = self.target.stored, {}
            for name, place in stored.items():
                self.attempt("renamed", self.target.move, name, place)
        # The top folder is last: removing the manifest has changed its time.
        if b"" in self.entries:
            self.target.set_metadata(b"", self.entries[b""])
            self.look_at(b"")
        self.flags()
        self.say(complete, without_proof)

    def remove_restorer(self):
        """Tar has unpacked this program beside the manifest. What is the tree's own has another name still, or is there for good."""
        place, stored = os.path.join(self.target.top, RESTORER), self.target.stored.get(RESTORER)
        is_own = stored is not None and not os.path.lexists(os.path.join(self.target.top, stored))
        if self.has_restorer and not is_own and os.path.isfile(place) and not os.path.islink(place):
            os.unlink(place)

    def remove_rests(self):
        """Every file that needs one is in its place. What else lies beside the rests is somebody else's."""
        folder = os.path.join(self.target.top, RESTS)
        if not self.has_rests or not os.path.isdir(folder) or os.path.islink(folder):
            return
        for name in os.listdir(folder):
            place = os.path.join(folder, name)
            if name.isdigit() and os.path.isfile(place) and not os.path.islink(place):
                os.unlink(place)
        if not os.listdir(folder):
            os.rmdir(folder)

    def flags(self):
        """When all else is done, those of a folder after everything in it."""
        flagged = [path for path, entry in self.entries.items() if FLAGS in entry.xattrs]
        for path in sorted(flagged, key=lambda path: (self.entries[path].type == "d", -path.count(b"/"))):
            if not self.report.codes:
                self.attempt("flags", self.target.set_flags, path, self.entries[path])

    def say(self, complete, without_proof):
        files = sum(entry.type == "f" for entry in self.entries.values())
        others = 0 if ROOT else sum((entry.uid, entry.gid) != (os.geteuid(), os.getegid()) for entry in
                                    self.entries.values())
        except_owners = ", except owners and groups, which only root can set (%d entries)" % others if others else ""
        if self.report.codes:
            self.report.progress("Incomplete: %s" % ", ".join(
                "%s (%d)" % kind for kind in sorted(self.report.counts.items())))
        elif without_proof:
            self.report.progress("Restored: %d entries, %d files, each with its SHA-256%s. Version 1 has no digest of the"
                                 " whole tree." % (len(self.entries), files, except_owners))
        else:
            self.report.progress("Proven: %d entries, %d files are exactly what was packed%s"
                                 % (len(self.entries), files, except_owners))
        if not complete:
            self.report.progress("The manifest %s was kept: run this again on the folder to complete it" % shown(MANIFEST))

    # -- Version 1 -----------------------------------------------------------------------------------------------------

    def restore_version_1(self, manifest):
        """Files are found by their digest in any of the packages, and in packages inside these."""
        wanted, sizes = {}, set()
        for file in manifest["files"]:
            path = file["file"].encode("utf-8", "surrogateescape")
            entry = Entry("f", file["mode"], file["uid"], file["gid"], file["mtime"] * 10**9, file["size"], file["sha256"])
            if self.attempt("entry", self.add, path, entry):
                wanted.setdefault(file["sha256"], []).append((path, entry))
                sizes.add(file["size"])
        for number, package in enumerate(manifest["packages"], 1):
            kind, _, digest = package["hash"].partition(":")
            if kind != "sha256":
                raise Failure("the manifest names a package by the unknown digest %s" % shown(kind))
            self.report.progress("[%d/%d] %s" % (number, len(manifest["packages"]), shown(package["url"])))
            try:
                file, right = self.places.get({"url": package["url"], "sha256": digest})
                with file:
                    self.search(file, wanted, sizes)
            except Problem as problem:
                self.report.problem("package", str(problem), problem.code)
            except DAMAGE as error:
                self.report.problem("package", "%s cannot be read: %s" % (shown(package["url"]), shown(error)), UNPROVEN)
        self.finish(None)

    def search(self, file, wanted, sizes):
        """Takes every wanted file out of a package; each is proven by its own digest."""
        form = recognised(file) or ("ar" if file.seek(0) == 0 and file.read(8) == b"!<arch>\n" else "compressed")
        for member in members_of(file, form, lambda path: True):
            if member.type != "f" or not wanted or form != "compressed" and member.size not in sizes:
                continue
            with spooled(member) as inner:
                for path, entry in wanted.pop(digest_of(pieces(inner)), []):
                    inner.seek(0)
                    self.attempt("file", self.target.put_file, path, pieces(inner), None, entry.sha256)


# ---------------------------------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------------------------------

def arguments():
    parser = argparse.ArgumentParser(
        prog="restore.py", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Restore an archive of hashget without hashget: unpack it, fetch the public packages that it relies\n"
                    "on, put every file in its place, and compare the result with what was packed.",
        epilog="Exit codes: 0 everything is there and proven; 1 failure, nothing was restored; 2 usage error;\n"
               "3 incomplete; 4 something was not what it should be; 5 a package could not be had; 130 interrupted.\n\n"
               "Run it as root to get back owners, devices and all attributes. What could not be restored is named. Run\n"
               "it again with FOLDER, for instance after a lost package was found: it goes on where it was.")
    parser.add_argument("source", metavar="ARCHIVE|FOLDER",
                        help="archive (.tar, .tar.gz, .tar.zst, .tar.xz), `-` for standard input, or a folder into which"
                             " tar has unpacked one")
    parser.add_argument("-C", "--target", metavar="TARGET", help="folder to unpack the archive into: new, or empty")
    parser.add_argument("--packages", metavar="DIR", action="append", default=[],
                        help="look for packages in this folder first, whatever they are called there; repeatable")
    parser.add_argument("--also", metavar="SUPPLEMENT", action="append", default=[],
                        help="use this supplement, too; those beside the archive are found; repeatable")
    parser.add_argument("--mirror", metavar="OLD=NEW", action="append", default=[],
                        help="try a URL that begins with OLD with NEW in its place first; NEW may begin with file: ;"
                             " repeatable")
    parser.add_argument("--offline", action="store_true", help="use no network, only the folders of --packages")
    parser.add_argument("--work", metavar="DIR", help="folder for downloads, while they are used [default: TMPDIR]")
    parser.add_argument("-q", "--quiet", action="store_true", help="tell only problems")
    parser.add_argument("-v", "--verbose", action="store_true", help="name every problem, not just 20 of a kind")
    options = parser.parse_args()
    for mirror in options.mirror:
        if not re.match(r"[^=]+=.", mirror):
            parser.error("--mirror needs OLD=NEW, and was given %s" % mirror)
    for folder in options.packages:
        if not os.path.isdir(folder):
            parser.error("--packages: there is no folder %s" % folder)
    if os.path.isdir(options.source) == (options.target is not None):
        parser.error("an archive needs -C TARGET, and a folder must not have it")
    return options


def head_in_record(path):
    """The copy of an archive's first bytes that follows its record."""
    with open(path + ".json", "rb") as record:
        expected = json.loads(record.readline())["manifest"]["sha256"]
        head = base64.b64decode(json.loads(record.readline())["head"], validate=True)
    if hashlib.sha256(head).hexdigest() != expected:
        raise Damaged("the copy is damaged")
    return head


def head_in_parity(path):
    """The same at the end of its parity, in the last packet."""
    with open(path + ".par2", "rb") as parity:
        end = parity.seek(-16, os.SEEK_END) + 16
        length, mark = struct.unpack("<Q8s", parity.read(16))
        parity.seek(end - 80 - length - -length % 4)
        packet = parity.read()
    if mark != b"hashget1" or packet[16:32] != hashlib.md5(packet[32:]).digest():
        raise Damaged("there is no copy")
    return packet[64:64 + length]


def opened(path):
    """The archive; if its manifest is damaged, with the copy of its first bytes that lies beside it."""
    file = open(path, "rb")
    for copy in (head_in_record, head_in_parity):
        try:
            head = copy(path)
            break
        except DAMAGE:
            pass
    else:
        return file
    if is_readable(path):
        return file
    print("restore.py: the manifest in %s is damaged: the copy beside it is used" % shown(path), file=sys.stderr)
    mended = tempfile.TemporaryFile()
    mended.write(head)
    file.seek(len(head))
    shutil.copyfileobj(file, mended, CHUNK)
    file.close()
    mended.seek(0)
    return mended


def is_readable(path):
    """Has the archive a manifest that can be read?"""
    try:
        with open(path, "rb") as file:
            for member in tar_members(file):
                return isinstance(json.loads(b"".join(data for _, data in member.contents())), dict)
    except DAMAGE:
        pass
    return False


def run(options, report):
    target = os.fsencode(options.target or options.source)
    tempfile.tempdir = options.work
    places = Places(options.packages, [mirror.split("=", 1) for mirror in options.mirror], options.offline,
                    None if options.target is None or options.source == "-" else os.path.dirname(options.source) or ".",
                    options.work, list(supplements_of(options)), report)
    restore = Restore(Target(target), places, report)
    try:
        if options.target is None:
            with open(os.path.join(target, MANIFEST), "rb") as file:
                restore.manifest = file.read()
            restore.parsed()
        else:
            new = not os.path.lexists(target)
            if not new and (not os.path.isdir(target) or os.listdir(target)):
                raise Failure("%s is not an empty folder; nothing was written" % shown(target))
            with sys.stdin.buffer if options.source == "-" else opened(options.source) as archive:
                report.progress("Unpacking %s" % shown(options.source))
                restore.unpack(archive)
            if restore.manifest is None:
                raise Failure("%s has no manifest: it is not an archive of hashget" % shown(options.source))
    except OSError as error:
        raise Failure(str(error))
    restore.restore()


def main():
    options = arguments()
    report = Report(options.quiet, options.verbose)
    os.umask(0o077)
    try:
        run(options, report)
        return report.exit_code()
    except Failure as failure:
        print("restore.py: %s" % failure, file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("restore.py: interrupted; run it again with the folder to go on", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
