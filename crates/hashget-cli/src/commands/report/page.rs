//! The page of a report: HTML with its style, its script and its data in one file.
//!
//! Invariant: foreign text is escaped for where it stands, and the page loads nothing.

use std::fmt::Write as _;

use hashget::model::{Amount, escaped};
use hashget::survey::{Folder, Part, Survey, SurveyedPackage};
use serde_json::{Value, json};

use crate::output::{counted, ratio, size};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Rows of a table.
const ROWS: usize = 20;

/// A folder or file with less than one in so many bytes of the tree is not drawn by itself.
const FINEST: u64 = 10_000;

/// Folders and files that one folder shows by themselves.
const MOST_CHILDREN: usize = 120;

/// What the page tells besides the survey.
pub(super) struct Facts<'a> {
    /// What it is about.
    pub(super) name: &'a str,
    /// Bytes of the archive, where it is a file.
    pub(super) archive_bytes: Option<u64>,
    /// Names and bytes of the hosts, the most first.
    pub(super) hosts: &'a [(String, u64)],
    /// When the page was made.
    pub(super) now: &'a str,
    /// Is it about a folder, of which no backup was made?
    pub(super) is_live: bool,
}

/// The whole page.
pub(super) fn page(survey: &Survey, top: &Folder, facts: &Facts<'_>) -> String {
    let name = text(facts.name);
    let mut html =
        String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n",
    );
    let _ = write!(
        html,
        "<title>{name} — hashget</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    let about = match facts.is_live {
        true => {
            "What a backup of this folder would hold, and where the rest would come from. Nothing was packed."
        }
        false => "What is in this backup, and where the rest comes from when it is restored.",
    };
    let _ = writeln!(html, "<h1>{name}</h1>\n<p>{about}</p>");
    html.push_str(&figures(survey, facts));
    html.push_str(&map());
    html.push_str(&parts(
        "What fills the archive",
        "The largest folders and files that no known package gives back.",
        &top.archived(ROWS),
        survey.archived(),
        "Nothing: packages give back every file.",
    ));
    html.push_str(&worth(top, survey.archived()));
    html.push_str(&hosts(facts.hosts));
    html.push_str(&packages(survey));
    let _ = writeln!(
        html,
        "<footer>Made by hashget {} on {}.</footer>\n</main>",
        env!("CARGO_PKG_VERSION"),
        text(facts.now)
    );
    // Within a script element nothing but "</" would end it early, and JSON can write "<" otherwise.
    let data = tree(top, survey.unnamed).to_string().replace('<', "\\u003c");
    let _ = write!(
        html,
        "<script type=\"application/json\" id=\"tree\">{data}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    );
    html
}

