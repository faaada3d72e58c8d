//! `hashget db set`: fields of packages that the user sets.
//!
//! Invariant: data read from a package never changes: its URL, digests, members and evidence.

use std::fmt;

use hashget::hashdb::{HashDbError, HashDbWriter};
use hashget::model::PackageRecord;
use serde_json::json;

use super::Packages;
use crate::environment::Environment;
use crate::output::{counted, safe};
use crate::values;

/// A field and its new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Assignment {
    /// `project=NAME`, or `project=` to remove it.
    Project(Option<String>),
    /// `expires=YYYY-MM-DD`, or `expires=` to remove it.
    Expires(Option<String>),
}

/// Parses `FIELD=VALUE`.
pub(super) fn parse(text: &str) -> Result<Assignment, String> {
    let some = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    match text.split_once('=') {
        Some(("project", name)) => Ok(Assignment::Project(some(name))),
        Some(("expires", "")) => Ok(Assignment::Expires(None)),
        Some(("expires", day)) => values::date(day).map(|day| Assignment::Expires(Some(day))),
        _ => Err("expected project=NAME or expires=YYYY-MM-DD; nothing after the = takes it away"
            .to_owned()),
    }
}

impl Assignment {
    fn apply(&self, record: &mut PackageRecord) {
        match self {
            Self::Project(project) => record.project.clone_from(project),
            Self::Expires(expires) => record.expires.clone_from(expires),
        }
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value) = match self {
            Self::Project(value) => ("project", value),
            Self::Expires(value) => ("expires", value),
        };
        write!(f, "{name}={}", value.as_deref().unwrap_or(""))
    }
}

pub(super) fn set(
    hashdb: &dyn HashDbWriter,
    packages: &Packages,
    assignments: &[Assignment],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let mut changed = 0_u64;
    for (id, record) in packages {
        let apply = |record: &mut PackageRecord| {
            assignments.iter().for_each(|assignment| assignment.apply(record));
        };
        let new = hashdb.amend(*id, &apply)?.ok_or(HashDbError::Replaced)?;
        if new != *record {
            changed += 1;
            console.detail(&format!("Changed {}", safe(&new.url)));
        }
        console.record("package", &new)?;
    }
    let line = format!("{} changed", counted(changed, "package", "packages"));
    console.summary("db set", json!({ "changed": changed }), &[line])?;
    Ok(())
}
