//! Progress: lines at the bottom of a terminal, plain lines from time to time, or JSON records for a program.
//!
//! Invariant: one thread checks the steps from time to time, and the steps never wait for it. After it has
//! stopped, no line is left and no record follows.

mod layout;
mod lines;
mod pace;
mod rows;

use std::io::IsTerminal as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hashget::monitor::{Event, Progress, Step};
use serde_json::{Map, Value, json};

use self::lines::Lines;
use self::rows::{Row, Rows};

/// Time between two drawings of the lines.
const FRAME: Duration = Duration::from_millis(100);
/// Time between two records of a step.
const RECORD: Duration = Duration::from_secs(1);

/// Time between two plain lines of a step.
const PLAIN: Duration = Duration::from_secs(10);

/// Writes a record of type `progress`.
pub(super) type Records = Box<dyn Fn(Value) + Send + Sync>;

/// Where progress is shown.
enum Output {
    /// On a terminal.
    Lines(Lines),
    /// As lines that stay.
    PlainLines,
    /// As records; with `all`, also for the start and the end of every step.
    Records { write: Records, all: bool },
}

/// Shows the steps in progress, from a thread of its own.
pub(super) struct ProgressReporter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    output: Output,
    began: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    rows: Rows,
    stopped: bool,
}

impl std::fmt::Debug for ProgressReporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgressReporter").finish_non_exhaustive()
    }
}

impl ProgressReporter {
    /// Lines on standard error, if that is a terminal that can move its cursor.
    pub(super) fn on_terminal() -> Option<Self> {
        let can_move = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        (can_move && std::io::stderr().is_terminal())
            .then(|| Self::at(Output::Lines(Lines::default())))
    }

    /// Lines on standard error that stay, for each step that takes long.
    pub(super) fn in_plain_lines() -> Self {
        Self::at(Output::PlainLines)
    }

    /// Records; with `all`, also for the start and the end of every step.
    pub(super) fn in_records(write: Records, all: bool) -> Self {
        Self::at(Output::Records { write, all })
    }

    fn at(output: Output) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { output, began: Instant::now(), state, changed });
        let own = Arc::clone(&shared);
        let name = "hashget-progress".to_owned();
        // Without the thread there is no progress output, but everything else works.
        let thread = std::thread::Builder::new().name(name).spawn(move || own.run()).ok();
        Self { shared, thread: Mutex::new(thread) }
    }

    /// A step begins or ends.
    pub(super) fn event(&self, event: &Event<'_>) {
        match event {
            Event::Started(progress) => self.shared.start(progress),
            Event::Finished(progress) => self.shared.finish(progress),
            _ => {}
        }
    }

    /// Prints something above the lines.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        match &self.shared.output {
            Output::Lines(lines) => lines.aside(print),
            Output::PlainLines | Output::Records { .. } => print(),
        }
    }

    /// Stops it: no line is left, and no record follows.
    pub(super) fn stop(&self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().expect("taking does not panic").take();
        // A thread that panicked cannot show anything more.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("counting does not panic")
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn start(&self, progress: &Arc<Progress>) {
        if let Output::Records { write, all: true } = &self.output {
            write(record(progress, "started", None));
        }
        let mut state = self.state();
        if state.rows.is_empty() {
            self.changed.notify_all();
        }
        state.rows.start(self.now(), Arc::clone(progress));
    }

    fn finish(&self, progress: &Arc<Progress>) {
        let recorded = self.state().rows.finish(self.now(), progress);
        if let Output::Records { write, all } = &self.output
            && (recorded || *all)
        {
            write(record(progress, "finished", None));
        }
    }

    /// Shows progress until it is stopped; sleeps while there is none.
    fn run(&self) {
        let pause = match &self.output {
            Output::Lines(_) => FRAME,
            Output::PlainLines => PLAIN,
            Output::Records { .. } => RECORD,
        };
        let mut state = self.state();
        while !state.stopped {
            state = match state.rows.is_empty() {
                true => self.changed.wait(state).expect("counting does not panic"),
                false => {
                    let (mut state, _) = self
                        .changed
                        .wait_timeout_while(state, pause, |state| !state.stopped)
                        .expect("counting does not panic");
                    state.rows.tick(self.now());
                    state
                }
            };
            if state.stopped {
                break;
            }
            state = self.show(state);
        }
        drop(state);
        if let Output::Lines(lines) = &self.output {
            lines.draw(Vec::new());
        }
    }

    /// Shows all steps. Threads that update progress do not wait while this writes.
    fn show<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        match &self.output {
            Output::Lines(lines) => {
                let text = Lines::texts(state.rows.shown());
                drop(state);
                lines.draw(text);
            }
            Output::PlainLines => {
                let now = self.now();
                let long = |row: &&mut Row| now.saturating_sub(row.began) >= RECORD;
                let lines: Vec<String> =
                    state.rows.under_way().filter(long).map(|row| layout::sentence(row)).collect();
                drop(state);
                lines::write_lines(&lines);
            }
            Output::Records { write, .. } => {
                let now = self.now();
                let mut records = Vec::new();
                for row in state.rows.under_way() {
                    if now.saturating_sub(row.began) >= RECORD {
                        row.recorded = true;
                        records.push(record(&row.progress, "running", Some(row)));
                    }
                }
                // Under the lock, so that the last record of a step is the one that says it has finished.
                records.into_iter().for_each(write);
                return state;
            }
        }
        self.state()
    }
}

/// The record of a step. `row` has its speed while it is running.
fn record(progress: &Progress, state: &str, row: Option<&Row>) -> Value {
    let (_, things) = noun(progress.step);
    let mut record = Map::new();
    record.insert("step".to_owned(), verb(progress.step).to_lowercase().into());
    record.insert("state".to_owned(), state.into());
    record.insert("name".to_owned(), progress.name.as_str().into());
    record.insert("bytes".to_owned(), progress.bytes().into());
    record.insert("total_bytes".to_owned(), progress.total.bytes.into());
    record.insert(things.to_owned(), progress.things().into());
    record.insert(format!("total_{things}"), progress.total.things.into());
    let rate = row.and_then(Row::bytes_per_second);
    let left = row.and_then(Row::time_left).map(|left| left.as_secs());
    record.insert("bytes_per_second".to_owned(), json!(rate));
    record.insert("seconds_left".to_owned(), json!(left));
    Value::Object(record)
}

/// The verb for a step.
fn verb(step: Step) -> &'static str {
    match step {
        Step::Scan => "Scanning",
        Step::Detect => "Detecting",
        Step::Index => "Indexing",
        Step::Download => "Downloading",
        Step::Read => "Reading",
        Step::Plan => "Planning",
        Step::Write => "Writing",
        Step::Extract => "Extracting",
        Step::Place => "Placing",
        Step::Check => "Checking",
        Step::Gather => "Adding",
        Step::Send => "Sending",
    }
}

/// The noun for what a step processes: singular, plural.
fn noun(step: Step) -> (&'static str, &'static str) {
    if step.is_of_packages() { ("package", "packages") } else { ("file", "files") }
}
