//! `hashget diff`: how two archives, or an archive and a folder, differ.
//!
//! Invariant: both are only read; nothing is fetched without `--fetch`, and what is not known is said to be so.

use std::path::PathBuf;

use clap::Args;
use hashget::archive::{Aspect, Change, Difference};
use hashget::monitor::{Monitor, ProblemKind};
use serde_json::json;

use crate::archive::Knowledge;
use crate::compared::{Tree, compare};
use crate::environment::Environment;
use crate::output::{safe, size};

/// Show what was added, removed and changed between two archives or folders, the largest first
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget diff monday.tar.zst tuesday.tar.zst\n         \
                        hashget diff www.tar.zst /srv/www")]
pub(crate) struct Diff {
    /// The earlier one: an archive, its URL, or a folder
    #[arg(value_name = "A")]
    before: PathBuf,

    /// The later one
    #[arg(value_name = "B")]
    after: PathBuf,

    /// Fetch packages whose files are not known otherwise
    #[arg(long)]
    fetch: bool,
}

impl Diff {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let (mut before, mut after) = Tree::read_both(&self.before, &self.after, environment)?;
        let knowledge = Knowledge::new(environment, self.fetch)?.with_digests();
        let mut compared = compare(&mut before, &mut after, &knowledge, environment)?;
        compared.sort_by_weight();
        console.in_bulk(|| {
            for difference in &compared.differences {
                console.data(|| line(difference), "difference", || record(difference))?;
            }
            Ok(())
        })?;
        for place in &compared.unknown {
            let place = if place.is_empty() { "." } else { place };
            let why = "not compared: which files of a package lie there is not known; compare with --fetch";
            (console as &dyn Monitor).problem(ProblemKind::Incomplete, place, why);
        }
        let totals = compared.totals();
        let body = json!({
            "added": totals.added,
            "removed": totals.removed,
            "changed": totals.changed,
            "not_compared": totals.unknown,
            "bytes_added": totals.bytes_added,
            "bytes_removed": totals.bytes_removed,
            "regenerable_files": compared.regenerable.files,
            "regenerable_bytes": compared.regenerable.bytes,
        });
        let mut lines = totals.lines();
        lines.extend(compared.not_compared());
        console.summary("diff", body, &lines)?;
        Ok(())
    }
}

/// What a person calls the aspects in which an entry differs.
pub(super) fn labels(aspects: &[Aspect]) -> String {
    let labels: Vec<&str> = aspects.iter().map(|aspect| aspect.label()).collect();
    labels.join(", ")
}

fn line(difference: &Difference) -> String {
    let Difference { path, before, after, change } = difference;
    let (letter, bytes, what) = match change {
        Change::Added => ('+', size(*after), String::new()),
        Change::Removed => ('-', size(*before), String::new()),
        Change::Unknown => ('?', size(*after), " (not compared)".to_owned()),
        Change::Changed(aspects) if before == after => {
            ('M', size(*after), format!(" ({})", labels(aspects)))
        }
        Change::Changed(aspects) => {
            ('M', size(*after), format!(" ({}; was {})", labels(aspects), size(*before)))
        }
    };
    format!("{letter} {bytes:>11} {}{what}", safe(&path.to_string()))
}

fn record(difference: &Difference) -> serde_json::Value {
    let (change, aspects) = match &difference.change {
        Change::Added => ("added", Vec::new()),
        Change::Removed => ("removed", Vec::new()),
        Change::Unknown => ("not_compared", Vec::new()),
        Change::Changed(aspects) => {
            ("changed", aspects.iter().map(|aspect| aspect.label()).collect())
        }
    };
    json!({
        "path": difference.path,
        "change": change,
        "aspects": aspects,
        "size_before": difference.before,
        "size_after": difference.after,
    })
}
