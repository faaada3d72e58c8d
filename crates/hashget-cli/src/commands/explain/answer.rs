//! The answers of `explain` for each path.
//!
//! Invariant: every verdict has a text, which also says what to do if something can be done.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hashget::detectors::Owner;
use hashget::hashdb::HashDb;
use hashget::model::{Kind, RelPath, escaped};
use hashget::pack::{Explanation, Holder, Obstacle, PackOptions, Reason, Verdict};
use hashget::places::Doubt;
use hashget::tree::Absence;
use hashget::wording::and_more;
use serde_json::{Value, json};

use super::{Counts, owner};
use crate::environment::Environment;
use crate::output::{safe, size};
use crate::selection::regenerable;

/// An explanation, and what it is about.
pub(super) struct Judged<'a> {
    pub(super) explanation: &'a Explanation,
    pub(super) options: &'a PackOptions<'a>,
    /// The folder that contains the paths, as the user wrote it.
    pub(super) folder: &'a Path,
    /// Is it about a single file?
    pub(super) is_alone: bool,
}

/// What becomes of a path, and why.
struct Answer {
    fate: &'static str,
    /// One word, for programs.
    code: &'static str,
    why: String,
}

/// Packages that an answer names.
const NAMED: usize = 3;

const LEFT_OUT: &str = "left out";
const ARCHIVED: &str = "archived";
const EXCLUDED: &str = "excluded";

