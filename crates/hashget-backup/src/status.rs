//! Is a job well? What its destinations hold and what this machine remembers, judged. Pure: nothing is listed here.
//!
//! Invariant: a night that failed or was missed is never shown as well, whatever else is good.

use hashget::archive::Figures;
use jiff::Timestamp;

use crate::due::{Due, LATE};
use crate::gone::lost;
use crate::growth::{Growths, Point};
use crate::inventory::{Held, Looked};
use crate::job::Job;
use crate::parity_audits::ParityAudits;
use crate::retention::Circumstances;
use crate::run::State;
use crate::series::ArchiveName;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Somebody should look at it.
    Warning,
    /// There is no archive of the last night.
    Failure,
}

/// Something that is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, and what to do.
    pub text: String,
}

/// What a destination holds of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The destination, as it is called in messages.
    pub destination: String,
    /// The number of archives.
    pub archives: usize,
    /// Their bytes, with those of their parity.
    pub bytes: u64,
    /// The newest good one.
    pub newest: Option<ArchiveName>,
}

/// How a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// When the newest good archive in any destination was begun.
    pub last_good: Option<Timestamp>,
    /// Its size in bytes.
    pub bytes: Option<u64>,
    /// It beside earlier ones.
    pub growth: Growths,
    /// The archive that it needs.
    pub base: Option<String>,
    /// When the job is due next, if it is known.
    pub next: Option<Timestamp>,
    /// The destinations that could be listed.
    pub holdings: Vec<Holding>,
    /// What of the newest archive could be restored today, if it is known.
    pub figures: Option<Figures>,
    /// What is not well, the worst first.
    pub findings: Vec<Finding>,
}

