#!/usr/bin/env bash
# Installs the Debian package in a fresh Debian root, runs the nightly service's command there once, restores its
# archive and compares. As root; the Debian packages come from this machine's own apt sources.
#
#   packaging/try.sh hashget_*.deb
set -euo pipefail
deb=$(readlink -f "${1:?packaging/try.sh FILE.deb}")
[ "$(id -u)" -eq 0 ] || { echo "try.sh must be run as root: debootstrap needs it" >&2; exit 1; }
command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort -u | head -n 1)
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
root=$work/root
trap 'umount -q "$root/proc" || true; rm -rf "$work"' EXIT

echo "== a fresh $suite"
debootstrap --variant=minbase --keep-debootstrap-dir "$suite" "$root" "$mirror" >"$work/log" 2>&1 || { tail "$work/log" >&2; exit 1; }
rm -rf "$root/debootstrap"
cp /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" apt-get update -qq # signed lists, as every system has them
echo "== installing $(basename "$deb")"
cp "$deb" "$root/tmp/hashget.deb"
chroot "$root" dpkg -i /tmp/hashget.deb
rm "$root/tmp/hashget.deb"
chroot "$root" hashget --version
chroot "$root" test -s /usr/share/man/man1/hashget-pack.1.gz
chroot "$root" test -s /usr/share/bash-completion/completions/hashget

echo "== the nightly service, once"
# There is no systemd in a chroot: the command and the codes that count as success are read from the unit.
unit=$root/usr/lib/systemd/system/hashget-nightly.service
command=$(sed -n 's/^ExecStart=//p' "$unit")
good=" 0 $(sed -n 's/^SuccessExitStatus=//p' "$unit") "
# The root is a folder of a larger file system here. Debian packages come out of apt's cache: no network.
echo 'OPTIONS="--one-file-system --offline"' >>"$root/etc/hashget/nightly.conf"
status=0
mount -t proc proc "$root/proc"
chroot "$root" "$command" || status=$?
umount "$root/proc"
case $good in *" $status "*) echo "exit code $status" ;; *) echo "exit code $status" >&2; exit 1 ;; esac

echo "== its archive, restored and compared"
archive=$(find "$root/var/backups/hashget" -name '*.tar.zst')
"$root/usr/bin/hashget" info "$archive"
"$root/usr/bin/hashget" --db "$work/none" --cache "$work/none" --pool "$root/var/cache/apt/archives" --offline \
    unpack "$archive" -C "$work/restored"
listing() { (cd "$1" && find . -mindepth 1 \( -path ./var/backups/hashget/\* -o -path ./var/cache/apt/archives/\*.deb \
    -o -path ./var/cache/apt/\*.bin -o -path ./var/lib/apt/lists/\* -o -path ./var/cache/hashget/\* \
    -o -path ./var/lib/hashget/\* -o -path ./proc/\* -o -path ./sys/\* -o -path ./dev/\* -o -path ./run/\* -o -path ./tmp/\* \) -prune \
    -o -printf '%P %y %m %U %G %s %l\n' | LC_ALL=C sort); }
diff <(listing "$root" | sed '/ d [0-7]* /s/ [0-9]* $//') <(listing "$work/restored" | sed '/ d [0-7]* /s/ [0-9]* $//') |
    head -20
echo "compared"
