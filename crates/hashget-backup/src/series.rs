//! The names of archives: `HOST_JOB_2026-11-27T023000Z.tar.zst`, and of what lies beside them.
//!
//! Invariant: a name has one meaning. What is parsed is displayed as the same name, and names of one series sort like their times.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Ends the name of every archive, before the ending of an encryption.
const ENDING: &str = ".tar.zst";

/// Ends the name of a record, after that of its archive.
const RECORD_ENDING: &str = ".json";

/// Ends the name of parity, after that of its archive.
const PARITY_ENDING: &str = ".par2";

/// Ends the name of a list of destinations, in a spool.
const SENT_ENDING: &str = ".sent";

/// Ends the name that repairing gives to a damaged archive.
const DAMAGED_ENDING: &str = ".damaged";

/// What a name ends with that would be one of an archive, and is of something else that lies beside one: a record, parity, an
/// unfinished file, an archive that was healed, a list of a spool.
const NO_ENCRYPTION: [&str; 5] =
    [RECORD_ENDING, PARITY_ENDING, SENT_ENDING, ".part", DAMAGED_ENDING];

/// What stands before the ending of a supplement's name.
const SUPPLEMENT_MARK: &str = ".sup";

/// How the time of an archive is written.
const TIME: &str = "%Y-%m-%dT%H%M%SZ";

/// The form of such a time: `0` stands for a digit.
const TIME_FORM: &str = "0000-00-00T000000Z";

/// The longest name of a host or job, in bytes: with everything else, a name is short enough for every store.
const LONGEST: usize = 64;

/// A name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\": {expected}")]
pub struct BadName {
    /// What was given.
    name: String,
    /// What was expected.
    expected: &'static str,
}

/// The archives that one job of one host makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    host: String,
    job: String,
}

/// The name of one archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveName {
    series: Series,
    started: Timestamp,
    ending: String,
}

/// Which archives of a series are meant: those whose times begin so, or the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Times {
    /// The newest one.
    Latest,
    /// Those whose times, as names have them, begin with this text.
    Beginning(String),
}

/// Checks the name of a job.
///
/// # Errors
/// It is not made of `a-z`, `0-9` and `-`, does not begin with a letter, or has more than 64 characters.
pub fn check_job(name: &str) -> Result<(), BadName> {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if begins && name.len() <= LONGEST && name.bytes().all(is_allowed) {
        return Ok(());
    }
    let expected =
        "expected the name of a job: at most 64 of a-z, 0-9 and -, beginning with a letter";
    Err(BadName { name: name.to_owned(), expected })
}

/// A host's name as names of archives have it: with `-` for what is not a letter, a digit, `.` or `-`.
fn host_in_names(host: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    let kept = host.chars().take(LONGEST).map(|letter| if allowed(letter) { letter } else { '-' });
    let kept: String = kept.collect();
    match kept.strip_prefix('.') {
        // No file of a backup is hidden.
        Some(rest) => format!("-{rest}"),
        None if kept.is_empty() => "-".to_owned(),
        None => kept,
    }
}

impl Series {
    /// The series of a job on a host.
    ///
    /// # Errors
    /// The job's name is none: see [`check_job`].
    pub fn new(host: &str, job: &str) -> Result<Self, BadName> {
        check_job(job)?;
        Ok(Self { host: host_in_names(host), job: job.to_owned() })
    }

    /// The host, as names have it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The archive that this series began at a time, with the ending of its encryption (`.age`), or none.
    pub fn at(&self, started: Timestamp, encryption: &str) -> ArchiveName {
        let started = Timestamp::from_second(started.as_second()).expect("it is within the bounds");
        ArchiveName { series: self.clone(), started, ending: encryption.to_owned() }
    }

    /// A glob that matches the names of all its archives and of what lies beside them.
    pub fn glob(&self) -> String {
        let form = TIME_FORM.replace('0', "[0-9]");
        format!("{self}_{form}{ENDING}*")
    }

    /// Is it meant by `HOST_JOB`, or by one of both?
    pub fn is_called(&self, text: &str) -> bool {
        text == self.job || text == self.host || text == self.to_string()
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.host, self.job)
    }
}

