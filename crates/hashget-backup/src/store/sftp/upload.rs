//! Sending one file to an SFTP server: under a temporary name, continued after a break, then renamed.
//!
//! Invariant: a temporary file is written to by one send at a time, and only a whole one is renamed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use hashget::monitor::Monitor;
use sha2::{Digest as _, Sha256};

use super::super::name::UNFINISHED;
use super::super::outgoing::{Outgoing, digest_of, read_exact_at};
use super::super::patience::Tries;
use super::super::{Compared, Sending, StoreError};
use super::SftpStore;
use super::protocol::{Attributes, open};
use super::requests::Handle;
use super::session::{AT_ONCE, Broken, PIECE, Session};

/// A temporary file that nobody has written to for so many seconds belongs to a send that broke off.
const LEFT_ALONE: u32 = 600;

/// Bytes at the beginning and at the end of an unfinished file that are compared before it is continued.
const LOOKED_AT: u64 = 64 * 1024;

/// Digits of the part of a temporary name that makes it unique.
const DIGITS: usize = 8;

/// What the file will be called that has this name while it is sent, `.NAME.DIGITS.part`; `None` if it is another name.
pub(super) fn stem_of(name: &str) -> Option<&str> {
    let (stem, digits) = name.strip_prefix('.')?.strip_suffix(UNFINISHED)?.rsplit_once('.')?;
    let is_ours = digits.len() == DIGITS
        && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    is_ours.then_some(stem)
}

/// A temporary name that nobody else has.
fn temporary_name(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let unique = format!("{} {count} {}", std::process::id(), time.as_nanos());
    let digits = hex::encode(Sha256::digest(unique));
    format!(".{name}.{}{UNFINISHED}", &digits[..DIGITS])
}

/// One file that is being sent.
pub(super) struct Upload<'s> {
    store: &'s SftpStore,
    name: &'s str,
    sending: &'s Sending<'s>,
    outgoing: &'s Outgoing<'s>,
    monitor: &'s dyn Monitor,
    /// The path of the file until it is whole.
    temporary: Vec<u8>,
    /// Was it made in an earlier try?
    is_begun: bool,
    /// Was the renaming asked for, in a try of which nobody knows what became of it?
    is_renamed: bool,
}

impl<'s> Upload<'s> {
    pub(super) fn new(
        store: &'s SftpStore,
        name: &'s str,
        sending: &'s Sending<'s>,
        outgoing: &'s Outgoing<'s>,
        monitor: &'s dyn Monitor,
    ) -> Self {
        let temporary = store.path(&temporary_name(name));
        let (is_begun, is_renamed) = (false, false);
        Self { store, name, sending, outgoing, monitor, temporary, is_begun, is_renamed }
    }

    /// Sends it.
    ///
    /// # Errors
    /// See [`super::super::Store::send`].
    pub(super) fn send(mut self) -> Result<Compared, StoreError> {
        let mut position = 0;
        let (digest, _) = digest_of(|buffer| {
            self.monitor.check_interrupted()?;
            let left = usize::try_from(self.sending.bytes - position).unwrap_or(usize::MAX);
            let count = buffer.len().min(left);
            read_exact_at(self.sending.file, &mut buffer[..count], position)?;
            position += count as u64;
            Ok::<_, StoreError>(count)
        })?;
        if digest != self.sending.sha256 {
            return Err(self.different(self.sending.sha256, &digest));
        }
        let store = self.store;
        let sent = store.talk(self.monitor, |session, tries| self.attempt(session, tries));
        let kept = |error: &StoreError| {
            matches!(error, StoreError::Unreachable { .. } | StoreError::Interrupted(_))
        };
        if self.is_begun
            && !sent.as_ref().is_ok_and(Option::is_some)
            && !sent.as_ref().is_err_and(kept)
        {
            // What cannot be removed now is cleaned later.
            let _ = store
                .talk(self.monitor, |session, _| session.remove(&self.temporary, self.monitor));
        }
        sent?.ok_or_else(|| StoreError::taken(&store.shown, self.name))
    }

    fn different(&self, expected: &str, found: &str) -> StoreError {
        let (store, name) = (self.store.shown.clone(), self.name.to_owned());
        StoreError::Different {
            store,
            name,
            expected: expected.to_owned(),
            found: found.to_owned(),
        }
    }

    /// One try, in one conversation. `None` if the name is taken.
    fn attempt(
        &mut self,
        session: &mut Session,
        tries: &mut Tries<'_>,
    ) -> Result<Option<Compared>, Broken> {
        let path = self.store.path(self.name);
        let found = session.look(&path, self.monitor)?;
        if let Some(found) = found {
            if self.is_renamed && self.is_ours(session, &path, found)? {
                // The first name may have outlived the renaming.
                let _ = session.remove(&self.temporary, self.monitor);
                return Ok(Some(Compared::Size));
            }
            return Ok(None);
        }
        let (handle, first) = self.opened(session)?;
        self.write(session, &handle, first, tries)?;
        session.sync(&handle, self.monitor)?;
        let size = session.look_at(&handle, self.monitor)?.size;
        session.close(&handle, self.monitor)?;
        if size != Some(self.sending.bytes) {
            let _ = session.remove(&self.temporary, self.monitor);
            let found = size.unwrap_or(0);
            return Err(Broken::Lasting(format!(
                "it has {found} bytes after {} were sent",
                self.sending.bytes
            )));
        }
        self.is_renamed = true;
        match session.rename(&self.temporary, &path, self.monitor) {
            Err(Broken::Refused(..)) if session.look(&path, self.monitor)?.is_some() => Ok(None),
            renamed => renamed.map(|()| Some(Compared::Size)),
        }
    }

