//! Fourth step: read every member of the package, and the digests of the regular files.
//!
//! Invariant: every regular file in [`Contents`] has a digest over exactly as many bytes as it declares.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use super::{IndexError, Request};
use crate::detectors::Candidate;
use crate::formats::{self, FormatError, Input, Visitor, VisitorError};
use crate::hashdb::BlockWriter;
use crate::limits::Limits;
use crate::model::{HashingReader, Kind, Member, RelPath, Signature, counted, escaped};
use crate::monitor::{Interrupted, Monitor, ProblemKind, Running, Step, Total};
use crate::wording::{and_more, one_line};

/// What is inside a package.
#[derive(Debug)]
pub struct Contents {
    /// The name of its format.
    pub format: &'static str,
    /// Its members, in the package's own order.
    pub members: Vec<Member>,
    /// Number of members that could not be read.
    pub passed_over: u64,
}

/// Reads and hashes all members of the package in `file`, and of packages within it if `nested`. `name` is what a person calls it.
///
/// # Errors
/// See [`IndexError`].
pub fn read_contents(
    file: &File,
    name: &str,
    nested: bool,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<Contents, IndexError> {
    let request = Request { url: name.to_owned(), recursive: nested, ..Request::default() };
    read(file, &request, None, limits, monitor)
}

/// Reads and hashes all members of the package in `file`; also their blocks, if these are to be kept.
pub(super) fn read(
    file: &File,
    request: &Request,
    blocks: Option<&mut BlockWriter>,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<Contents, IndexError> {
    let name = escaped(request.url.as_bytes());
    let total = Total { bytes: file.metadata().ok().map(|found| found.len()), things: None };
    let own_name = request.signatures.first().map(|signature| escaped(signature.value.as_bytes()));
    let shown = own_name.unwrap_or_else(|| name.clone());
    let progress = monitor.begin(Step::Read, shown, total);
    let mut collector = Collector { blocks, ..Collector::new(&progress, monitor) };
    let recurse = |_: &RelPath| request.recursive;
    let input = Input::Watched(file, progress.position());
    let read = formats::read_package(input, &recurse, limits, &mut collector);
    let Collector { members, passed_over, .. } = collector;
    drop(progress);
    match read {
        Ok(format) => {
            for (reason, over) in &passed_over {
                monitor.problem(ProblemKind::Note, &name, over.message(reason));
            }
            let counts = passed_over.values().map(|over| over.count as u64);
            Ok(Contents { format, members, passed_over: counts.sum() })
        }
        Err(FormatError::Visitor(error)) if error.is::<BlocksNotKept>() => {
            Err(IndexError::Io(std::io::Error::other(one_line(&*error))))
        }
        Err(FormatError::Visitor(error)) if error.is::<Interrupted>() => {
            Err(IndexError::Interrupted(Interrupted))
        }
        Err(error) => Err(IndexError::Format { url: name, error }),
    }
}

/// The name of the package in `file`, if its format contains one. Formats have the same names as the kinds of
/// signature of their packages.
///
/// # Errors
/// The name differs from that of `candidate`.
pub(super) fn own_name(
    file: &File,
    candidate: &Candidate,
    limits: &Limits,
) -> Result<Option<Signature>, IndexError> {
    let Some(expected) = &candidate.signature else { return Ok(None) };
    let Some(format) = formats::by_name(&expected.kind) else { return Ok(None) };
    let wrong = |error| IndexError::Format { url: escaped(candidate.url.as_bytes()), error };
    let own_name = format.own_name(Input::File(file), limits).map_err(wrong)?;
    match &own_name {
        Some(found) if found != expected => {
            let (found, expected) = (&found.value, &expected.value);
            let problem = format!("it is the package {found}, expected {expected}");
            Err(wrong(FormatError::Damaged { format: format.name(), problem }))
        }
        _ => Ok(own_name),
    }
}

impl Contents {
    /// Is it no package, although its URL ends like that of one (`a.zip`, or `a.zip/download`)? A server may send a page of
    /// its own instead.
    pub(super) fn is_something_else(&self, url: &str) -> bool {
        self.format == formats::FILE && is_named_as_package(url)
    }
}

fn is_named_as_package(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').take(2).any(|name| formats::is_package_name(name.as_bytes()))
}

/// A member whose content differs from what the package declares.
#[derive(Debug, thiserror::Error)]
enum BadMember {
    #[error("cannot read {path}")]
    Unreadable {
        path: RelPath,
        #[source]
        error: std::io::Error,
    },
    #[error("damaged package: {path} declares {declared} bytes and has {found}")]
    Size { path: RelPath, declared: u64, found: u64 },
}

/// The blocks of a package cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("its blocks cannot be kept")]
struct BlocksNotKept(#[source] std::io::Error);

/// Members are hashed in pieces of this many bytes; the monitor may interrupt between them.
const PIECE: usize = 1 << 17;

/// Members with one reason not to be read, whose files are archived although the package has them.
#[derive(Default)]
struct PassedOver {
    count: usize,
    /// The first of them.
    names: Vec<String>,
}

/// Number of names that a message has.
const NAMED: usize = 3;

impl PassedOver {
    fn add(&mut self, name: String) {
        self.count += 1;
        if self.names.len() < NAMED {
            self.names.push(name);
        }
    }

    fn message(&self, reason: &str) -> String {
        let members = counted(self.count as u64, "member", "members");
        let more = and_more(self.count - self.names.len());
        format!("{members} passed over: {reason}: {}{more}", self.names.join(", "))
    }
}

/// Hashes members and keeps them.
struct Collector<'a> {
    members: Vec<Member>,
    /// By reason.
    passed_over: BTreeMap<String, PassedOver>,
    buffer: Vec<u8>,
    blocks: Option<&'a mut BlockWriter>,
    progress: &'a Running<'a>,
    monitor: &'a dyn Monitor,
}

impl<'a> Collector<'a> {
    fn new(progress: &'a Running<'a>, monitor: &'a dyn Monitor) -> Self {
        let (members, passed_over) = (Vec::new(), BTreeMap::new());
        Self { members, passed_over, buffer: vec![0; PIECE], blocks: None, progress, monitor }
    }
}

impl Visitor for Collector<'_> {
    fn visit(&mut self, mut member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted()?;
        if let Kind::File { size: declared } = member.kind {
            let mut hashing = HashingReader::new(content);
            if let Some(blocks) = &mut self.blocks {
                blocks.begin(&member.path, declared);
            }
            loop {
                match hashing.read(&mut self.buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        if let Some(blocks) = &mut self.blocks {
                            blocks.update(&self.buffer[..count]);
                        }
                        self.monitor.check_interrupted()?;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        return Err(BadMember::Unreadable { path: member.path, error }.into());
                    }
                }
            }
            let (sha256, found) = hashing.finish();
            if found != declared {
                return Err(BadMember::Size { path: member.path, declared, found }.into());
            }
            if let Some(blocks) = &mut self.blocks {
                blocks.end().map_err(BlocksNotKept)?;
            }
            member.sha256 = Some(sha256);
        }
        self.members.push(member);
        self.progress.advance(0, 1);
        Ok(())
    }

    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        self.passed_over.entry(reason.to_owned()).or_default().add(escaped(raw));
    }

    fn nested_problem(&mut self, path: &RelPath, error: &FormatError) {
        let reason = format!("what is inside cannot be read ({})", one_line(error));
        self.passed_over.entry(reason).or_default().add(path.to_string());
    }
}
