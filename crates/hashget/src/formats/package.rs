//! Reading a package whose format is not known in advance, and the packages within it.
//!
//! Invariant: the limits apply to the entries and bytes of all levels together. A damaged package within the
//! package never prevents reading the outer one.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::Read;

use super::content::{Head, spool};
use super::{
    FILE, Format, FormatError, HEAD_BYTES, Input, PATH_SEPARATOR, Visitor, VisitorError, by_name,
    may_end_as_package, recognise, recognise_file,
};
use crate::limits::Limits;
use crate::model::{Kind, Member, RelPath};

/// Recognises a package by its content and visits all its members. Returns the format's name; [`FILE`], with
/// nothing visited, if no format recognises it: then the file itself is the package.
///
/// A regular file for which `recurse` returns true, and that is recognised as a package, is visited like any
/// other; its members follow, with its path and [`PATH_SEPARATOR`] before theirs.
///
/// # Errors
/// See [`FormatError`]. Errors of a package within the package are reported to [`Visitor::nested_problem`]
/// instead.
pub fn read_package(
    input: Input<'_>,
    recurse: &dyn Fn(&RelPath) -> bool,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<&'static str, FormatError> {
    read_package_as(FILE, input, recurse, limits, visitor)
}

/// As [`read_package`], for a package that was read as `format` before: a manifest or a record says so. A format that came
/// later does not change what its members are. What does not begin as one of `format` is recognised by its content.
///
/// # Errors
/// As those of [`read_package`].
pub fn read_package_as(
    format: &str,
    input: Input<'_>,
    recurse: &dyn Fn(&RelPath) -> bool,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<&'static str, FormatError> {
    let as_before = |head: &[u8]| by_name(format).filter(|format| format.recognises(head));
    let budget = Budget::new(limits);
    let outcome = match input {
        Input::File(file) | Input::Watched(file, _) => {
            budget.packed.set(file.metadata()?.len());
            budget.packed_is_known.set(true);
            let head = Head::read(Input::File(file).into_reader(), HEAD_BYTES)?.bytes;
            let found = match as_before(&head) {
                Some(format) => Some(format),
                None => recognise_file(&head, file)?,
            };
            found.map(|format| {
                let mut nest = Nest {
                    format,
                    prefix: Vec::new(),
                    depth: 0,
                    budget: &budget,
                    recurse,
                    visitor,
                };
                (format, format.read(input, limits, &mut nest))
            })
        }
        Input::Stream(stream) => {
            let head = Head::read(Counting { stream, count: &budget.packed }, HEAD_BYTES)?;
            let found = as_before(&head.bytes).or_else(|| recognise(&head.bytes));
            if found.is_none() {
                let file = spool(&mut head.into_reader().take(limits.unpacked_bytes));
                let file = file.map_err(|error| error.explain(FILE))?;
                return read_package(Input::File(&file), recurse, limits, visitor);
            }
            found.map(|format| {
                let mut nest = Nest {
                    format,
                    prefix: Vec::new(),
                    depth: 0,
                    budget: &budget,
                    recurse,
                    visitor,
                };
                (format, format.read(Input::Stream(&mut head.into_reader()), limits, &mut nest))
            })
        }
    };
    match outcome {
        None => Ok(FILE),
        Some((format, Ok(()))) => Ok(format.name()),
        Some((_, Err(FormatError::Visitor(error)))) => Err(match error.downcast::<Stop>() {
            Ok(stop) => stop.0,
            Err(error) => FormatError::Visitor(error),
        }),
        Some((_, Err(error))) => Err(error),
    }
}

/// What the members of the whole package, over all levels, have used up so far.
struct Budget<'a> {
    limits: &'a Limits,
    /// Size of the package itself: in full, or the bytes read so far.
    packed: Cell<u64>,
    packed_is_known: Cell<bool>,
    entries: Cell<u64>,
    unpacked: Cell<u64>,
}