    /// Opens the temporary file; and where in it to go on.
    fn opened(&mut self, session: &mut Session) -> Result<(Handle, u64), Broken> {
        let (monitor, flags) = (self.monitor, open::READ | open::WRITE);
        if !self.is_begun {
            let handle =
                session.open(&self.temporary, flags | open::CREATE | open::EXCLUSIVELY, monitor)?;
            self.is_begun = true;
            let made = session.look_at(&handle, monitor)?;
            if !self.takes_over(session, made)? {
                return Ok((handle, 0));
            }
            session.close(&handle, monitor)?;
        }
        let flags = flags | open::CREATE;
        let handle = session.open(&self.temporary, flags, monitor)?;
        let first = self.place_to_go_on(session, &handle)?;
        Ok((handle, first))
    }

    /// Takes over what an earlier send of this name has left, in the place of the file that was just made. That file's time is
    /// the time of the server.
    fn takes_over(&self, session: &mut Session, made: Attributes) -> Result<bool, Broken> {
        let now = made.modified.unwrap_or(0);
        let is_left = |(name, found): &(String, Attributes)| {
            let age = now.saturating_sub(found.modified.unwrap_or(now));
            let fits = found.size.is_some_and(|size| size > 0 && size <= self.sending.bytes);
            stem_of(name) == Some(self.name) && found.is_file() && age > LEFT_ALONE && fits
        };
        let entries = session.entries(self.store.folder(), self.monitor)?;
        let named = |(name, found)| Some((String::from_utf8(name).ok()?, found));
        let left = entries
            .into_iter()
            .filter_map(named)
            .filter(is_left)
            .max_by_key(|(_, found)| found.size);
        let Some((left, _)) = left else { return Ok(false) };
        // Of two sends, one gets it.
        session.remove(&self.temporary, self.monitor)?;
        match session.rename(&self.store.path(&left), &self.temporary, self.monitor) {
            Err(Broken::Refused(..)) | Ok(()) => Ok(true),
            Err(broken) => Err(broken),
        }
    }

    /// Where to go on in a file that another try has left: what was on its way when it broke off is sent again, and so is
    /// everything if its beginning or its end is not that of the file.
    fn place_to_go_on(&self, session: &mut Session, handle: &Handle) -> Result<u64, Broken> {
        const ON_THE_WAY: u64 = AT_ONCE as u64 * PIECE as u64;
        let size = session.look_at(handle, self.monitor)?.size.unwrap_or(0);
        if size > self.sending.bytes {
            return Err(Broken::Lasting(
                "an unfinished file there is larger than what is sent".to_owned(),
            ));
        }
        let first = size.saturating_sub(ON_THE_WAY);
        let same = self.is_same(session, handle, 0, first.min(LOOKED_AT))?
            && self.is_same(
                session,
                handle,
                first.saturating_sub(LOOKED_AT),
                first.min(LOOKED_AT),
            )?;
        Ok(if same { first } else { 0 })
    }

    /// Does the server have these bytes of the file?
    fn is_same(
        &self,
        session: &mut Session,
        handle: &Handle,
        first: u64,
        count: u64,
    ) -> Result<bool, Broken> {
        let mut own = vec![0; usize::try_from(count).unwrap_or(0)];
        read_exact_at(self.sending.file, &mut own, first)?;
        Ok(session.read(handle, first, count, self.monitor)? == own)
    }

    /// Is the file of this name the one that was sent, renamed in a try whose answer was lost?
    fn is_ours(
        &self,
        session: &mut Session,
        path: &[u8],
        found: Attributes,
    ) -> Result<bool, Broken> {
        if !found.is_file() || found.size != Some(self.sending.bytes) {
            return Ok(false);
        }
        let handle = session.open(path, open::READ, self.monitor)?;
        let count = self.sending.bytes.min(LOOKED_AT);
        let same = self.is_same(session, &handle, 0, count)?
            && self.is_same(session, &handle, self.sending.bytes - count, count)?;
        session.close(&handle, self.monitor)?;
        Ok(same)
    }

    /// Writes everything from `first` on, many messages at once.
    fn write(
        &self,
        session: &mut Session,
        handle: &Handle,
        first: u64,
        tries: &mut Tries<'_>,
    ) -> Result<(), Broken> {
        let (mut position, mut buffer) = (first, vec![0; PIECE as usize]);
        let mut asked: VecDeque<(u32, u64)> = VecDeque::new();
        self.outgoing.reached(first);
        loop {
            let piece = match self.outgoing.piece(&mut buffer, position) {
                Err(StoreError::Local(error)) => return Err(error.into()),
                Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) => return Err(Broken::Lasting(error.to_string())),
                Ok(piece) => piece,
            };
            let is_at_end = piece.is_empty();
            if !is_at_end {
                let id = session.write(handle, piece, position, self.monitor)?;
                position += piece.len() as u64;
                asked.push_back((id, position));
            }
            while asked.len() >= AT_ONCE || (is_at_end && !asked.is_empty()) {
                let Some((id, reached)) = asked.pop_front() else { break };
                session.done(id, self.monitor)?;
                self.outgoing.reached(reached);
                tries.went_well();
            }
            if is_at_end {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_told_from_all_others() {
        let one = temporary_name("a.tar.zst");
        assert_ne!(one, temporary_name("a.tar.zst"));
        assert_eq!(stem_of(&one), Some("a.tar.zst"));
        for name in
            [".a.part", ".a.123.part", ".a.123.Abc1de.part", "a.01234567.part", ".a.0123456G.part"]
        {
            assert_eq!(stem_of(name), None, "{name}");
        }
    }
}
