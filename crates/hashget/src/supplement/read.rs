//! Reads a supplement: its packages and files are a source then, by their digests.
//!
//! Invariant: everything is digested while it is read, and given out under that digest alone; names in a supplement prove nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};

use super::{Contents, Has, MANIFEST, MEMBERS, PACKAGES, PackageOf, SupplementError, TREE, Unfit};
use crate::archive::KnownMembers;
use crate::fetch::{FetchError, Fetched, FileSource, KeptFiles, Source, Wanted, shown};
use crate::formats::{self, FormatError, Input, Visitor, VisitorError};
use crate::hashdb::ExportReader;
use crate::limits::Limits;
use crate::model::{Digest, HashingReader, Kind, Member, RelPath};
use crate::monitor::{Interrupted, Monitor, ProblemKind};

/// Unpacked bytes per byte of a supplement, at most: what it has is kept in a folder for temporary files. Packages are compressed
/// already, and files of packages are no disk images.
const RATIO: u64 = 100;

/// A supplement that was read.
#[derive(Debug)]
pub struct Supplement {
    name: String,
    contents: Contents,
    kept: KeptFiles,
    sizes: BTreeMap<Digest, u64>,
    members: KnownMembers,
}

/// Ends reading once the first entry is known.
#[derive(Debug, thiserror::Error)]
#[error("enough was read")]
struct Enough;

/// What is wanted of a supplement.
enum Extent {
    /// What it says of itself.
    FirstEntry,
    /// That, and the digests of all that it has.
    Digests,
    /// All of it, to be kept.
    Files(KeptFiles),
}

/// What is in it, as it is read.
struct Reading<'r> {
    extent: Extent,
    contents: Option<Result<Contents, Unfit>>,
    sizes: BTreeMap<Digest, u64>,
    members: KnownMembers,
    problem: Option<String>,
    limits: &'r Limits,
    monitor: &'r dyn Monitor,
}

impl Supplement {
    /// Reads all of the supplement `name`, into a folder for temporary files. One that is damaged gives what came before the damage, which
    /// is reported.
    ///
    /// # Errors
    /// See [`SupplementError`].
    pub fn read(
        file: &File,
        name: &str,
        limits: &Limits,
        monitor: &dyn Monitor,
    ) -> Result<Self, SupplementError> {
        let files = Extent::Files(KeptFiles::default());
        let mut reading = Reading::new(files, limits, monitor);
        let damage = reading.read(file, name)?;
        let contents = reading.contents(name)?;
        if let Some(error) = damage {
            let error = SupplementError::Damaged { name: name.to_owned(), error: Box::new(error) };
            let problem = crate::wording::one_line(&error);
            monitor.problem(ProblemKind::Verification, name, problem);
        }
        if let Some(problem) = reading.problem.take() {
            monitor.problem(ProblemKind::Verification, name, problem);
        }
        let Reading { sizes, members, extent, .. } = reading;
        let kept = match extent {
            Extent::Files(kept) => kept,
            Extent::FirstEntry | Extent::Digests => KeptFiles::default(),
        };
        Ok(Self { name: name.to_owned(), contents, kept, sizes, members })
    }

    /// Reads only what the supplement says of itself.
    ///
    /// # Errors
    /// See [`SupplementError`].
    pub fn read_contents(
        file: &File,
        name: &str,
        limits: &Limits,
        monitor: &dyn Monitor,
    ) -> Result<Contents, SupplementError> {
        let mut reading = Reading::new(Extent::FirstEntry, limits, monitor);
        reading.read(file, name)?;
        reading.contents(name)
    }

    /// Reads the supplement `name` to its end, and keeps nothing of it: is it whole, and has it the packages that it says it has?
    ///
    /// # Errors
    /// See [`SupplementError`]; it is not.
    pub fn verify(
        file: &File,
        name: &str,
        limits: &Limits,
        monitor: &dyn Monitor,
    ) -> Result<(), SupplementError> {
        let mut reading = Reading::new(Extent::Digests, limits, monitor);
        let damage = reading.read(file, name)?;
        let contents = reading.contents(name)?;
        if let Some(error) = damage {
            return Err(SupplementError::Damaged { name: name.to_owned(), error: Box::new(error) });
        }
        let is_there = |package: &&PackageOf| reading.sizes.contains_key(&package.sha256);
        let whole = contents.packages.iter().filter(|package| package.has == Has::Whole);
        let lacks = whole.filter(|package| !is_there(package)).map(|package| {
            format!("it does not have the package {}, which it says it has", shown(&package.url))
        });
        match reading.problem.take().or(lacks.into_iter().next()) {
            Some(problem) => Err(SupplementError::Bad { name: name.to_owned(), problem }),
            None => Ok(()),
        }
    }

    /// What it says of itself.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The members of packages of which it has files.
    pub fn members(&self) -> &KnownMembers {
        &self.members
    }

