#!/usr/bin/env bash
# Installs the Debian package in a fresh Debian root, writes a job, boots the root, lets the job's timer run its service once, restores
# the archive and compares. Then tries the settings of older versions, removes the package and checks what it leaves behind. Needs root,
# and a machine on which systemd-nspawn can boot. The Debian packages come from the apt sources of this machine.
#
#   packaging/try.sh hashget_*.deb
set -euo pipefail
deb=$(readlink -f "${1:?packaging/try.sh FILE.deb}")
[ "$(id -u)" -eq 0 ] || { echo "try.sh must be run as root: debootstrap needs it" >&2; exit 1; }
need() { command -v "$1" >/dev/null || apt-get install -y -qq --no-install-recommends "$2" >/dev/null; }
need debootstrap debootstrap
need systemd-nspawn systemd-container
need rsync rsync
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort -u | head -n 1)
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
root=$work/root
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
inside() { chroot "$root" "$@"; }

echo "== a fresh $suite"
debootstrap --variant=minbase --include=systemd-sysv,dbus,man-db,bash-completion --keep-debootstrap-dir \
    "$suite" "$root" "$mirror" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
rm -rf "$root/debootstrap"
cp /etc/resolv.conf "$root/etc/resolv.conf"
inside apt-get update -qq # signed lists, as every system has them

echo "== installing $(basename "$deb")"
cp "$deb" "$root/tmp/hashget.deb"
inside dpkg -i /tmp/hashget.deb
rm "$root/tmp/hashget.deb"
inside hashget --version
inside systemd-analyze verify hashget-nightly.service hashget-nightly.timer 2>&1 | tee "$work/units"
[ ! -s "$work/units" ] || fail "the units are not sound"
inside man hashget-backup-restore 2>&1 | grep -q -- --from || fail "hashget-backup-restore(1) does not show"
inside man hashget-pack 2>&1 | grep -q -- --one-file-system || fail "hashget-pack(1) does not show"
inside bash -c '. /usr/share/bash-completion/bash_completion; . /usr/share/bash-completion/completions/hashget
    complete -p hashget' || fail "no completion for bash"
[ "$(inside systemctl is-enabled hashget-nightly.timer || true)" = disabled ] || fail "installing enabled the timer"

echo "== booted: the job's timer runs its service, once"
# Here, the root is a folder of a larger file system. Debian packages come from apt's cache, without a network.
inside hashget backup --init system --source / --to /var/backups/hashget --at 02:30 --keep last=14
sed -i 's|^\[backup.system\]$|&\noptions = ["--one-file-system"]|' "$root/etc/hashget/config.toml"
inside hashget -q --offline backup status && fail "it is well before the first night"
# `backup --enable` needs the systemd that it is for: a service of the test calls it, and shortens the timer.
mkdir -p "$root"/etc/systemd/system/hashget-backup-system.{timer,service}.d "$root/var/log/journal"
printf '[Timer]\nOnCalendar=\nOnActiveSec=1s\nRandomizedDelaySec=0\n' \
    >"$root/etc/systemd/system/hashget-backup-system.timer.d/now.conf"
printf '[Unit]\nSuccessAction=poweroff\nFailureAction=poweroff\n[Service]\nExecStart=\nExecStart=/usr/bin/hashget --offline backup system\n' \
    >"$root/etc/systemd/system/hashget-backup-system.service.d/then-off.conf"
printf '[Unit]\nFailureAction=poweroff\n[Service]\nType=oneshot\nExecStart=/usr/bin/hashget backup --enable system\n[Install]\nWantedBy=multi-user.target\n' \
    >"$root/etc/systemd/system/try-enable.service"
inside systemctl enable --quiet try-enable.service
boot() {
    timeout 300 systemd-nspawn --quiet --boot --register=no --keep-unit --resolv-conf=off --timezone=off --link-journal=no \
        --console=pipe --directory "$root" >"$work/log" 2>&1 </dev/null || { tail "$work/log" >&2; fail "it did not boot"; }
}
boot
journalctl --quiet --directory "$root/var/log/journal" --unit hashget-backup-system.service --unit hashget-backup-system.timer \
    --unit try-enable.service --output cat | tee "$work/journal"
grep -q '^Finished hashget-backup-system.service' "$work/journal" || fail "the service did not finish"
inside hashget backup list
inside hashget backup status || fail "it is not well after the first night"

echo "== its archive, restored and compared"
archive=$(find "$root/var/backups/hashget" -name '*.tar.zst')
[ "$(stat -c %a "$archive")" = 600 ] || fail "others may read the archive"
"$root/usr/bin/hashget" info "$archive"
"$root/usr/bin/hashget" --db "$work/none" --cache "$work/none" --pool "$root/var/cache/apt/archives" --offline \
    unpack "$archive" -C "$work/restored"
# Everything except the default excludes, mount points, and what the system wrote while it shut down.
changed=$(rsync -naHAXci --delete --omit-dir-times --exclude={/proc,/sys,/dev,/run,/tmp,/lost+found} \
    --exclude='/var/cache/apt/*.bin' --exclude='/var/cache/apt/archives/*.deb' --exclude='/var/lib/apt/lists/*' \
    --exclude=/var/{backups,cache,lib}/hashget --exclude=/var/{log,lib/systemd} --exclude='/var/tmp/systemd-private-*' "$root/" "$work/restored/")
[ -z "$changed" ] || fail "restored is another tree: $changed"
echo "the same: contents, modes, owners, times, links, attributes"
# What the test itself put there.
inside systemctl disable --quiet try-enable.service
rm -r "$root"/etc/systemd/system/try-enable.service "$root"/etc/systemd/system/hashget-backup-system.{timer,service}.d

echo "== settings of older versions keep working"
printf 'TREE=/etc\nARCHIVES=/var/backups/old\nKEEP=2\nOPTIONS="--offline"\n' >"$root/etc/hashget/nightly.conf"
# hashget needs /proc, which goes with the namespace.
unshare --mount sh -c 'mount -t proc proc "$1/proc" && exec chroot "$1" /usr/lib/hashget/hashget-nightly -q' sh "$root"
[ -n "$(find "$root/var/backups/old" -name '*.tar.zst')" ] || fail "the older settings made no archive"
inside hashget backup --init older --from-nightly
inside hashget backup status older >/dev/null 2>&1 && fail "a job without an archive is well"

echo "== removed"
inside dpkg --remove hashget
grep -q backup.system "$root/etc/hashget/config.toml" || fail "removing took the configuration"
inside dpkg --purge hashget
left=$(find "$root" -xdev -path "$root/proc" -prune -o -name '*hashget*' -print | sed "s|^$root||" |
    grep -v -e ^/var/backups/hashget -e ^/etc/hashget/nightly.conf -e ^/etc/hashget$ -e ^/var/cache/man/cat || true) # the pages that man was asked for are its own
[ -z "$left" ] || fail "left behind: $left"
ls "$root/var/backups/hashget"
echo "nothing is left but the archives"
