//! The journal of systemd, in its own protocol, so that a run can be found by its fields.
//!
//! Invariant: a field's value cannot become another field.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The socket of the journal.
pub const JOURNAL: &str = "/run/systemd/journal/socket";

/// Writes one message with fields, whose names are made of `A-Z` and `_`. Without a journal, nothing is written.
///
/// # Errors
/// The journal does not take it.
pub fn journal(
    socket: &Path,
    message: &str,
    is_error: bool,
    fields: &[(&str, String)],
) -> io::Result<()> {
    if !socket.exists() {
        return Ok(());
    }
    let priority = if is_error { "3" } else { "6" };
    let mut bytes = Vec::new();
    let first = [("MESSAGE", message), ("PRIORITY", priority), ("SYSLOG_IDENTIFIER", "hashget")];
    let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in first.into_iter().chain(fields) {
        // The form for values of any bytes: the name, a line feed, the length, the value, a line feed.
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    UnixDatagram::unbound()?.send_to(&bytes, socket)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        journal(&path, "nobody listens", false, &[]).unwrap();
        let socket = UnixDatagram::bind(&path).unwrap();
        journal(&path, "a\nPRIORITY=0", true, &[("HASHGET_JOB", "system".into())]).unwrap();
        let mut buffer = [0; 1000];
        let count = socket.recv(&mut buffer).unwrap();
        let mut expected = Vec::new();
        for (name, value) in [
            ("MESSAGE", "a\nPRIORITY=0"),
            ("PRIORITY", "3"),
            ("SYSLOG_IDENTIFIER", "hashget"),
            ("HASHGET_JOB", "system"),
        ] {
            expected.extend(
                [
                    name.as_bytes(),
                    b"\n",
                    &(value.len() as u64).to_le_bytes(),
                    value.as_bytes(),
                    b"\n",
                ]
                .concat(),
            );
        }
        assert_eq!(buffer[..count], expected);
    }
}
