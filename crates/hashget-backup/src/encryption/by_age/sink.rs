//! Encrypting an archive on its way into another sink.
//!
//! Invariant: the end of an encrypted archive is marked when it is committed: what was aborted cannot pass for a whole one.

use std::io::{self, Write};

use age::stream::StreamWriter;
use hashget::storage::ArchiveSink;

use super::Recipients;
use crate::encryption::EncryptionError;

/// Encrypts what is written to it.
pub(in super::super) struct EncryptedSink<'a> {
    stream: StreamWriter<Box<dyn ArchiveSink + 'a>>,
    failed: bool,
}

impl<'a> EncryptedSink<'a> {
    /// Encrypts into `inner`, to which the head is written at once.
    ///
    /// # Errors
    /// A plugin failed, or `inner` cannot be written to.
    pub(in super::super) fn new(
        inner: Box<dyn ArchiveSink + 'a>,
        recipients: &Recipients,
    ) -> Result<Self, EncryptionError> {
        let encryptor =
            age::Encryptor::with_recipients(recipients.keys()).map_err(|error| match error {
                age::EncryptError::Io(error) => EncryptionError::Io(error),
                error => EncryptionError::Plugin {
                    problem: hashget::model::escaped(error.to_string().as_bytes()),
                },
            })?;
        Ok(Self { stream: encryptor.wrap_output(inner)?, failed: false })
    }
}

impl Write for EncryptedSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.stream.write(bytes);
        let fails = |error: &io::Error| error.kind() != io::ErrorKind::Interrupted;
        self.failed |= result.as_ref().err().is_some_and(fails);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl ArchiveSink for EncryptedSink<'_> {
    fn commit(self: Box<Self>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("it is incomplete: writing it failed"));
        }
        self.stream.finish()?.commit()
    }
}
