//! The console: receives the events of the stages and prints for the commands.
//!
//! Invariant: with `--json`, every line on standard output is one record with a `type`; a closed pipe is not
//! an error. No message has a password of a URL in it.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anstream::stderr;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use hashget::monitor::{Event, Monitor, ProblemKind};
use serde::Serialize;
use serde_json::json;

use super::journal;
use super::lines::{Gathered, record, write};
use super::progress::ProgressReporter;
use super::text::{counted, safe, without_logins};

/// The level of detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Problems and errors.
    Quiet,
    /// Also summaries, notes and progress.
    Normal,
    /// Everything.
    Verbose,
}

/// How progress is shown to a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// As lines at the bottom of a terminal, and not at all elsewhere.
    #[default]
    Auto,
    /// As lines of their own, from time to time: for screen readers and logs.
    Plain,
    /// Not at all.
    None,
}

/// Number of problems of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Problems {
    /// Notes: worth knowing.
    pub(crate) notes: u64,
    /// Entries not read or not restored.
    pub(crate) incomplete: u64,
    /// Sources that could not be reached.
    pub(crate) unreachable: u64,
    /// Bytes that failed verification.
    pub(crate) verification: u64,
}

impl Problems {
    /// Those that were reported since there were only `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            notes: self.notes - before.notes,
            incomplete: self.incomplete - before.incomplete,
            unreachable: self.unreachable - before.unreachable,
            verification: self.verification - before.verification,
        }
    }
}

/// Prints for a command, and is the monitor of its stages.
#[derive(Debug)]
pub(crate) struct Console {
    verbosity: Verbosity,
    json: bool,
    reporter: Option<ProgressReporter>,
    output: Gathered,
    problems: Mutex<Problems>,
    interrupted: Arc<AtomicBool>,
    interruption_reported: AtomicBool,
    skipped: AtomicU64,
    /// The first problems that are more than notes, each in a line.
    lines: Mutex<Vec<String>>,
    /// Problems are notes now.
    as_notes: AtomicBool,
}

/// The error that ended a command, as printed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The error and its causes, outermost first.
    pub(crate) messages: Vec<String>,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The exit code.
    pub(crate) exit_code: u8,
    /// Did the user stop the command?
    pub(crate) is_interruption: bool,
}

/// Number of skipped items reported without `--verbose`.
const SHOWN_SKIPPED: u64 = 5;

/// Problems that are kept for whoever is told of a backup afterwards.
const KEPT_LINES: usize = 100;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();

impl Console {
    /// A console that asks stages to stop once the flag is set.
    pub(crate) fn new(
        verbosity: Verbosity,
        progress: ProgressStyle,
        json: bool,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        let reporter = match (verbosity > Verbosity::Quiet, json) {
            (false, _) => None,
            (true, false) => match progress {
                ProgressStyle::Auto => ProgressReporter::on_terminal(),
                ProgressStyle::Plain => Some(ProgressReporter::in_plain_lines()),
                ProgressStyle::None => None,
            },
            (true, true) => {
                // If this fails, writing the summary fails too, and that is reported.
                let write_record = |body| {
                    drop(record("progress", body).and_then(|line| write((line + "\n").as_bytes())));
                };
                Some(ProgressReporter::in_records(
                    Box::new(write_record),
                    verbosity >= Verbosity::Verbose,
                ))
            }
        };
        Self {
            verbosity,
            json,
            reporter,
            output: Gathered::default(),
            problems: Mutex::default(),
            interrupted,
            interruption_reported: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
            lines: Mutex::default(),
            as_notes: AtomicBool::new(false),
        }
    }

    /// Does something that the command was not asked for: its problems are notes, and change no exit code.
    pub(crate) fn aside_from_the_task<T>(&self, work: impl FnOnce() -> T) -> T {
        self.as_notes.store(true, Ordering::Relaxed);
        let done = work();
        self.as_notes.store(false, Ordering::Relaxed);
        done
    }

