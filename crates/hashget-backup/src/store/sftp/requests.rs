//! What an SFTP server is asked for: files opened, read, written, renamed, removed.
//!
//! Invariant: each answer is one that fits its request, or the conversation has ended.

use hashget::monitor::Monitor;

use super::protocol::{self, Answer, Attributes, Message, code, kind};
use super::session::{AT_ONCE, Broken, PIECE, Session};

/// A file that the server has open.
#[derive(Debug, Clone)]
pub(super) struct Handle(Vec<u8>);

impl Session {
    /// What is known of a file; `None` if there is none.
    pub(super) fn look(
        &mut self,
        path: &[u8],
        monitor: &dyn Monitor,
    ) -> Result<Option<Attributes>, Broken> {
        let id = self.ask(kind::LSTAT, |message| message.bytes(path), monitor)?;
        match self.answer(id, monitor)? {
            Answer::Attributes(found) => Ok(Some(found)),
            Answer::Status(code::NO_SUCH_FILE, _) => Ok(None),
            Answer::Status(code, text) => Err(Broken::Refused(code, text)),
            _ => Err(self.nonsense()),
        }
    }

    /// Opens a file. `flags` are of [`protocol::open`]; a new one is for its owner alone.
    pub(super) fn open(
        &mut self,
        path: &[u8],
        flags: u32,
        monitor: &dyn Monitor,
    ) -> Result<Handle, Broken> {
        const MODE: (u32, u32) = (4, 0o600);
        let fields = |message: Message| match flags & protocol::open::CREATE {
            0 => message.bytes(path).number(flags).number(0),
            _ => message.bytes(path).number(flags).number(MODE.0).number(MODE.1),
        };
        let id = self.ask(kind::OPEN, fields, monitor)?;
        self.handle(id, monitor)
    }

    fn handle(&mut self, id: u32, monitor: &dyn Monitor) -> Result<Handle, Broken> {
        match self.answer(id, monitor)? {
            Answer::Handle(handle) => Ok(Handle(handle)),
            Answer::Status(code, text) => Err(Broken::Refused(code, text)),
            _ => Err(self.nonsense()),
        }
    }

    /// What is known of an open file.
    pub(super) fn look_at(
        &mut self,
        handle: &Handle,
        monitor: &dyn Monitor,
    ) -> Result<Attributes, Broken> {
        let id = self.ask(kind::FSTAT, |message| message.bytes(&handle.0), monitor)?;
        match self.answer(id, monitor)? {
            Answer::Attributes(found) => Ok(found),
            Answer::Status(code, text) => Err(Broken::Refused(code, text)),
            _ => Err(self.nonsense()),
        }
    }

    /// A request about an open file that needs nothing else.
    pub(super) fn close(&mut self, handle: &Handle, monitor: &dyn Monitor) -> Result<(), Broken> {
        let id = self.ask(kind::CLOSE, |message| message.bytes(&handle.0), monitor)?;
        self.done(id, monitor)
    }

    /// Begins to write bytes of an open file.
    pub(super) fn write(
        &mut self,
        handle: &Handle,
        bytes: &[u8],
        first: u64,
        monitor: &dyn Monitor,
    ) -> Result<u32, Broken> {
        self.ask(kind::WRITE, |message| message.bytes(&handle.0).long(first).bytes(bytes), monitor)
    }

    /// Makes an open file durable, where the server can do that.
    pub(super) fn sync(&mut self, handle: &Handle, monitor: &dyn Monitor) -> Result<(), Broken> {
        const NAME: &str = "fsync@openssh.com";
        if !self.has(NAME) {
            return Ok(());
        }
        let fields = |message: Message| message.bytes(NAME.as_bytes()).bytes(&handle.0);
        let id = self.ask(kind::EXTENDED, fields, monitor)?;
        self.done(id, monitor)
    }

    /// Reads bytes of an open file; fewer only at its end.
    pub(super) fn read(
        &mut self,
        handle: &Handle,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, Broken> {
        let end = first + count;
        let mut found = Vec::new();
        loop {
            let from = first + found.len() as u64;
            let mut asked = Vec::new();
            let mut position = from;
            while position < end && asked.len() < AT_ONCE {
                let length = u32::try_from(end - position).unwrap_or(u32::MAX).min(PIECE);
                let fields =
                    |message: Message| message.bytes(&handle.0).long(position).number(length);
                asked.push((self.ask(kind::READ, fields, monitor)?, length));
                position += u64::from(length);
            }
            if asked.is_empty() {
                return Ok(found);
            }
            let (mut is_at_end, mut is_short) = (false, false);
            for (id, length) in asked {
                match self.answer(id, monitor)? {
                    // What comes after a short answer is asked for again.
                    _ if is_short || is_at_end => {}
                    Answer::Data(bytes) => {
                        is_short = bytes.len() != length as usize;
                        is_at_end = bytes.is_empty() || bytes.len() > length as usize;
                        found.extend(bytes);
                    }
                    Answer::Status(code::END, _) => is_at_end = true,
                    Answer::Status(code, text) => return Err(Broken::Refused(code, text)),
                    _ => return Err(self.nonsense()),
                }
            }
            if is_at_end {
                return Ok(found);
            }
        }
    }

    /// Everything in a folder.
    pub(super) fn entries(
        &mut self,
        folder: &[u8],
        monitor: &dyn Monitor,
    ) -> Result<Vec<(Vec<u8>, Attributes)>, Broken> {
        let id = self.ask(kind::OPENDIR, |message| message.bytes(folder), monitor)?;
        let handle = self.handle(id, monitor)?;
        let mut found = Vec::new();
        loop {
            let id = self.ask(kind::READDIR, |message| message.bytes(&handle.0), monitor)?;
            match self.answer(id, monitor)? {
                Answer::Names(names) => found.extend(names),
                Answer::Status(code::END, _) => break,
                Answer::Status(code, text) => return Err(Broken::Refused(code, text)),
                _ => return Err(self.nonsense()),
            }
        }
        self.close(&handle, monitor)?;
        Ok(found)
    }

    /// Removes a file.
    pub(super) fn remove(&mut self, path: &[u8], monitor: &dyn Monitor) -> Result<(), Broken> {
        let id = self.ask(kind::REMOVE, |message| message.bytes(path), monitor)?;
        self.done(id, monitor)
    }

    /// Gives a file another name, which must not be taken.
    pub(super) fn rename(
        &mut self,
        from: &[u8],
        to: &[u8],
        monitor: &dyn Monitor,
    ) -> Result<(), Broken> {
        let id = self.ask(kind::RENAME, |message| message.bytes(from).bytes(to), monitor)?;
        self.done(id, monitor)
    }
}
