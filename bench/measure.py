"""Runs one command and measures it. Only the child is timed: wall time, CPU time, peak memory."""
import os
import statistics
import subprocess
import time


class Failed(Exception):
    """A measured command ended with an error."""


def run(command, environment=None, log="/dev/null"):
    """Runs `command` (a list, or a shell command); returns a dict of seconds and bytes."""
    arguments = ["/bin/bash", "-o", "pipefail", "-c", command] if isinstance(command, str) else command
    with open(log, "ab") as output:
        started = time.monotonic()
        child = subprocess.Popen(arguments, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                 env={**os.environ, "LC_ALL": "C", **(environment or {})})
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise Failed(f"exit code {child.returncode}: {command}; see {log}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}


def summary(runs, what):
    """Median, minimum and maximum of one figure."""
    values = [one[what] for one in runs]
    return statistics.median(values), min(values), max(values)


def size(path):
    """Bytes of a file, or of all files below a folder."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.lstat(os.path.join(folder, name)).st_size
               for folder, _, names in os.walk(path) for name in names)