    /// Was `--json` given?
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Was `--verbose` given?
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity >= Verbosity::Verbose
    }

    /// The problems reported so far.
    pub(crate) fn problems(&self) -> Problems {
        *self.problems.lock().expect("counting does not panic")
    }

    /// The first problems reported since they were taken, each in a line; no notes.
    pub(crate) fn problem_lines(&self) -> Vec<String> {
        self.lines.lock().expect("pushing does not panic").clone()
    }

    /// The same, and forgets them.
    pub(crate) fn take_problem_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().expect("pushing does not panic"))
    }

    /// The flag that Ctrl-C sets.
    pub(crate) fn interruption(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.interrupted)
    }

    /// Prints a line of data, or its JSON record: only that one is made.
    pub(crate) fn data<R: Serialize>(
        &self,
        line: impl FnOnce() -> String,
        kind: &str,
        record: impl FnOnce() -> R,
    ) -> io::Result<()> {
        if self.json { self.record(kind, record()) } else { self.line(&line()) }
    }

    /// Prints a line to standard output.
    pub(crate) fn line(&self, line: &str) -> io::Result<()> {
        self.bytes_line(line.as_bytes())
    }

    /// Prints a line for programs to standard output: names in it are as they are, but on a terminal.
    pub(crate) fn line_for_programs(&self, line: &[u8]) -> io::Result<()> {
        match io::stdout().is_terminal() {
            true => self.line(&safe(&String::from_utf8_lossy(line))),
            false => self.bytes_line(line),
        }
    }

    fn bytes_line(&self, line: &[u8]) -> io::Result<()> {
        self.output.add(line, |text| self.write(text))
    }

    /// Calls `print`, which prints many lines and does little else: they are written many together.
    pub(crate) fn in_bulk<T>(
        &self,
        print: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.output.begin();
        let printed = print();
        let written = self.output.end(|text| self.write(text));
        let printed = printed?;
        Ok(written.map(|()| printed)?)
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let mut result = Ok(());
        self.beside_progress(|| result = write(text));
        result
    }

    /// Prints a JSON record, if `--json` was given.
    pub(crate) fn record(&self, kind: &str, body: impl Serialize) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        self.line(&record(kind, body)?)
    }

    /// Ends a command: prints its summary record, or lines for the user.
    pub(crate) fn summary(
        &self,
        command: &str,
        body: impl Serialize,
        lines: &[String],
    ) -> io::Result<()> {
        #[derive(Serialize)]
        struct Summary<'a, T> {
            command: &'a str,
            #[serde(flatten)]
            body: T,
            problems: Problems,
        }
        self.close();
        if self.json {
            let problems = self.problems();
            return self.record("summary", Summary { command, body, problems });
        }
        let skipped = self.skipped.load(Ordering::Relaxed);
        if skipped > SHOWN_SKIPPED && !self.is_verbose() {
            let more = counted(skipped - SHOWN_SKIPPED, "more item", "more items");
            self.say(&format!("{more} skipped (list them with -v)"));
        }
        for line in lines {
            self.say(line);
        }
        Ok(())
    }

    /// Prints a message for the user to standard error, unless `--quiet` was given.
    pub(crate) fn say(&self, line: &str) {
        journal::said(line);
        if self.verbosity >= Verbosity::Normal && !self.json {
            self.aside(|| complain(&safe(line)));
        }
    }

    /// Prints a warning that is not about an object of a stage, even with `--quiet`.
    pub(crate) fn warn(&self, text: &str) {
        journal::said(&format!("warning: {text}"));
        self.aside(|| complain(&format!("{WARNING}warning:{WARNING:#} {}", safe(text))));
    }

    /// The same, only with `--verbose`.
    pub(crate) fn detail(&self, line: &str) {
        match self.is_verbose() {
            true => self.say(line),
            false => journal::said(line),
        }
    }

    /// Prints the error that ended the command, with its causes and a hint.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.close();
        self.aside(|| print_failure(failure));
        journal::said(&format!("error: {}", failure.messages.join(": ")));
        let causes: Vec<String> =
            failure.messages.iter().map(|message| without_logins(message)).collect();
        let record = json!({
            "exit_code": failure.exit_code,
            "message": causes.join(": "),
            "causes": causes,
            "hint": failure.hint,
        });
        // If nothing can be written, nothing can be done.
        let _ = self.record("error", record);
    }

    /// Stops reporting progress.
    pub(crate) fn close(&self) {
        if let Some(reporter) = &self.reporter {
            reporter.stop();
        }
    }

    /// Prints something to standard error, after what was printed before.
    fn aside(&self, print: impl FnOnce()) {
        self.output.flush(|text| self.write(text));
        self.beside_progress(print);
    }

    fn beside_progress(&self, print: impl FnOnce()) {
        match &self.reporter {
            Some(reporter) => reporter.aside(print),
            None => print(),
        }
    }

    fn problem(&self, kind: ProblemKind, object: &str, message: &str) {
        let (object, message) = (&*without_logins(object), &*without_logins(message));
        let kind = if self.as_notes.load(Ordering::Relaxed) { ProblemKind::Note } else { kind };
        let mut problems = self.problems.lock().expect("counting does not panic");
        let (count, style, label, name) = match kind {
            ProblemKind::Note => (&mut problems.notes, NOTE, "note", "note"),
            ProblemKind::Incomplete => (&mut problems.incomplete, WARNING, "warning", "incomplete"),
            ProblemKind::Unreachable => {
                (&mut problems.unreachable, WARNING, "warning", "unreachable")
            }
            ProblemKind::Verification => {
                (&mut problems.verification, ERROR, "error", "verification")
            }
        };
        *count += 1;
        drop(problems);
        journal::said(&format!("{label}: {object}: {message}"));
        let mut lines = self.lines.lock().expect("pushing does not panic");
        if kind != ProblemKind::Note && lines.len() < KEPT_LINES {
            lines.push(format!("{object}: {message}"));
        }
        drop(lines);
        if self.json {
            // If this fails, writing the summary fails too, and that is reported.
            let record = json!({ "kind": name, "object": object, "message": message });
            let _ = self.record("problem", record);
        } else if kind != ProblemKind::Note || self.verbosity >= Verbosity::Normal {
            let (object, message) = (safe(object), safe(message));
            self.aside(|| complain(&format!("{style}{label}:{style:#} {object}: {message}")));
        }
    }

    fn skip(&self, object: &str, reason: &str) {
        let (object, reason) = (&*without_logins(object), &*without_logins(reason));
        let before = self.skipped.fetch_add(1, Ordering::Relaxed);
        if self.json {
            // If this fails, writing the summary fails too, and that is reported.
            let _ = self.record("skipped", json!({ "object": object, "reason": reason }));
        } else if before < SHOWN_SKIPPED || self.is_verbose() {
            self.say(&format!("Skipped {object}: {reason}"));
        } else {
            journal::said(&format!("Skipped {object}: {reason}"));
        }
    }
}

