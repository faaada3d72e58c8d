#!/usr/bin/env python3
"""Runs in the machine that build.sh makes: two weeks of nights, started by systemd's timers as the clock is set on.

Two jobs, three destinations (a folder on another disk, a bucket of SeaweedFS, a folder behind sshd), encryption, retention; a
night that fails, and one that is missed. Prints what `hashget backup status` says of each, what the stores hold, and whether three
nights come back as they were. The last line is "ALL IS WELL" or "NOT WELL".
"""
import datetime
import filecmp
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

# Two weeks; fewer to try the script itself.
NIGHTS = int((pathlib.Path("/etc/nights").read_text() if os.path.exists("/etc/nights") else "14"))
FAILED, MISSED = (5, 9) if NIGHTS >= 9 else (2, 3)
TO_RESTORE = [1, NIGHTS // 2 + 1, NIGHTS]
FIRST = datetime.datetime(2026, 11, 1, 2, 29, 55)
JOBS = ["system", "data"]
IDENTITY = "/run/elsewhere/key"
wrong = []


def say(text=""):
    print(text, flush=True)


def run(command, check=True, shown=True, environment=None):
    if shown:
        say(f"$ {command}")
    done = subprocess.run(command, shell=True, text=True, capture_output=True,
                          env={**os.environ, **(environment or {})})
    text = (done.stdout + done.stderr).strip()
    if shown and text:
        say(text)
    if check and done.returncode != 0:
        wrong.append(f"{command}: ended with {done.returncode}")
        say(f"(ended with {done.returncode})")
    return done


def expect(what, found, expected):
    if found != expected:
        wrong.append(f"{what}: {found}, expected {expected}")
        say(f"NOT AS EXPECTED: {wrong[-1]}")


def set_clock(time_):
    run(f"date -s '{time_:%Y-%m-%d %H:%M:%S}'", shown=False)


def prepare():
    os.makedirs("/run/elsewhere")
    os.environ.update(HOME="/root", LANG="C.UTF-8", TZ="UTC")
    for folder in ["/srv/backup", "/srv/data", "/srv/truth", "/var/lib/textfile", "/root/.ssh", "/etc/hashget"]:
        os.makedirs(folder, exist_ok=True)
    run("systemctl stop systemd-timesyncd", check=False, shown=False)
    run("mount LABEL=backup /srv/backup && mkdir -p /srv/backup/web1", shown=False)
    run("useradd -m nas && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 && install -d -o nas -m 700 /home/nas/.ssh"
        " && install -o nas -m 600 /root/.ssh/id_ed25519.pub /home/nas/.ssh/authorized_keys && install -d -o nas /home/nas/web1"
        " && systemctl start ssh && ssh-keyscan localhost > /root/.ssh/known_hosts", shown=False)
    s3 = pathlib.Path("/run/elsewhere/s3.json")
    s3.write_text('{"identities":[{"name":"a","credentials":[{"accessKey":"reader","secretKey":"secret"}],'
                  '"actions":["Admin","Read","Write","List"]}]}')
    subprocess.Popen("mkdir -p /srv/backup/weed; exec weed server -dir=/srv/backup/weed -ip=127.0.0.1 -s3 -s3.port=8333"
                     f" -s3.config={s3} -volume.max=200 -master.volumeSizeLimitMB=64 > /run/elsewhere/weed.log 2>&1", shell=True)
    aws = pathlib.Path("/root/.aws")
    aws.mkdir()
    (aws / "credentials").write_text("[default]\naws_access_key_id = reader\naws_secret_access_key = secret\n")
    for _ in range(120):
        made = run("echo 's3.bucket.create -name nights' | weed shell -master=127.0.0.1:9333", check=False, shown=False)
        if "nights" in run("echo s3.bucket.list | weed shell -master=127.0.0.1:9333", check=False, shown=False).stdout:
            break
        time.sleep(1)
    else:
        say(made.stdout + made.stderr)
    run(f"age-keygen -o {IDENTITY}", shown=False)
    recipient = run(f"age-keygen -y {IDENTITY}", shown=False).stdout.strip()
    sendmail = pathlib.Path("/usr/sbin/sendmail")
    sendmail.write_text("#!/bin/sh\ncat >> /var/log/mails\n")
    sendmail.chmod(0o755)
    # What the runs themselves change, and the stores, are no part of the system that is packed.
    pathlib.Path("/etc/hashget/config.toml").write_text(f'''
[[mirror]]
prefix = "https://snapshot.debian.org/"
use = ["http://10.0.2.2:8090/"]

[s3."nights"]
endpoint = "http://127.0.0.1:8333"
region = "us-east-1"
path_style = true

[backup.system]
sources  = ["/"]
to       = ["/srv/backup/web1", "s3://nights/web1", "sftp://nas@localhost/home/nas/web1"]
exclude  = ["/srv", "/home/nas", "/usr/local/bin/weed", "/var/log", "/root/.cache", "/var/lib/hashget", "/var/cache/hashget"]
encrypt  = ["{recipient}"]
keep     = {{ last = 2, daily = 5, weekly = 3 }}
schedule = "02:30"
mail     = "root"
metrics  = "/var/lib/textfile"

[backup.data]
sources  = ["/srv/data"]
to       = ["/srv/backup/web1", "s3://nights/web1", "sftp://nas@localhost/home/nas/web1"]
encrypt  = ["{recipient}"]
keep     = {{ last = 20 }}
before   = ["test ! -e /run/elsewhere/broken"]
schedule = "02:30"
mail     = "root"
metrics  = "/var/lib/textfile"
''')
    for number in range(200):
        pathlib.Path(f"/srv/data/file{number}").write_bytes(random.Random(number).randbytes(random.Random(number).randrange(200_000)))


def change(night):
    chance = random.Random(1000 + night)
    for number in chance.sample(range(200), 4):
        pathlib.Path(f"/srv/data/file{number}").write_bytes(chance.randbytes(50_000))
    pathlib.Path("/etc/motd").write_text(f"night {night}\n")
    shutil.copytree("/srv/data", f"/srv/truth/{night}", symlinks=True)


def of_services(what):
    return [run(f"systemctl show -P {what} hashget-backup-{job}", shown=False).stdout.strip() for job in JOBS]


def wait_for_runs(before, seconds=600):
    """Waits until both services have begun once more and ended; whether they have."""
    for _ in range(seconds):
        has_begun = all(one != other for one, other in zip(before, of_services("InvocationID")))
        if has_begun and not any(state in ("activating", "active") for state in of_services("ActiveState")):
            return True
        time.sleep(1)
    return has_begun


def night(number):
    start = FIRST + datetime.timedelta(days=number - 1)
    set_clock(start - datetime.timedelta(seconds=10))
    change(number)
    if number == FAILED:
        pathlib.Path("/run/elsewhere/broken").touch()
    if number == MISSED:
        run("systemctl stop hashget-backup-system.timer hashget-backup-data.timer")
    before = of_services("InvocationID")
    set_clock(start)
    # systemd starts a timer's unit within its accuracy of a minute.
    has_begun = wait_for_runs(before, 600 if number != MISSED else 70)
    expect(f"both jobs ran in night {number}", has_begun, number != MISSED)
    results = of_services("Result")
    say(f"night {number}: {', '.join(f'{job} {result}' for job, result in zip(JOBS, results))}")
    set_clock(start.replace(hour=9))
    status = run("hashget backup status", check=False, shown=number in (1, FAILED, MISSED, NIGHTS))
    say(f"  status ends with {status.returncode}: {'well' if status.returncode == 0 else 'not well'}")
    expect(f"status after night {number}", status.returncode, 1 if number in (FAILED, MISSED) else 0)
    if number == FAILED:
        expect("the failed service", results[1], "exit-code")
        run("tail -n 12 /var/log/mails")
        os.remove("/run/elsewhere/broken")
    if number == MISSED:
        # systemd catches up on what was missed.
        before = of_services("InvocationID")
        run("systemctl start hashget-backup-system.timer hashget-backup-data.timer")
        expect("both jobs were made up for", wait_for_runs(before), True)


def same(one, other):
    compared = filecmp.dircmp(one, other)
    _, differ, errors = filecmp.cmpfiles(one, other, compared.common_files, shallow=False)
    return not (compared.left_only or compared.right_only or differ or errors)


def main():
    set_clock(FIRST - datetime.timedelta(hours=8))
    prepare()
    run("hashget --version")
    run("hashget index --tree / --exclude /srv", check=False)
    run("hashget backup --enable")
    for job in JOBS:
        drop_in = pathlib.Path(f"/etc/systemd/system/hashget-backup-{job}.timer.d")
        drop_in.mkdir()
        (drop_in / "here.conf").write_text("[Timer]\nRandomizedDelaySec=0\n")
    run("systemctl daemon-reload && systemctl list-timers --no-pager | head -4")
    for number in range(1, NIGHTS + 1):
        night(number)
    run("hashget backup list")
    run("cat /var/lib/textfile/hashget_data.prom")
    run(f"hashget backup check --read --identity {IDENTITY}")
    run(f"hashget doctor --identity {IDENTITY}", check=False)
    run("ls -l /srv/backup/web1 /home/nas/web1; ls -A /srv/backup/web1 /home/nas/web1 | grep '^[.]'", check=False)
    places = ["/srv/backup/web1", "s3://nights/web1", "sftp://nas@localhost/home/nas/web1"]
    for number, place in zip(TO_RESTORE, places):
        day = FIRST + datetime.timedelta(days=number - 1)
        run(f"hashget backup restore web1_data@{day:%Y-%m-%d} --from '{place}' -C /srv/back{number} --identity {IDENTITY}")
        is_same = same(f"/srv/back{number}", f"/srv/truth/{number}")
        say(f"night {number} from {place}: {'the same' if is_same else 'DIFFERENT'}")
        expect(f"night {number}", is_same, True)
    run("hashget backup rescue -o /srv/backup/rescue")
    shutil.copy(IDENTITY, "/srv/backup/key-that-lies-elsewhere")
    say("ALL IS WELL" if not wrong else "NOT WELL: " + "; ".join(wrong))


try:
    main()
except Exception as error:  # Whoever waits outside must hear of it.
    say(f"NOT WELL: {error!r}")
subprocess.run("sync; systemctl poweroff", shell=True)
sys.exit(0)
