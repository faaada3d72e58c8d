//! How much of archives could be restored today, is at risk, or is lost.
//!
//! Invariant: pure; the three figures of an archive add up to all that it leaves out.

use std::collections::BTreeMap;

use super::{Audit, AuditedArchive, Outlook};
use crate::archive::RequiredPackage;
use crate::model::Digest;

/// Bytes of files that an archive, or a series of them, leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// They could be restored today, from as many places as wanted.
    pub restorable: u64,
    /// Less certain than wanted.
    pub at_risk: u64,
    /// No place has them.
    pub lost: u64,
}

impl Figures {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.restorable.saturating_add(self.at_risk).saturating_add(self.lost)
    }

    fn add(&mut self, outlook: Option<&Outlook>, bytes: u64) {
        let sum = match outlook {
            Some(Outlook::Restorable) => &mut self.restorable,
            Some(Outlook::Lost) => &mut self.lost,
            Some(Outlook::AtRisk(_)) | None => &mut self.at_risk,
        };
        *sum = sum.saturating_add(bytes);
    }

    /// Is this worse than `other`? What is lost counts first.
    fn is_worse(&self, other: &Self) -> bool {
        (self.lost, self.at_risk) > (other.lost, other.at_risk)
    }
}

/// What several packages give together is as bad as the worst of them.
fn badness(outlook: &Option<&Outlook>) -> u8 {
    match outlook {
        Some(Outlook::Restorable) => 0,
        Some(Outlook::AtRisk(_)) | None => 1,
        Some(Outlook::Lost) => 2,
    }
}

/// The figures of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesFigures<'a> {
    /// Its name.
    pub series: &'a str,
    /// The figures of each archive, in the order in which they were added.
    pub archives: Vec<(&'a str, Figures)>,
    /// Those of the archive for which they are worst.
    pub worst: Figures,
}

impl Audit {
    /// The figures of each archive, by series.
    pub fn figures(&self, outlooks: &BTreeMap<Digest, Outlook>) -> Vec<SeriesFigures<'_>> {
        let mut series: BTreeMap<&str, SeriesFigures<'_>> = BTreeMap::new();
        for AuditedArchive { name, series: of, packages, together, .. } in &self.archives {
            let mut figures = Figures::default();
            for (package, bytes) in packages {
                figures.add(outlooks.get(package), *bytes);
            }
            for (packages, bytes) in together {
                let outlooks = packages.iter().map(|package| outlooks.get(package));
                figures.add(outlooks.max_by_key(badness).flatten(), *bytes);
            }
            let empty =
                || SeriesFigures { series: of, archives: Vec::new(), worst: Figures::default() };
            let entry = series.entry(of).or_insert_with(empty);
            if entry.archives.is_empty() || figures.is_worse(&entry.worst) {
                entry.worst = figures;
            }
            entry.archives.push((name, figures));
        }
        series.into_values().collect()
    }

    /// The packages that are lost or at risk, the lost ones first, then by the bytes that depend on them; each with the number of archives
    /// that rely on it, and the most bytes that it gives to one of them.
    pub fn endangered<'a>(
        &'a self,
        outlooks: &'a BTreeMap<Digest, Outlook>,
    ) -> Vec<Endangered<'a>> {
        let mut uses: BTreeMap<&Digest, (usize, u64)> = BTreeMap::new();
        for AuditedArchive { packages, together, .. } in &self.archives {
            for (package, alone) in packages {
                let with = together.iter().filter(|(packages, _)| packages.contains(package));
                let bytes = with.fold(*alone, |sum, (_, bytes)| sum.saturating_add(*bytes));
                let (archives, most) = uses.entry(package).or_default();
                *archives += 1;
                *most = (*most).max(bytes);
            }
        }
        let of = |(sha256, package): (&'a Digest, &'a RequiredPackage)| {
            let outlook = outlooks.get(sha256).filter(|one| **one != Outlook::Restorable)?;
            let (archives, bytes) = uses.get(sha256).copied().unwrap_or_default();
            Some(Endangered { package, outlook, archives, bytes })
        };
        let mut endangered: Vec<Endangered<'a>> = self.packages.iter().filter_map(of).collect();
        endangered.sort_by_key(|one| {
            let is_lost = *one.outlook == Outlook::Lost;
            (std::cmp::Reverse((is_lost, one.bytes)), &one.package.url)
        });
        endangered
    }
}

/// A package that is lost or at risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endangered<'a> {
    /// The package.
    pub package: &'a RequiredPackage,
    /// What is known of it.
    pub outlook: &'a Outlook,
    /// Number of archives that rely on it.
    pub archives: usize,
    /// The most bytes that one of them has of it, alone or with others.
    pub bytes: u64,
}
