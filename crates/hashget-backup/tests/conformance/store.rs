//! What every store does.
//!
//! Invariant: the suite uses nothing but the trait: what is there is asked from the store itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hashget::monitor::{Event, Monitor, Progress, Silent};
use hashget_backup::store::{Compared, Sending, Store, StoreError};
use sha2::{Digest as _, Sha256};

/// What a store can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Can {
    /// It reads files in any order.
    pub(crate) random: bool,
    /// The best comparison that it offers.
    pub(crate) compared: Compared,
}

/// Bytes that repeat nowhere near.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(next).collect()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(crate) fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Sends these bytes.
pub(crate) fn send(store: &dyn Store, name: &str, bytes: &[u8]) -> Result<Compared, StoreError> {
    send_watched(store, name, bytes, &Silent)
}

pub(crate) fn send_watched(
    store: &dyn Store,
    name: &str,
    bytes: &[u8],
    monitor: &dyn Monitor,
) -> Result<Compared, StoreError> {
    let (file, sha256) = (file_of(bytes), digest(bytes));
    let (bytes, sha256) = (bytes.len() as u64, sha256.as_str());
    let sending = Sending { file: &file, bytes, sha256, lock_until: None, bytes_per_second: None };
    store.send(name, &sending, monitor)
}

/// All of a file.
pub(crate) fn read(store: &dyn Store, name: &str) -> Result<Vec<u8>, StoreError> {
    let mut found = Vec::new();
    store.open(name, &Silent)?.read_to_end(&mut found)?;
    Ok(found)
}

pub(crate) fn names(store: &dyn Store) -> Vec<String> {
    store.list(&Silent).unwrap().into_iter().map(|stored| stored.name).collect()
}

/// Asks to stop once so many bytes were sent.
pub(crate) struct StopAfter {
    bytes: u64,
    stopped: AtomicBool,
    sends: Mutex<Vec<Arc<Progress>>>,
    asked: AtomicU64,
}

impl StopAfter {
    pub(crate) fn bytes(bytes: u64) -> Self {
        let (stopped, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { bytes, stopped, sends: Mutex::default(), asked }
    }
}

impl Monitor for StopAfter {
    fn event(&self, event: Event<'_>) {
        if let Event::Started(progress) = event {
            self.sends.lock().unwrap().push(Arc::clone(progress));
        }
    }

