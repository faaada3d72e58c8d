// The page of hashget-server. What comes from the server is shown as text, never as markup.
"use strict";

const at = (id) => document.getElementById(id);
const main = at("main"), field = at("q");
// Files are read as a whole: the browser's digest takes no stream.
const LARGEST = 1 << 30;
const SHOWN = 500;

/** An element with attributes and children; strings become text. */
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const number = (value) => Number(value).toLocaleString("en");
const counted = (value, one, many) => `${number(value)} ${value === 1 ? one : many}`;
function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${units[unit]}`;
}
function day(seconds) {
  return new Date(seconds * 1000).toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric" });
}

/** Asks the server; asks the person for a token if one is needed. */
async function ask(path) {
  const token = sessionStorage.getItem("token");
  const response = await fetch(path, { headers: token ? { authorization: `Bearer ${token}` } : {}, credentials: "omit" });
  if (response.status === 401) {
    at("access").hidden = false;
    throw new Error(token ? "The token is not known." : "This server is read with a token.");
  }
  at("access").hidden = true;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The server answered ${response.status}.`);
  return answer;
}

const badge = (published) => published
  ? el("span", { class: "badge", title: "Fetched twice, days apart, with the same bytes; or vouched for" }, "published")
  : el("span", { class: "badge once", title: "Its URL has not given the same bytes twice, days apart" }, "seen once");

function link(url) {
  return /^https?:\/\//i.test(url) ? el("a", { href: url, rel: "noopener noreferrer" }, url) : el("span", {}, url);
}

function rows(packages) {
  const list = el("ul", { class: "sheet", id: "found" });
  for (const one of packages) {
    list.append(el("li", {}, el("a", { class: "row", href: `#/package/${one.sha256}` },
      el("span", { class: "title" }, one.name), el("span", { class: "size" }, size(one.size)),
      el("span", { class: "where" }, one.url),
      one.published ? el("span", { class: "day" }, day(one.indexed_at)) : badge(false))));
  }
  return list;
}

async function showSearch(query, what) {
  const { packages } = await ask(`v1/search?q=${encodeURIComponent(query)}`);
  if (packages.length > 0) {
    const found = packages.length === 50 ? "The first 50 packages" : counted(packages.length, "package", "packages");
    const title = what ? `${found} with ${what}` : query ? found : "New";
    return [el("h1", {}, title), rows(packages)];
  }
  const none = what || query ? `No package here has ${what || `“${query}”`}` : "Nothing is known yet";
  const hint = query ? "It may be your own, or in a package that this server has not read." : "Submit URLs of packages, and they appear here.";
  return [el("div", { class: "empty" }, el("strong", {}, none), hint)];
}

const facts = (...pairs) => el("dl", { class: "facts" },
  ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));

async function showPackage(sha256) {
  const one = await ask(`v1/packages/${sha256}`);
  const places = el("ul", { class: "sheet" });
  for (const place of one.places) {
    const seen = place.seen_at ? el("span", { class: "quiet" }, `seen ${day(place.seen_at)} `) : null;
    places.append(el("li", { class: "place" }, link(place.url), el("span", {}, seen, badge(place.published))));
  }
  const parts = [
    el("h1", { class: "name" }, one.name),
    el("p", { class: "mono quiet" }, `sha256:${one.sha256}`),
    facts(["Size", size(one.size)], ["Files", number(one.files)], ["Unpacked", size(one.file_bytes)], ["Format", one.format]),
    el("h2", {}, "Where it is"), places,
  ];
  if (one.names.length > 1) parts.push(el("h2", {}, "Names"), el("p", { class: "mono" }, one.names.join(", ")));
  if (one.pooled) parts.push(el("p", { class: "quiet" }, "It is also in the pool of this server."));
  parts.push(el("h2", {}, "What is in it"), members(sha256));
  return parts;
}

const pathOf = (path) => typeof path === "string" ? path : atob(path.base64);
function kindOf(kind) {
  if (typeof kind === "string") return kind.toLowerCase();
  const [name, value] = Object.entries(kind)[0];
  if (name === "File") return null;
  return value.target === undefined ? "device" : `→ ${pathOf(value.target)}`;
}