impl Judged<'_> {
    /// Prints what becomes of each path, in order. Folders themselves are omitted.
    pub(super) fn print(
        &self,
        hashdb: &dyn HashDb,
        environment: &Environment<'_>,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let Explanation { entries, asked, absent, .. } = self.explanation;
        let files = asked.iter().filter(|&&entry| entries[entry].kind != Kind::Directory);
        let owners = owner::of_unknown(self.explanation, self.folder, files.clone().copied());
        let mut absent = absent.iter().peekable();
        environment.console.in_bulk(|| {
            for &entry in files {
                while let Some((path, absence)) =
                    absent.next_if(|(path, _)| *path < entries[entry].path)
                {
                    self.print_absent(path, *absence, environment, counts)?;
                }
                self.print_entry(entry, &owners, hashdb, environment, counts)?;
            }
            absent.try_for_each(|(path, absence)| {
                self.print_absent(path, *absence, environment, counts)
            })
        })
    }

    fn shown(&self, path: &RelPath) -> PathBuf {
        path.below(self.folder)
    }

    fn print_absent(
        &self,
        path: &RelPath,
        absence: Absence,
        environment: &Environment<'_>,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        counts.excluded += 1;
        let (code, why) = self.of_absence(absence);
        let path = self.shown(path);
        let record = json!({
            "path": path.to_string_lossy(),
            "fate": EXCLUDED,
            "code": code,
            "reason": why,
            "owner": Value::Null,
            "size": Value::Null,
            "sha256": Value::Null,
            "recipe": Value::Null,
            "packages": [],
        });
        let shown = escaped(path.as_os_str().as_encoded_bytes());
        environment.console.data(
            || format!("{shown}: {EXCLUDED}: {why}"),
            "explained",
            || record,
        )?;
        Ok(())
    }

    /// Why something is not in the backup.
    fn of_absence(&self, absence: Absence) -> (&'static str, String) {
        let item = match absence {
            Absence::Regenerable(item) => self.options.profile.get(item),
            _ => None,
        };
        let (code, why) = of_absence(absence);
        (code, item.map_or_else(|| why.to_owned(), regenerable::why))
    }

    fn print_entry(
        &self,
        entry: usize,
        owners: &HashMap<usize, Owner>,
        hashdb: &dyn HashDb,
        environment: &Environment<'_>,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let Explanation { entries, .. } = self.explanation;
        let mut answer = self.answer(entry);
        *if answer.fate == LEFT_OUT { &mut counts.left_out } else { &mut counts.archived } += 1;
        if let Some(owner) = owners.get(&entry) {
            answer.why = owner::why(owner, hashdb)?;
        }
        let file = entries.file(entry);
        let path = self.shown(&entries[entry].path);
        let holders = self.explanation.holders(entry);
        let console = environment.console;
        if console.is_json() {
            let bytes = if let Kind::File { size } = file.kind { Some(size) } else { None };
            let packages: Vec<Value> = holders.iter().map(|holder| self.record(holder)).collect();
            let record = json!({
                "path": path.to_string_lossy(),
                "fate": answer.fate.replace(' ', "_"),
                "code": answer.code,
                "reason": answer.why,
                "owner": owners.get(&entry).map(|owner| owner.signature.to_string()),
                "size": bytes,
                "sha256": file.sha256,
                "recipe": self.explanation.recipe(entry),
                "packages": packages,
            });
            console.record("explained", record)?;
            return Ok(());
        }
        let shown = escaped(path.as_os_str().as_encoded_bytes());
        let Answer { fate, why, .. } = answer;
        let colon = if why.starts_with("only ") { "" } else { ":" };
        console.line(&format!("{shown}: {fate}{colon} {why}"))?;
        for holder in holders {
            let package = &holder.record;
            let member = match &holder.member {
                Some(member) => format!("as {member}"),
                None => "as the package itself".to_owned(),
            };
            let (name, bytes) = (safe(package.display_name()), size(package.size));
            console.line(&format!("    {name}, {bytes}, {}, {member}", package.evidence))?;
            console.line(&format!("        {}", safe(&package.url)))?;
            if let Some(obstacle) = self.obstacle(holder) {
                console.line(&format!("        not relied on: {obstacle}"))?;
            }
        }
        Ok(())
    }

    fn answer(&self, entry: usize) -> Answer {
        match self.explanation.verdict(entry) {
            Verdict::Given { package } => self.given(entry, package),
            Verdict::Link { to } => {
                let Answer { fate, why, .. } = self.answer(to);
                let to = escaped(
                    self.shown(&self.explanation.entries[to].path).as_os_str().as_encoded_bytes(),
                );
                Answer { fate, code: "link", why: format!("another name of {to}: {why}") }
            }
            Verdict::Archived(Reason::NotWorth) if self.is_alone => {
                let ratio = self.options.max_fetch_ratio;
                let why = format!(
                    "only together with other files of its package: for this file alone it costs more than {ratio} \
                     times as much to download as it saves (see --max-fetch-ratio; --tree DIR explains it as a part \
                     of DIR)"
                );
                Answer { fate: LEFT_OUT, code: "not_worth_alone", why }
            }
            Verdict::Archived(_) if self.explanation.pieces(entry).is_some() => self.pieced(entry),
            Verdict::Archived(reason) => {
                let (code, why) = of_reason(reason);
                Answer { fate: ARCHIVED, code, why: why.to_owned() }
            }
        }
    }

    fn given(&self, entry: usize, package: usize) -> Answer {
        let Some(recipe) = self.explanation.recipe(entry) else {
            let why = "a package gives it back".to_owned();
            return Answer { fate: LEFT_OUT, code: "given", why };
        };
        let package = safe(&self.explanation.packages[package].name);
        let why = format!("derived: the recipe {recipe} makes it out of {package}");
        Answer { fate: LEFT_OUT, code: "derived", why }
    }

    fn pieced(&self, entry: usize) -> Answer {
        let (bytes, packages) = self.explanation.pieces(entry).unwrap_or_default();
        let names: Vec<String> = packages
            .iter()
            .take(NAMED)
            .map(|&package| safe(&self.explanation.packages[package].name))
            .collect();
        let more = and_more(packages.len() - names.len());
        let encoder = self.explanation.recipe(entry).map(|name| format!("; {name} compresses it"));
        let why = format!(
            "made of pieces: {} of it come from {}{more}, the rest is archived{}",
            size(bytes),
            names.join(", "),
            encoder.unwrap_or_default()
        );
        Answer { fate: ARCHIVED, code: "pieces", why }
    }

    /// Why a package is not relied on, and what to do.
    fn obstacle(&self, holder: &Holder) -> Option<String> {
        let package = &holder.record;
        Some(match holder.obstacle.as_ref()? {
            Obstacle::Evidence => format!(
                "its evidence is {}, and {} is asked for: `hashget index {}` downloads and proves it, or use \
                 --evidence {}",
                package.evidence,
                self.options.evidence,
                safe(&package.url),
                package.evidence
            ),
            Obstacle::Expires(needed) => format!(
                "it may be gone after {}, and is needed until {needed}: index it from a URL that lasts",
                package.expires.as_deref().map_or_else(String::new, safe)
            ),
            Obstacle::Place(doubt) => format!("{doubt}{}", what_to_do(doubt)),
            Obstacle::NotWorth => {
                "downloading it costs more than it saves (see --max-fetch-ratio)".to_owned()
            }
            Obstacle::DuplicatePath => {
                "several of its members have this path: which one counts depends on the reader"
                    .to_owned()
            }
            Obstacle::NotNeeded => "the plan needs nothing from it".to_owned(),
        })
    }

    fn record(&self, holder: &Holder) -> Value {
        json!({
            "name": holder.record.display_name(),
            "url": holder.record.url,
            "size": holder.record.size,
            "evidence": holder.record.evidence,
            "expires": holder.record.expires,
            "member": holder.member,
            "relied_on": holder.obstacle.is_none(),
            "obstacle": self.obstacle(holder),
        })
    }
}

