//! `hashget backup check`: compares what destinations hold with the records.
//!
//! Invariant: "checked" is said only of what was compared, and how.

mod beside;
pub(in crate::commands) mod bytes;
mod supplements;

use std::io::Read as _;

use clap::Args;
use hashget::classify::class_of;
use hashget::error::ErrorClass;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::wording::messages;
use hashget_backup::encryption::{START, is_archive};
use hashget_backup::inventory::{Held, inventory};
use hashget_backup::retention::{Circumstances, Keep};
use hashget_backup::run::Destination;
use hashget_backup::series::Series;
use hashget_backup::shell::quoted;
use hashget_backup::store::{Store, StoreError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use self::bytes::{Bytes, read};
use super::destinations::{of_job, problem};
use super::jobs;
use crate::environment::Environment;
use crate::output::counted;
use crate::stores::classed;

/// Compare what the destinations hold with the records of the archives
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Jobs; all if none is given
    #[arg(value_name = "JOB")]
    names: Vec<String>,

    /// Read every byte of every archive, too
    #[arg(long)]
    read: bool,
}

/// What was found.
#[derive(Default)]
struct Checked {
    archives: u64,
    /// Of how many every byte was read.
    read: u64,
    wrong: u64,
    /// Archives whose parity is missing, or not as recorded.
    without_parity: u64,
    /// Supplements that were read, and are whole.
    supplements: u64,
    /// Supplements that are not.
    wrong_supplements: u64,
    /// Archives that could not be read to their end, so that nobody knows how they are.
    unread: u64,
    /// Destinations that could not be listed.
    unseen: u64,
    /// Of each destination whose newest archive is encrypted: did an identity open it?
    opened: Vec<Opened>,
}

/// Does an identity open an archive?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opened {
    Yes,
    No,
    /// No identity was given.
    NotTried,
    /// The archive could not be read.
    NotRead,
}

/// Archives in a row that a destination elsewhere may fail to give until no further one is asked for: each takes as long as
/// one waits for a network.
const MOST_UNREAD: u32 = 2;

/// What was seen of an archive.
struct Seen {
    /// What differs from its record.
    difference: Option<String>,
    /// Is that what it needs, and not itself?
    is_of_base: bool,
    /// Was every byte of it read?
    is_read: bool,
    /// What differs of its parity.
    parity_difference: Option<String>,
    /// Why not every byte could be read.
    unread: Option<Unread>,
}

/// Why an archive was not read.
enum Unread {
    /// This happened.
    Failed(String),
    /// The destination did not give those before.
    NotAsked,
}

impl Unread {
    fn text(&self) -> &str {
        match self {
            Self::Failed(text) => text,
            Self::NotAsked => {
                "not asked for, since the destination did not give those before: check again when it answers"
            }
        }
    }
}

