//! A terminal that nobody sits at: a program writes to it, a test looks at its screen.
//!
//! Invariant: the screen is what a person would see once all that was written has come.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Lines of the screen.
const LINES: NonZero<u16> = NonZero::new(24).unwrap();

/// A terminal of 24 lines.
pub struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    /// The side that programs write to, until it is given away.
    end: Option<OwnedFd>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// A terminal with so many columns.
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

    /// The end for the program under test; once only.
    pub fn end(&mut self) -> OwnedFd {
        self.end.take().expect("it was not given away before")
    }

    /// The lines of the screen that are not empty, as they are now.
    pub fn lines(&self) -> Vec<String> {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, columns) = screen.screen().size();
        let lines = screen.screen().rows(0, columns.get()).map(|line| line.trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// The same, when every program that has the end has gone.
    pub fn last_lines(&mut self) -> Vec<String> {
        drop(self.end.take());
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading does not panic");
        }
        self.lines()
    }
}

/// Takes what is written, until nobody is left who could write.
fn read(mut own: File, screen: &Mutex<vt100::Parser>) {
    let mut buffer = vec![0; 4096];
    // Once the last end is closed, reading fails.
    while let Ok(count @ 1..) = own.read(&mut buffer) {
        screen.lock().unwrap_or_else(PoisonError::into_inner).process(&buffer[..count]);
    }
}
