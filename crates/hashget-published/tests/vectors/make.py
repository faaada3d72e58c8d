#!/usr/bin/env python3
"""Makes the test vectors of statements: written from docs/format-index.md alone, so that they also test that this page says enough.

    make.py            compares the vectors beside it with what it makes
    make.py --write    writes them
"""
import base64
import hashlib
import json
import os
import sys


def varint(number):
    out = bytearray()
    while True:
        low, number = number & 0x7F, number >> 7
        if not number:
            out.append(low)
            return bytes(out)
        out.append(low | 0x80)


def signed(number):
    return varint(2 * number if number >= 0 else -2 * number - 1)


def text(value):
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()


def raw(value):
    return varint(len(value)) + value


def option(value, encode):
    return b"\0" if value is None else b"\1" + encode(value)


KINDS = ["File", "Directory", "Symlink", "HardLink", "CharDevice", "BlockDevice", "Fifo"]


def kind(value):
    name, fields = (value, {}) if isinstance(value, str) else next(iter(value.items()))
    out = varint(KINDS.index(name))
    if name == "File":
        out += varint(fields["size"])
    elif name in ("Symlink", "HardLink"):
        out += raw(text(fields if name == "HardLink" and "target" not in fields else fields["target"]))
    elif name.endswith("Device"):
        out += varint(fields["major"]) + varint(fields["minor"])
    return out


def member(value):
    metadata = value["metadata"]
    out = raw(text(value["path"])) + kind(value["kind"])
    for name in ("mode", "uid", "gid"):
        out += option(metadata[name], varint)
    out += option(metadata["mtime"], lambda time: signed(time["seconds"]) + varint(time["nanoseconds"]))
    pairs = sorted((bytes(name), bytes(attribute)) for name, attribute in metadata["xattrs"])
    out += varint(len(pairs)) + b"".join(raw(name) + raw(attribute) for name, attribute in pairs)
    out += option(value["sha256"], bytes.fromhex)
    return out + option(value["extents"], lambda all_: varint(len(all_)) + b"".join(varint(one["offset"]) + varint(one["length"]) for one in all_))


def vector(package, size, format_, nested, members):
    encoded = varint(len(members)) + b"".join(map(member, members))
    digest = hashlib.sha256(encoded).hexdigest()
    statement = (f"hashget statement v1\npackage {package}\nsize {size}\nformat {format_}{' nested' if nested else ''}\nrules 1\n"
                 f"members {len(members)}\nlist {digest}\n")
    return {"package": package, "size": size, "format": format_, "nested": nested, "members": members, "list_bytes": encoded.hex(),
            "list": digest, "statement": statement, "statement_digest": hashlib.sha256(statement.encode()).hexdigest()}


def plain(path, kind_, **more):
    metadata = {"mode": None, "uid": None, "gid": None, "mtime": None, "xattrs": []}
    metadata.update({name: more[name] for name in metadata if name in more})
    return {"path": path, "kind": kind_, "metadata": metadata, "sha256": more.get("sha256"), "extents": more.get("extents")}


def vectors():
    digest = hashlib.sha256(b"of a file").hexdigest()
    package = hashlib.sha256(b"a package").hexdigest()
    some = [plain("data/usr", "Directory", mode=0o755, uid=0, gid=0, mtime={"seconds": 1700000000, "nanoseconds": 0}),
            plain("data/usr/a", {"File": {"size": 9}}, mode=0o644, uid=0, gid=0, mtime={"seconds": 1700000000, "nanoseconds": 0}, sha256=digest)]
    other = base64.b64encode(b"\xff/\n").decode()
    strange = [
        plain("z", "Fifo"),
        plain({"base64": base64.b64encode(b"\xff\xfe").decode()}, {"Symlink": {"target": {"base64": other}}}, mode=0o7777, uid=2**32 - 1, gid=128),
        plain("sparse", {"File": {"size": 2**64 - 1}}, sha256=digest, mtime={"seconds": -(2**63), "nanoseconds": 999999999},
              extents=[{"offset": 7, "length": 2**63}, {"offset": 2**64 - 2, "length": 1}]),
        plain("not read", {"File": {"size": 127}}, mtime={"seconds": -1, "nanoseconds": 0}),
        plain("link", {"HardLink": {"target": "sparse"}}),
        plain("c", {"CharDevice": {"major": 1, "minor": 2**32 - 1}}),
        plain("b", {"BlockDevice": {"major": 8, "minor": 0}}, xattrs=[[list(b"user.\xff"), list(b"\0\xfe")], [list(b"user.a"), []]]),
    ]
    return {"nothing": vector(package, 0, "file", False, []), "plain": vector(package, 1234, "deb", False, some),
            "strange": vector(package, 2**64 - 1, "tar", True, strange)}


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    for name, made in vectors().items():
        path = os.path.join(folder, f"{name}.json")
        if "--write" in sys.argv:
            with open(path, "w") as file:
                json.dump(made, file, indent=1)
                file.write("\n")
        else:
            with open(path) as file:
                assert json.load(file) == made, f"{path} is another one"


main()