impl Monitor for Console {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Problem { kind, object, message } => self.problem(kind, object, message),
            Event::Skipped { object, reason } => self.skip(object, reason),
            Event::Started(_) | Event::Finished(_) => {
                if let Some(reporter) = &self.reporter {
                    reporter.event(&event);
                }
            }
        }
    }

    fn interrupted(&self) -> bool {
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        if interrupted && !self.interruption_reported.swap(true, Ordering::Relaxed) {
            self.say("Stopping cleanly; a second Ctrl-C stops at once.");
        }
        interrupted
    }
}

/// Prints a line to standard error; ignores errors, since there is nowhere else to report them.
fn complain(line: &str) {
    let _ = writeln!(stderr(), "{}", without_logins(line));
}

fn print_failure(failure: &Failure) {
    let label = if failure.is_interruption { "stopped" } else { "error" };
    for (position, message) in failure.messages.iter().enumerate() {
        let message = safe(message);
        match position {
            0 => complain(&format!("{ERROR}{label}:{ERROR:#} {message}")),
            _ => complain(&format!("  cause: {message}")),
        }
    }
    if let Some(hint) = &failure.hint {
        complain(&format!("{NOTE}hint:{NOTE:#} {}", safe(hint)));
    }
}

/// Prints clap's message about a wrong command line, and also as an `error` record if `--json` was given.
pub(crate) fn print_usage_error(error: &clap::Error, exit_code: u8) {
    let text = error.render();
    complain(text.ansi().to_string().trim_end_matches('\n'));
    if std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json") {
        let console = Console::new(Verbosity::Quiet, ProgressStyle::None, true, Arc::default());
        let text = without_logins(&text.to_string());
        let message = text.lines().next().unwrap_or("").trim_start_matches("error: ");
        let record = json!({
            "exit_code": exit_code,
            "message": message,
            "causes": [message],
            "hint": "see --help",
        });
        let _ = console.record("error", record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_counted_by_kind() {
        let console = Console::new(Verbosity::Quiet, ProgressStyle::None, false, Arc::default());
        for kind in [ProblemKind::Incomplete, ProblemKind::Incomplete, ProblemKind::Unreachable] {
            console.event(Event::Problem { kind, object: "a", message: "b" });
        }
        let expected = Problems { incomplete: 2, unreachable: 1, ..Problems::default() };
        assert_eq!(console.problems(), expected);
    }

    #[test]
    fn the_flag_interrupts() {
        let flag = Arc::new(AtomicBool::new(false));
        let console = Console::new(Verbosity::Quiet, ProgressStyle::None, false, Arc::clone(&flag));
        assert!(!console.interrupted());
        flag.store(true, Ordering::Relaxed);
        assert!(console.interrupted());
        assert!((&console as &dyn Monitor).check_interrupted().is_err());
    }
}
