//! `hashget db`: shows and changes the contents of the HashDB.
//!
//! Invariant: only packages that were selected explicitly are removed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hashget::hashdb::{Check, Checks as _, HashDb as _, HashDbWriter as _, LocalHashDb, PackageId};
use hashget::keeping::keeping;
use hashget::model::{Kind, Member, PackageRecord, total_bytes};
use hashget::places::Standing;
use hashget::wording::one_line;
use serde_json::json;

use self::set::Assignment;
use self::spec::PackageSpec;
use crate::environment::Environment;
use crate::output::{columns, counted, day, safe, size};
use crate::publishers;

mod export_import;
mod set;
pub(super) mod spec;
mod verify;

/// Show, edit, check and exchange the contents of the HashDB
#[derive(Debug, Args)]
pub(crate) struct Db {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show where the HashDB is and how much it knows
    Status,
    /// List packages
    List(Picked),
    /// Show packages and their contents
    #[command(group = clap::ArgGroup::new("picked").required(true).multiple(true).args(["package", "project"]))]
    Show(Picked),
    /// Remove packages from the HashDB; indexing them adds them again
    #[command(group = clap::ArgGroup::new("picked").required(true).multiple(true).args(["package", "project"]))]
    Remove(Picked),
    /// Set the project and the expiry date of packages
    #[command(group = clap::ArgGroup::new("picked").required(true).multiple(true).args(["package", "project"]))]
    Set {
        #[command(flatten)]
        picked: Picked,
        /// project=NAME or expires=YYYY-MM-DD; an empty value removes it
        #[arg(value_name = "FIELD=VALUE", required = true, value_parser = set::parse)]
        assignments: Vec<Assignment>,
    },
    /// Check the HashDB, and read packages in the cache and in pools again
    Verify(Picked),
    /// Export packages as lines of JSON; the name of FILE chooses the compression
    Export {
        #[command(flatten)]
        picked: Picked,
        /// File to write; .gz, .zst and .xz are compressed; `-` is standard output
        #[arg(short, long, value_name = "FILE|-")]
        output: PathBuf,
    },
    /// Import exports, and HashPackage files and folders of the older Python tool
    Import {
        /// Exports, HashPackage files or folders of them; `-` is an export on standard input
        #[arg(value_name = "FILE|DIR|-", required = true)]
        paths: Vec<PathBuf>,
        /// Trust the exports: packages keep the evidence that they had there
        #[arg(long)]
        trust: bool,
    },
}

/// Which packages.
#[derive(Debug, Args)]
struct Picked {
    /// URL, file name, sig:TYPE:VALUE, expired, expired:YYYY-MM-DD or all; repeatable
    #[arg(long, value_name = "SPEC", value_parser = spec::parse)]
    package: Vec<PackageSpec>,

    /// Only packages of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

type Packages = Vec<(PackageId, PackageRecord)>;

impl Db {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let hashdb = &*environment.local_hashdb()?;
        match &self.action {
            Action::Status => status(hashdb, environment),
            Action::List(picked) => list(&picked.packages(hashdb)?, environment),
            Action::Show(picked) => {
                let packages = picked.packages(hashdb)?;
                picked.expect_some(&packages)?;
                show(hashdb, &packages, environment)
            }
            Action::Remove(picked) => {
                let packages = picked.packages(hashdb)?;
                picked.expect_some(&packages)?;
                remove(hashdb, &packages, environment)
            }
            Action::Set { picked, assignments } => {
                let packages = picked.packages(hashdb)?;
                picked.expect_some(&packages)?;
                set::set(hashdb, &packages, assignments, environment)
            }
            Action::Verify(picked) => {
                verify::verify(hashdb, &picked.packages(hashdb)?, environment)
            }
            Action::Export { picked, output } => {
                export_import::export(hashdb, &picked.packages(hashdb)?, output, environment)
            }
            Action::Import { paths, trust } => {
                export_import::import(hashdb, paths, *trust, environment)
            }
        }
    }
}

impl Picked {
    /// The packages of the project that are selected by any of the specs, sorted by URL.
    fn packages(&self, hashdb: &LocalHashDb) -> anyhow::Result<Packages> {
        let today = jiff::Zoned::now().date().to_string();
        let mut packages = hashdb.list()?;
        packages.retain(|(_, record)| {
            let picked = self.package.is_empty()
                || self.package.iter().any(|spec| spec.picks(record, &today));
            picked && (self.project.is_none() || record.project == self.project)
        });
        Ok(packages)
    }

