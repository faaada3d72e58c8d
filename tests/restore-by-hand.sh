#!/bin/bash
# Restores an archive of version 2 without hashget, as docs/format.md says: with curl, tar, dpkg-deb,
# unzip, jq, sha256sum and the everyday tools of a GNU system.
#
#   restore-by-hand.sh ARCHIVE TARGET
#
# Slow and simple: it shows that the format needs no program of ours. It reads packages of the formats
# tar, deb, zip and file. It does not know names that are not UTF-8, packages inside packages and gems,
# and says so. Attributes come back as far as tar and cp keep them.
set -euo pipefail
export LC_ALL=C.UTF-8

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }
[ $# -eq 2 ] || die "usage: ${0##*/} ARCHIVE TARGET"
archive=$1 target=$2
work=$(mktemp -d)
trap 'chmod -R u+rwX "$work"; rm -rf "$work"' EXIT
manifest=$work/manifest.json

if [ "$(id -u)" -eq 0 ]; then owners=(--same-owner) root=true; else owners=(--no-same-owner) root=false; fi
untar() { # FILE|- FOLDER
    tar --extract --file="$1" --directory="$2" --preserve-permissions --numeric-owner "${owners[@]}" \
        --xattrs --xattrs-include='*' --delay-directory-restore
}

# --- times, as "SECONDS NANOSECONDS" with nanoseconds never negative --------------------------------
time_of() { # FILE
    local text whole fraction
    text=$(stat -c %.9Y -- "$1")
    whole=${text%.*} fraction=$((10#${text#*.}))
    if [[ $text == -* && $fraction -gt 0 ]]; then
        echo "$((whole - 1)) $((1000000000 - fraction))"
    else
        echo "$((whole)) $fraction"
    fi
}
set_time() { # FILE SECONDS NANOSECONDS
    local seconds=$2 nanoseconds=$3 sign=
    if [ "$seconds" -lt 0 ]; then
        sign=- seconds=$((-seconds))
        if [ "$nanoseconds" -gt 0 ]; then
            seconds=$((seconds - 1)) nanoseconds=$((1000000000 - nanoseconds))
        fi
    fi
    touch --no-create --no-dereference --date="$(printf '@%s%d.%09d' "$sign" "$seconds" "$nanoseconds")" \
        -- "$1"
}
set_metadata() { # FILE MODE UID GID SECONDS NANOSECONDS; "-" leaves it
    if $root && [ "$3$4" != "--" ]; then
        local owner= mode
        [ "$3" = - ] || owner=$3
        [ "$4" = - ] || owner=$owner:$4
        mode=$(stat -c %a -- "$1")
        chown --no-dereference -- "$owner" "$1"
        # A new owner takes the set-user-id bit away.
        [ -L "$1" ] || chmod -- "$mode" "$1"
    fi
    [ -L "$1" ] || [ "$2" = - ] || chmod -- "$(printf %o "$2")" "$1"
    [ "$5" = - ] || set_time "$1" "$5" "$6"
}

# --- 1. the tar, and the manifest in it -----------------------------------------------------------
mkdir -p -- "$target"
target=$(cd -- "$target" && pwd)
untar "$archive" "$target"
cp -- "$target/.hashget-restore.json" "$manifest"
needs=$(jq -r '.needs // {} | keys | join(", ")' "$manifest")
[ -z "$needs" ] || die "the archive needs what this script does not know: $needs"
[ "$(jq .version "$manifest")" = 2 ] || die "the manifest is not of version 2"
jq -e '[paths | last] | index("base64") | not' "$manifest" > /dev/null ||
    die "it has names that are not UTF-8"

# --- 2. the packages -------------------------------------------------------------------------------
list_tar() { # FILE PREFIX: the members in order, each ended by NUL
    local line name
    tar --list --quoting-style=escape --file="$1" | while IFS= read -r line; do
        printf -v name %b "$line"
        while [[ $name == ./* ]]; do name=${name#./}; done
        name=${name%/}
        if [ -n "$name" ] && [ "$name" != . ]; then printf '%s%s\0' "$2" "$name"; fi
    done
}

unpack_package() { # PACKAGE FORMAT FOLDER: the members below FOLDER, their list on standard output
    mkdir -p "$3"
    case $2 in
    tar)
        untar "$1" "$3"
        list_tar "$1" ""
        ;;
    deb)
        mkdir "$3/control" "$3/data"
        dpkg-deb --ctrl-tarfile "$1" > "$1.control"
        dpkg-deb --fsys-tarfile "$1" > "$1.data"
        untar "$1.control" "$3/control"
        untar "$1.data" "$3/data"
        list_tar "$1.control" control/
        list_tar "$1.data" data/
        ;;
    zip)
        # Times in a zip are without a zone; the manifest takes them for UTC.
        TZ=UTC unzip -qq -K -X "$1" -d "$3"
        unzip -Z1 "$1" | while IFS= read -r line; do printf '%s\0' "${line%/}"; done
        ;;
    file) ;;
    *) die "packages of the format $2 are not known to this script" ;;
    esac
}

# What a tree gives: one line for each given member.
# shellcheck disable=SC2016
given='
def value($a; $i): if ($a.is | type) == "array" then $a.is[$i] else $a.is end;
def chosen($a): if $a.at then $a.at else [range(length)] end;
def assign($list; $field):
  reduce ($list // [])[] as $a (.; chosen($a) as $at
    | reduce range($at | length) as $i (.; .[$at[$i]][$field] = value($a; $i)));
def sums: [foreach .[] as $difference (0; . + $difference)];
def times($list):
  reduce ($list // [])[] as $a (.; chosen($a) as $at | (($a.seconds // []) | sums) as $seconds
    | reduce range($at | length) as $i (.;
        if $a.shift != null then .[$at[$i]] |= (del(.seconds) | .shift = $a.shift)
        else .[$at[$i]] |= (del(.shift) | .seconds = $seconds[$i]
          | .nanoseconds = (($a.nanoseconds // [])[$i] // 0)) end));
def excepted($list): . as $rest
  | any($list[]; . == $rest or . == $rest + "/" or (endswith("/") and . as $one | $rest | startswith($one)));
def or_dash: if . == null then "-" else . end;
.packages[$package].trees[$tree] as $t
| [ $members | split("\u0000")[] | select(. != "" and startswith($t.from))
  | { from: ., rest: .[($t.from | length):] }
  | select(.rest != "" and (.rest | excepted($t.except // []) | not))
  | .to = $t.to + .rest ]
| assign($t.mode; "mode") | assign($t.uid; "uid") | assign($t.gid; "gid") | times($t.mtime)
| .[] | ["./" + .from, "./" + .to, (.mode, .uid, .gid, .shift, .seconds, .nanoseconds | or_dash), ($t.umask // 0)]
| @tsv'

# An entry table: one line for each entry, paths after "./" (read takes empty fields for none). The column of seconds holds differences.
# shellcheck disable=SC2016
table='
def sums: [foreach .[] as $difference (0; . + $difference)];
def or_dash: if . == null then "-" else . end;
. as $t | ($t.seconds | sums) as $seconds
| range($t.path | length)
| ["./" + $t.path[.], $t.type[.:. + 1], $t.mode[.], $t.uid[.], $t.gid[.], $seconds[.], $t.nanoseconds[.],
   (($t.from // [])[.] | if . == null then "-" else "./" + . end), (($t.target // [])[.] | or_dash), (($t.device // [])[.] // [0, 0])[]]
| @tsv'

: > "$work/folders"
folder_later() { # PATH MODE UID GID SECONDS NANOSECONDS, PATH with @tsv escapes
    (IFS=$'\t'; printf '%s\n' "$*") >> "$work/folders"
}

lay_tree() { # PACKAGE TREE FOLDER
    local from to mode uid gid shift seconds nanoseconds umask raw own identity
    local own_seconds own_nanoseconds
    declare -A names=()
    while IFS=$'\t' read -r from raw mode uid gid shift seconds nanoseconds umask; do
        printf -v from %b "$from"
        printf -v to %b "$raw"
        from=$3/$from
        own=$(stat -c %a -- "$from")
        [ "$mode" != - ] || mode=$((8#$own & ~umask))
        read -r own_seconds own_nanoseconds <<< "$(time_of "$from")"
        if [ "$shift" != - ]; then
            seconds=$((own_seconds + shift)) nanoseconds=$own_nanoseconds
        elif [ "$seconds" = - ]; then
            seconds=$own_seconds nanoseconds=$own_nanoseconds
        fi
        [ "$uid" != - ] || uid=$(stat -c %u -- "$from")
        [ "$gid" != - ] || gid=$(stat -c %g -- "$from")
        if [ -d "$from" ] && [ ! -L "$from" ]; then
            mkdir -p -- "$target/$to"
            folder_later "$raw" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds"
            continue
        fi
        mkdir -p -- "$(dirname -- "$target/$to")"
        identity=$(stat -c %d:%i -- "$from")
        if [ -n "${names[$identity]-}" ]; then
            ln -f -- "${names[$identity]}" "$target/$to"
            continue
        fi
        names[$identity]=$target/$to
        cp --archive --no-target-directory -- "$from" "$target/$to"
        set_metadata "$target/$to" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds"
    done < <(jq -r --argjson package "$1" --argjson tree "$2" --rawfile members "$work/members" \
        "$given" "$manifest")
}

lay_files() { # PACKAGE FOLDER FILE
    local path raw type mode uid gid seconds nanoseconds from link major minor
    while IFS=$'\t' read -r raw type mode uid gid seconds nanoseconds from link major minor; do
        printf -v path %b "$raw"
        printf -v from %b "$from"
        printf -v link %b "$link"
        path=$target/$path
        mkdir -p -- "$(dirname -- "$path")"
        case $type in
        f) if [ "$from" = - ]; then cp -- "$3" "$path"; else cp -- "$2/$from" "$path"; fi ;;
        d) mkdir -p -- "$path" && folder_later "$raw" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds" ;;
        l) ln -s -- "$link" "$path" ;;
        p) mkfifo -- "$path" ;;
        c | b) mknod -- "$path" "$type" "$major" "$minor" ;;
        esac
        [ "$type" = d ] || set_metadata "$path" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds"
    done < <(jq -r ".packages[$1].files // {path: [], seconds: []} | $table" "$manifest")
}

# What the tar holds decides over folders: first in the list.
while IFS=$'\t' read -r path type metadata; do
    [ "$type" != d ] || printf '%s\t%s\n' "$path" "$metadata" >> "$work/folders"
done < <(jq -r ".archived | $table" "$manifest" | cut -f 1-7)
# So that everybody may write into folders until then.
find "$target" -type d -exec chmod u+rwx {} +

get() { # URL FILE
    case $1 in
    beside:*/* | beside:.*) return 1 ;;
    beside:*) cp -- "$(dirname -- "$archive")/${1#beside:}" "$2" ;;
    *) curl --fail --silent --show-error --location --output "$2" -- "$1" ;;
    esac
}

count=$(jq '.packages | length' "$manifest")
for ((package = 0; package < count; package++)); do
    file=$work/$package.package
    jq -r ".packages[$package] | [.url] + (.also // []) | .[]" "$manifest" > "$work/urls"
    sha256=$(jq -r ".packages[$package].sha256" "$manifest")
    while IFS= read -r url; do
        if get "$url" "$file" &&
            echo "$sha256  $file" | sha256sum --check --quiet; then
            break
        fi
    done < "$work/urls"
    echo "$sha256  $file" | sha256sum --check --quiet || die "cannot get $url"
    unpack_package "$file" "$(jq -r ".packages[$package].format" "$manifest")" "$work/$package" \
        > "$work/members"
    trees=$(jq ".packages[$package].trees // [] | length" "$manifest")
    for ((tree = 0; tree < trees; tree++)); do lay_tree "$package" "$tree" "$work/$package"; done
    lay_files "$package" "$work/$package" "$file"
    chmod -R u+rwX "$work/$package" && rm -rf "${work:?}/$package"
done

# --- 3. further names --------------------------------------------------------------------------------
while IFS=$'\t' read -r path to; do
    printf -v path %b "$path"
    printf -v to %b "$to"
    mkdir -p -- "$(dirname -- "$target/$path")"
    [ "$target/$path" -ef "$target/$to" ] || ln -f -- "$target/$to" "$target/$path"
done < <(jq -r '.links // [] | .[] | [.path, .to] | @tsv' "$manifest")

# --- 6. the manifest goes, and what has its name comes -----------------------------------------------
rm -- "$target/.hashget-restore.json"
while IFS=$'\t' read -r stored name; do
    printf -v stored %b "$stored"
    printf -v name %b "$name"
    mv -- "$target/$stored" "$target/$name"
done < <(jq -r '.renamed // [] | .[] | [.stored, .name] | @tsv' "$manifest")

# --- 4. folders: who comes first decides; the deepest are set first --------------------------------------
awk -F '\t' '!seen[$1]++' "$work/folders" | sort -t $'\t' -k 1,1 -r |
    while IFS=$'\t' read -r path mode uid gid seconds nanoseconds; do
        printf -v path %b "$path"
        set_metadata "$target/$path" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds"
    done

# --- 5. the tree digest -------------------------------------------------------------------------------
if ! $root; then
    echo "restored; not root, so owners are not, and nothing is proven" >&2
    exit 0
fi
if jq -e '[paths | last] | index("xattrs") or index("holes")' "$manifest" > /dev/null; then
    echo "restored; attributes and holes are not looked at, so nothing is proven" >&2
    exit 0
fi
as_bytes() { # hex digits to escapes for printf
    sed 's/../\\x&/g'
}
declare -A first=()
find "$target" -printf '%P\0' | LC_ALL=C sort -z | while IFS= read -r -d '' path; do
    file=$target${path:+/$path}
    read -r mode uid gid identity names type <<< \
        "$(stat -c '%a %u %g %d:%i %h %F' -- "$file" | sed 's/ regular empty file$/ regular/; s/ regular file$/ regular/
            s/ character special file$/ character/; s/ block special file$/ block/; s/ symbolic link$/ link/')"
    read -r seconds nanoseconds <<< "$(time_of "$file")"
    name=$path
    if [ "$type" != directory ] && [ "$names" -gt 1 ]; then
        [ -n "${first[$identity]-}" ] || first[$identity]=$path
        name=${first[$identity]}
    fi
    {
        record() { printf '%s\0' "$@"; }
        mode=$((8#$mode))
        case $type in
        regular) letter=f ;; directory) letter=d ;; link) letter=l mode=511 ;;
        character) letter=c ;; block) letter=b ;; *) letter=p ;;
        esac
        record "$path" $letter $mode "$uid" "$gid" "$seconds" "$nanoseconds"
        case $letter in
        f) sha256=$(sha256sum < "$file") && record "$(stat -c %s -- "$file")" "${sha256%% *}" ;;
        l) readlink -n -- "$file" && record "" ;;
        c | b) record $((16#$(stat -c %t -- "$file"))) $((16#$(stat -c %T -- "$file"))) ;;
        esac
        [ $letter = d ] || record "$name"
    } | sha256sum | cut -c 1-64
done | as_bytes > "$work/digests"
found=$(printf %b "$(tr -d '\n' < "$work/digests")" | sha256sum | cut -c 1-64)
[ "$found" = "$(jq -r .tree.sha256 "$manifest")" ] || die "the tree digest is $found: something differs"
echo "restored and proven" >&2
