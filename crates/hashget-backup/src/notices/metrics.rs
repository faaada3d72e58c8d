//! Numbers of the last run for Prometheus's textfile collector.
//!
//! Invariant: the file is replaced as a whole, so that no half of it is ever collected.

use std::io::{self, Write as _};
use std::path::Path;

use hashget::pending_file::PendingFile;

use crate::audits::{AuditState, Audits};
use crate::growth::{Growths, Point};
use crate::parity_audits::ParityAudits;
use crate::run::State;

/// Who may read it: the collector runs as another user.
const MODE: u32 = 0o644;

/// The numbers of the last run, the last audit and the looks at parity of a job, in Prometheus's text format.
pub fn metrics(job: &str, state: &State, audits: &Audits, parity: &ParityAudits) -> String {
    let Some(last) = state.last() else { return String::new() };
    let mut text = String::new();
    let mut number = |name: &str, help: &str, labels: &str, value: i64| {
        use std::fmt::Write as _;
        let name = format!("hashget_backup_{name}");
        if !help.is_empty() {
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        }
        let _ = writeln!(text, "{name}{{job=\"{job}\"{labels}}} {value}");
    };
    let of_size = |bytes: Option<u64>| i64::try_from(bytes.unwrap_or(0)).unwrap_or(i64::MAX);
    number("last_run_timestamp_seconds", "When the last run began.", "", last.started.as_second());
    if let Some(success) = state.runs.iter().rev().find(|run| !run.has_failed()) {
        let help = "When the last run began that made an archive.";
        number("last_success_timestamp_seconds", help, "", success.started.as_second());
    }
    let seconds = last.ended.as_second() - last.started.as_second();
    number("duration_seconds", "How long the last run took.", "", seconds);
    number("exit_code", "The exit code of the last run.", "", i64::from(last.exit));
    number("archive_bytes", "The size of the last archive.", "", of_size(last.bytes));
    let mut help = "How much larger the last archive is than an earlier one.";
    for (than, growth) in Growths::of(&points(state)).all() {
        number("archive_growth_bytes", help, &format!(",than=\"{than}\""), growth.bytes);
        help = "";
    }
    number("tree_bytes", "The bytes of the files that were packed.", "", of_size(last.tree_bytes));
    let problems = i64::try_from(last.problems.len()).unwrap_or(i64::MAX);
    number("problems", "Problems of the last run.", "", problems);
    let mut help = "Does the destination have the last archive?";
    for delivered in &last.destinations {
        let label = format!(",destination=\"{}\"", escaped(&delivered.destination));
        number("destination_ok", help, &label, i64::from(delivered.problem.is_none()));
        help = "";
    }
    if let Some(AuditState { at, restorable, at_risk, lost, .. }) = audits.last() {
        let mut help =
            "Bytes that the worst archive leaves out, by whether they could be restored.";
        for (word, bytes) in [("restorable", restorable), ("at_risk", at_risk), ("lost", lost)] {
            let label = format!(",state=\"{word}\"");
            number("left_out_bytes", help, &label, of_size(Some(*bytes)));
            help = "";
        }
        number("last_audit_timestamp_seconds", "When the last audit ended.", "", at.as_second());
    }
    if let Some(oldest) = parity.oldest() {
        let (wrong, read) = (parity.wrong(), parity.read_whole());
        let as_recorded = parity.all().count() - wrong;
        let mut help = "Archives whose parity was looked at: as recorded; of these, read to their last byte; wrong.";
        for (word, archives) in [("as_recorded", as_recorded), ("read", read), ("wrong", wrong)] {
            let label = format!(",state=\"{word}\"");
            number("parity_archives", help, &label, i64::try_from(archives).unwrap_or(i64::MAX));
            help = "";
        }
        let help = "When that parity was looked at which was looked at longest ago.";
        number("parity_oldest_look_timestamp_seconds", help, "", oldest.as_second());
    }
    text
}

