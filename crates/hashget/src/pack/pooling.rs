//! Puts packages into a pool that are worth relying on, and have too few places for that without it.
//!
//! Invariant: a package counts as pooled only once the pool has it; what could not be put there is named, and its files are archived.

use std::sync::Mutex;

use super::known::{KnownPackage, Requirements};
use super::{PackError, Packer};
use crate::fetch::{AddError, Added, Wanted, add_all};
use crate::model::counted;
use crate::monitor::{Interrupted, Monitor, ProblemKind};
use crate::places::wanted;
use crate::wording::one_line;

impl Packer<'_> {
    /// Puts those of the `chosen` packages (by index) into the pool that are relied on only from there. Returns whether there were any.
    pub(super) fn pool(
        &self,
        known: &mut [KnownPackage],
        chosen: &[usize],
        requirements: &Requirements<'_>,
        monitor: &dyn Monitor,
    ) -> Result<bool, PackError> {
        let Some(pool) = &requirements.options().keep_in else { return Ok(false) };
        let helps = |index: &&usize| requirements.helps_to_pool(&known[**index]);
        let short: Vec<usize> = chosen.iter().filter(helps).copied().collect();
        if short.is_empty() {
            return Ok(false);
        }
        let wanted: Vec<Wanted> = short.iter().map(|&index| wanted(&known[index].record)).collect();
        let (added, failed) = (Mutex::new(0_u64), Mutex::new(Vec::<String>::new()));
        let done = |wanted: &Wanted, result: Result<Added, AddError>| {
            match result {
                Ok(_) => {
                    *added.lock().expect("counting does not panic") += 1;
                    wanted.sha256.into_iter().for_each(|sha256| requirements.is_pooled(sha256));
                }
                Err(error) => {
                    let name = wanted.name.as_deref().unwrap_or(&wanted.url);
                    let mut failed = failed.lock().expect("pushing does not panic");
                    failed.push(format!("{name}: {}", one_line(&error)));
                }
            }
            Ok::<(), Interrupted>(())
        };
        add_all(&**pool, self.source, &wanted, self.jobs, monitor, done)?;
        short.iter().for_each(|&index| known[index].is_pool_tried = true);
        let added = added.into_inner().expect("counting does not panic");
        let object = pool.shown().to_owned();
        let packages = |number| counted(number, "package", "packages");
        if added > 0 {
            let message = format!("{} put there, to have places enough", packages(added));
            monitor.problem(ProblemKind::Note, &object, message);
        }
        let failed = failed.into_inner().expect("pushing does not panic");
        if let Some(first) = failed.first() {
            let number = packages(failed.len() as u64);
            let message =
                format!("{number} could not be put there, and are not relied on ({first})");
            monitor.problem(ProblemKind::Incomplete, &object, message);
        }
        Ok(true)
    }
}