/// What helps against a doubt about a package's place.
fn what_to_do(doubt: &Doubt) -> &'static str {
    match doubt {
        Doubt::NotAsked => ": `pack` asks them, unless it runs with --offline",
        Doubt::NotFetched | Doubt::OtherTree => ": `hashget index URL` makes it yours",
        Doubt::Lost => ": `hashget index --again URL` looks for it again",
        Doubt::Young | Doubt::FewPlaces { .. } => {
            ": `keep_in = \"pool\"` in [policy] of the configuration puts such packages into a pool"
        }
        Doubt::Private | Doubt::Moves => "",
    }
}

/// Why something is archived, for programs and for users.
fn of_reason(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::OwnManifest => ("own_manifest", "it has a path that archives have for themselves"),
        Reason::Skipped => ("skipped", "a --skip pattern matches it"),
        Reason::TooSmall => ("too_small", "it is smaller than --min-size"),
        Reason::Holes => ("holes", "it has holes, which no package gives back"),
        Reason::Inexpressible => {
            ("inexpressible", "the list for the other tool cannot express its name")
        }
        Reason::Empty => ("empty", "it is empty"),
        Reason::NoFile => (
            "no_file",
            "it is no regular file: left out only where a package has the same among the files around it",
        ),
        Reason::Unknown => (
            "unknown",
            "no known package has it. If a public package does, index it: `hashget index URL`, or \
             `hashget index --tree DIR` for all that the detectors find",
        ),
        Reason::WeakEvidence => ("weak_evidence", "the packages that have it are not relied on"),
        Reason::Expired => ("expired", "the packages that have it are not relied on"),
        Reason::PlaceNotProven => (
            "place_not_proven",
            "it is not certain that the packages that have it come back from their URLs",
        ),
        Reason::NotWorth => (
            "not_worth",
            "downloading its packages costs more than they save (see --max-fetch-ratio)",
        ),
        Reason::DuplicatePath => (
            "duplicate_path",
            "several members of its package have that path: which one counts depends on the reader",
        ),
        Reason::VersionOne => {
            ("version_one", "version 1 of the manifest cannot say that a package gives it back")
        }
    }
}

/// Why something is not in the backup.
fn of_absence(absence: Absence) -> (&'static str, &'static str) {
    match absence {
        Absence::Excluded => (
            "excluded",
            "a pattern matches (--exclude, the configuration's `exclude`, or the defaults for /)",
        ),
        Absence::Regenerable(_) => ("regenerable", "a profile names it (--profile)"),
        Absence::OfCache => {
            ("cache", "a CACHEDIR.TAG marks a cache here; the tag itself is packed")
        }
        Absence::OfMarkedFolder => (
            "marked_folder",
            "a file beside it excludes it (--exclude-if-present); that file is packed",
        ),
        Absence::TooLarge => ("too_large", "it is too large (--exclude-larger-than)"),
        Absence::NoDump => ("no_dump", "it has the flag \"no dump\" (--respect-nodump)"),
        Absence::OtherFileSystem => {
            ("other_file_system", "another file system is mounted here; its folder is packed")
        }
        Absence::Socket => ("socket", "a socket exists only while its program runs"),
        Absence::Unreadable => ("unreadable", "it cannot be read"),
        Absence::Missing => ("missing", "it is not there"),
    }
}