/// The archives that runs have made.
fn points(state: &State) -> Vec<Point> {
    let made = state.runs.iter().filter(|run| !run.has_failed());
    let points = made.filter_map(|run| {
        Some(Point { started: run.started, bytes: run.bytes?, is_full: run.base.is_none() })
    });
    points.collect()
}

/// The value of a label, with what would end it escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Writes the numbers of a job into a folder.
///
/// # Errors
/// The file cannot be written.
pub fn write_metrics(
    folder: &Path,
    job: &str,
    state: &State,
    audits: &Audits,
    parity: &ParityAudits,
) -> io::Result<()> {
    let path = folder.join(format!("hashget_{job}.prom"));
    let mut pending = PendingFile::create(&path, MODE)?;
    pending.write_all(metrics(job, state, audits, parity).as_bytes())?;
    pending.commit(&path)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::parity_audits::ParityLook;
    use crate::run::{Delivered, RunState};

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(second: i64, exit: u8) -> RunState {
        RunState {
            started: time(second),
            ended: time(second + 9),
            exit,
            archive: None,
            bytes: Some(second.unsigned_abs()),
            base: None,
            tree_bytes: None,
            destinations: vec![Delivered {
                destination: "a\"b\\".into(),
                problem: None,
                parity_problem: None,
                compared: None,
            }],
            problems: Vec::new(),
            failure: None,
        }
    }

    #[test]
    fn the_last_run_and_the_last_success_are_told() {
        let mut state = State::default();
        state.runs.extend([run(60, 3), run(100, 0), run(200, 1)]);
        let mut audits = Audits::default();
        audits.all.push(AuditState {
            at: time(300),
            archives: 2,
            restorable: 7,
            at_risk: 1,
            lost: 0,
        });
        let parity = ParityAudits::default();
        let text = metrics("system", &state, &audits, &parity);
        for line in [
            "hashget_backup_last_run_timestamp_seconds{job=\"system\"} 200",
            "hashget_backup_last_success_timestamp_seconds{job=\"system\"} 100",
            "hashget_backup_duration_seconds{job=\"system\"} 9",
            "hashget_backup_exit_code{job=\"system\"} 1",
            "hashget_backup_archive_growth_bytes{job=\"system\",than=\"before\"} 40",
            "hashget_backup_destination_ok{job=\"system\",destination=\"a\\\"b\\\\\"} 1",
            "hashget_backup_left_out_bytes{job=\"system\",state=\"restorable\"} 7",
            "hashget_backup_left_out_bytes{job=\"system\",state=\"lost\"} 0",
            "hashget_backup_last_audit_timestamp_seconds{job=\"system\"} 300",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        write_metrics(folder.path(), "system", &state, &audits, &parity).unwrap();
        let written = fs_err::read_to_string(folder.path().join("hashget_system.prom")).unwrap();
        assert_eq!(written, text);
        assert_eq!(metrics("system", &State::default(), &audits, &parity), "");
    }

    #[test]
    fn what_was_found_of_parity_is_told() {
        let mut parity = ParityAudits::default();
        let look = |read, problem: Option<&str>| ParityLook {
            looked: time(1_800_000_007),
            read,
            problem: problem.map(str::to_owned),
        };
        parity.note("/srv", "a", look(None, None));
        parity.note("/srv", "b", look(Some(7), Some("damaged")));
        parity.note("/srv", "c", look(Some(7), None));
        let mut state = State::default();
        state.runs.push(run(60, 0));
        let text = metrics("system", &state, &Audits::default(), &parity);
        for line in [
            "hashget_backup_parity_archives{job=\"system\",state=\"as_recorded\"} 2\n",
            "hashget_backup_parity_archives{job=\"system\",state=\"read\"} 1\n",
            "hashget_backup_parity_archives{job=\"system\",state=\"wrong\"} 1\n",
            "hashget_backup_parity_oldest_look_timestamp_seconds{job=\"system\"} 1800000007\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