impl ArchiveName {
    /// The archive of this name; `None` if it is another name.
    pub fn parse(name: &str) -> Option<Self> {
        let (stem, encryption) = name.split_once(ENDING)?;
        let mut parts = stem.split('_');
        let (host, job, time) = (parts.next()?, parts.next()?, parts.next()?);
        let series = Series::new(host, job).ok()?;
        let started = jiff::fmt::strtime::parse(TIME, time).ok()?.to_datetime().ok()?;
        let started = started.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let found = series.at(started, encryption);
        let is_ending = encryption.is_empty()
            || encryption.strip_prefix('.').is_some_and(|word| {
                !word.is_empty()
                    && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            });
        let is_archive = is_ending && !NO_ENCRYPTION.contains(&encryption);
        (is_archive && found.to_string() == name).then_some(found)
    }

    /// The archive whose name the file at `path` has.
    pub fn of_path(path: &Path) -> Option<Self> {
        Self::parse(path.file_name()?.to_str()?)
    }

    /// The archive whose record has this name.
    pub fn of_record(name: &str) -> Option<Self> {
        Self::parse(name.strip_suffix(RECORD_ENDING)?)
    }

    /// The archive whose parity has this name.
    pub fn of_parity(name: &str) -> Option<Self> {
        Self::parse(name.strip_suffix(PARITY_ENDING)?)
    }

    /// The archive that was damaged, and was kept under this name when it was repaired.
    pub fn of_damaged(name: &str) -> Option<Self> {
        Self::parse(name.strip_suffix(DAMAGED_ENDING)?)
    }

    /// The archive that a supplement of this name would be called after: its series, and when it was made.
    pub fn of_supplement(name: &str) -> Option<Self> {
        let (stem, rest) = name.split_once(SUPPLEMENT_MARK)?;
        Self::parse(&format!("{stem}{rest}"))
    }

    /// The name of its record.
    pub fn record(&self) -> String {
        format!("{self}{RECORD_ENDING}")
    }

    /// The name of its parity.
    pub fn parity(&self) -> String {
        format!("{self}{PARITY_ENDING}")
    }

    /// The name of the list of destinations that have it and its record, in a spool.
    pub fn sent_list(&self) -> String {
        format!("{self}{SENT_ENDING}")
    }

    /// The name of the list of destinations that need its parity no more, in a spool.
    pub fn parity_sent_list(&self) -> String {
        format!("{self}{PARITY_ENDING}{SENT_ENDING}")
    }

    /// The series that it belongs to.
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// When its run began.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The time in its name.
    pub fn time(&self) -> String {
        self.started.strftime(TIME).to_string()
    }

    /// Is it encrypted?
    pub fn is_encrypted(&self) -> bool {
        !self.ending.is_empty()
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}{ENDING}{}", self.series, self.time(), self.ending)
    }
}