    /// Does it have these bytes, as a package or as a file?
    pub fn has(&self, sha256: &Digest) -> bool {
        self.sizes.contains_key(sha256)
    }

    /// The digests of all that it has.
    pub fn digests(&self) -> BTreeSet<Digest> {
        self.sizes.keys().copied().collect()
    }
}

impl<'r> Reading<'r> {
    fn new(extent: Extent, limits: &'r Limits, monitor: &'r dyn Monitor) -> Self {
        let (sizes, members) = Default::default();
        Self { extent, contents: None, sizes, members, problem: None, limits, monitor }
    }

    /// Reads the file; what is wrong with it, if it can be used for all that.
    fn read(&mut self, file: &File, name: &str) -> Result<Option<FormatError>, SupplementError> {
        let limits = Limits { ratio: self.limits.ratio.min(RATIO), ..self.limits.clone() };
        let none = |_: &RelPath| false;
        match formats::read_package_as("tar", Input::File(file), &none, &limits, self) {
            Ok(_) => Ok(None),
            Err(FormatError::Visitor(error)) if error.is::<Enough>() => Ok(None),
            Err(FormatError::Visitor(error)) if error.is::<Interrupted>() => {
                Err(Interrupted.into())
            }
            Err(error) if self.contents.is_some() => Ok(Some(error)),
            Err(error) => {
                let (name, error) = (name.to_owned(), Box::new(error));
                Err(SupplementError::Damaged { name, error })
            }
        }
    }

    fn contents(&mut self, name: &str) -> Result<Contents, SupplementError> {
        let contents = self.contents.take().unwrap_or_else(|| Err(no_contents()));
        let name = name.to_owned();
        contents.map_err(|unfit| match unfit {
            Unfit::Bad(problem) => SupplementError::Bad { name, problem },
            Unfit::OtherVersion(version) => SupplementError::OtherVersion { name, version },
        })
    }

    fn read_members(&mut self, content: &mut dyn Read) {
        let read = || -> Result<KnownMembers, crate::hashdb::ExportError> {
            let mut reader = ExportReader::new(BufReader::new(content), self.limits)?;
            let mut members = KnownMembers::new();
            while let Some(package) = reader.next_package()? {
                members.insert(package.record.sha256, package.members);
            }
            Ok(members)
        };
        match read() {
            Ok(members) => self.members = members,
            Err(error) => self.problem = Some(format!("{MEMBERS}: {error}")),
        }
    }
}

fn no_contents() -> Unfit {
    Unfit::Bad(format!("its first entry is not {MANIFEST}"))
}

impl Visitor for Reading<'_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.monitor.check_interrupted()?;
        let Kind::File { .. } = member.kind else { return Ok(()) };
        let path = member.path.as_bytes();
        if self.contents.is_none() {
            if path != MANIFEST.as_bytes() {
                self.contents = Some(Err(no_contents()));
                return Err(Enough.into());
            }
            let mut text = Vec::new();
            content.take(self.limits.manifest_bytes).read_to_end(&mut text)?;
            self.contents = Some(Contents::parse(&text));
            return match self.extent {
                Extent::FirstEntry => Err(Enough.into()),
                Extent::Digests | Extent::Files(_) => Ok(()),
            };
        }
        if path == MEMBERS.as_bytes() {
            self.read_members(content);
            return Ok(());
        }
        let is_of = |folder: &str| {
            path.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        if !is_of(PACKAGES) && !is_of(TREE) {
            return Ok(());
        }
        self.sizes.extend(match &self.extent {
            Extent::FirstEntry => None,
            Extent::Digests => {
                let mut content = HashingReader::new(content);
                io::copy(&mut content, &mut io::sink())?;
                Some(content.finish())
            }
            Extent::Files(kept) => kept.keep(content, &|_| true)?,
        });
        Ok(())
    }
}

impl FileSource for Supplement {
    fn file(
        &self,
        sha256: Digest,
        _size: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted> {
        self.kept.open(&sha256).or_else(|error| {
            let problem = format!("a file of it cannot be read ({error})");
            monitor.problem(ProblemKind::Note, &self.name, problem);
            Ok(None)
        })
    }
}

impl Source for Supplement {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        monitor.check_interrupted()?;
        let url = shown(&wanted.url);
        let found = wanted.sha256.and_then(|sha256| Some((sha256, *self.sizes.get(&sha256)?)));
        let Some((sha256, size)) = found else {
            return Err(FetchError::NotFound { from: self.name.clone(), url });
        };
        match self.kept.open(&sha256) {
            Ok(Some(file)) => Ok(Fetched { file, sha256, size, from: self.name.clone() }),
            Ok(None) => Err(FetchError::NotFound { from: self.name.clone(), url }),
            Err(error) => Err(FetchError::Disk { url, error }),
        }
    }

    fn is_at_hand(&self, wanted: &Wanted, _monitor: &dyn Monitor) -> bool {
        wanted.sha256.is_some_and(|sha256| self.has(&sha256))
    }
}