/// Text for HTML: control characters are shown, none of them and no markup is left.
fn text(raw: &str) -> String {
    let shown = escaped(raw.as_bytes());
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn percent(part: u64, whole: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a percentage to look at")]
    let share = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    format!("{share:.1}")
}

fn files(amount: Amount) -> String {
    counted(amount.files, "file", "files")
}

fn figures(survey: &Survey, facts: &Facts<'_>) -> String {
    let (given, archived) = (survey.given(), survey.archived());
    let all: Amount = [given, archived].into_iter().sum();
    let download: u64 = survey.packages.iter().map(|package| package.size).sum();
    let figure = |what: &str, number: String, more: String| {
        format!("<div><dt>{what}</dt><dd>{number} <small>{more}</small></dd></div>\n")
    };
    let mut html = String::from("<dl class=\"figures\">\n");
    html.push_str(&figure("The tree", size(all.bytes), files(all)));
    html.push_str(&figure(
        "Left out",
        format!("{} %", percent(given.bytes, all.bytes)),
        format!("{}, {}", size(given.bytes), files(given)),
    ));
    html.push_str(&figure("Archived", size(archived.bytes), files(archived)));
    if let Some(bytes) = facts.archive_bytes {
        let smaller = format!("{} smaller", ratio(all.bytes, bytes));
        html.push_str(&figure("The archive", size(bytes), smaller));
    }
    let count = u64::try_from(survey.packages.len()).unwrap_or(u64::MAX);
    html.push_str(&figure(
        "To download on restore",
        size(download),
        counted(count, "package", "packages"),
    ));
    html.push_str("</dl>\n");
    let share = percent(given.bytes, all.bytes);
    let _ = writeln!(
        html,
        "<div class=\"bar\" role=\"img\" aria-label=\"{share} % of the bytes come from packages\">\
         <span style=\"width:{share}%\"></span></div>"
    );
    html
}

fn map() -> String {
    String::from(
        "<h2 id=\"maptitle\">The tree by bytes</h2>\n\
         <p>Click a folder to go into it. With the keyboard: arrow keys move, Enter goes in, Escape goes out.</p>\n\
         <nav id=\"where\" aria-label=\"Where the map is\"></nav>\n\
         <div id=\"map\" role=\"group\" aria-labelledby=\"maptitle\"></div>\n\
         <p id=\"told\" aria-live=\"polite\"></p>\n\
         <ul class=\"legend\"><li><i class=\"known\"></i>packages give it back</li>\
         <li><i class=\"kept\"></i>the archive holds it</li><li>between: some of both</li></ul>\n\
         <noscript><p>The map needs JavaScript; the tables below do not.</p></noscript>\n",
    )
}

/// A title, a line about it, and a table or why there is none.
fn section(title: &str, about: &str, head: &str, rows: &[String], none: &str) -> String {
    if rows.is_empty() {
        return format!("<h2>{title}</h2>\n<p>{none}</p>\n");
    }
    format!(
        "<h2>{title}</h2>\n<p>{about}</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">\
         <table><thead><tr>{head}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
        rows.concat()
    )
}

fn bar(part: u64, whole: u64, class: &str) -> String {
    let share = percent(part, whole);
    format!("<td class=\"share\"><i class=\"{class}\" style=\"width:{share}%\"></i></td>")
}

fn parts(title: &str, about: &str, parts: &[Part], whole: Amount, none: &str) -> String {
    let row = |part: &Part| {
        let slash = if part.is_folder { "/" } else { "" };
        let sign = part.sign.as_ref().map_or(String::new(), |sign| {
            format!("<td class=\"name\">{}</td>", text(&String::from_utf8_lossy(sign)))
        });
        format!(
            "<tr><td class=\"name\">{}{slash}</td>{sign}<td class=\"number\">{}</td><td class=\"number\">{}</td>{}</tr>\n",
            text(&escaped(&part.path)),
            size(part.archived.bytes),
            part.archived.files,
            bar(part.archived.bytes, whole.bytes, "kept"),
        )
    };
    let rows: Vec<String> = parts.iter().map(row).collect();
    let sign = if parts.iter().any(|part| part.sign.is_some()) { "<th>It has</th>" } else { "" };
    let head = format!(
        "<th>Where</th>{sign}<th class=\"number\">Bytes</th><th class=\"number\">Files</th><th class=\"share\">Of the archived bytes</th>"
    );
    section(title, about, &head, &rows, none)
}

fn worth(top: &Folder, whole: Amount) -> String {
    parts(
        "Worth indexing next",
        "Folders that look like published software (they hold a licence or a package's description) and that no \
         known package gives back. If one was downloaded from a permanent URL, `hashget index URL` makes it known.",
        &top.worth_indexing(ROWS),
        whole,
        "Nothing that is archived looks like published software.",
    )
}

fn hosts(hosts: &[(String, u64)]) -> String {
    let whole = hosts.iter().map(|(_, bytes)| bytes).sum();
    let row = |(host, bytes): &(String, u64)| {
        format!(
            "<tr><td class=\"name\">{}</td><td class=\"number\">{}</td>{}</tr>\n",
            text(host),
            size(*bytes),
            bar(*bytes, whole, "known"),
        )
    };
    let rows: Vec<String> = hosts.iter().map(row).collect();
    section(
        "Hosts",
        "Restoring asks these, unless a pool, the cache or a mirror has the packages.",
        "<th>Host</th><th class=\"number\">To download</th><th class=\"share\">Share</th>",
        &rows,
        "None: everything is in the archive.",
    )
}

fn packages(survey: &Survey) -> String {
    let mut sorted: Vec<_> = survey.packages.iter().collect();
    sorted.sort_by(|a, b| b.gives.bytes.cmp(&a.gives.bytes).then(a.url.cmp(&b.url)));
    let row = |package: &&SurveyedPackage| {
        let gives = if package.is_complete {
            format!(
                "<td class=\"number\">{}</td><td class=\"number\">{}</td>",
                size(package.gives.bytes),
                package.gives.files
            )
        } else {
            "<td class=\"number\" colspan=\"2\">not in the HashDB</td>".to_owned()
        };
        format!(
            "<tr><td class=\"name\">{}</td><td class=\"number\">{}</td>{gives}<td>{}</td><td>{}</td></tr>\n",
            text(&package.url),
            size(package.size),
            package.evidence,
            text(package.expires.as_deref().unwrap_or("")),
        )
    };
    let rows: Vec<String> = sorted.iter().map(row).collect();
    section(
        "Packages",
        "All that the archive relies on, what gives back the most bytes first.",
        "<th>URL</th><th class=\"number\">Download</th><th class=\"number\">Gives bytes</th>\
         <th class=\"number\">Files</th><th>Evidence</th><th>Expires</th>",
        &rows,
        "None: everything is in the archive.",
    )
}

/// The data of the map: `[name, bytes, bytes given, files, children or 0, entries it stands for or 0]`.
fn tree(top: &Folder, unnamed: Amount) -> Value {
    let all: Amount = [top.all, unnamed].into_iter().sum();
    let given: Amount = [top.given, unnamed].into_iter().sum();
    let finest = all.bytes / FINEST;
    let mut children = children(top, finest);
    if unnamed.bytes > 0 {
        let name = "(in packages that the HashDB does not know)";
        children.push(json!([name, unnamed.bytes, unnamed.bytes, unnamed.files, 0, 0]));
        children.sort_by_key(|child| std::cmp::Reverse(child[1].as_u64()));
    }
    json!(["", all.bytes, given.bytes, all.files, children, 0])
}

fn children(folder: &Folder, finest: u64) -> Vec<Value> {
    let large = folder.children.iter().take(MOST_CHILDREN);
    let shown = large.take_while(|child| child.all.bytes > finest).count();
    let mut list: Vec<Value> =
        folder.children[..shown].iter().map(|child| node(child, finest)).collect();
    let rest = &folder.children[shown..];
    let all: Amount = rest.iter().map(|child| child.all).sum();
    if all.bytes > 0 {
        let given: Amount = rest.iter().map(|child| child.given).sum();
        list.push(json!(["", all.bytes, given.bytes, all.files, 0, rest.len()]));
        list.sort_by_key(|child| std::cmp::Reverse(child[1].as_u64()));
    }
    list
}

fn node(folder: &Folder, finest: u64) -> Value {
    let name = escaped(&folder.name);
    let children = match folder.children.is_empty() {
        true => json!(0),
        false => Value::Array(children(folder, finest)),
    };
    json!([name, folder.all.bytes, folder.given.bytes, folder.all.files, children, 0])
}