    fn expect_some(&self, packages: &Packages) -> anyhow::Result<()> {
        let asked: Vec<String> = self.package.iter().map(ToString::to_string).collect();
        let project = self.project.as_ref().map(|name| format!(" in project {name}"));
        anyhow::ensure!(
            !packages.is_empty(),
            "no package matches {}{}: `hashget db list` shows what there is",
            if asked.is_empty() { "all".to_owned() } else { asked.join(", ") },
            project.unwrap_or_default()
        );
        Ok(())
    }
}

fn status(hashdb: &LocalHashDb, environment: &Environment<'_>) -> anyhow::Result<()> {
    let status = hashdb.status()?;
    let console = environment.console;
    let record = json!({
        "location": status.location,
        "schema": status.schema,
        "packages": status.packages,
        "digests": status.digests,
        "package_bytes": status.package_bytes,
        "disk_bytes": status.disk_bytes,
    });
    let publishers = publisher_lines(environment)?;
    let rows = [
        ["HashDB", &safe(&status.location)],
        ["Schema", &format!("version {}", status.schema)],
        ["Packages", &counted(status.packages, "package", "packages")],
        ["Digests", &counted(status.digests, "different file", "different files")],
        ["Downloads", &format!("{} for all packages together", size(status.package_bytes))],
        ["On disk", &size(status.disk_bytes)],
    ];
    if !console.is_json() {
        let rows = rows.iter().map(|row| row.map(str::to_owned).to_vec());
        for line in columns("ll", &rows.chain(publishers).collect::<Vec<_>>()) {
            console.line(&line)?;
        }
    }
    console.summary("db status", record, &[])?;
    Ok(())
}

/// What is remembered of each publisher: how many editions it has, and when the last one was signed.
fn publisher_lines(environment: &Environment<'_>) -> anyhow::Result<Vec<Vec<String>>> {
    let mut lines = Vec::new();
    for (url, remembered) in publishers::remembered(environment)? {
        let (told, known) = match &remembered {
            Ok(None) => ("not asked yet".to_owned(), None),
            Ok(Some(known)) => {
                let signed = known.signed_at.map_or("at no known time".to_owned(), day);
                let lie = known.lie.as_ref().map(|lie| format!("; not relied on: {}", safe(lie)));
                let told = format!("edition {}, signed {signed}", known.size);
                (format!("{told}{}", lie.unwrap_or_default()), Some(known))
            }
            Err(error) => (one_line(error), None),
        };
        environment.console.record(
            "publisher",
            json!({
                "url": url,
                "editions": known.map(|known| known.size),
                "signed_at": known.and_then(|known| known.signed_at),
                "asked_at": known.map(|known| known.seen_at),
                "lie": known.and_then(|known| known.lie.clone()),
            }),
        )?;
        lines.push(vec!["Publisher".to_owned(), format!("{}: {told}", safe(&url))]);
    }
    Ok(lines)
}

fn list(packages: &Packages, environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    let row = |(_, record): &(PackageId, PackageRecord)| {
        vec![
            size(record.size),
            day(record.indexed_at),
            record.evidence.to_string(),
            record.project.as_deref().map_or("-".to_owned(), safe),
            safe(record.display_name()),
            safe(&record.url),
        ]
    };
    let mut rows: Vec<Vec<String>> = vec![
        ["SIZE", "INDEXED", "EVIDENCE", "PROJECT", "PACKAGE", "URL"].map(str::to_owned).to_vec(),
    ];
    rows.extend(packages.iter().map(row));
    let lines = columns("rlllll", &rows);
    if !console.is_json() && !packages.is_empty() {
        console.line(&lines[0])?;
    }
    console.in_bulk(|| {
        for (line, (_, record)) in lines.iter().skip(1).zip(packages) {
            console.data(|| line.clone(), "package", || record)?;
        }
        Ok(())
    })?;
    let number = u64::try_from(packages.len()).unwrap_or(u64::MAX);
    let bytes: u64 = total_bytes(packages.iter().map(|(_, record)| record.size));
    let line = format!("{}, {}", counted(number, "package", "packages"), size(bytes));
    console.summary("db list", json!({ "packages": number, "package_bytes": bytes }), &[line])?;
    Ok(())
}