impl<'a> Budget<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            packed: Cell::new(0),
            packed_is_known: Cell::new(false),
            entries: Cell::new(0),
            unpacked: Cell::new(0),
        }
    }

    /// Counts one more entry with `bytes` bytes.
    fn charge(&self, bytes: u64) -> Result<(), Stop> {
        let limits = self.limits;
        let exceeded =
            |what: &str, limit| Err(Stop(FormatError::Limit { what: what.into(), limit }));
        let before = self.unpacked.get();
        self.entries.set(self.entries.get() + 1);
        self.unpacked.set(before.saturating_add(bytes));
        if self.entries.get() > limits.entries {
            return exceeded("entries", limits.entries);
        }
        if self.unpacked.get() > limits.unpacked_bytes {
            return exceeded("unpacked bytes", limits.unpacked_bytes);
        }
        // In a stream, the packed bytes of this entry have not been read yet.
        let unpacked = if self.packed_is_known.get() { self.unpacked.get() } else { before };
        let ratio = unpacked / self.packed.get().max(1);
        if unpacked > Limits::RATIO_FLOOR && ratio > limits.ratio {
            return exceeded("unpacked bytes for each byte of the package", limits.ratio);
        }
        Ok(())
    }
}

/// Why all reading must stop, on every level; passed through the readers as a visitor's error.
#[derive(Debug)]
struct Stop(FormatError);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Stop {}

/// Counts the bytes of a stream.
struct Counting<'a> {
    stream: &'a mut dyn Read,
    count: &'a Cell<u64>,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.count.set(self.count.get().saturating_add(count as u64));
        Ok(count)
    }
}

/// Visits the members of one package for the visitor of the outermost one.
struct Nest<'a> {
    format: &'static dyn Format,
    /// Prefix of the paths of members: empty, or the package's path with the separator.
    prefix: Vec<u8>,
    depth: u32,
    budget: &'a Budget<'a>,
    recurse: &'a dyn Fn(&RelPath) -> bool,
    visitor: &'a mut dyn Visitor,
}

impl Visitor for Nest<'_> {
    fn visit(&mut self, mut member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.budget.charge(member.size())?;
        let opened = self.format.opens(&member.path);
        self.move_below(&mut member)?;
        let is_file = matches!(member.kind, Kind::File { .. });
        if !is_file || opened || !(self.recurse)(&member.path) {
            return self.visitor.visit(member, content);
        }
        let head = Head::read(content, HEAD_BYTES)?;
        let is_opened = match recognise(&head.bytes) {
            Some(format) => format.is_opened_within(),
            None => may_end_as_package(&head.bytes),
        };
        if !is_opened {
            return self.visitor.visit(member, &mut head.into_reader());
        }
        let start = head.bytes.clone();
        let file = spool(&mut head.into_reader()).map_err(|error| Stop(error.explain(FILE)))?;
        let path = member.path.clone();
        self.visitor.visit(member, &mut Input::File(&file).into_reader())?;
        match recognise_file(&start, &file).map_err(|error| Stop(error.into()))? {
            None => Ok(()),
            Some(_) if self.depth == self.budget.limits.depth => {
                let limit = u64::from(self.depth);
                let what = "packages within packages".into();
                self.visitor.nested_problem(&path, &FormatError::Limit { what, limit });
                Ok(())
            }
            Some(format) => self.visit_inner(format, &path, &file),
        }
    }

    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        self.visitor.bad_member(&[&self.prefix, raw].concat(), reason);
    }
}

impl Nest<'_> {
    /// Makes the member's path relative to the outermost package.
    fn move_below(&self, member: &mut Member) -> Result<(), VisitorError> {
        if self.prefix.is_empty() {
            return Ok(());
        }
        let below = |path: &RelPath| RelPath::new([&self.prefix, path.as_bytes()].concat());
        member.path = below(&member.path)?;
        if let Kind::HardLink { target } = &mut member.kind {
            *target = below(target)?;
        }
        Ok(())
    }

    /// Visits the members of the package at `path`, which has this `format`.
    fn visit_inner(
        &mut self,
        format: &'static dyn Format,
        path: &RelPath,
        file: &File,
    ) -> Result<(), VisitorError> {
        let mut inner = Nest {
            format,
            prefix: [path.as_bytes(), PATH_SEPARATOR.as_bytes()].concat(),
            depth: self.depth + 1,
            budget: self.budget,
            recurse: self.recurse,
            visitor: &mut *self.visitor,
        };
        match format.read(Input::File(file), self.budget.limits, &mut inner) {
            Ok(()) => Ok(()),
            Err(FormatError::Visitor(error)) => Err(error),
            Err(error) => {
                self.visitor.nested_problem(path, &error);
                Ok(())
            }
        }
    }
}