    fn interrupted(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let sent: u64 = self.sends.lock().unwrap().iter().map(|progress| progress.bytes()).sum();
        if !self.sends.lock().unwrap().is_empty() && sent >= self.bytes {
            self.stopped.store(true, Ordering::SeqCst);
        }
        self.stopped.load(Ordering::SeqCst)
    }
}

/// Names that are hard for some file system, URL, shell or XML.
const ODD: [&str; 8] = [
    "a b",
    "100%25+1",
    "ü-\u{65e5}\u{672c}",
    "it's \"so\"",
    "a&b<c>",
    "q?x=1#y",
    "$(touch x);`y`",
    "web1_system_2026-11-27T023000Z.tar.zst.age",
];

/// Runs the suite on a store in which there is nothing yet.
pub(crate) fn check_store(store: &dyn Store, can: Can) {
    assert!(!store.shown().is_empty());
    assert!(names(store).is_empty());
    what_was_sent_is_there(store, can);
    names_that_are_taken_stay(store);
    names_that_are_none_are_refused(store);
    what_is_not_there_is_said_so(store);
    a_send_that_fails_leaves_nothing(store, can);
    of_several_sends_of_one_name_one_wins(store);
    let before = names(store);
    // What broke off, and has come by another send since, may be cleaned; everything else is new.
    store.clean(&Silent).unwrap();
    assert!(store.clean(&Silent).unwrap().is_empty(), "everything is new");
    assert_eq!(names(store), before);
    for name in before {
        store.remove(&name, &Silent).unwrap();
        assert!(!names(store).contains(&name));
    }
    assert!(names(store).is_empty());
}

fn what_was_sent_is_there(store: &dyn Store, can: Can) {
    let sizes = [0, 1, 700, 300_000, 3_000_001];
    for (number, size) in sizes.into_iter().enumerate() {
        let (name, sent) = (format!("size-{number}"), bytes(size));
        assert_eq!(send(store, &name, &sent).unwrap(), can.compared, "{size}");
        assert!(read(store, &name).unwrap() == sent, "{size}");
    }
    for name in ODD {
        send(store, name, name.as_bytes()).unwrap();
        assert_eq!(read(store, name).unwrap(), name.as_bytes(), "{name}");
    }
    let found = store.list(&Silent).unwrap();
    assert!(found.is_sorted_by(|one, other| one.name < other.name));
    for stored in &found {
        let size = match stored.name.strip_prefix("size-") {
            Some(number) => sizes[number.parse::<usize>().unwrap()],
            None => stored.name.len(),
        };
        assert_eq!(stored.bytes, size as u64, "{}", stored.name);
        assert!(stored.sha256.is_none() && stored.locked_until.is_none());
    }
    assert_eq!(found.len(), sizes.len() + ODD.len());
    let source = store.open("size-3", &Silent).unwrap();
    super::storage::check_source(source, &bytes(300_000), can.random);
}

fn names_that_are_taken_stay(store: &dyn Store) {
    let before = names(store);
    for sent in [&b"another"[..], b""] {
        let error = send(store, "size-2", sent).unwrap_err();
        assert!(matches!(error, StoreError::Taken { .. }), "{error}");
    }
    assert!(read(store, "size-2").unwrap() == bytes(700));
    assert_eq!(names(store), before);
}

fn names_that_are_none_are_refused(store: &dyn Store) {
    let before = names(store);
    for name in ["", ".", "..", "../up", "a/b", "/etc/passwd", ".hidden", "a\nb", &"n".repeat(221)]
    {
        let is_bad = |error: &StoreError| matches!(error, StoreError::BadName { .. });
        assert!(send(store, name, b"x").is_err_and(|error| is_bad(&error)), "{name}");
        assert!(read(store, name).is_err_and(|error| is_bad(&error)), "{name}");
        assert!(store.remove(name, &Silent).is_err_and(|error| is_bad(&error)), "{name}");
    }
    assert_eq!(names(store), before);
}

fn what_is_not_there_is_said_so(store: &dyn Store) {
    let error = read(store, "nothing").unwrap_err();
    assert!(matches!(error, StoreError::NotThere { .. }), "{error}");
    let before = names(store);
    store.remove("nothing", &Silent).unwrap();
    // The beginning of another name is none.
    store.remove("size-", &Silent).unwrap();
    assert_eq!(names(store), before);
}

fn a_send_that_fails_leaves_nothing(store: &dyn Store, can: Can) {
    let before = names(store);
    let sent = bytes(3_000_000);
    let (file, sha256) = (file_of(&sent), digest(&sent));
    let other = digest(b"other");
    let sending = |bytes, sha256| Sending {
        file: &file,
        bytes,
        sha256,
        lock_until: None,
        bytes_per_second: None,
    };
    // The file is shorter than was said.
    store.send("broken", &sending(4_000_000, &sha256), &Silent).unwrap_err();
    assert_eq!(names(store), before);
    if can.compared == Compared::Checksum {
        let error = store.send("broken", &sending(3_000_000, &other), &Silent).unwrap_err();
        assert!(matches!(error, StoreError::Different { .. }), "{error}");
    }
    for count in [0, 1, 1_500_000] {
        let error = send_watched(store, "broken", &sent, &StopAfter::bytes(count)).unwrap_err();
        assert!(matches!(error, StoreError::Interrupted(_)), "{count}: {error}");
        assert_eq!(names(store), before, "{count}");
    }
    send(store, "broken", &sent).unwrap();
    assert!(read(store, "broken").unwrap() == sent);
}

fn of_several_sends_of_one_name_one_wins(store: &dyn Store) {
    let contents = [bytes(200_000), vec![7; 200_000]];
    let results: Vec<_> = std::thread::scope(|scope| {
        let sends = contents.iter().map(|sent| scope.spawn(move || send(store, "both", sent)));
        let sends: Vec<_> = sends.collect();
        sends.into_iter().map(|send| send.join().unwrap()).collect()
    });
    let won: Vec<usize> = (0..2).filter(|number| results[*number].is_ok()).collect();
    assert_eq!(won.len(), 1, "{results:?}");
    assert!(read(store, "both").unwrap() == contents[won[0]]);
}