fn show(
    hashdb: &LocalHashDb,
    packages: &Packages,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let mut total = 0usize;
    for (id, record) in packages {
        let members = hashdb.members(*id)?;
        total += members.len();
        console.record("package", record)?;
        if !console.is_json() {
            let checks = hashdb.checks(&[record.sha256])?.pop().unwrap_or_default();
            for line in columns("ll", &facts(record, &checks)) {
                console.line(&line)?;
            }
        }
        console.in_bulk(|| {
            for member in &members {
                console.data(|| member_line(member), "member", || member_record(record, member))?;
            }
            Ok(())
        })?;
        if !console.is_json() {
            console.line("")?;
        }
    }
    let record = json!({ "packages": packages.len(), "members": total });
    console.summary("db show", record, &[])?;
    Ok(())
}

/// The record of a package, as rows of a table.
fn facts(record: &PackageRecord, checks: &[Check]) -> Vec<Vec<String>> {
    let mut facts = vec![("url", safe(&record.url))];
    facts.extend(record.also.iter().map(|url| ("also", safe(url))));
    facts.push(("sha256", record.sha256.to_string()));
    facts.push(("size", format!("{} ({} bytes)", size(record.size), record.size)));
    facts.push(("format", safe(&record.format)));
    facts.extend(
        record.signatures.iter().map(|signature| ("signature", safe(&signature.to_string()))),
    );
    facts.extend(record.project.iter().map(|project| ("project", safe(project))));
    facts.extend(record.expires.iter().map(|expires| ("expires", safe(expires))));
    facts.push(("indexed", day(record.indexed_at)));
    let passed_over = counted(record.passed_over, "member", "members");
    facts.extend((record.passed_over > 0).then_some(("passed over", passed_over)));
    facts.push(("evidence", record.evidence.to_string()));
    facts.extend(record.publisher.iter().map(|publisher| ("publisher", safe(publisher))));
    facts.extend(record.vouched.then(|| ("vouched", "yes".to_owned())));
    facts.push(("origin", record.origin.to_string()));
    facts.extend(record.trees.iter().map(|tree| ("tree", safe(tree))));
    facts.push(("keeping", keeping(record).to_string()));
    for url in record.urls() {
        let standing = Standing::new(checks, url);
        let mut place = standing.place(record.is_vouched_at(url)).to_string();
        let dated = [("seen", standing.seen_at), ("not there", standing.lost_at)];
        for (what, at) in dated {
            place.push_str(&at.map(|at| format!(", {what} {}", day(at))).unwrap_or_default());
        }
        if standing.moves {
            place.push_str(", gives other bytes from time to time");
        }
        facts.push(("place", format!("{place}: {}", safe(url))));
    }
    facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}

fn member_line(member: &Member) -> String {
    let digest = member.sha256.map_or_else(|| "-".to_owned(), |digest| digest.to_string());
    let target = match &member.kind {
        Kind::Symlink { target } => format!(" -> {}", hashget::model::escaped(target)),
        Kind::HardLink { target } => format!(" link to {target}"),
        _ => String::new(),
    };
    let letter = member.kind.letter();
    format!("{letter} {:>12} {digest:<64} {}{target}", member.size(), member.path)
}

fn member_record(record: &PackageRecord, member: &Member) -> serde_json::Value {
    let target = match &member.kind {
        Kind::Symlink { target } => Some(hashget::model::escaped(target)),
        Kind::HardLink { target } => Some(target.to_string()),
        _ => None,
    };
    json!({
        "url": record.url,
        "path": member.path,
        "kind": member.kind.letter(),
        "size": member.size(),
        "sha256": member.sha256,
        "target": target,
    })
}

fn remove(
    hashdb: &LocalHashDb,
    packages: &Packages,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let mut removed = 0;
    for (id, record) in packages {
        if hashdb.remove(*id)? {
            removed += 1;
            console.record("removed", json!({ "url": record.url }))?;
            console.detail(&format!("Forgot {}", safe(&record.url)));
        }
    }
    let mut line = format!("{} removed from the HashDB", counted(removed, "package", "packages"));
    // Removed is removed, even if the file cannot be written anew.
    let freed = hashdb.give_back().unwrap_or_else(|error| {
        console.warn(&format!("the room of the removed packages stays in the file: {error}"));
        0
    });
    if freed > 0 {
        line.push_str(&format!(", which is {} smaller now", size(freed)));
    }
    console.summary("db remove", json!({ "removed": removed, "freed_bytes": freed }), &[line])?;
    Ok(())
}
