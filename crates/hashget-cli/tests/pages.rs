//! The pages of the documentation: their links lead somewhere, and the site has all of them.
//!
//! Invariant: nothing outside of the sources is looked at; addresses on the web are not asked.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The pages in these folders.
fn pages(folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders {
        let entries = fs_err::read_dir(workspace().join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        found.extend(
            paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")),
        );
    }
    found.sort();
    found
}

/// A page without what it shows as code.
fn prose(path: &Path) -> String {
    let text = fs_err::read_to_string(path).unwrap();
    let mut is_fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced && !line.starts_with("    ") {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// What a heading is called in links, as forges and mdBook make it.
fn anchors(path: &Path) -> BTreeSet<String> {
    let heading = Regex::new(r"(?m)^#+ +(.*)$").unwrap();
    let mut found = BTreeSet::new();
    for title in heading.captures_iter(&prose(path)) {
        let letters = title[1].to_lowercase();
        let kept = letters
            .chars()
            .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
        found.insert(kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect());
    }
    found
}

#[test]
fn links_of_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let code = Regex::new(r"`[^`]*`").unwrap();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages(&["", "docs", "docs/detectors", "cluster"]) {
        let text = prose(&page);
        for found in link.captures_iter(&code.replace_all(&text, "`")) {
            let to = found[1].to_owned();
            if to.contains("://") || to.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = to.split_once('#').unwrap_or((&to, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let is_page = target.extension().is_some_and(|extension| extension == "md");
            if !target.exists() {
                wrong.push(format!("{}: {to}: no such file", page.display()));
            } else if !anchor.is_empty() && is_page && !anchors(&target).contains(anchor) {
                wrong.push(format!("{}: {to}: no such heading", page.display()));
            }
        }
    }
    assert!(count > 300, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_site_has_every_page_once() {
    let link = Regex::new(r"\]\(([^)]+)\)").unwrap();
    let docs = workspace().join("docs");
    let summary = fs_err::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut listed: Vec<PathBuf> =
        link.captures_iter(&summary).map(|found| docs.join(&found[1])).collect();
    listed.sort();
    let mut there = pages(&["docs", "docs/detectors"]);
    there.retain(|page| !page.ends_with("SUMMARY.md"));
    assert_eq!(listed, there);
}
