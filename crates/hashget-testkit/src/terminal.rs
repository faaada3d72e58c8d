//! A terminal for tests: a program writes to it, and the test reads the screen.
//!
//! Invariant: the screen shows what a user would see after all output has been processed.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Number of lines of the screen.
const LINES: NonZero<u16> = NonZero::new(24).unwrap();

/// A terminal of 24 lines.
pub struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    /// The side that programs write to, until it is handed to one.
    end: Option<OwnedFd>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// A terminal with this number of columns.
    pub fn new(columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let own = openpt(flags).expect("there are pseudo terminals");
        grantpt(&own).and_then(|()| unlockpt(&own)).expect("it is ours");
        let name = ptsname(&own, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let end = rustix::fs::open(&*name, flags, Mode::empty()).expect("it can be opened");
        let size = Winsize { ws_row: LINES.get(), ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&end, size).expect("it has a size");
        let columns = NonZero::new(columns).expect("a terminal has columns");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(LINES, columns, 0)));
        let shared = Arc::clone(&screen);
        let reader = std::thread::spawn(move || read(File::from(own), &shared));
        Self { screen, end: Some(end), reader: Some(reader) }
    }

    /// The side for the program under test. Can be taken once.
    pub fn end(&mut self) -> OwnedFd {
        self.end.take().expect("it was not given away before")
    }

    /// The non-empty lines of the screen now.
    pub fn lines(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, columns) = screen.screen().size();
        let lines = screen.screen().rows(0, columns.get()).map(|line| line.trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// The non-empty lines of the screen after every program that holds the other side has ended.
    pub fn last_lines(&mut self) -> Vec<String> {
        drop(self.end.take());
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading does not panic");
        }
        self.lines()
    }
}

/// Reads until the last writer has closed its side.
fn read(mut own: File, screen: &Mutex<vt100::Parser>) {
    let mut buffer = vec![0; 4096];
    // Reading fails once the last writer is gone.
    while let Ok(count @ 1..) = own.read(&mut buffer) {
        screen.lock().unwrap_or_else(PoisonError::into_inner).process(&buffer[..count]);
    }
}
