//! What a person sees of the program: command lines with all that they print, as a text to review.
//!
//! Invariant: the same everywhere and every day. Folders, ports, today's date and what depends on a clock or a
//! compressor are named instead of shown.

use std::time::{Duration, SystemTime};

use crate::support::{Ended, Machine};

/// The time of every file that a transcript's scene has.
const FILE_TIME: Duration = Duration::from_secs(1_700_000_000);

/// What differs from one run to the next, and what stands for it.
const FILTERS: &[(&str, &str)] = &[
    (r"127\.0\.0\.1:\d+", "HOST"),
    (
        r#""(seconds|disk_bytes|archive_bytes|bytes_written|indexed_at)":[0-9.e-]+"#,
        r#""$1":NUMBER"#,
    ),
    (r#""(bytes_per_second|seconds_left)":(\d+|null)"#, r#""$1":NUMBER"#),
    (r#""(uid|gid)":\d+"#, r#""$1":NUMBER"#),
    (r"(?m)^([-dlhcbp][-rwxsStT]{9}) +\d+/\d+ ", "$1 OWNER/GROUP "),
    (r"(?m)^(Archive +)[0-9.]+ \w+, [0-9.,]+ times", "${1}SIZE, N times"),
    (r"(?m)^(Wrote \S+\.html, )[0-9.]+ \w+$", "${1}SIZE"),
    (r"(?m)^(On disk +)[0-9.]+ \w+", "${1}SIZE"),
    (r"/\.([\w.]+?)\.\d+\.\w+\.part", "/.$1.PID.RANDOM.part"),
    (r"TODAY-DATET\d{6}Z", "TODAY-TIME"),
    (r"TODAY-DATET[\d:]+Z", "TODAY-TIME"),
    (r"TODAY-DATE \d\d:\d\d UTC", "TODAY-TIME"),
    (r"(?m)(TODAY-TIME +)[0-9.]+ \w+( +)\d+ min", "${1}SIZE${2}AGE"),
    (r"(?m)^(Archive +)[0-9.]+ \w+: h_", "${1}SIZE: h_"),
    (r"(TODAY-TIME \()\d+ min ago\), [0-9.]+ \w+", "${1}AGE ago), SIZE"),
    (r"(?m)^(  /FOLDER.*: \d+ archives?, )[0-9.]+ \w+$", "${1}SIZE"),
    // What a step takes longer than a second for is told to programs.
    (r#"(?m)^\{"type":"progress".*\n"#, ""),
];

/// Command lines and what came of them.
pub(crate) struct Transcript<'a> {
    machine: &'a Machine,
    text: String,
}

impl<'a> Transcript<'a> {
    pub(crate) fn new(machine: &'a Machine) -> Self {
        Self { machine, text: String::new() }
    }

    /// Runs the program with these words, which have no spaces in them.
    pub(crate) fn run(&mut self, line: &str) -> &mut Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Ended { code, stdout, stderr } = self.machine.hashget(&words);
        let part = |name: &str, text: &str| match text.is_empty() {
            true => String::new(),
            false => format!("[{name}]\n{}\n", text.trim_end_matches('\n')),
        };
        let (stdout, stderr) = (part("stdout", &stdout), part("stderr", &stderr));
        self.text.push_str(&format!("$ hashget {line}\n{stdout}{stderr}[exit code {code}]\n\n"));
        self
    }

    /// Compares it with the snapshot of this name.
    #[track_caller]
    pub(crate) fn assert(&self, name: &str) {
        let folder = self.machine.path("");
        let folder = folder.to_str().unwrap().trim_end_matches('/');
        let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let today = jiff::Timestamp::from_second(i64::try_from(today).unwrap()).unwrap();
        let text = self.text.replace(folder, "/FOLDER");
        let text = text.replace(&today.strftime("%Y-%m-%d").to_string(), "TODAY-DATE");
        let mut settings = insta::Settings::clone_current();
        settings.set_omit_expression(true);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_snapshot_path("../snapshots");
        for (expression, instead) in FILTERS {
            settings.add_filter(expression, *instead);
        }
        settings.bind(|| insta::assert_snapshot!(format!("screens__{name}"), text));
    }
}

/// Gives every file and folder below `name` the same time.
pub(crate) fn set_times(machine: &Machine, name: &str) {
    let mut paths = vec![machine.path(name)];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs_err::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let file = std::fs::File::open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + FILE_TIME).unwrap();
    }
}
