//! Lines at the bottom of the terminal on standard error; messages are printed above them.
//!
//! Invariant: each change is one write, and erases exactly what was drawn before. The cursor stays at the end of the
//! last line, which is narrower than the terminal, so that a `^C` echoed there is erased with it.

use std::io::{self, Write as _};
use std::sync::Mutex;

use unicode_width::UnicodeWidthStr as _;

use super::layout;
use super::rows::Row;

/// Maximum number of lines; nobody reads more.
const MOST: usize = 8;
/// Assumed size of a terminal that does not report one: columns, lines.
const USUAL_SIZE: (usize, usize) = (80, 24);
/// Columns that stay free at the right edge, for the echo of `^C`.
const FREE: usize = 2;

/// The lines that are drawn.
#[derive(Debug, Default)]
pub(super) struct Lines {
    drawn: Mutex<Vec<String>>,
}

impl Lines {
    /// The texts of the lines for these steps.
    pub(super) fn texts(rows: &[Row]) -> Vec<String> {
        let (width, height) = terminal_size();
        layout::lines(rows, width.saturating_sub(FREE), MOST.min(height.saturating_sub(1)))
    }

    /// Draws these lines in place of the previous ones.
    pub(super) fn draw(&self, lines: Vec<String>) {
        let mut drawn = self.drawn.lock().expect("drawing does not panic");
        if *drawn != lines {
            write(&(erased(&drawn) + &lines.join("\r\n")));
            *drawn = lines;
        }
    }

    /// Prints something above the lines.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        let drawn = self.drawn.lock().expect("drawing does not panic");
        write(&erased(&drawn));
        print();
        write(&drawn.join("\r\n"));
    }
}

/// The sequence that erases the lines. The terminal may be narrower than when they were drawn, and have wrapped
/// them.
fn erased(drawn: &[String]) -> String {
    if drawn.is_empty() {
        return String::new();
    }
    let (columns, _) = terminal_size();
    let height: usize = drawn.iter().map(|line| line.width().div_ceil(columns).max(1)).sum();
    match height - 1 {
        0 => "\r\x1b[J".to_owned(),
        up => format!("\r\x1b[{up}A\x1b[J"),
    }
}

/// Writes lines that stay.
pub(super) fn write_lines(lines: &[String]) {
    write(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
}

fn write(text: &str) {
    if !text.is_empty() {
        // Nothing can be done if the terminal is gone.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Columns and lines of the terminal at standard error.
fn terminal_size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let known = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or(USUAL_SIZE, |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}
