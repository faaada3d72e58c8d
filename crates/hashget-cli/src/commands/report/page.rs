//! The page of a report: HTML with its style, its script and its data in one file.
//!
//! Invariant: the template escapes all text for its context, and the page loads nothing.

use askama::Template;
use hashget::archive::{Folder, Subtree, Survey, SurveyedPackage, derived_amounts};
use hashget::model::manifest::{Package, Regenerable};
use hashget::model::{Amount, Evidence, display_name, escaped, total_bytes};
use serde_json::{Value, json};

use super::restorable::Restorable;
use super::restoring::{Restoring, restoring};
use super::since::Since;
use super::subject::Subject;
use crate::derive::derived_text;
use crate::output::{counted, ratio, size};
use crate::selection::regenerable::MOST;

/// Maximum number of rows in a table.
const ROWS: usize = 20;

/// A folder or file with less than one in this number of the tree's bytes is not drawn separately.
const FINEST: u64 = 10_000;

/// Maximum number of folders and files drawn separately in one folder.
const MOST_CHILDREN: usize = 120;

/// The contents of the page besides the survey.
pub(super) struct Facts<'a> {
    /// What it is about.
    pub(super) subject: &'a Subject,
    /// Size of the archive in bytes, if it is a file.
    pub(super) archive_bytes: Option<u64>,
    /// Names of the hosts with the number of bytes, largest first.
    pub(super) hosts: &'a [(String, u64)],
    /// The packages, in the same order as in the survey.
    pub(super) packages: &'a [Package],
    /// What profiles exclude.
    pub(super) regenerable: &'a [Regenerable],
    /// Whether it can be restored.
    pub(super) restorable: Restorable,
    /// What has changed, if it is compared with an earlier archive.
    pub(super) since: Option<&'a Since>,
    /// When the page was made.
    pub(super) now: &'a str,
    /// Is it about a folder that has not been backed up?
    pub(super) is_live: bool,
}

/// The data for the template. Texts have no control characters; the template escapes markup.
#[derive(Template)]
#[template(path = "report/page.html")]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    version: &'static str,
    title: String,
    path: Option<String>,
    now: &'a str,
    is_live: bool,
    figures: Vec<Figure>,
    /// Percentage of bytes that packages give back.
    share: String,
    parts: Vec<PartsSection>,
    restorable: &'a Restorable,
    since: Option<&'a Since>,
    restoring: Restoring,
    hosts: Vec<HostRow>,
    packages: Vec<PackageRow<'a>>,
    regenerable: Vec<RegenerableRow>,
    map: Value,
}

/// A number at the top of the page.
struct Figure {
    title: &'static str,
    number: String,
    more: String,
}

/// A table of folders and files in the archive.
struct PartsSection {
    title: &'static str,
    about: &'static str,
    /// The text shown if the table has no rows.
    none: &'static str,
    has_signs: bool,
    rows: Vec<PartRow>,
}

struct PartRow {
    path: String,
    sign: String,
    size: String,
    files: u64,
    /// Percentage of the archived bytes.
    share: String,
}

/// What an item of a profile excludes.
struct RegenerableRow {
    pattern: String,
    reason: String,
    command: String,
    size: String,
    files: u64,
}

impl RegenerableRow {
    fn new(one: &Regenerable) -> Self {
        Self {
            pattern: shown(&one.item.pattern),
            reason: shown(&one.item.reason),
            command: shown(&one.item.command),
            size: size(one.bytes),
            files: one.files,
        }
    }
}

struct HostRow {
    name: String,
    size: String,
    /// Percentage of the bytes to download.
    share: String,
}

struct PackageRow<'a> {
    name: String,
    url: String,
    size: String,
    /// What it gives back, if the HashDB knows that.
    gives: Option<Gives>,
    evidence: Evidence,
    expires: &'a str,
}

struct Gives {
    size: String,
    files: u64,
}

/// The whole page.
///
/// # Errors
/// The template failed, which is not expected.
pub(super) fn page(
    survey: &Survey,
    top: &Folder,
    facts: &Facts<'_>,
) -> Result<String, askama::Error> {
    let (given, archived) = (survey.given(), survey.archived());
    let all: Amount = [given, archived].into_iter().sum();
    let page = Page {
        style: include_str!("../../../templates/report/page.css"),
        script: include_str!("../../../templates/report/page.js"),
        version: env!("CARGO_PKG_VERSION"),
        title: shown(&facts.subject.title),
        path: facts.subject.path.as_deref().map(shown),
        now: facts.now,
        is_live: facts.is_live,
        figures: figures(survey, facts),
        share: percent(given.bytes, all.bytes),
        parts: vec![fills(top, archived), worth(top, archived)],
        restorable: &facts.restorable,
        since: facts.since,
        restoring: restoring(survey, facts.packages, facts.hosts.len()),
        hosts: hosts(facts.hosts),
        packages: packages(survey, facts.packages),
        regenerable: facts.regenerable.iter().take(MOST).map(RegenerableRow::new).collect(),
        map: tree(top, survey.unnamed),
    };
    page.render()
}

