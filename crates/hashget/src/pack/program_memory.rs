//! What programs made when the tree was packed before: what has not changed since need not be made again.
//!
//! Invariant: an answer is of a run of the same program with the same parameters, the same files to make and the same files to read;
//! it is what came out of that run. Losing the memory costs time alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Digest, Entry, RelPath};
use crate::pending_file::PendingFile;
use crate::programs::{Call, ProgramRun};

/// Bytes of a memory that is read.
const MOST_BYTES: u64 = 64 << 20;
/// Names the rules by which runs are made, besides how a program is called: it changes with them.
const RULES: &str = "1";

/// The memory of one tree.
pub(super) struct ProgramMemory {
    file: Option<PathBuf>,
    before: BTreeMap<String, Vec<Remembered>>,
    /// What was asked for or found out in this run: the rest is forgotten.
    now: BTreeMap<String, Vec<Remembered>>,
}

/// A file that came out right, with its patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) path: RelPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) patch: Option<String>,
}

/// What a run depends on.
pub(super) struct Question<'q> {
    pub(super) run: &'q ProgramRun,
    /// How the program is called.
    pub(super) call: &'q Call,
    /// The packages of the program.
    pub(super) tool: Vec<Digest>,
    /// What it makes, and what it reads.
    pub(super) outputs: Vec<&'q Entry>,
    pub(super) inputs: Vec<&'q Entry>,
}

impl Question<'_> {
    /// A key that changes with anything that the run depends on; `None` if it depends on contents without a digest.
    pub(super) fn key(&self) -> Option<String> {
        let call = format!("{:?}", self.call);
        let mut text =
            format!("{RULES}\n{}\n{}\n{call}\n", self.run.recipe, call.len()).into_bytes();
        for (name, value) in &self.run.parameters {
            text.extend(format!("{}={name} {}={value}\n", name.len(), value.len()).into_bytes());
        }
        for sha256 in &self.tool {
            text.extend_from_slice(sha256.as_bytes());
        }
        for (entries, mark) in [(&self.outputs, b'o'), (&self.inputs, b'i')] {
            for entry in entries {
                text.push(mark);
                text.extend_from_slice(entry.sha256?.as_bytes());
                text.extend_from_slice(&entry.metadata.mtime.seconds.to_le_bytes());
                text.extend_from_slice(&(entry.path.as_bytes().len() as u64).to_le_bytes());
                text.extend_from_slice(entry.path.as_bytes());
            }
        }
        Some(Digest::of(&text).to_string())
    }
}

impl ProgramMemory {
    /// What is remembered of `tree` in `folder`; nothing if there is none, or it is damaged.
    pub(super) fn load(folder: Option<&Path>, tree: &Path) -> Self {
        let name = format!("programs-{}", Digest::of(tree.as_os_str().as_bytes()));
        let file = folder.map(|folder| folder.join(name));
        let read = |file: &PathBuf| {
            let file = File::open(file).ok()?;
            serde_json::from_reader(BufReader::new(file.take(MOST_BYTES))).ok()
        };
        let before = file.as_ref().and_then(read).unwrap_or_default();
        Self { file, before, now: BTreeMap::new() }
    }

    /// What came out of the run with this key when it was made before.
    pub(super) fn answer(&mut self, key: Option<&str>) -> Option<Vec<Remembered>> {
        let (key, answer) = self.before.get_key_value(key?)?;
        self.now.insert(key.clone(), answer.clone());
        Some(answer.clone())
    }

    /// Remembers what came out of the run with this key.
    pub(super) fn add(&mut self, key: Option<String>, answer: Vec<Remembered>) {
        self.now.extend(key.map(|key| (key, answer)));
    }

    /// Keeps what this run asked for.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn save(self) -> io::Result<()> {
        let Some(file) = self.file.filter(|_| self.now != self.before) else { return Ok(()) };
        fs_err::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        let mut writer = BufWriter::new(PendingFile::create(&file, 0o600)?);
        serde_json::to_writer(&mut writer, &self.now)?;
        writer.flush()?;
        let pending = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        pending.publish(&file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Metadata, Timestamp};
    use crate::programs::Parameters;

    fn entry(path: &str, content: &str, seconds: i64) -> Entry {
        let mtime = Timestamp::from_seconds(seconds);
        Entry {
            path: RelPath::new(path).unwrap(),
            kind: Kind::File { size: content.len() as u64 },
            metadata: Metadata { mtime, ..Metadata::default() },
            sha256: Some(Digest::of(content.as_bytes())),
            extents: None,
        }
    }

    #[test]
    fn an_answer_is_of_exactly_the_same_run() {
        let folder = tempfile::tempdir().unwrap();
        let run = |value: &str| ProgramRun {
            recipe: "tea",
            parameters: Parameters::from([("leaf".to_owned(), value.to_owned())]),
            outputs: Vec::new(),
        };
        let (green, black) = (run("green"), run("black"));
        let call = |word: &str| Call { arguments: vec![word.to_owned()], ..Call::default() };
        let (brew, boil) = (call("brew"), call("boil"));
        let (made, read) = (entry("made", "m", 1), entry("read", "r", 2));
        let question = || Question {
            run: &green,
            call: &brew,
            tool: vec![Digest::of(b"pot")],
            outputs: vec![&made],
            inputs: vec![&read],
        };
        let answer = vec![Remembered { path: RelPath::new("made").unwrap(), patch: None }];
        let tree = Path::new("/tree");
        let mut memory = ProgramMemory::load(Some(folder.path()), tree);
        assert_eq!(memory.answer(question().key().as_deref()), None);
        memory.add(question().key(), answer.clone());
        memory.save().unwrap();

        let mut memory = ProgramMemory::load(Some(folder.path()), tree);
        assert_eq!(memory.answer(question().key().as_deref()), Some(answer));
        let (later, other, renamed) =
            (entry("read", "r", 3), entry("read", "x", 2), entry("rea", "r", 2));
        let unknown = Entry { sha256: None, ..read.clone() };
        for different in [
            Question { run: &black, ..question() },
            Question { call: &boil, ..question() },
            Question { tool: vec![Digest::of(b"cup")], ..question() },
            Question { outputs: vec![&other], ..question() },
            Question { inputs: vec![&later], ..question() },
            Question { inputs: vec![&other], ..question() },
            Question { inputs: vec![&renamed], ..question() },
            Question { inputs: vec![&read, &other], ..question() },
            Question { inputs: Vec::new(), outputs: vec![&made, &read], ..question() },
            Question { inputs: vec![&unknown], ..question() },
        ] {
            assert_eq!(memory.answer(different.key().as_deref()), None);
        }
        let of_other_tree = ProgramMemory::load(Some(folder.path()), Path::new("/other"));
        assert!(of_other_tree.before.is_empty());
        // What is not asked for any more is forgotten, and damage is no memory.
        ProgramMemory::load(Some(folder.path()), tree).save().unwrap();
        let forgotten = ProgramMemory::load(Some(folder.path()), tree);
        assert!(forgotten.before.is_empty());
        let file = forgotten.file.unwrap();
        fs_err::write(&file, "{").unwrap();
        assert!(ProgramMemory::load(Some(folder.path()), tree).before.is_empty());
    }
}
