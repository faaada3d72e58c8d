//! Progress bars, one for each step that is under way; on a terminal only.
//!
//! Invariant: bars are drawn below every message, and none is left when the command is over.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hashget::monitor::{Event, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::text::counted;

/// More bars than this at once tell nobody anything.
const MOST: usize = 8;

/// A bar's text changes at most this often: a stage may advance a million times.
const PAUSE: Duration = Duration::from_millis(100);

/// The bars.
#[derive(Debug)]
pub(super) struct Bars {
    multi: MultiProgress,
    shown: Mutex<HashMap<(Step, String), Bar>>,
}

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    name: String,
    bytes: u64,
    files: u64,
    drawn: Instant,
}

impl Bar {
    fn draw(&mut self) {
        self.drawn = Instant::now();
        self.bar.set_position(self.bytes);
        if self.files > 0 {
            self.bar.set_message(format!(
                "{}  {}",
                counted(self.files, "file", "files"),
                self.name
            ));
        }
    }
}

impl Bars {
    /// Bars on standard error, if that is a terminal.
    pub(super) fn on_terminal() -> Option<Self> {
        std::io::stderr().is_terminal().then(|| Self {
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            shown: Mutex::default(),
        })
    }

    /// Starts, moves and takes away bars.
    pub(super) fn event(&self, event: &Event<'_>) {
        let mut shown = self.shown.lock().expect("drawing does not panic");
        match *event {
            Event::Started { step, name, bytes } if shown.len() < MOST => {
                let bar =
                    self.multi.add(ProgressBar::new(bytes.unwrap_or(0)).with_style(style(bytes)));
                bar.set_prefix(verb(step));
                let name = short(name);
                bar.set_message(name.clone());
                let bar = Bar { bar, name, bytes: 0, files: 0, drawn: Instant::now() };
                if let Some(forgotten) = shown.insert(key(step, event), bar) {
                    self.multi.remove(&forgotten.bar);
                }
            }
            Event::Advanced { step, bytes, files, .. } => {
                if let Some(bar) = shown.get_mut(&key(step, event)) {
                    bar.bytes += bytes;
                    bar.files += files;
                    if bar.drawn.elapsed() >= PAUSE {
                        bar.draw();
                    }
                }
            }
            Event::Finished { step, .. } => {
                if let Some(bar) = shown.remove(&key(step, event)) {
                    bar.bar.finish_and_clear();
                    self.multi.remove(&bar.bar);
                }
            }
            _ => {}
        }
    }

    /// Prints something above the bars.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        self.multi.suspend(print);
    }

    /// Takes all bars away.
    pub(super) fn close(&self) {
        for (_, bar) in self.shown.lock().expect("drawing does not panic").drain() {
            bar.bar.finish_and_clear();
        }
        // Nothing to be done about a terminal that has gone away.
        let _ = self.multi.clear();
    }
}

fn key(step: Step, event: &Event<'_>) -> (Step, String) {
    let name = match event {
        Event::Started { name, .. }
        | Event::Advanced { name, .. }
        | Event::Finished { name, .. } => name,
        _ => "",
    };
    (step, name.to_owned())
}

fn style(bytes: Option<u64>) -> ProgressStyle {
    let template = match bytes {
        Some(_) => "{prefix:>11} [{bar:20}] {bytes:>10} of {total_bytes:>10}  {wide_msg}",
        None => "{prefix:>11} {bytes:>10}  {wide_msg}",
    };
    ProgressStyle::with_template(template)
        .expect("the template is well formed")
        .progress_chars("=> ")
}

/// What is being done, as the bar says it.
pub(super) fn verb(step: Step) -> &'static str {
    match step {
        Step::Scan => "Scanning",
        Step::Detect => "Detecting",
        Step::Download => "Downloading",
        Step::Read => "Reading",
        Step::Write => "Writing",
        Step::Extract => "Extracting",
        Step::Place => "Placing",
        Step::Check => "Checking",
    }
}

/// A URL by its last part; anything else whole.
fn short(name: &str) -> String {
    match name.split_once("://") {
        Some((_, rest)) => rest.trim_end_matches('/').rsplit('/').next().unwrap_or(rest).to_owned(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden() -> Bars {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        Bars { multi, shown: Mutex::default() }
    }

    #[test]
    fn bars_come_and_go_with_their_steps() {
        let bars = hidden();
        let started = |name, bytes| Event::Started { step: Step::Download, name, bytes };
        bars.event(&started("https://example.org/a.deb", Some(10)));
        bars.event(&started("https://example.org/b.deb", None));
        let (step, name) = (Step::Download, "https://example.org/a.deb");
        bars.event(&Event::Advanced { step, name, bytes: 4, files: 1 });
        bars.event(&Event::Advanced { step, name, bytes: 5, files: 1 });
        let shown = bars.shown.lock().unwrap();
        let bar = &shown[&(step, name.to_owned())];
        assert_eq!((bar.bytes, bar.files, bar.name.as_str()), (9, 2, "a.deb"));
        drop(shown);
        bars.event(&Event::Finished { step, name });
        assert_eq!(bars.shown.lock().unwrap().len(), 1);
        bars.close();
        assert!(bars.shown.lock().unwrap().is_empty());
    }

    #[test]
    fn there_are_never_too_many() {
        let bars = hidden();
        for number in 0..100 {
            let name = number.to_string();
            bars.event(&Event::Started { step: Step::Read, name: &name, bytes: None });
        }
        assert_eq!(bars.shown.lock().unwrap().len(), MOST);
        bars.event(&Event::Finished { step: Step::Read, name: "99" });
        assert_eq!(bars.shown.lock().unwrap().len(), MOST);
    }
}