/// Untrusted text with its control characters made visible.
fn shown(text: &str) -> String {
    escaped(text.as_bytes())
}

fn percent(part: u64, whole: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "a percentage to look at")]
    let share = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    format!("{share:.1}")
}

fn figures(survey: &Survey, facts: &Facts<'_>) -> Vec<Figure> {
    let (given, archived) = (survey.given(), survey.archived());
    let all: Amount = [given, archived].into_iter().sum();
    let download: u64 = total_bytes(survey.packages.iter().map(|package| package.size));
    let files = |amount: Amount| counted(amount.files, "file", "files");
    let mut figures = vec![
        Figure { title: "The tree", number: size(all.bytes), more: files(all) },
        Figure {
            title: "Left out",
            number: format!("{} %", percent(given.bytes, all.bytes)),
            more: format!("{}, {}", size(given.bytes), files(given)),
        },
        Figure { title: "Archived", number: size(archived.bytes), more: files(archived) },
    ];
    // A manifest whose tables do not fit is reported where its entries are read.
    let derived = derived_amounts(facts.packages).unwrap_or_default();
    if let Some(more) = derived_text(&derived) {
        let bytes = total_bytes(derived.values().map(|amount| amount.bytes));
        figures.insert(2, Figure { title: "Derived", number: size(bytes), more });
    }
    if survey.pieces > 0 {
        let more = "of archived files that are made of pieces of packages".to_owned();
        figures.insert(2, Figure { title: "In pieces", number: size(survey.pieces), more });
    }
    if let Some(bytes) = facts.archive_bytes {
        let more = format!("{} smaller", ratio(all.bytes, bytes));
        figures.push(Figure { title: "The archive", number: size(bytes), more });
    }
    figures.push(Figure {
        title: "To download on restore",
        number: size(download),
        more: counted(survey.packages.len(), "package", "packages"),
    });
    figures
}

fn fills(top: &Folder, whole: Amount) -> PartsSection {
    PartsSection {
        title: "What fills the archive",
        about: "The largest folders and files that no known package has.",
        none: "Nothing: every file comes from a package.",
        has_signs: false,
        rows: part_rows(&top.archived(ROWS), whole),
    }
}

fn worth(top: &Folder, whole: Amount) -> PartsSection {
    PartsSection {
        title: "Worth indexing next",
        about: "Folders that look like published software: they contain a licence or the description of a package, \
                and no known package has their files. If one was downloaded from a permanent URL, run \
                `hashget index URL`, and the next backup leaves it out.",
        none: "Nothing in the archive looks like published software.",
        has_signs: true,
        rows: part_rows(&top.worth_indexing(ROWS), whole),
    }
}

fn part_rows(parts: &[Subtree], whole: Amount) -> Vec<PartRow> {
    let row = |part: &Subtree| PartRow {
        path: escaped(&part.path) + if part.is_folder { "/" } else { "" },
        sign: part.sign.as_deref().map(escaped).unwrap_or_default(),
        size: size(part.archived.bytes),
        files: part.archived.files,
        share: percent(part.archived.bytes, whole.bytes),
    };
    parts.iter().map(row).collect()
}

fn hosts(hosts: &[(String, u64)]) -> Vec<HostRow> {
    let whole = total_bytes(hosts.iter().map(|(_, bytes)| *bytes));
    let row = |(host, bytes): &(String, u64)| HostRow {
        name: shown(host),
        size: size(*bytes),
        share: percent(*bytes, whole),
    };
    hosts.iter().map(row).collect()
}

fn packages<'a>(survey: &'a Survey, manifest: &[Package]) -> Vec<PackageRow<'a>> {
    let mut sorted: Vec<(&SurveyedPackage, &Package)> =
        survey.packages.iter().zip(manifest).collect();
    sorted.sort_by(|(a, _), (b, _)| b.gives.bytes.cmp(&a.gives.bytes).then(a.url.cmp(&b.url)));
    let row = |(package, manifest): (&'a SurveyedPackage, &Package)| PackageRow {
        name: shown(display_name(&manifest.signatures, &package.url)),
        url: shown(&package.url),
        size: size(package.size),
        gives: package
            .is_complete
            .then(|| Gives { size: size(package.gives.bytes), files: package.gives.files }),
        evidence: package.evidence,
        expires: package.expires.as_deref().unwrap_or(""),
    };
    sorted.into_iter().map(row).collect()
}

/// The data of the map:
/// `[name, bytes, bytes given back, files, children or 0, number of entries it stands for or 0]`.
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
