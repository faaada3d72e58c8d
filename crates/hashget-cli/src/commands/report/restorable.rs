//! What a report says of whether a backup can be restored: today's figures, what endangers it, and on whom it hangs.
//!
//! Invariant: by what is known; no place is asked for a report. Where nothing was ever asked, that is said.

use std::collections::{BTreeMap, BTreeSet};

use hashget::archive::{Endangered, Figures, Outlook, ReliedOn, Risk, host_of};
use hashget::model::escaped;

use crate::commands::audit::Outcome;
use crate::output::{counted, size};

/// Maximum number of rows in a table.
const ROWS: usize = 20;

/// The section of the page.
pub(super) struct Restorable {
    /// One sentence for somebody who reads nothing else.
    pub(super) verdict: String,
    /// What to do.
    pub(super) advice: &'static str,
    /// How it has changed, if that is known.
    pub(super) trend: Option<String>,
    /// Widths of the parts of the bar, in percent.
    pub(super) restorable: String,
    pub(super) at_risk: String,
    pub(super) lost: String,
    pub(super) endangered: Vec<EndangeredRow>,
    /// Number of endangered packages that have no row.
    pub(super) more: usize,
    pub(super) hosts: Vec<HangsRow>,
}

/// A package that is lost or at risk.
pub(super) struct EndangeredRow {
    pub(super) name: String,
    pub(super) why: String,
    pub(super) gives: String,
    pub(super) is_lost: bool,
}

/// A host, and what hangs on it.
pub(super) struct HangsRow {
    pub(super) host: String,
    pub(super) packages: usize,
    pub(super) gives: String,
    /// Of that, what no other host has.
    pub(super) alone: String,
}

/// What is known of the packages that an archive relies on.
pub(super) fn restorable(
    relied: &[ReliedOn],
    outcome: &Outcome,
    trend: Option<String>,
) -> Restorable {
    let figures = outcome.worst();
    let endangered = outcome.audit.endangered(&outcome.outlooks);
    let (verdict, advice) = verdict(figures, &endangered);
    let percent = |bytes: u64| {
        let total = u128::from(figures.total().max(1));
        let tenths = (u128::from(bytes) * 1000).div_ceil(total);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    Restorable {
        verdict,
        advice,
        trend,
        restorable: percent(figures.restorable),
        at_risk: percent(figures.at_risk),
        lost: percent(figures.lost),
        endangered: endangered.iter().take(ROWS).map(row).collect(),
        more: endangered.len().saturating_sub(ROWS),
        hosts: hosts(relied),
    }
}

fn verdict(figures: Figures, endangered: &[Endangered<'_>]) -> (String, &'static str) {
    let lost = endangered.iter().filter(|one| *one.outlook == Outlook::Lost).count();
    let never = |one: &&Endangered<'_>| matches!(one.outlook, Outlook::AtRisk(risks) if risks == &[Risk::NeverAsked]);
    if lost > 0 {
        let packages = counted(lost as u64, "package is", "packages are");
        let text = format!(
            "No: {packages} gone from everywhere, and so {} of the tree.",
            size(figures.lost)
        );
        (
            text,
            "While the original is there: run hashget heal, or pack it again. Otherwise hashget missing lists what to look for.",
        )
    } else if figures.total() == 0 && endangered.is_empty() {
        ("Yes: everything is in the archive.".to_owned(), "Nothing is to be done.")
    } else if !endangered.is_empty() && endangered.iter().all(|one| never(&one)) {
        let text =
            format!("Probably: no server was asked yet for {} of the tree.", size(figures.at_risk));
        (text, "Run hashget audit: it asks the servers.")
    } else if !endangered.is_empty() {
        let text = format!("Yes, but {} of the tree are at risk.", size(figures.at_risk));
        (
            text,
            "Run hashget audit, and look at the reasons below: hashget heal keeps what is at risk in a supplement or a pool.",
        )
    } else {
        (
            "Yes: every package was seen where it should be.".to_owned(),
            "Nothing is to be done. Audit again each month.",
        )
    }
}

fn row(one: &Endangered<'_>) -> EndangeredRow {
    let why = match one.outlook {
        Outlook::Lost => "none of its places has it".to_owned(),
        Outlook::AtRisk(risks) => {
            risks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        Outlook::Restorable => String::new(),
    };
    let is_lost = *one.outlook == Outlook::Lost;
    EndangeredRow { name: one.package.shown_name(), why, gives: size(one.bytes), is_lost }
}

/// The hosts, those first on which most hangs.
fn hosts(relied: &[ReliedOn]) -> Vec<HangsRow> {
    let mut hosts: BTreeMap<String, (usize, u64, u64)> = BTreeMap::new();
    for one in relied {
        let of_it: BTreeSet<String> = one.package.urls().map(host_of).collect();
        let is_alone = of_it.len() == 1;
        for host in of_it {
            let (packages, bytes, alone) = hosts.entry(host).or_default();
            *packages += 1;
            *bytes = bytes.saturating_add(one.bytes);
            *alone = alone.saturating_add(if is_alone { one.bytes } else { 0 });
        }
    }
    let mut rows: Vec<(String, (usize, u64, u64))> = hosts.into_iter().collect();
    rows.sort_by_key(|(_, (_, bytes, _))| std::cmp::Reverse(*bytes));
    let row = |(host, (packages, bytes, alone)): (String, (usize, u64, u64))| HangsRow {
        host: escaped(host.as_bytes()),
        packages,
        gives: size(bytes),
        alone: size(alone),
    };
    rows.into_iter().take(ROWS).map(row).collect()
}