impl Status {
    /// The worst finding.
    pub fn severity(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// Adds that these packages of the newest archive are known to be gone.
    pub fn add_lost(&mut self, job: &Job, packages: &[String]) {
        let Some(first) = packages.first() else { return };
        let more = match packages.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!(
            "not all of the newest archive could be restored today: {first}{more} is gone from its places; \
             `hashget backup {}` keeps what the sources still have of it, `hashget heal` puts that into a supplement, and `hashget verify` names the files",
            job.name
        );
        self.findings.push(Finding { severity: Severity::Warning, text });
    }
}

impl Status {
    /// Adds what looks at parity found wrong and did not heal.
    pub fn add_parity(&mut self, audits: &ParityAudits) {
        for (destination, archive, look) in audits.all() {
            let Some(problem) = &look.problem else { continue };
            let object = format!("{destination}, {archive}: ");
            if self.findings.iter().any(|finding| finding.text.starts_with(&object)) {
                continue;
            }
            let day = look.looked.strftime("%Y-%m-%d");
            let text = format!("{object}{problem} (seen {day})");
            self.findings.push(Finding { severity: Severity::Warning, text });
        }
    }
}

/// When the job ran last, or began a good archive, as far as the destinations and this machine know.
pub fn last_time(state: &State, looked: &[Looked<'_>]) -> Option<Timestamp> {
    let (good, _) = held_by(looked, &mut |_, _| {});
    let newest = good.first().map(|newest| newest.name.started());
    newest.max(state.last().map(|run| run.started))
}

/// Judges a job that is due as `due` says.
pub fn status(
    job: &Job,
    state: &State,
    looked: &[Looked<'_>],
    due: Due,
    circumstances: &Circumstances,
) -> Status {
    let mut findings = Vec::new();
    let mut find = |severity, text: String| findings.push(Finding { severity, text });
    let (good, holdings) = held_by(looked, &mut find);
    let newest = good.first();
    of_runs(state, &mut find);
    let held = looked.iter().filter_map(|(_, found)| found.as_ref().ok()).flat_map(|it| &it.held);
    let newest_held = held.map(|held| held.name.started()).max();
    for (name, text) in lost(job, state, looked, circumstances) {
        let is_last = newest_held.is_none_or(|newest| newest < name.started());
        find(if is_last { Severity::Failure } else { Severity::Warning }, text);
    }
    let last_good = newest.map(|newest| newest.name.started());
    let has_looked = !holdings.is_empty();
    if last_good.is_none() && has_looked {
        find(
            Severity::Failure,
            format!("there is no good archive: run `hashget backup {}`", job.name),
        );
    }
    if let (Some(before), Some(last)) = (due.before, last_good)
        && last < before
        && state.last().is_none_or(|run| run.started < before)
    {
        let text = "the last night was missed: was the machine off, or is the timer not enabled?";
        find(Severity::Failure, text.to_owned());
    }
    if last_good.is_some_and(|last| last > circumstances.now + LATE) {
        find(
            Severity::Warning,
            "the newest archive is of the future: set the clock right".to_owned(),
        );
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Status {
        last_good,
        bytes: newest.map(|newest| newest.bytes),
        growth: Growths::of(&good.iter().map(|held| point(held)).collect::<Vec<_>>()),
        base: newest.and_then(|newest| newest.base()).map(str::to_owned),
        next: due.next,
        holdings,
        figures: None,
        findings,
    }
}

fn point(held: &Held) -> Point {
    let (started, bytes) = (held.name.started(), held.bytes);
    Point { started, bytes, is_full: held.base().is_none() }
}

/// The good archives, the newest first, and what each destination holds that could be listed.
fn held_by<'i>(
    looked: &[Looked<'i>],
    find: &mut impl FnMut(Severity, String),
) -> (Vec<&'i Held>, Vec<Holding>) {
    let (mut good, mut holdings): (Vec<&Held>, Vec<Holding>) = Default::default();
    for (destination, found) in looked {
        let inventory = match found {
            Ok(inventory) => *inventory,
            Err(problem) => {
                find(Severity::Warning, format!("{destination} could not be looked at: {problem}"));
                continue;
            }
        };
        for held in &inventory.held {
            for difference in held.difference().into_iter().chain(held.parity_difference()) {
                find(Severity::Warning, format!("{destination}, {}: {difference}", held.name));
            }
        }
        let of_destination: Vec<&Held> =
            inventory.held.iter().filter(|held| held.candidate().good == Some(true)).collect();
        holdings.push(Holding {
            destination: (*destination).to_owned(),
            archives: inventory.held.len(),
            bytes: inventory.held.iter().map(Held::all_bytes).sum(),
            newest: of_destination.last().map(|held| held.name.clone()),
        });
        good.extend(of_destination);
    }
    good.sort_by(|one, other| other.name.cmp(&one.name));
    good.dedup_by(|one, other| one.name == other.name);
    let newest = good.first().map(|newest| &newest.name);
    for holding in holdings.iter().filter(|holding| holding.newest.as_ref() != newest) {
        find(
            Severity::Warning,
            format!("{} does not have the newest archive", holding.destination),
        );
    }
    (good, holdings)
}

/// What this machine remembers of the last run.
fn of_runs(state: &State, find: &mut impl FnMut(Severity, String)) {
    let Some(last) = state.last() else { return };
    if last.has_failed() {
        let why = last.failure.as_deref().unwrap_or("it does not say why");
        find(Severity::Failure, format!("the last run failed: {why}"));
        return;
    }
    for delivered in last.undelivered() {
        let problem = delivered.problem.as_deref().unwrap_or_default();
        find(Severity::Warning, format!("the last archive was not sent everywhere: {problem}"));
    }
    for problem in last.destinations.iter().filter_map(|one| one.parity_problem.as_ref()) {
        find(Severity::Warning, format!("the last parity was not sent everywhere: {problem}"));
    }
    if last.exit == 3 {
        let first = last.problems.first().map(|problem| format!(": {problem}")).unwrap_or_default();
        let more = last.problems.len().saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        find(Severity::Warning, format!("the last archive lacks something{first}{more}"));
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::inventory::Inventory;
    use crate::job::{Hooks, Notices, Share};
    use crate::record::{Packed, Record, Sealed};
    use crate::retention::Keep;
    use crate::run::{Delivered, RunState};

    fn job() -> Job {
        Job {
            name: "j".into(),
            host: "h".into(),
            sources: Vec::new(),
            options: Vec::new(),
            encrypt: Vec::new(),
            to: Vec::new(),
            keep: Keep::default(),
            prune: true,
            schedule: Some("02:30".into()),
            hooks: Hooks::default(),
            notices: Notices::default(),
            snapshot: None,
            parity: None,
            share: Share::default(),
            full_every: crate::chain::FULL_EVERY,
            upload: None,
            lock: None,
            cpu: None,
        }
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn due(now: &str) -> Due {
        Due::daily("02:30", time(now), &TimeZone::UTC).unwrap()
    }

    fn at(now: &str) -> Circumstances {
        Circumstances::at(time(now), TimeZone::UTC)
    }

    fn held(day: &str, bytes: u64) -> Held {
        let name = ArchiveName::parse(&format!("h_j_{day}T023000Z.tar.zst")).unwrap();
        let sealed = Sealed { bytes, sha256: "0a".repeat(32) };
        let record = Record::new(&name, sealed, &Packed::default(), name.started(), "1");
        let record = Ok(record);
        Held { name, bytes, sha256: None, locked_until: None, record, parity: None, lacks: None }
    }

    fn run(started: &str, exit: u8) -> State {
        let mut state = State::default();
        state.runs.push(RunState {
            started: time(started),
            ended: time(started),
            exit,
            archive: None,
            bytes: None,
            base: None,
            tree_bytes: None,
            destinations: vec![Delivered {
                destination: "/a".into(),
                problem: None,
                parity_problem: None,
                compared: None,
            }],
            problems: vec!["x: changed".into(), "y: changed".into()],
            failure: (exit == 1).then(|| "disk full".into()),
        });
        state
    }

    fn judged(held: Vec<Held>, state: &State, now: &str) -> (Option<Severity>, String) {
        let inventory = Inventory { held, ..Inventory::default() };
        let found = status(&job(), state, &[("/a", Ok(&inventory))], due(now), &at(now));
        let texts: Vec<String> =
            found.findings.iter().map(|finding| finding.text.clone()).collect();
        (found.severity(), texts.join("; "))
    }

    #[test]
    fn nights_by_table() {
        let nights = || vec![held("2026-11-26", 5), held("2026-11-27", 7)];
        let well = run("2026-11-27T02:30:00Z", 0);
        let (failure, warning) = (Some(Severity::Failure), Some(Severity::Warning));
        for (held, state, now, expected, says) in [
            (nights(), &well, "2026-11-27T09:00:00Z", None, ""),
            // The next one is due, but not late yet.
            (nights(), &well, "2026-11-28T04:00:00Z", None, ""),
            (nights(), &well, "2026-11-28T05:00:00Z", failure, "missed"),
            // Another machine asks, which remembers nothing.
            (nights(), &State::default(), "2026-11-27T09:00:00Z", None, ""),
            (nights(), &State::default(), "2026-11-29T09:00:00Z", failure, "missed"),
            (
                nights(),
                &run("2026-11-28T02:30:00Z", 1),
                "2026-11-28T09:00:00Z",
                failure,
                "disk full",
            ),
            (
                nights(),
                &run("2026-11-27T02:30:00Z", 3),
                "2026-11-27T09:00:00Z",
                warning,
                "x: changed (and 1 more)",
            ),
            (Vec::new(), &State::default(), "2026-11-27T09:00:00Z", failure, "no good archive"),
            (nights(), &well, "2026-11-26T09:00:00Z", warning, "of the future"),
        ] {
            let (severity, texts) = judged(held, state, now);
            assert_eq!(severity, expected, "{now}: {texts}");
            assert!(texts.contains(says), "{now}: {texts}");
        }
    }

    #[test]
    fn what_differs_from_its_record_is_a_warning_and_not_good() {
        let mut damaged = held("2026-11-27", 7);
        damaged.bytes = 6;
        let (severity, texts) = judged(
            vec![held("2026-11-26", 5), damaged],
            &run("2026-11-27T02:30:00Z", 0),
            "2026-11-27T04:00:00Z",
        );
        assert_eq!(severity, Some(Severity::Warning));
        assert!(texts.contains("6 bytes, and its record says 7"), "{texts}");
    }

    #[test]
    fn the_last_archive_is_missed_where_it_was_sent() {
        let mut state = run("2026-11-27T02:30:00Z", 0);
        state.runs[0].archive = Some(held("2026-11-27", 7).name.to_string());
        let now = "2026-11-27T04:00:00Z";
        let there = vec![held("2026-11-26", 5), held("2026-11-27", 7)];
        assert_eq!(judged(there, &state, now), (None, String::new()));
        let (severity, texts) = judged(vec![held("2026-11-26", 5)], &state, now);
        assert_eq!(severity, Some(Severity::Failure));
        assert!(texts.contains("/a has lost h_j_2026-11-27T023000Z.tar.zst"), "{texts}");
        // It never came, or is one of another host's.
        state.runs[0].destinations[0].problem = Some("full".into());
        let (_, texts) = judged(vec![held("2026-11-26", 5)], &state, now);
        assert!(!texts.contains("lost"), "{texts}");
        state.runs[0].destinations[0].problem = None;
        state.runs[0].archive = Some("other_j_2026-11-27T023000Z.tar.zst".into());
        assert_eq!(judged(vec![held("2026-11-26", 5)], &state, now), (None, String::new()));
    }

    #[test]
    fn what_is_known_to_be_gone_is_a_warning() {
        let mut found =
            status(&job(), &State::default(), &[], Due::default(), &at("2026-11-27T09:00:00Z"));
        found.add_lost(&job(), &[]);
        assert_eq!(found.findings, []);
        found.add_lost(&job(), &["vim_9".into(), "zip_3".into()]);
        assert_eq!(found.severity(), Some(Severity::Warning));
        assert!(found.findings[0].text.contains("vim_9 and 1 more"), "{:?}", found.findings);
    }

    #[test]
    fn destinations_that_lag_behind_or_cannot_be_seen_are_named() {
        let all = Inventory {
            held: vec![held("2026-11-26", 5), held("2026-11-27", 7)],
            ..Inventory::default()
        };
        let old = Inventory { held: vec![held("2026-11-26", 5)], ..Inventory::default() };
        let looked = [("/a", Ok(&all)), ("/b", Ok(&old)), ("/c", Err("no answer".to_owned()))];
        let state = run("2026-11-27T02:30:00Z", 0);
        let now = "2026-11-27T09:00:00Z";
        let found = status(&job(), &state, &looked, due(now), &at(now));
        let growth = found.growth.before.map(|growth| growth.bytes);
        assert_eq!((found.bytes, growth, found.holdings.len()), (Some(7), Some(2), 2));
        assert_eq!(found.next, Some(time("2026-11-28T02:30:00Z")));
        let texts: Vec<&str> = found.findings.iter().map(|finding| &*finding.text).collect();
        assert_eq!(
            texts,
            ["/c could not be looked at: no answer", "/b does not have the newest archive"]
        );
    }
}
