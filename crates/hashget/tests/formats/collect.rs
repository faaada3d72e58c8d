//! A visitor that keeps everything.

use std::fs::File;
use std::io::{Read, Seek as _, Write as _};

use hashget::formats::{FormatError, Input, Visitor, VisitorError, read_package};
use hashget::limits::Limits;
use hashget::model::{Digest, Kind, Member, RelPath, escaped};

/// Members with their contents, and what could not be one.
#[derive(Default, Debug)]
pub(crate) struct Collected {
    pub(crate) members: Vec<(Member, Vec<u8>)>,
    pub(crate) bad: Vec<(Vec<u8>, String)>,
    pub(crate) nested_problems: Vec<(String, String)>,
    /// Hash contents, do not keep them.
    pub(crate) digests_only: bool,
}

impl Visitor for Collected {
    fn visit(&mut self, mut member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        let mut bytes = Vec::new();
        if self.digests_only {
            member.sha256 = Some(Digest::of_reader(content)?);
        } else {
            content.read_to_end(&mut bytes)?;
            assert_eq!(bytes.len() as u64, member.size(), "{}", member.path);
            if matches!(member.kind, Kind::File { .. }) {
                member.sha256 = Some(Digest::of(&bytes));
            }
        }
        self.members.push((member, bytes));
        Ok(())
    }

    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        self.bad.push((raw.to_vec(), reason.to_owned()));
    }

    fn nested_problem(&mut self, path: &RelPath, error: &FormatError) {
        self.nested_problems.push((path.to_string(), error.to_string()));
    }
}

impl Collected {
    /// The member at `path`.
    #[track_caller]
    pub(crate) fn member(&self, path: &str) -> &Member {
        &self.find(path.as_bytes()).0
    }

    /// The contents of the file at `path`.
    #[track_caller]
    pub(crate) fn content(&self, path: &str) -> &[u8] {
        &self.find(path.as_bytes()).1
    }

    #[track_caller]
    pub(crate) fn find(&self, path: &[u8]) -> &(Member, Vec<u8>) {
        let found = self.members.iter().find(|(member, _)| member.path.as_bytes() == path);
        found.unwrap_or_else(|| panic!("no member {}; there are {:?}", escaped(path), self.paths()))
    }

    /// All paths, in order.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.members.iter().map(|(member, _)| member.path.to_string()).collect()
    }
}

/// `bytes` in a file without a name.
pub(crate) fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// Reads a package from a file; packages within it too if `recursive`.
pub(crate) fn read_with(
    bytes: &[u8],
    recursive: bool,
    limits: &Limits,
) -> (Collected, Result<&'static str, FormatError>) {
    let mut collected = Collected::default();
    let input = Input::File(&file_of(bytes));
    let outcome = read_package(input, &|_| recursive, limits, &mut collected);
    (collected, outcome)
}

/// Reads a whole package, from a file and as a stream: with the same result.
#[track_caller]
pub(crate) fn read(bytes: &[u8]) -> (&'static str, Collected) {
    let (collected, outcome) = read_with(bytes, false, &Limits::default());
    let format = outcome.unwrap();
    let mut streamed = Collected::default();
    let mut stream = bytes;
    let outcome =
        read_package(Input::Stream(&mut stream), &|_| false, &Limits::default(), &mut streamed);
    assert_eq!(outcome.unwrap(), format);
    assert_eq!(streamed.members, collected.members);
    assert_eq!(streamed.bad, collected.bad);
    (format, collected)
}

/// The error of a package that cannot be read, and what was visited before.
#[track_caller]
pub(crate) fn read_error(bytes: &[u8], limits: &Limits) -> (FormatError, Collected) {
    let (collected, outcome) = read_with(bytes, false, limits);
    (outcome.expect_err("a damaged package"), collected)
}

/// Bytes without repetitions that compression could use.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}
