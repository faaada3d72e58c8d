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
split_time() { # a decimal number of seconds, as stat prints it
    local whole=${1%.*} fraction=${1#*.}
    fraction=$((10#${fraction:0:9}))
    if [[ $1 == -* && $fraction -gt 0 ]]; then
        echo "$((whole - 1)) $((1000000000 - fraction))"
    else
        echo "$((whole)) $fraction"
    fi
}
time_of() { split_time "$(stat -c %.9Y -- "$1")"; } # FILE
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
needs=$(jq -r '.needs // {} | keys - ["restorer"] | join(", ")' "$manifest")
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

# What a placement gives: a line with its umask, `from` and `to`, then one line for each given member. "-" stands for what is not assigned. Of folders, the
# metadata that they have is there, too: FOLDERS has it, five fields for each.
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
($folders | split("\u0000") | . as $all | reduce range(0; length - 1; 5) as $i ({}; .[$all[$i]] = $all[$i + 1:$i + 5])) as $own
| .trees[$tree] as $t
| [ $members | split("\u0000")[] | select(. != "" and startswith($t.from))
  | { from: ., rest: .[($t.from | length):] }
  | select(.rest != "" and (.rest | excepted($t.except // []) | not))
  | .to = $t.to + .rest ]
| assign($t.mode; "mode") | assign($t.uid; "uid") | assign($t.gid; "gid") | times($t.mtime)
| ["t", ($t.umask // 0), "./" + $t.from, "./" + $t.to],
  (.[] | [(if $own[.from] then "d" else "f" end), "./" + .from, "./" + .to,
         (.mode, .uid, .gid, .shift, .seconds, .nanoseconds | or_dash), ($own[.from] // ["-", "-", "-", "-"])[]])
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
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >> "$work/folders"
}

pattern() { printf '%s' "$1" | sed 's/[][\.*^$/]/\\&/g'; }   # for the first half of s/.../.../,
replacement() { printf '%s' "$1" | sed 's/[\/&]/\\&/g'; }     # and for the second

# Everything that a placement gives is copied at once, by two tars. Only where metadata is assigned, a member is a command.
lay_tree() { # TREE FOLDER
    local kind from to mode uid gid shift seconds nanoseconds own_mode own_uid own_gid own_time umask first last path names identity
    : > "$work/mkdir"
    : > "$work/copy"
    : > "$work/assigned"
    while IFS=$'\t' read -r kind from to mode uid gid shift seconds nanoseconds own_mode own_uid own_gid own_time; do
        if [ "$kind" = t ]; then
            umask=$from
            printf -v first %b "$to"
            printf -v last %b "$mode"
        elif [ "$kind" = d ]; then
            printf '%b\0' "$target/$to" >> "$work/mkdir"
            [ "$mode" != - ] || mode=$((8#$own_mode & ~umask))
            [ "$uid" != - ] || uid=$own_uid
            [ "$gid" != - ] || gid=$own_gid
            if [ "$seconds" = - ]; then
                # find prints the whole seconds before and the nanoseconds after the point, also before 1970.
                seconds=${own_time%.*} nanoseconds=${own_time#*.}
                nanoseconds=$((10#${nanoseconds:0:9}))
                [ "$shift" = - ] || seconds=$((seconds + shift))
            fi
            folder_later "$to" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds"
        else
            printf '%b\0' "$from" >> "$work/copy"
            [ "$mode$uid$gid$shift$seconds" = ----- ] ||
                printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$to" "$mode" "$uid" "$gid" "$shift" "$seconds" \
                    "$nanoseconds" >> "$work/assigned"
        fi
    done < <(jq -r --argjson tree "$1" --rawfile members "$work/members" --rawfile folders "$work/package-folders" \
        "$given" "$package")
    xargs -0 -r mkdir -p -- < "$work/mkdir"
    [ -s "$work/copy" ] || return 0
    # The target may have some of these already, as names of one file: they are replaced, never written through.
    tar --create --file=- --format=pax --directory="$2" --no-recursion --null --files-from="$work/copy" \
        --numeric-owner --xattrs --xattrs-include='*' \
        --transform="flags=rSh;s/^$(pattern "$first")/$(replacement "$last")/" | untar - "$target"
    if [ "$umask" -ne 0 ]; then
        while IFS= read -r -d '' path; do
            path=$target/$last${path#"$first"}
            [ -L "$path" ] || printf '%s\0' "$path"
        done < "$work/copy" | xargs -0 -r chmod -- "-$(printf %o "$umask")"
    fi
    declare -A done=()
    while IFS=$'\t' read -r path mode uid gid shift seconds nanoseconds; do
        printf -v path %b "$target/$path"
        # Of several names of a file, the first one decides.
        read -r names identity <<< "$(stat -c '%h %d:%i' -- "$path")"
        if [ "$names" -gt 1 ]; then
            [ -z "${done[$identity]-}" ] || continue
            done[$identity]=1
        fi
        if [ "$shift" != - ]; then
            read -r seconds nanoseconds <<< "$(time_of "$path")"
            seconds=$((seconds + shift))
        fi
        set_metadata "$path" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds"
    done < "$work/assigned"
}

lay_files() { # FOLDER FILE
    local path raw type mode uid gid seconds nanoseconds from link major minor
    while IFS=$'\t' read -r raw type mode uid gid seconds nanoseconds from link major minor; do
        printf -v path %b "$raw"
        printf -v from %b "$from"
        printf -v link %b "$link"
        path=$target/$path
        mkdir -p -- "$(dirname -- "$path")"
        case $type in
        f) if [ "$from" = - ]; then cp -- "$2" "$path"; else cp -- "$1/$from" "$path"; fi ;;
        d) mkdir -p -- "$path" && folder_later "$raw" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds" ;;
        l) ln -s -- "$link" "$path" ;;
        p) mkfifo -- "$path" ;;
        c | b) mknod -- "$path" "$type" "$major" "$minor" ;;
        esac
        [ "$type" = d ] || set_metadata "$path" "$mode" "$uid" "$gid" "$seconds" "$nanoseconds"
    done < <(jq -r ".files // {path: [], seconds: []} | $table" "$package")
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

jq -c '.packages[]' "$manifest" | split -l 1 -a 6 -d - "$work/package."
file=$work/file folder=$work/unpacked
number=0
while IFS=$'\t' read -r sha256 format trees files urls; do
    package=$work/package.$(printf %06d "$number")
    number=$((number + 1))
    rm -f "$file"
    for url in $urls; do
        get "$url" "$file" || continue
        [ "$(sha256sum < "$file")" != "$sha256  -" ] || break
        echo "$url gives other bytes" >&2
        rm "$file"
    done
    [ -e "$file" ] || die "cannot get $urls"
    unpack_package "$file" "$format" "$folder" > "$work/members"
    (cd "$folder" && find . -mindepth 1 -type d -printf '%P\0%m\0%U\0%G\0%T@\0') > "$work/package-folders"
    for ((tree = 0; tree < trees; tree++)); do lay_tree "$tree" "$folder"; done
    [ "$files" = 0 ] || lay_files "$folder" "$file"
    chmod -R u+rwX "$folder"
    rm -rf "${folder:?}" "$file".*
done < <(jq -r '.packages[]
    | [.sha256, .format, (.trees // [] | length), (.files.path // [] | length), ([.url] + (.also // []) | join(" "))]
    | @tsv' "$manifest")

# --- 3. further names --------------------------------------------------------------------------------
while IFS=$'\t' read -r path to; do
    printf -v path %b "$path"
    printf -v to %b "$to"
    mkdir -p -- "$(dirname -- "$target/$path")"
    [ "$target/$path" -ef "$target/$to" ] || ln -f -- "$target/$to" "$target/$path"
done < <(jq -r '.links // [] | .[] | [.path, .to] | @tsv' "$manifest")

# --- 6. the manifest goes, and what has its name comes -----------------------------------------------
rm -- "$target/.hashget-restore.json"
if jq -e '.needs.restorer' "$manifest" > /dev/null; then rm -f -- "$target/.hashget-restore.py"; fi
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
# What stat and sha256sum say of all entries, in the order of their paths, one field after the other.
find "$target" -printf '%P\0' | LC_ALL=C sort -z > "$work/paths"
cd -- "$target"
sed -z 's/^/.\//' "$work/paths" |
    xargs -0 stat --printf '%a\0%u\0%g\0%d:%i\0%h\0%F\0%s\0%t\0%T\0%.9Y\0' -- > "$work/stat"
find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 -r sha256sum --zero -- > "$work/sums"
mkdir "$work/records"
declare -A first=()
number=1000000000
record() { printf '%s\0' "$@"; }
while IFS= read -r -d '' path <&3; do
    for field in mode uid gid identity names type size major minor time; do
        IFS= read -r -d '' "${field?}" <&4
    done
    read -r seconds nanoseconds <<< "$(split_time "$time")"
    name=$path
    if [ "$type" != directory ] && [ "$names" -gt 1 ]; then
        [ -n "${first[$identity]-}" ] || first[$identity]=$path
        name=${first[$identity]}
    fi
    mode=$((8#$mode))
    case $type in
    'regular file' | 'regular empty file') letter=f ;; directory) letter=d ;; 'symbolic link') letter=l mode=511 ;;
    character*) letter=c ;; block*) letter=b ;; *) letter=p ;;
    esac
    {
        record "$path" $letter $mode "$uid" "$gid" "$seconds" "$nanoseconds"
        case $letter in
        f) IFS= read -r -d '' sum <&5 && record "$size" "${sum%% *}" ;;
        l) readlink -n -- "$path" && record "" ;;
        c | b) record $((16#$major)) $((16#$minor)) ;;
        esac
        [ $letter = d ] || record "$name"
    } > "$work/records/$number"
    number=$((number + 1))
done 3< "$work/paths" 4< "$work/stat" 5< "$work/sums"
cd -- "$work/records"
found=$(printf %b "$(printf '%s\0' * | xargs -0 sha256sum | cut -c 1-64 | as_bytes | tr -d '\n')" | sha256sum | cut -c 1-64)
[ "$found" = "$(jq -r .tree.sha256 "$manifest")" ] || die "the tree digest is $found: something differs"
echo "restored and proven" >&2
