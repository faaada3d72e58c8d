//! The SSH file transfer protocol, version 3 (draft-ietf-secsh-filexfer-02): messages and answers as bytes.
//!
//! Invariant: whatever bytes a server sends, reading them is an answer or an error, within limits.

/// The version that is spoken.
pub(super) const VERSION: u32 = 3;

/// The longest message that a server may send: OpenSSH's own limit.
pub(super) const LONGEST: u32 = 256 * 1024;

/// Message types.
pub(super) mod kind {
    pub(in super::super) const INIT: u8 = 1;
    pub(in super::super) const VERSION: u8 = 2;
    pub(in super::super) const OPEN: u8 = 3;
    pub(in super::super) const CLOSE: u8 = 4;
    pub(in super::super) const READ: u8 = 5;
    pub(in super::super) const WRITE: u8 = 6;
    pub(in super::super) const LSTAT: u8 = 7;
    pub(in super::super) const FSTAT: u8 = 8;
    pub(in super::super) const OPENDIR: u8 = 11;
    pub(in super::super) const READDIR: u8 = 12;
    pub(in super::super) const REMOVE: u8 = 13;
    pub(in super::super) const RENAME: u8 = 18;
    pub(in super::super) const STATUS: u8 = 101;
    pub(in super::super) const HANDLE: u8 = 102;
    pub(in super::super) const DATA: u8 = 103;
    pub(in super::super) const NAME: u8 = 104;
    pub(in super::super) const ATTRIBUTES: u8 = 105;
    pub(in super::super) const EXTENDED: u8 = 200;
}

/// How a file is opened.
pub(super) mod open {
    pub(in super::super) const READ: u32 = 0x01;
    pub(in super::super) const WRITE: u32 = 0x02;
    pub(in super::super) const CREATE: u32 = 0x08;
    pub(in super::super) const EXCLUSIVELY: u32 = 0x20;
}

/// Status codes.
pub(super) mod code {
    pub(in super::super) const OK: u32 = 0;
    pub(in super::super) const END: u32 = 1;
    pub(in super::super) const NO_SUCH_FILE: u32 = 2;
    pub(in super::super) const PERMISSION_DENIED: u32 = 3;
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Attributes {
    pub(super) size: Option<u64>,
    pub(super) mode: Option<u32>,
    /// When it was written last, in seconds since 1970.
    pub(super) modified: Option<u32>,
}

impl Attributes {
    /// Is it a regular file?
    pub(super) fn is_file(&self) -> bool {
        self.mode.is_some_and(|mode| mode & 0o170_000 == 0o100_000)
    }
}

/// A server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// How something went: a code, and a text for a person.
    Status(u32, String),
    Handle(Vec<u8>),
    Data(Vec<u8>),
    /// Names in a folder.
    Names(Vec<(Vec<u8>, Attributes)>),
    Attributes(Attributes),
}

/// A message that is being put together. Its length is written when it is finished.
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A request of this kind and number.
    pub(super) fn new(kind: u8, id: u32) -> Self {
        let mut message = Self(vec![0, 0, 0, 0, kind]);
        message.0.extend(id.to_be_bytes());
        message
    }

    pub(super) fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut message = self.number(length);
        message.0.extend(bytes);
        message
    }

    /// The message with its length.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// Reads the fields of a message.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }

    fn attributes(&mut self) -> Option<Attributes> {
        const SIZE: u32 = 1;
        const OWNER: u32 = 2;
        const MODE: u32 = 4;
        const TIMES: u32 = 8;
        const EXTENDED: u32 = 0x8000_0000;
        let flags = self.number()?;
        let mut found = Attributes::default();
        if flags & SIZE != 0 {
            found.size = Some(self.long()?);
        }
        if flags & OWNER != 0 {
            self.take(8)?;
        }
        if flags & MODE != 0 {
            found.mode = Some(self.number()?);
        }
        if flags & TIMES != 0 {
            self.number()?;
            found.modified = Some(self.number()?);
        }
        if flags & EXTENDED != 0 {
            for _ in 0..self.number()? {
                self.bytes()?;
                self.bytes()?;
            }
        }
        Some(found)
    }
}

/// The number of an answer, and the answer; `None` if the message is none.
pub(super) fn answer(message: &[u8]) -> Option<(u32, Answer)> {
    let mut fields = Fields(message);
    let kind = *fields.take(1)?.first()?;
    let id = fields.number()?;
    let answer = match kind {
        kind::STATUS => {
            let code = fields.number()?;
            // Old servers send no text.
            let text = fields.bytes().unwrap_or_default();
            Answer::Status(code, hashget::model::escaped(text))
        }
        kind::HANDLE => Answer::Handle(fields.bytes()?.to_vec()),
        kind::DATA => Answer::Data(fields.bytes()?.to_vec()),
        kind::NAME => {
            let mut names = Vec::new();
            for _ in 0..fields.number()? {
                let name = fields.bytes()?.to_vec();
                fields.bytes()?;
                names.push((name, fields.attributes()?));
            }
            Answer::Names(names)
        }
        kind::ATTRIBUTES => Answer::Attributes(fields.attributes()?),
        _ => return None,
    };
    Some((id, answer))
}

/// The message that begins the conversation.
pub(super) fn hello() -> Vec<u8> {
    Message::new(kind::INIT, VERSION).finish()
}

/// The version that a server speaks, and the names of its extensions, from its first message.
pub(super) fn welcome(message: &[u8]) -> Option<(u32, Vec<Vec<u8>>)> {
    let mut fields = Fields(message);
    if *fields.take(1)?.first()? != kind::VERSION {
        return None;
    }
    let version = fields.number()?;
    let mut extensions = Vec::new();
    while let Some(name) = fields.bytes() {
        fields.bytes()?;
        extensions.push(name.to_vec());
    }
    Some((version, extensions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_draft_says() {
        assert_eq!(hello(), [0, 0, 0, 5, 1, 0, 0, 0, 3]);
        let read = Message::new(kind::READ, 7).bytes(b"h").long(9).number(2).finish();
        let expected =
            [0, 0, 0, 22, 5, 0, 0, 0, 7, 0, 0, 0, 1, b'h', 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2];
        assert_eq!(read, expected);
        let status = [101, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2, b'n', b'o', 0, 0, 0, 0];
        assert_eq!(answer(&status), Some((7, Answer::Status(4, "no".to_owned()))));
        assert_eq!(answer(&status[..9]), Some((7, Answer::Status(4, String::new()))));
        let name = [
            &[104, 0, 0, 0, 1, 0, 0, 0, 1][..],
            &[0, 0, 0, 1, b'a', 0, 0, 0, 0],
            &[0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 5],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0o201, 0o244, 0, 0, 0, 1, 0, 0, 0, 2],
        ]
        .concat();
        let attributes = Attributes { size: Some(5), mode: Some(0o100_644), modified: Some(2) };
        assert_eq!(answer(&name), Some((1, Answer::Names(vec![(b"a".to_vec(), attributes)]))));
        assert!(attributes.is_file());
        let version = [2, 0, 0, 0, 3, 0, 0, 0, 1, b'x', 0, 0, 0, 1, b'1'];
        assert_eq!(welcome(&version), Some((3, vec![b"x".to_vec()])));
    }

    #[test]
    fn no_bytes_of_a_server_do_harm() {
        for kind in 0..=255_u8 {
            for fill in [0_u8, 1, 0x7f, 0xff] {
                for count in 0..40 {
                    let message = [vec![kind], vec![fill; count]].concat();
                    let _ = (answer(&message), welcome(&message));
                }
            }
        }
    }
}
