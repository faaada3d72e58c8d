#!/usr/bin/env bash
# Builds the documentation as a site, with what its pages link to beside them, and prints its folder. Any web server can
# serve it, and a browser can open it from the disk. Fails if a link of a page leads nowhere.
# Needs mdbook: cargo install mdbook --locked
#
#   packaging/site.sh [FOLDER]
set -euo pipefail
site=$(readlink -m "${1:-$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../target/site}")
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
command -v mdbook >/dev/null || { echo "site.sh: mdbook is missing: cargo install mdbook --locked" >&2; exit 1; }
rm -rf "$site"
mdbook build docs --dest-dir "$site/docs" >/dev/null 2>&1 || { mdbook build docs --dest-dir "$site/docs" >&2; exit 1; }
rm -f "$site/docs/book.toml"
echo '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">hashget</a>' \
    >"$site/index.html"

# Files of the sources that pages link to, at the place that the links name; pages among them as text.
grep -rhoE '\]\(\.\./[^)#]+' docs/*.md | sed 's|](\.\./||' | sort -u | while IFS= read -r file; do
    mkdir -p "$site/$(dirname "$file")"
    case $file in
    *.md)
        { echo "<!doctype html><meta charset=utf-8><title>$file</title><pre>"
          sed 's/&/\&amp;/g; s/</\&lt;/g' "$file"; echo '</pre>'; } >"$site/${file%.md}.html" ;;
    *) cp "$file" "$site/$file" ;;
    esac
done

python3 - "$site" <<'CHECK'
import os, re, sys
from urllib.parse import unquote
site, wrong, count, ids = sys.argv[1], [], 0, {}

def page(path):
    if path not in ids:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        ids[path] = (text, set(re.findall(r'\bid="([^"]*)"', text)))
    return ids[path]

for folder, _, names in os.walk(site):
    for name in (name for name in names if name.endswith(".html") and name not in ("print.html", "404.html", "toc.html")):
        path = os.path.join(folder, name)
        for link in re.findall(r'<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]*)"', page(path)[0]):
            if re.match(r"[a-z]+:", link):
                continue
            count += 1
            file, _, anchor = unquote(link).partition("#")
            to = os.path.normpath(os.path.join(folder, file)) if file else path
            if not os.path.isfile(to):
                wrong.append(f"{os.path.relpath(path, site)}: {link}: no such file")
            elif anchor and to.endswith(".html") and anchor not in page(to)[1]:
                wrong.append(f"{os.path.relpath(path, site)}: {link}: no such heading")
print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
print(f"{count} links, {len(wrong)} wrong", file=sys.stderr)
sys.exit(bool(wrong))
CHECK
echo "$site"
