#!/usr/bin/env python3
"""Writes docs/benchmarks.md and its plots from the results of bench/run.

    report.py RESULTS.json DOCS
"""
import json
import os
import statistics
import sys

import measure
import plot

TREES = {"wordpress": "WordPress", "debian-lamp": "Debian LAMP", "linux": "kernel"}
SIZES = [
    # tree, tool, bytes, the limit in words
    ("linux", "hashget", 64_000, "64 KB; its anchors alone are 48 KB"),
    ("linux", "hashget --hashes none", 4_000, "4 KB; one URL and its digest are 0.2 KB"),
    ("wordpress", "hashget", 8_000, "8 KB; its anchors alone are 4.2 KB"),
    ("wordpress", "hashget --hashes none", 4_000, "4 KB"),
    ("debian-lamp", "hashget .tar.zst, level 19", 1_100_000, "1.10 MB; the unknown files alone are 0.94 MB"),
    ("debian-lamp", "hashget .tar.gz", 1_950_000, "1.95 MB; the unknown files alone are 1.67 MB"),
]


def seconds(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def size(value):
    for unit, bytes_each in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= bytes_each:
            return f"{value / bytes_each:.4g} {unit}"
    return f"{value} B"


def verdict(value, limit):
    return "yes" if value <= limit else "**no**"


def table(columns, rows):
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1)] + rows
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def find(done, name, tree, tool):
    return next((job for job in done if (job["table"], job["tree"], job["tool"]) == (name, tree, tool)), None)


def wall(job):
    return measure.summary(job["runs"], "wall")[0]


def spread(job, what="wall"):
    """A median with minimum and maximum, as text."""
    middle, least, most = measure.summary(job["runs"], what)
    return f"{seconds(middle)} ({seconds(least)} - {seconds(most)})"


def resources(job):
    cpu, memory = (measure.summary(job["runs"], what)[0] for what in ("cpu", "memory"))
    return [seconds(cpu), f"{memory / 2**20:.0f}"]


FIGURES = ["", "wall s", "CPU s", "memory MiB", "limit, wall s", "ratio", "to reach", "met"]


def figures(done):
    """Which target times are reached."""
    rows = []
    for job in done:
        if not job["limit"]:
            continue
        tool, factor = job["limit"]
        other = find(done, job["table"], job["tree"], tool)
        if not other:
            continue
        ratio = wall(job) / wall(other)
        rows.append([f"{job['table']}, {TREES[job['tree']]}", spread(job), *resources(job), spread(other),
                     f"{ratio:.2f}", f"<= {factor} x {tool}", verdict(ratio, factor)])
    two, one = (find(done, "index", "debian-lamp", tool) for tool in ("hashget", "hashget --jobs 1"))
    if two and one:
        ratio = wall(one) / wall(two)
        rows.append(["index, Debian LAMP: all cores, one job", spread(two), *resources(two), spread(one),
                     f"{ratio:.2f}", ">= 1.7 x faster", verdict(1.7, ratio)])
    return rows


def other_figures(done, scale):
    """Which target sizes and growth figures are reached: what, measured, target, yes or no."""
    rows = []
    for tree, tool, most, words in SIZES:
        job = find(done, "pack, first scan", tree, tool)
        if job:
            rows.append([f"archive, {TREES[tree]}: {tool}", size(job["bytes"]), f"{job['bytes'] / most:.2f}",
                         f"<= {words}", verdict(job["bytes"], most)])
    return rows + scale_figures(scale)


def peers(done):
    """The tools compared: rows of tools, columns of trees."""
    parts = []
    for name in ("index", "back up everything", "restore, packages cached"):
        tools = dict.fromkeys(job["tool"] for job in done if job["table"] == name)
        rows = []
        for tool in tools:
            jobs = [find(done, name, tree, tool) for tree in TREES]
            rows.append([tool] + [("" if not job else
                                   (f"{size(job['bytes'])}, " if job["bytes"] else "")
                                   + f"{seconds(wall(job))} / {resources(job)[0]}") for job in jobs])
        parts += ["", f"### {name[0].upper()}{name[1:]}", "", table([""] + list(TREES.values()), rows)]
    return "\n".join(parts)


def scale_figures(scale):
    rows = []

    def row(what, value, words, most, unit):
        rows.append([what, words, f"{value / most:.2f}", f"<= {most} {unit}", verdict(value, most)])

    for one in [one for one in scale if one["kind"] == "hashdb"][-1:]:
        what = f"HashDB of {one['hashes']:,} hashes"
        for key, most, unit, meaning in (("look_up_bytes", 40, "B", "each in the look-up table"),
                                         ("look_up_microseconds", 2, "us", "each look-up in a sorted batch"),
                                         ("open_milliseconds", 10, "ms", "to open")):
            row(what, one[key], f"{one[key]:.2f} {unit} {meaning}", most, unit)
    most = max([one["files"] for one in scale if one["kind"] == "tree"], default=0)
    for one in scale:
        if one["kind"] == "tree" and one["files"] == most and one["step"] != "index":
            memory = one["memory"] / 2**20
            row(f"memory: {one['step']}, {most:,} files", memory, f"{memory:.0f} MiB", 300, "MiB")
        if one["kind"] == "plan" and one["files"] == most:
            row(f"plan, {most:,} files in {one['packages']:,} packages", one["seconds"], f"{one['seconds']:.2f} s",
                2, "s")
    return rows


