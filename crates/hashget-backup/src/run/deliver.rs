//! Archives sent to their destinations, to all of them at the same time.
//!
//! Invariant: the record of an archive is sent last, so that a record means an archive that was compared, whose parity is there if
//! it can be. An archive does not depend on its parity.

use std::time::Duration;

use hashget::monitor::{Monitor, ProblemKind};

use super::spool::Spooled;
use crate::store::{Compared, Sending, Store, StoreError};

/// What became of an archive in a destination.
#[derive(Debug)]
pub struct Delivery {
    /// The destination, as it is called in messages.
    pub destination: String,
    /// How the archive there was compared, if this send has done it; or why it is not there.
    pub result: Result<Option<Compared>, StoreError>,
    /// Why its parity is not there, although the archive is.
    pub no_parity: Option<StoreError>,
}

impl Delivery {
    /// Is everything there?
    pub fn is_complete(&self) -> bool {
        self.result.is_ok() && self.no_parity.is_none()
    }
}

/// On which terms archives are sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// The most bytes that are sent to one destination in a second.
    pub bytes_per_second: Option<u64>,
    /// How long after its start nobody is to be able to remove an archive.
    pub lock: Option<Duration>,
}

impl Terms {
    /// The time until which an archive is to be locked, in seconds since 1970.
    fn lock_until(&self, spooled: &Spooled) -> Option<i64> {
        let seconds = i64::try_from(self.lock?.as_secs()).ok()?;
        spooled.name.started().as_second().checked_add(seconds)
    }
}

/// Sends an archive to those destinations that do not have it yet, and its parity alone to those that lack nothing else. What fails
/// is reported, too.
pub fn deliver(
    spooled: &Spooled,
    destinations: &[&dyn Store],
    terms: Terms,
    monitor: &dyn Monitor,
) -> Vec<Delivery> {
    let send = |store: &dyn Store| {
        let destination = store.shown().to_owned();
        let is_sent = spooled.is_sent(&destination);
        let (result, no_parity) = match is_sent {
            true if spooled.is_parity_sent(&destination) => (Ok(None), None),
            true => (Ok(None), send_late_parity(spooled, store, terms, monitor).err()),
            false => match deliver_to(spooled, store, terms, monitor) {
                Ok((compared, no_parity)) => (Ok(Some(compared)), no_parity),
                Err(error) => (Err(error), None),
            },
        };
        // If something cannot be noted, the destination is asked the next time.
        if result.is_ok() && !is_sent {
            let _ = spooled.note_sent(&destination);
        }
        match (&result, &no_parity) {
            (Ok(_), None) if spooled.is_parity_sent(&destination) => {}
            (Ok(_), None) => {
                let _ = spooled.note_parity_sent(&destination);
            }
            (Ok(_), Some(error)) => {
                let message = format!("it is there without its parity: {error}");
                monitor.problem(ProblemKind::Unreachable, &spooled.name, message);
            }
            (Err(error), _) => monitor.problem(ProblemKind::Unreachable, &spooled.name, error),
        }
        Delivery { destination, result, no_parity }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            destinations.iter().map(|store| scope.spawn(|| send(*store))).collect();
        threads.into_iter().map(|thread| thread.join().expect("sending does not panic")).collect()
    })
}

/// Sends the archive, its parity, and its record; how the archive was compared, and why its parity is not there.
fn deliver_to(
    spooled: &Spooled,
    store: &dyn Store,
    terms: Terms,
    monitor: &dyn Monitor,
) -> Result<(Compared, Option<StoreError>), StoreError> {
    let archive = spooled.archive()?;
    let sealed = spooled.record.sealed();
    let name = spooled.name.to_string();
    let sending = Sending {
        file: archive.file(),
        bytes: sealed.bytes,
        sha256: &sealed.sha256,
        lock_until: terms.lock_until(spooled),
        bytes_per_second: terms.bytes_per_second,
    };
    let compared = send(store, &name, &sending, monitor)?;
    let no_parity = match send_parity(spooled, store, terms, monitor) {
        Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
        sent => sent.err(),
    };
    let (record, sealed) = spooled.record_file()?;
    let (bytes, sha256) = (sealed.bytes, &*sealed.sha256);
    let sending = Sending { file: record.file(), bytes, sha256, ..sending };
    send(store, &spooled.name.record(), &sending, monitor)?;
    Ok((compared, no_parity))
}

/// Sends the parity of an archive, if it has some.
fn send_parity(
    spooled: &Spooled,
    store: &dyn Store,
    terms: Terms,
    monitor: &dyn Monitor,
) -> Result<(), StoreError> {
    let Some(sealed) = &spooled.record.parity else { return Ok(()) };
    let parity = spooled.parity()?;
    let sending = Sending {
        file: parity.file(),
        bytes: sealed.bytes,
        sha256: &sealed.sha256,
        lock_until: terms.lock_until(spooled),
        bytes_per_second: terms.bytes_per_second,
    };
    send(store, &spooled.name.parity(), &sending, monitor).map(drop)
}

/// Sends the parity of an archive that was sent before. One that the destination does not have any more needs none.
fn send_late_parity(
    spooled: &Spooled,
    store: &dyn Store,
    terms: Terms,
    monitor: &dyn Monitor,
) -> Result<(), StoreError> {
    let name = spooled.name.to_string();
    let is_there = match store.list(monitor) {
        Err(StoreError::Unsupported { .. }) => true,
        listed => listed?.iter().any(|stored| stored.name == name),
    };
    if is_there { send_parity(spooled, store, terms, monitor) } else { Ok(()) }
}

/// Sends a file, unless the destination has it from an earlier try.
fn send(
    store: &dyn Store,
    name: &str,
    sending: &Sending<'_>,
    monitor: &dyn Monitor,
) -> Result<Compared, StoreError> {
    let taken = match store.send(name, sending, monitor) {
        Err(error @ StoreError::Taken { .. }) => error,
        ended => return ended,
    };
    let found = store.list(monitor)?.into_iter().find(|stored| stored.name == name);
    match found.filter(|stored| stored.bytes == sending.bytes) {
        Some(stored) if stored.sha256.as_deref() == Some(sending.sha256) => Ok(Compared::Checksum),
        Some(stored) if stored.sha256.is_none() => Ok(Compared::Size),
        _ => Err(taken),
    }
}
