#!/usr/bin/env python3
"""Prints what is in the programs as a bill of materials, CycloneDX 1.5 in JSON: every crate that is linked into them, with its
licence and SHA-256. Run in the folder of the sources; needs cargo. The same Cargo.lock gives the same bytes.

    packaging/sbom.py TARGET PROGRAM...        such as: x86_64-unknown-linux-musl hashget-cli hashget-server
"""
import datetime
import json
import os
import subprocess
import sys
import tomllib
import uuid


def linked(metadata, programs):
    """The packages that the programs are made of, by id: no tests, nothing that only runs while they are built."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [package["id"] for package in metadata["packages"] if package["name"] in programs and package["source"] is None]
    found = {}
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found[one] = sorted(dependency["pkg"] for dependency in nodes[one]["deps"]
                            if any(kind["kind"] is None for kind in dependency["dep_kinds"]))
        waiting += found[one]
    return found


def component(package, checksums):
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    entry = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package["license"]:
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((name, version)):
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return entry


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    target, programs = sys.argv[1], sys.argv[2:]
    metadata = json.loads(subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target],
        check=True, stdout=subprocess.PIPE).stdout)
    with open("Cargo.lock", "rb") as file:
        lock = tomllib.load(file)
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    found = linked(metadata, programs)
    components = {one: component(packages[one], checksums) for one in found}
    by_purl = lambda one: components[one]["purl"]
    version = next(packages[one]["version"] for one in found if packages[one]["name"] == programs[0])
    digest = json.dumps(sorted(map(by_purl, found)) + [target])
    when = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    json.dump({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "bom-ref": f"hashget-{version}-{target}", "name": "hashget", "version": version},
        },
        "components": [components[one] for one in sorted(found, key=by_purl)],
        "dependencies": [{"ref": by_purl(one), "dependsOn": sorted(map(by_purl, found[one]))}
                         for one in sorted(found, key=by_purl)],
    }, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
