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
                let name = short(name);
                // Complete before it is first drawn.
                let bar = ProgressBar::hidden().with_style(style(bytes)).with_prefix(verb(step));
                let bar = bar.with_message(name.clone());
                bar.set_length(bytes.unwrap_or(0));
                let bar = self.multi.add(bar);
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

/// A URL by its last parts, as many as say something; anything else whole.
fn short(name: &str) -> String {
    const ENOUGH: usize = 48;
    let Some((_, rest)) = name.split_once("://") else {
        return name.to_owned();
    };
    let rest = rest.trim_end_matches('/');
    if rest.len() <= ENOUGH {
        return rest.to_owned();
    }
    // The longest end that begins after a `/` and is short enough; at least the last part.
    let fits = |(start, _): &(usize, &str)| rest.len() - start <= ENOUGH;
    let start = rest.match_indices('/').find(fits).map(|(start, _)| start);
    match start.or_else(|| rest.rfind('/')) {
        Some(start) => format!("...{}", &rest[start..]),
        None => rest.to_owned(),
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
        assert_eq!((bar.bytes, bar.files, bar.name.as_str()), (9, 2, "example.org/a.deb"));
        drop(shown);
        bars.event(&Event::Finished { step, name });
        assert_eq!(bars.shown.lock().unwrap().len(), 1);
        bars.close();
        assert!(bars.shown.lock().unwrap().is_empty());
    }

    #[test]
    fn a_long_url_is_told_by_its_end() {
        let url = "https://example.org/a/very/long/path/to/crates/serde/1.0.200/download";
        assert_eq!(short(url), ".../very/long/path/to/crates/serde/1.0.200/download");
        let last = "x".repeat(80);
        assert_eq!(short(&format!("https://example.org/a/{last}")), format!(".../{last}"));
        assert_eq!(short("https://example.org/a.deb"), "example.org/a.deb");
        assert_eq!(short("/srv/www"), "/srv/www");
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
