//! `hashget find`: which archives have an entry, and in which version.
//!
//! Invariant: archives are only read, one after the other; nothing is fetched without `--fetch`.

use std::path::{Path, PathBuf};

use clap::Args;
use hashget::archive::{Requirements, Selection};
use hashget::model::{Digest, RelPath};
use hashget::monitor::{Monitor, ProblemKind};

use super::list::{line, record};
use crate::archive::{self, Knowledge};
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{counted, safe};

/// Find an entry in one archive or several: by its path, a glob, or the digest of its contents
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget find /backup/*.tar.zst ./etc/fstab\n         \
                        hashget find /backup sha256:HEX")]
pub(crate) struct Find {
    /// Archives, their URLs, or folders of archives; and last, what to find: a PATH or GLOB as for `list`, or sha256:HEX
    #[arg(value_name = "ARCHIVE ... PATH|GLOB|sha256:HEX", num_args = 2.., required = true)]
    arguments: Vec<PathBuf>,

    /// Fetch packages whose files are not known otherwise
    #[arg(long)]
    fetch: bool,
}

/// What is looked for.
enum What {
    Digest(Digest),
    Paths(Box<Selection>),
}

impl What {
    fn parse(text: &Path) -> anyhow::Result<Self> {
        let Some(text) = text.to_str() else {
            let wrong = "what is to be found is not UTF-8: give a glob with ? for the odd bytes";
            return Err(UsageError(wrong.to_owned()).into());
        };
        match text.strip_prefix("sha256:") {
            Some(hex) => Ok(Self::Digest(
                hex.parse().map_err(|error| UsageError(format!("{}: {error}", safe(text))))?,
            )),
            None => Ok(Self::Paths(Box::new(Selection::new(&[text.to_owned()], &[])?))),
        }
    }

    fn is(&self, path: &RelPath, sha256: Option<Digest>) -> bool {
        match self {
            Self::Digest(wanted) => sha256 == Some(*wanted),
            Self::Paths(selection) => selection.has(path),
        }
    }

    fn may_lie_in(&self, to: &[u8]) -> bool {
        match self {
            Self::Digest(_) => true,
            Self::Paths(selection) => selection.may_have(to),
        }
    }
}

impl Find {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let console = environment.console;
        let Some((what, places)) = self.arguments.split_last() else { return Ok(()) };
        let wanted = What::parse(what)?;
        let archives = archive::archives(places)?;
        let mut knowledge = Knowledge::new(environment, self.fetch)?;
        if matches!(wanted, What::Digest(_)) {
            knowledge = knowledge.with_digests();
        }
        let (mut found, mut unknown) = (0_u64, 0_u64);
        for archive in &archives {
            let (entries, is_known) = search(archive, &wanted, &knowledge, environment)?;
            found += entries;
            unknown += u64::from(!is_known);
        }
        let body = serde_json::json!({
            "archives": archives.len(),
            "found": found,
            "not_known_completely": unknown,
        });
        let mut lines = Vec::new();
        if unknown > 0 {
            let archives = counted(unknown, "archive", "archives");
            lines.push(format!(
                "Of {archives} not all files of packages are known: find with --fetch"
            ));
        }
        if found == 0 {
            let why = match unknown {
                0 => "found in none of the archives",
                _ => "not found among what is known; with --fetch everything is",
            };
            let monitor: &dyn Monitor = console;
            monitor.problem(ProblemKind::Incomplete, safe(&what.to_string_lossy()), why);
        }
        console.summary("find", body, &lines)?;
        Ok(())
    }
}

/// Prints what is found in an archive: how many entries, and whether all that could be there is known.
fn search(
    archive: &Path,
    wanted: &What,
    knowledge: &Knowledge,
    environment: &Environment<'_>,
) -> anyhow::Result<(u64, bool)> {
    let console = environment.console;
    let (manifest, stored) = archive::contents(archive, environment)?;
    let requirements = Requirements::from_manifest(&manifest)?;
    let may_lie_in = |to: &[u8]| wanted.may_lie_in(to);
    let listing = knowledge.list(&manifest, stored, &may_lie_in, environment)?;
    let (mut found, mut is_known) = (0, listing.unnamed().is_empty());
    let name = archive.to_string_lossy();
    console.in_bulk(|| {
        for listed in listing.entries() {
            (console as &dyn Monitor).check_interrupted()?;
            let listed = listed?;
            let is_file = listed.entry.kind.letter() == "f";
            is_known &=
                !(is_file && listed.entry.sha256.is_none() && matches!(wanted, What::Digest(_)));
            if !wanted.is(&listed.entry.path, listed.entry.sha256) {
                continue;
            }
            found += 1;
            let line = || format!("{}: {}", safe(&name), line(&listed, &requirements, false));
            let body = || {
                let mut body = record(&listed, &requirements);
                body["archive"] = name.clone().into();
                body
            };
            console.data(line, "found", body)?;
        }
        Ok((found, is_known))
    })
}
