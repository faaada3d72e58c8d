#!/usr/bin/env bash
# What each kind of file system keeps: a small tree with everything in it is unpacked onto it and packed from it. Prints
# the rows of the table in docs/guarantees.md. Needs root and loop devices, for NFS and CIFS their servers; kinds without a program or a driver are named.
#
#     bench/file-systems.sh target/release/hashget
set -euo pipefail

hashget=$(realpath "$1")
work=$(mktemp -d)
trap 'for at in "$work"/at/*; do umount "$at" 2>/dev/null || true; done; rm -rf "$work"' EXIT
export HASHGET_DB=$work/db HASHGET_CACHE=$work/cache HASHGET_CONFIG=/dev/null
mkdir -p "$work"/{at,image,tree/folder}
tree=$work/tree

for name in plain 'a:b' 'end.' 'Case' 'case'; do echo "$name" > "$tree/$name"; done
ln -s plain "$tree/link"
ln "$tree/plain" "$tree/hard"
mkfifo "$tree/pipe"
mknod "$tree/device" c 1 3
truncate -s 1M "$tree/hole"
chown 1234:5678 "$tree/a:b"
chmod 4711 "$tree/end."
touch -d '1965-03-04 05:06:07.123456789' "$tree/folder"
python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"x"); os.setxattr(sys.argv[1], "trusted.note", b"x")' "$tree/Case"
"$hashget" pack "$tree" -f "$work/all.tar" -q --detect none --no-index

mount_of() {
    local kind=$1 at=$2
    case $kind in
        tmpfs) mount -t tmpfs none "$at" ;;
        overlay)
            mkdir -p "$work"/layers/{lower,upper,work}
            mount -t overlay overlay -o "lowerdir=$work/layers/lower,upperdir=$work/layers/upper,workdir=$work/layers/work" "$at" ;;
        bindfs)
            command -v bindfs > /dev/null || return 1
            mkdir -p "$work/below"
            bindfs "$work/below" "$at" ;;
        ntfs-3g)
            command -v ntfs-3g > /dev/null || return 1
            truncate -s 400M "$work/image/$kind"
            mkfs.ntfs -q -F -Q "$work/image/$kind" > /dev/null 2>&1
            ntfs-3g -o permissions,acl "$work/image/$kind" "$at" 2> /dev/null ;;
        nfs)
            command -v exportfs rpc.nfsd > /dev/null || return 1
            mkdir -p "$work/exported"
            { rpcbind -w; modprobe nfsd; mount -t nfsd none /proc/fs/nfsd; rpc.nfsd 4; rpc.mountd; } 2> /dev/null || true
            exportfs -o rw,no_root_squash,insecure,fsid=1 "127.0.0.1:$work/exported" 2> /dev/null
            mount -t nfs -o vers=4.2 "127.0.0.1:$work/exported" "$at" 2> /dev/null ;;
        cifs)
            command -v smbd mount.cifs > /dev/null || return 1
            mkdir -p "$work"/{shared,samba}
            {
                echo '[global]'
                for what in 'private dir' 'state directory' 'cache directory' 'lock directory' 'pid directory' 'ncalrpc dir'; do
                    echo "$what = $work/samba"
                done
                printf '[shared]\npath = %s/shared\nread only = no\nforce user = root\n' "$work"
            } > "$work/smb.conf"
            printf 'secret\nsecret\n' | smbpasswd -s -c "$work/smb.conf" -a root > /dev/null 2>&1
            smbd -D -s "$work/smb.conf" > /dev/null 2>&1
            for try in $(seq 50); do
                mount -t cifs //127.0.0.1/shared "$at" -o user=root,password=secret 2> /dev/null && return
                sleep 0.2
            done
            return 1 ;;
        *)
            command -v "mkfs.$kind" > /dev/null || return 1
            truncate -s 400M "$work/image/$kind"
            # Some ask whether to go on.
            echo Y | "mkfs.$kind" "$work/image/$kind" > /dev/null 2>&1
            modprobe -a loop "$kind" 2> /dev/null || true
            mount -t "$kind" -o loop "$work/image/$kind" "$at" 2> /dev/null ;;
    esac
}

for kind in ext4 xfs btrfs f2fs jfs nilfs2 tmpfs overlay vfat exfat ntfs3 bindfs ntfs-3g nfs cifs; do
    at=$work/at/$kind
    mkdir -p "$at"
    if ! mount_of "$kind" "$at"; then
        echo "| $kind | not tried here: no program or no driver | |"
        continue
    fi
    code=0
    "$hashget" unpack "$work/all.tar" -C "$at/back" -q 2> "$work/said" || code=$?
    lost=$(sed -n 's/^warning: [^ ]*back: \(.*\) not restored.*entr[yi][es]*: \(.*\)$/\1 (\2)/p; s/^warning: \([^:]*\): \(.*\)/\1: \2/p' "$work/said" | paste -sd';' | sed 's/;/; /g')
    again=0
    "$hashget" pack "$at/back" -f "$work/again.tar" -q --detect none --no-index 2> "$work/packed" || again=$?
    echo "| $kind | $code: ${lost:-everything} | $again$(sed -n '/^error/,$p' "$work/packed" | tr '\n' ' ') |"
    umount "$at"
done