def job_table(done, name, tree):
    jobs = [job for job in done if (job["table"], job["tree"]) == (name, tree)]
    ours = find(done, name, tree, "hashget")
    rows = []
    for job in jobs:
        middle, least, most = measure.summary(job["runs"], "wall")
        rows.append([job["tool"], seconds(middle), f"{seconds(least)} - {seconds(most)}",
                     seconds(measure.summary(job["runs"], "cpu")[0]),
                     f"{measure.summary(job['runs'], 'memory')[0] / 2**20:.0f}",
                     size(job["bytes"]) if job["bytes"] else "", f"{middle / wall(ours):.2f}" if ours else "", len(job["runs"])])
    columns = ["", "wall s", "least - most", "CPU s", "memory MiB", "size", "x ours", "runs"]
    return table(columns, rows)


def scale_tables(scale):
    hashes = [[f"{one['hashes']:,}"] + [f"{one[key]:.2f}" for key in
              ("look_up_microseconds", "put_microseconds", "open_milliseconds", "look_up_bytes", "member_list_bytes",
               "all_bytes")] for one in scale if one["kind"] == "hashdb"]
    files = [[one["step"], f"{one['files']:,}", seconds(one["wall"]), f"{one['wall'] * 1e6 / one['files']:.0f}",
              f"{one['cpu'] * 1e6 / one['files']:.0f}", f"{one['memory'] / 2**20:.0f}",
              f"{one['memory'] / one['files']:.0f}"] for one in sorted(
                  (one for one in scale if one["kind"] == "tree"), key=lambda one: (one["step"], one["files"]))]
    plans = [[f"{one['files']:,}", f"{one['packages']:,}", seconds(one["seconds"]),
              f"{one['seconds'] * 1e6 / one['files']:.2f}", seconds(one.get("hashdb_seconds", 0))]
             for one in scale if one["kind"] == "plan"]
    return "\n".join([
        "### HashDB", "", "Per hash. Look-ups are one sorted batch of 200,000, half of them unknown.", "",
        table(["hashes", "look-up us", "put us", "opening ms", "look-up table B", "member lists B", "all B"], hashes),
        "### Trees", "", "Small files, 100 in each folder; all archived, or all from one package."
        " For some minutes after files were deleted, ext4 examines each freed inode before it creates a file: files deleted"
        " before the run therefore add to the time of `unpack`, mostly for small trees, which come first.", "",
        table(["", "files", "wall s", "us a file", "CPU us a file", "memory MiB", "memory B a file"], files),
        "### Plan", "", "From the end of the scan to the end of a dry run, without the time that the synthetic HashDB needs to "
        "make up its answers (the last column).", "",
        table(["files", "packages", "s", "us a file", "answers s"], plans)])


def cost(scans, scan, what):
    """Median seconds without and with detectors, and the difference in percent."""
    none, every = (measure.summary(scans[scan][detect], what)[0] for detect in ("none", "all"))
    return [f"{none:.3f}", f"{every:.3f}", f"{100 * (every / none - 1):.1f} %"]


def detectors(ecosystems):
    """What detectors found, and what they cost."""
    trees = {name: tree["scans"] for name, tree in ecosystems["trees"].items()}
    trees |= {TREES.get(name, name): scans for name, scans in ecosystems["inputs"].items()}
    found = [[one["name"], name, one["packages"], f"{one['files']:,}", size(one["bytes"]),
              f"{1000 * statistics.median(one['seconds']):.1f}"]
             for name, scans in trees.items() for one in scans["detectors"] if one["packages"]]
    costs = [[name, f"{scans['files']:,}", *cost(scans, "first", "wall"), *cost(scans, "first", "cpu"),
              *cost(scans, "again", "wall")] for name, scans in trees.items()]
    loads = [scans["load"] for scans in trees.values()]
    return "\n".join([
        "## Detectors", "", "What each detector was the first to find in real trees ([ecosystems](ecosystems.md)), what the packages that are "
        "relied on give back, and the time it took, all threads together.", "",
        table(["detector", "tree", "packages found", "files covered", "bytes covered", "ms"], sorted(found)),
        "The time that all detectors together add to a dry run that indexes nothing new. The target is 10 % of a first scan, which "
        f"reads every file. Medians of {next(iter(trees.values()))['runs']} runs each, in turn. The second scan finds every file in the "
        f"scan cache. Load average: {min(loads):.1f} to {max(loads):.1f}.", "",
        table(["tree", "files", "first scan: `none`, wall s", "`all`", "more", "`none`, CPU s", "`all`", "more",
               "again: `none`, wall s", "`all`", "more"], costs)])