impl Check {
    pub(super) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        let mut checked = Checked::default();
        for job in jobs(&self.names, environment)? {
            let series = Series::new(&job.host, &job.name)?;
            for destination in of_job(&job, environment)? {
                self.check(&destination, &series, &job.keep, &mut checked, environment)?;
            }
        }
        let how = match (self.read, checked.archives - checked.read) {
            (true, 0) => "every byte read".to_owned(),
            (true, _) => format!("every byte of {} read", checked.read),
            _ => "by size, and by checksum where the destination tells one".to_owned(),
        };
        let archives = counted(checked.archives, "archive", "archives");
        let mut line = format!("{archives} checked ({how}), {} not as recorded", checked.wrong);
        for (count, what) in [
            (checked.without_parity, "without the recorded parity"),
            (checked.unread, "could not be read"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        if checked.wrong_supplements > 0 {
            let damaged = counted(checked.wrong_supplements, "supplement", "supplements");
            line.push_str(&format!(", {damaged} damaged"));
        }
        let lines: Vec<String> = [line].into_iter().chain(keys_line(&checked.opened)).collect();
        let of = |opened: Opened| checked.opened.iter().filter(|one| **one == opened).count();
        let record = json!({
            "archives": checked.archives,
            "wrong": checked.wrong,
            "without_parity": checked.without_parity,
            "unread": checked.unread,
            "supplements": checked.supplements,
            "wrong_supplements": checked.wrong_supplements,
            "unreachable": checked.unseen,
            "not_opened": of(Opened::No),
            "not_tried_to_open": of(Opened::NotTried) + of(Opened::NotRead),
        });
        environment.console.summary("backup check", record, &lines)?;
        Ok(())
    }

    /// Compares what one destination holds of a series.
    fn check(
        &self,
        destination: &Destination,
        series: &Series,
        keep: &Keep,
        checked: &mut Checked,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let (store, monitor): (_, &dyn Monitor) = (&*destination.store, environment.console);
        let found = match inventory(store, &|found| found == series, environment.console) {
            Ok(found) => found,
            Err(error @ StoreError::Unsupported { .. }) => {
                monitor.problem(ProblemKind::Note, store.shown(), problem(store, &error));
                return Ok(());
            }
            Err(error) => {
                monitor.check_interrupted()?;
                checked.unseen += 1;
                monitor.problem(ProblemKind::Unreachable, store.shown(), problem(store, &error));
                return Ok(());
            }
        };
        let circumstances = Circumstances::at(Timestamp::now(), TimeZone::system());
        for (remains, gone) in found.gone(keep, &circumstances) {
            beside::check_remains(destination, remains, gone, checked, environment)?;
        }
        let mut differing: Vec<String> = Vec::new();
        let (mut unread, mut not_asked) = (0, 0);
        // What others need is older than they are, and comes before them.
        for held in &found.held {
            let is_silent = destination.folder.is_none() && unread >= MOST_UNREAD;
            let seen = self.seen(destination, held, &differing, is_silent, environment)?;
            match &seen.unread {
                Some(Unread::NotAsked) => not_asked += 1,
                Some(Unread::Failed(_)) => unread += 1,
                None if seen.is_read => unread = 0,
                None => {}
            }
            checked.archives += 1;
            checked.read += u64::from(seen.is_read);
            checked.unread += u64::from(seen.unread.is_some());
            checked.without_parity += u64::from(seen.parity_difference.is_some());
            if seen.difference.is_some() {
                differing.push(held.name.to_string());
            }
            self.reported(destination, held, &seen, environment)?;
            if seen.is_read {
                beside::check_copy(destination, held, environment);
            }
            monitor.check_interrupted()?;
        }
        if not_asked > 0 {
            let archives = counted(not_asked, "further archive", "further archives");
            let problem = format!("{archives} {}", Unread::NotAsked.text());
            monitor.problem(ProblemKind::Unreachable, store.shown(), problem);
        }
        checked.wrong += differing.len() as u64;
        if self.read {
            supplements::check(destination, &found, checked, environment)?;
        }
        let newest = found.held.iter().max_by_key(|held| held.name.started());
        if let Some(held) = newest.filter(|held| held.name.is_encrypted()) {
            checked.opened.push(opens(store, held, environment)?);
        }
        Ok(())
    }

    /// Compares an archive and its parity with the record; also if `differing` has what it needs. Of a destination that is
    /// silent no byte is read.
    fn seen(
        &self,
        destination: &Destination,
        held: &Held,
        differing: &[String],
        is_silent: bool,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Seen> {
        let mut seen = Seen {
            difference: held.difference(),
            is_of_base: held.lacks.is_some() && held.difference() == held.lacks,
            is_read: false,
            parity_difference: held.parity_difference(),
            unread: None,
        };
        if let Ok(record) = held.record.as_ref()
            && self.read
        {
            let console = environment.console;
            // What it lacks says nothing of its own bytes.
            let is_of_use = seen.difference.is_none() || seen.is_of_base;
            if is_silent && is_of_use {
                seen.unread = Some(Unread::NotAsked);
            } else if is_of_use {
                match read(destination, &held.name.to_string(), &record.sealed(), console)? {
                    Bytes::AsRecorded => seen.is_read = true,
                    Bytes::Others { text, is_read } => {
                        (seen.is_read, seen.is_of_base) = (is_read, false);
                        seen.difference = Some(text);
                    }
                    Bytes::Unread(text) => seen.unread = Some(Unread::Failed(text)),
                }
            }
            // Where the archive could not be read, its parity would be waited for in vain.
            if let (None, None, Some(expected)) =
                (&seen.unread, &seen.parity_difference, &record.parity)
            {
                match read(destination, &held.name.parity(), expected, console)? {
                    Bytes::AsRecorded => {}
                    Bytes::Others { text, .. } => seen.parity_difference = Some(text),
                    Bytes::Unread(text) => seen.unread = Some(Unread::Failed(text)),
                }
            }
        }
        let base = held.base().filter(|base| differing.iter().any(|name| name == base));
        if let (None, Some(base)) = (&seen.difference, base) {
            seen.difference = Some(format!("it needs {base}, which is not as recorded"));
            seen.is_of_base = true;
        }
        Ok(seen)
    }

    /// Says what was seen of an archive, and what to do.
    fn reported(
        &self,
        destination: &Destination,
        held: &Held,
        seen: &Seen,
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let (console, shown) = (environment.console, destination.store.shown());
        let problem = |kind, message: String| {
            let object = format!("{} in {shown}", held.name);
            (console as &dyn Monitor).problem(kind, object, message);
        };
        let repair = destination.folder.as_ref().filter(|_| held.parity.is_some()).map(|folder| {
            let path = folder.join(held.name.to_string());
            format!("hashget repair {}", quoted(&path.to_string_lossy()))
        });
        if let Some(difference) = &seen.difference {
            let kind = match held.record {
                Ok(_) => ProblemKind::Verification,
                Err(_) => ProblemKind::Incomplete,
            };
            let is_its_own = held.record.is_ok() && !seen.is_of_base;
            let heals = repair.as_ref().filter(|_| is_its_own).map(|command| {
                format!("; `{command}` heals it from its parity, if that has enough")
            });
            problem(kind, format!("{difference}{}", heals.unwrap_or_default()));
        }
        if let Some(difference) = &seen.parity_difference {
            let kind = match held.parity {
                Some(_) => ProblemKind::Verification,
                None => ProblemKind::Incomplete,
            };
            let renews = repair.map(|command| {
                format!("; `{command}` makes it anew if some of it can still be used; otherwise, copy it from another destination")
            });
            problem(kind, format!("{difference}{}", renews.unwrap_or_default()));
        }
        // How many were not asked for is said once for all.
        if let Some(Unread::Failed(text)) = &seen.unread {
            problem(ProblemKind::Unreachable, text.clone());
        }
        let record = json!({
            "name": held.name.to_string(),
            "destination": shown,
            "compared": compared(held, seen.is_read),
            "difference": seen.difference,
            "parity_difference": seen.parity_difference,
            "unread": seen.unread.as_ref().map(Unread::text),
        });
        Ok(console.record("archive", record)?)
    }
}

/// Does an identity open an encrypted archive? That it does not is reported.
fn opens(store: &dyn Store, held: &Held, environment: &Environment<'_>) -> anyhow::Result<Opened> {
    if !environment.has_identity() {
        return Ok(Opened::NotTried);
    }
    let monitor: &dyn Monitor = environment.console;
    let Err(error) = begins_as_an_archive(store, &held.name.to_string(), environment) else {
        return Ok(Opened::Yes);
    };
    monitor.check_interrupted()?;
    let (kind, opened) = match class_of(error.as_ref()) {
        Some(ErrorClass::Unreachable | ErrorClass::Refused) => {
            (ProblemKind::Unreachable, Opened::NotRead)
        }
        _ => (ProblemKind::Verification, Opened::No),
    };
    let object = format!("{} in {}", held.name, store.shown());
    monitor.problem(kind, object, messages(error.as_ref()).join(": "));
    Ok(opened)
}

/// Decrypts the beginning of an archive, and looks whether it is one.
fn begins_as_an_archive(
    store: &dyn Store,
    name: &str,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let source = store.open(name, environment.console).map_err(classed)?;
    let mut first = Vec::new();
    environment.decrypted(source, name)?.take(START as u64).read_to_end(&mut first)?;
    anyhow::ensure!(is_archive(&first), "what comes out of it is no archive");
    Ok(())
}

/// What is said of whether the newest archives can be decrypted, if any is encrypted.
fn keys_line(opened: &[Opened]) -> Option<String> {
    let count = |of: Opened| opened.iter().filter(|one| **one == of).count();
    if opened.is_empty() {
        return None;
    }
    if count(Opened::NotTried) > 0 {
        let line =
            "Nobody looked whether an identity opens the newest archive: give one with --identity";
        return Some(line.to_owned());
    }
    let (open, of) = (count(Opened::Yes), opened.len());
    let mut line =
        format!("The newest archive is decrypted by the identity in {open} of {of} destinations");
    match count(Opened::NotRead) {
        0 => {}
        unread => line.push_str(&format!("; in {unread} it could not be read")),
    }
    Some(line)
}

/// By what an archive was compared.
fn compared(held: &Held, is_read: bool) -> &'static str {
    match held.record {
        Err(_) => "nothing",
        Ok(_) if is_read => "bytes",
        Ok(_) if held.sha256.is_some() => "checksum",
        Ok(_) => "size",
    }
}