/** The table of members, which is filled part by part. */
function members(sha256) {
  const body = el("tbody", {});
  const more = el("button", { type: "button" }, "Show more");
  const box = el("div", { class: "more" }, more);
  let after = 0;
  const load = async () => {
    more.disabled = true;
    try {
      const part = await ask(`v1/lists/${sha256}?after=${after}&most=${SHOWN}`);
      for (const member of part.members) {
        const kind = kindOf(member.kind), path = pathOf(member.path);
        body.append(el("tr", {},
          el("td", { class: "mono" }, path, kind === null ? null : el("span", { class: "quiet" }, ` ${kind}`)),
          el("td", { class: "number" }, kind === null ? size(member.kind.File.size) : ""),
          el("td", { class: "digest" }, member.sha256
            ? el("a", { href: `#/search/${member.sha256}`, title: `Packages with this file: ${member.sha256}` }, member.sha256.slice(0, 12)) : "")));
      }
      after = part.next;
      box.hidden = after === null;
    } catch (error) {
      box.replaceChildren(el("p", { class: "problem" }, error.message));
    }
    more.disabled = false;
  };
  more.addEventListener("click", load);
  load();
  return el("div", { class: "sheet" }, el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Members" },
    el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Path"), el("th", { scope: "col", class: "number" }, "Size"),
      el("th", { scope: "col", class: "digest" }, "SHA-256"))), body)), box);
}

async function showStatus() {
  const now = await ask("v1/status");
  const { submissions } = now;
  return [
    el("h1", {}, "What is known"),
    facts(["Packages", number(now.packages)], ["Distinct files", number(now.digests)], ["Size of the packages", size(now.package_bytes)],
      ["HashDB on the disk", size(now.disk_bytes)]),
    el("h1", {}, "Submissions"),
    facts(["Waiting", number(submissions.waiting)], ["Seen once", number(submissions.seen)], ["Published", number(submissions.published)],
      ["Gave other bytes", number(submissions.moves)], ["Failed", number(submissions.failed)]),
    el("p", { class: "quiet" }, `hashget-server ${now.version}`),
  ];
}

// Only the newest view is shown, however long an older one takes.
let view = 0;
async function show() {
  const mine = (view += 1);
  const [, page, encoded] = location.hash.slice(1).match(/^\/?(\w*)\/?(.*)$/s) || [];
  for (const one of document.querySelectorAll("nav a")) {
    if (one.dataset.page === (page === "status" ? "status" : "packages")) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  main.setAttribute("aria-busy", "true");
  let parts;
  try {
    const argument = decodeURIComponent(encoded);
    if (page === "package") parts = await showPackage(argument);
    else if (page === "status") parts = await showStatus();
    else {
      if (page === "search" && field.value !== argument && document.activeElement !== field) field.value = argument;
      parts = await showSearch(page === "search" ? argument : "");
    }
  } catch (error) {
    parts = [el("p", { class: "problem", role: "alert" }, error.message)];
  }
  if (mine !== view) return;
  main.replaceChildren(...parts);
  main.setAttribute("aria-busy", "false");
}

/** Finds the packages that hold a file, by its digest, which is made here. */
async function find(file) {
  const mine = (view += 1);
  main.setAttribute("aria-busy", "true");
  main.replaceChildren(el("p", { class: "empty" }, `Hashing ${file.name} …`));
  let parts;
  try {
    if (!window.isSecureContext) throw new Error("Browsers hash files on pages of https or of this machine only: ask for the SHA-256 instead.");
    if (file.size > LARGEST) throw new Error(`${file.name} is larger than ${size(LARGEST)}: ask for its SHA-256 instead.`);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
    field.value = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    history.replaceState(null, "", `#/search/${field.value}`);
    parts = await showSearch(field.value, file.name);
  } catch (error) {
    parts = [el("p", { class: "problem", role: "alert" }, error.message)];
  }
  if (mine !== view) return;
  main.replaceChildren(...parts);
  main.setAttribute("aria-busy", "false");
}

let typing;
const search = () => { location.hash = field.value.trim() ? `#/search/${encodeURIComponent(field.value.trim())}` : "#/"; };
field.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(search, 250); });
at("search").addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(typing); search(); });
at("choose").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => { if (at("file").files[0]) find(at("file").files[0]); at("file").value = ""; });
at("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("token").value = "";
  show();
});

let inside = 0;
const dropping = (is) => { inside = is ? inside : 0; at("drop").hidden = !is; };
addEventListener("dragenter", (event) => { if ([...event.dataTransfer.types].includes("Files")) { inside += 1; dropping(true); } });
addEventListener("dragleave", () => { inside -= 1; if (inside <= 0) dropping(false); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  dropping(false);
  if (event.dataTransfer.files[0]) find(event.dataTransfer.files[0]);
});

addEventListener("keydown", (event) => {
  const links = [...document.querySelectorAll("#found a")];
  const here = links.indexOf(document.activeElement);
  if (event.key === "/" && document.activeElement.tagName !== "INPUT" && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "ArrowDown" && links.length > 0 && (here >= 0 || document.activeElement === field)) {
    event.preventDefault();
    links[Math.min(here + 1, links.length - 1)].focus();
  } else if (event.key === "ArrowUp" && here >= 0) {
    event.preventDefault();
    if (here === 0) field.focus(); else links[here - 1].focus();
  }
});

at("footer").append(el("span", {}, "What is in public packages, by their SHA-256."), el("a", { href: "openapi.json" }, "For programs"));
addEventListener("hashchange", show);
show();