def plots(done, scale, folder):
    """Writes the plots; their names and titles."""
    os.makedirs(folder, exist_ok=True)
    made = {}
    for name in dict.fromkeys(job["table"] for job in done):
        groups = []
        for tree, title in TREES.items():
            bars = [(job["tool"], *measure.summary(job["runs"], "wall")) for job in done
                    if (job["table"], job["tree"]) == (name, tree)]
            groups.append((title, bars))
        file = "".join(letter if letter.isalnum() else "-" for letter in name) + ".svg"
        plot.bars(os.path.join(folder, file), f"{name}: seconds, median with least and most", groups)
        made[name] = file
    per_hash = [(one["hashes"], one["look_up_microseconds"]) for one in scale if one["kind"] == "hashdb"]
    steps = dict.fromkeys(one["step"] for one in scale if one["kind"] == "tree")
    per_file = {step: [(one["files"], one["cpu"] * 1e6 / one["files"]) for one in scale
                       if one["kind"] == "tree" and one["step"] == step] for step in steps}
    memory = {step: [(one["files"], one["memory"] / 2**20) for one in scale
                     if one["kind"] == "tree" and one["step"] == step] for step in steps}
    per_file["plan, wall"] = [(one["files"], one["seconds"] * 1e6 / one["files"]) for one in scale if one["kind"] == "plan"]
    if scale:
        plot.lines(os.path.join(folder, "hashes.svg"), "microseconds a look-up, by hashes in the HashDB",
                   {"look-up, sorted batch": per_hash})
        plot.lines(os.path.join(folder, "memory.svg"), "peak memory in MiB, by files in the tree", memory)
        plot.lines(os.path.join(folder, "files.svg"), "CPU microseconds a file, by files in the tree", per_file)
    return made


INTRODUCTION = """Written by `bench/run`; do not edit. The jobs ran in rounds, {runs} times each. Jobs of other tools that
take more than 30 s ran twice; the column "runs" has the number. The Python tool's restore of the kernel takes very long and
runs only with `--slow`: its field is empty if it was not run. Times are medians, with the minimum and the maximum. CPU
seconds are user and system time together. Memory is the peak of the largest process (values below 25 MiB are the
harness's own). `bench/jobs.py` has every command.
"""


def write(results, docs):
    done = [job for job in results["jobs"] if job["runs"]]
    order = {tree: number for number, tree in enumerate(TREES)}
    done.sort(key=lambda job: order[job["tree"]])
    scale = results["scale"]
    made = plots(done, scale, os.path.join(docs, "benchmarks"))
    text = ["# Benchmarks", "", INTRODUCTION.format(runs=results["runs"])]
    if results["small"]:
        text += ["This is the small run (`--small`): jobs that take minutes are left out.", ""]
    if results.get("failed"):
        text += ["**These jobs failed, and results that depend on them are invalid:** " + "; ".join(results["failed"]) + ".", ""]
    text += [f"* {key}: {value}" for key, value in results["machine"].items()]
    loads = [run["load"] for job in done for run in job["runs"]] or [0]
    text += [f"* load average during the run: {min(loads):.1f} to {max(loads):.1f}", "",
             "## Targets", "",
             "Each figure is compared with the raw limit of the same work on the same input, or with another tool.", "",
             table(FIGURES, figures(done)),
             table(["", "reached", "ratio", "to reach", "met"], other_figures(done, scale)),
             "## Other tools", "", "Size of the archive, if there is one, then wall / CPU seconds.",
             peers(done)]
    if scale:
        text += ["## Growth", "", "![look-ups](benchmarks/hashes.svg)", "", "![files](benchmarks/files.svg)", "",
                 "![memory](benchmarks/memory.svg)", "", scale_tables(scale)]
    if results.get("ecosystems"):
        text += [detectors(results["ecosystems"])]
    for name, file in made.items():
        text += [f"## {name[0].upper()}{name[1:]}", "", f"![{name}](benchmarks/{file})", ""]
        for tree, title in TREES.items():
            if any((job["table"], job["tree"]) == (name, tree) for job in done):
                text += [f"### {title}", "", job_table(done, name, tree)]
    with open(os.path.join(docs, "benchmarks.md"), "w") as file:
        file.write("\n".join(text).rstrip() + "\n")


if __name__ == "__main__":
    with open(sys.argv[1]) as kept:
        write(json.load(kept), sys.argv[2])
