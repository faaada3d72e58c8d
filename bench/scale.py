"""Growth: synthetic HashDBs and trees of several sizes, and the cost per hash and per file."""
import json
import os
import shutil
import subprocess

import measure

HASHES = [10**5, 10**6, 10**7]
FILES = [10**4, 10**5, 10**6]


def measured(project, work, binary, small, say):
    """A list of dicts, each with its `kind`: hashdb, tree or plan."""
    subprocess.run(["cargo", "build", "-q", "--release", "-p", "hashget", "--example", "scale"], cwd=project, check=True)
    program = os.path.join(project, "target/release/examples/scale")
    base = os.path.join(work, "scale")
    results = []
    for hashes in HASHES[:2] if small else HASHES:
        say(f"a HashDB of {hashes:,} hashes")
        fresh(base)
        results.append({"kind": "hashdb", **asked(program, "hashdb", hashes, base)})
    fresh(base)
    for files in FILES[:2] if small else FILES:
        say(f"trees of {files:,} files")
        # Nothing is deleted in between: for minutes afterwards, ext4 examines each freed inode before it creates a file.
        results += trees(program, binary, os.path.join(base, str(files)), files)
    shutil.rmtree(base)
    return results


def fresh(base):
    shutil.rmtree(base, ignore_errors=True)
    os.makedirs(base)


def asked(program, *arguments):
    command = [program, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def trees(program, binary, base, files):
    """Packs and restores a tree of `files` files: all archived, then all from one package; and plans it."""
    log = f"{base}/log"
    tree, package, url = f"{base}/tree", f"{base}/tree.tar.zst", "http://example.org/tree.tar.zst"
    ours = f"{binary} --db {base}/db --cache {base}/cache -q"
    os.makedirs(base)
    asked(program, "tree", files, tree)
    steps = {
        "pack, all archived": f"{ours} pack {tree} --no-index -f {base}/own.tar.zst",
        "unpack, all archived": f"{ours} unpack {base}/own.tar.zst -C {base}/own",
        "make package": f"tar -C {tree} -cf - . | zstd -q -3 -o {package}",
        "index": f"{ours} index --file {package} {url}",
        "pack, all left out": f"{ours} pack {tree} --no-index -f {base}/left.tar.zst",
        "prepare pool": f"mkdir {base}/pool && ln {package} {base}/pool/$(sha256sum < {package} | cut -c1-64)",
        "unpack, all left out": f"{ours} --offline --pool {base}/pool unpack {base}/left.tar.zst -C {base}/left",
    }
    results = []
    for name, command in steps.items():
        result = measure.run(command, log=log)
        if "pack" in name and "package" not in name or name == "index":
            results.append({"kind": "tree", "files": files, "step": name, **result})
    plan = asked(program, "plan", files, files // 10, tree)
    results.append({"kind": "plan", **plan})
    return results
