//! Lines on standard output: each is written at once, or many together.
//!
//! Invariant: lines are written in the order in which they come, and whole; a failure to write is reported once.

use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

/// Writes whole lines, which are without colours, to standard output. A closed pipe is not an error: its reader needs no more output.
pub(super) fn write(lines: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(lines).and_then(|()| output.flush()).or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

/// The line of a JSON record.
///
/// # Errors
/// `body` is nothing that JSON can hold.
pub(super) fn record(kind: &str, body: impl Serialize) -> io::Result<String> {
    #[derive(Serialize)]
    struct Record<'a, T> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(flatten)]
        body: T,
    }

    Ok(serde_json::to_string(&Record { kind, body })?)
}

/// Bytes that are gathered before they are written.
const MOST: usize = 64 << 10;

/// Lines that are not written yet. None are kept unless [`Gathered::begin`] was called.
#[derive(Debug, Default)]
pub(super) struct Gathered(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_gathering: bool,
    text: Vec<u8>,
    /// Why lines could not be written, until it is reported.
    failure: Option<io::Error>,
}

impl Gathered {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// From now on, lines are gathered.
    pub(super) fn begin(&self) {
        self.state().is_gathering = true;
    }

    /// Adds a line. `write` writes what is due.
    ///
    /// # Errors
    /// What `write` failed with, now or in [`Gathered::flush`].
    pub(super) fn add(
        &self,
        line: &[u8],
        write: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state();
        state.text.extend_from_slice(line);
        state.text.push(b'\n');
        if !state.is_gathering || state.text.len() >= MOST {
            state.write(write);
        }
        state.failure.take().map_or(Ok(()), Err)
    }

    /// Writes what was gathered: something else is about to be printed.
    pub(super) fn flush(&self, write: impl FnOnce(&[u8]) -> io::Result<()>) {
        self.state().write(write);
    }

    /// From now on, each line is written at once.
    ///
    /// # Errors
    /// As [`Gathered::add`].
    pub(super) fn end(&self, write: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state();
        state.is_gathering = false;
        state.write(write);
        state.failure.take().map_or(Ok(()), Err)
    }
}

impl State {
    fn write(&mut self, write: impl FnOnce(&[u8]) -> io::Result<()>) {
        if self.text.is_empty() {
            return;
        }
        if let Err(error) = write(&self.text) {
            self.failure.get_or_insert(error);
        }
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn lines_are_written_at_once_or_many_together_and_always_in_order() {
        let writes = RefCell::new(Vec::new());
        let write = |text: &[u8]| {
            writes.borrow_mut().push(String::from_utf8(text.to_vec()).unwrap());
            Ok(())
        };
        let lines = Gathered::default();
        lines.add(b"alone", write).unwrap();
        lines.flush(write);
        lines.begin();
        for number in 0..20_000 {
            lines.add(format!("line {number}").as_bytes(), write).unwrap();
            if number == 9 {
                lines.flush(write);
            }
        }
        lines.end(write).unwrap();
        lines.add(b"alone", write).unwrap();
        let writes = writes.into_inner();
        assert_eq!((writes[0].as_str(), writes[1].lines().count()), ("alone\n", 10));
        assert!(writes.len() < 10 && writes.last().unwrap() == "alone\n", "{}", writes.len());
        let expected: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(writes[1..writes.len() - 1].concat(), expected);
    }

    #[test]
    fn a_record_begins_with_its_type() {
        let line = record("package", serde_json::json!({ "a": 1 })).unwrap();
        assert_eq!(line, r#"{"type":"package","a":1}"#);
    }

    #[test]
    fn a_failure_to_write_is_reported_once_and_by_the_next_line() {
        let fail = |_: &[u8]| Err(io::Error::from(io::ErrorKind::StorageFull));
        let lines = Gathered::default();
        assert!(lines.add(b"a", fail).is_err());
        lines.begin();
        lines.add(b"b", fail).unwrap();
        lines.flush(fail);
        assert!(lines.add(b"c", fail).is_err());
        assert!(lines.end(fail).is_err() && lines.end(fail).is_ok());
    }
}