impl Times {
    /// Parses `latest`, or the beginning of a time: `2026-11`, `2026-11-27`, `2026-11-27T02`. Colons may be written in the
    /// time of the day.
    ///
    /// # Errors
    /// No time begins so.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let beginning = text.replace(':', "");
        let fits = |(letter, form): (char, char)| match form {
            '0' => letter.is_ascii_digit(),
            form => letter == form,
        };
        let is_short = beginning.len() >= 4 && beginning.len() <= TIME_FORM.len();
        if is_short && beginning.chars().zip(TIME_FORM.chars()).all(fits) {
            return Ok(Self::Beginning(beginning));
        }
        let expected = "expected `latest` or the beginning of a time in UTC, such as 2026-11-27 or 2026-11-27T02";
        Err(BadName { name: text.to_owned(), expected })
    }

    /// Parses `NAME` or `NAME@TIME`. Without a time, the newest is meant.
    ///
    /// # Errors
    /// No time begins so.
    pub fn after_name(text: &str) -> Result<(&str, Self), BadName> {
        match text.split_once('@') {
            Some((name, time)) => Ok((name, Self::parse(time)?)),
            None => Ok((text, Self::Latest)),
        }
    }

    /// The one that is meant of archives: the newest that fits.
    pub fn chosen<'n>(
        &self,
        names: impl IntoIterator<Item = &'n ArchiveName>,
    ) -> Option<&'n ArchiveName> {
        let fits = |name: &&ArchiveName| match self {
            Self::Latest => true,
            Self::Beginning(text) => name.time().starts_with(text),
        };
        names.into_iter().filter(fits).max_by_key(|name| name.started())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ArchiveName {
        ArchiveName::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn names_are_made_and_parsed() {
        let series = Series::new("web1.example", "system").unwrap();
        let started: Timestamp = "2026-11-27T02:30:00.75Z".parse().unwrap();
        let plain = series.at(started, "");
        assert_eq!(plain.to_string(), "web1.example_system_2026-11-27T023000Z.tar.zst");
        assert_eq!(name(&plain.to_string()), plain);
        let age = series.at(started, ".age");
        assert_eq!(age.record(), "web1.example_system_2026-11-27T023000Z.tar.zst.age.json");
        assert_eq!(ArchiveName::of_record(&age.record()), Some(age.clone()));
        assert_eq!(age.parity(), "web1.example_system_2026-11-27T023000Z.tar.zst.age.par2");
        assert_eq!(ArchiveName::of_parity(&age.parity()), Some(age.clone()));
        assert_eq!(ArchiveName::of_damaged(&format!("{age}.damaged")), Some(age.clone()));
        assert!(age.is_encrypted() && !plain.is_encrypted());
    }

    #[test]
    fn other_names_are_none() {
        for other in [
            "",
            "web1_system_2026-11-27T023000Z.tar",
            "web1_system_2026-11-27T023000Z.tar.zst.json",
            "web1_system_2026-11-27T023000Z.tar.zst.age.json",
            "web1_system_2026-11-27T023000Z.tar.zst.par2",
            "web1_system_2026-11-27T023000Z.tar.zst.age.par2",
            "web1_system_2026-11-27T023000Z.tar.zst.damaged",
            "web1_system_2026-11-27T023000Z.tar.zst.sent",
            "web1_system_2026-11-27T023000Z.tar.zst.age.damaged",
            "web1_system_2026-11-27T023000Z.tar.zst.",
            "web1_system_2026-13-27T023000Z.tar.zst",
            "web1_system_2026-11-31T023000Z.tar.zst",
            "web1_system_2026-11-27T023000.tar.zst",
            "web1_system_2026-11-27T02:30:00Z.tar.zst",
            "web1_system_2026-1-27T023000Z.tar.zst",
            "web1_System_2026-11-27T023000Z.tar.zst",
            "web1_2026-11-27T023000Z.tar.zst",
            "web_1_system_2026-11-27T023000Z.tar.zst",
            "_system_2026-11-27T023000Z.tar.zst",
            ".web1_system_2026-11-27T023000Z.tar.zst",
            ".web1_system_2026-11-27T023000Z.tar.zst.part",
            "web1_system_2026-11-27T023000Z.tar.zst.tar.zst",
        ] {
            assert_eq!(ArchiveName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn hosts_and_jobs_have_no_underscore() {
        assert_eq!(Series::new("my_host/x y\u{e9}", "a").unwrap().host(), "my-host-x-y-");
        assert_eq!(Series::new("..", "a").unwrap().host(), "-.");
        assert_eq!(Series::new("", "a").unwrap().host(), "-");
        for wrong in ["", "A", "a_b", "1a", "-a", "a b", "a/b", &"a".repeat(65)] {
            let error = Series::new("h", wrong).unwrap_err().to_string();
            assert!(error.contains("name of a job"), "{error}");
        }
    }

    #[test]
    fn a_time_is_chosen_by_its_beginning() {
        let names = ["2026-11-26T023000Z", "2026-11-27T023000Z", "2026-11-27T143000Z"]
            .map(|time| name(&format!("h_j_{time}.tar.zst")));
        let chosen = |text: &str| Times::parse(text).unwrap().chosen(&names).cloned();
        assert_eq!(chosen("latest"), Some(names[2].clone()));
        assert_eq!(chosen("2026-11-27"), Some(names[2].clone()));
        assert_eq!(chosen("2026-11-27T02:3"), Some(names[1].clone()));
        assert_eq!(chosen("2026-11-26T023000Z"), Some(names[0].clone()));
        assert_eq!(chosen("2025"), None);
        for wrong in ["", "202", "27.11.2026", "2026-11-27 02", "2026-11-27T023000Z0", "newest"] {
            assert!(Times::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Times::after_name("web@2026").unwrap().0, "web");
        assert_eq!(Times::after_name("web").unwrap(), ("web", Times::Latest));
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_the_same_name(text in "[a-z]{1,3}_?[a-z-]{1,3}_20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]{5}Z\\.tar\\.zst(\\.[a-z]{0,3})?") {
            if let Some(found) = ArchiveName::parse(&text) {
                prop_assert_eq!(found.to_string(), text);
            }
        }

        #[test]
        fn names_sort_like_times(one in 0i64..4_000_000_000, other in 0i64..4_000_000_000) {
            let series = Series::new("h", "j").unwrap();
            let name = |second| series.at(Timestamp::from_second(second).unwrap(), "");
            prop_assert_eq!(name(one).to_string().cmp(&name(other).to_string()), one.cmp(&other));
            prop_assert_eq!(ArchiveName::parse(&name(one).to_string()), Some(name(one)));
        }
    }
}
