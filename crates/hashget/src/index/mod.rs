//! STAGE 1: look up a package; if it is not known, fetch it, read its members and record them.
//!
//! Invariant: a package enters the HashDB as a whole, after every member was read and hashed; or, if the user
//! allows weaker evidence, with the members that this evidence proves.

mod belief;
mod candidate_set;
mod candidates;
mod detect;
mod fetch;
mod known;
mod listed;
mod obtain;
mod proof;
mod question;
mod read;
mod record;
mod take_over;
mod walk;

use std::borrow::Cow;
use std::path::Path;

use self::question::Pages;
use self::record::Naming;

pub use detect::{Detected, Effort, detect, detect_tree, tree_name};
pub use proof::differences;
pub use read::{Contents, read_contents};
pub use walk::SearchOptions;

use crate::detectors::{Candidate, DetectError, Detector, Machine};
use crate::error::ErrorClass;
use crate::fetch::{FetchError, MirrorRule, Reach, Source, Web, public_url};
use crate::formats::{self, FormatError, Input};
use crate::hashdb::{BlockWriter, HashDbError, HashDbWriter, PackageId, SharedHashDb};
use crate::limits::Limits;
use crate::model::{Digest, Evidence, Origin, PackageRecord, RelPath, Signature, escaped};
use crate::monitor::{Interrupted, Monitor, ProblemKind};
use crate::places;

/// A package to index.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Its URL.
    pub url: String,
    /// Other URLs of the same bytes.
    pub also: Vec<String>,
    /// The digest it must have, if known.
    pub sha256: Option<Digest>,
    /// Its size, if known.
    pub size: Option<u64>,
    /// Read the bytes from this file; the user vouches that the URL serves them.
    pub file: Option<std::path::PathBuf>,
    /// Its names in ecosystems.
    pub signatures: Vec<Signature>,
    /// The user's project.
    pub project: Option<String>,
    /// `YYYY-MM-DD`.
    pub expires: Option<String>,
    /// Also read packages within the package.
    pub recursive: bool,
    /// Fetch it even if it is known.
    pub again: bool,
    /// Where requests for it may lead.
    pub reach: Reach,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indexed {
    /// The HashDB knew it already; nothing was fetched.
    Known(PackageId),
    /// It was fetched and recorded.
    New {
        /// Its id.
        id: PackageId,
        /// Its record.
        record: Box<PackageRecord>,
        /// Number of its members.
        members: usize,
    },
}

/// Why a package was not indexed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its bytes could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It could not be read.
    #[error("{url} cannot be indexed")]
    Format {
        /// Its URL.
        url: String,
        /// What is wrong with it.
        #[source]
        error: FormatError,
    },
    /// The answer of an archive or index to the question where it is makes no sense.
    #[error("cannot look up {package}: {problem}")]
    Lookup {
        /// Its name.
        package: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// It has no permanent URL: its files are archived.
    #[error("{package} has no permanent URL: {reason}")]
    Unreliable {
        /// Its name.
        package: String,
        /// Why not.
        reason: String,
    },
    /// The HashDB failed.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
    /// The user's file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl IndexError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Format { error, .. } => error.class(),
            Self::Lookup { .. } => ErrorClass::BadAnswer,
            Self::Unreliable { .. } => ErrorClass::NoPermanentUrl,
            Self::HashDb(error) => error.class(),
            Self::Io(error) => ErrorClass::of_io(error),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

/// What indexing works with.
pub struct Indexer<'a> {
    /// Where packages are recorded.
    pub hashdb: &'a dyn HashDbWriter,
    /// Where packages come from.
    pub source: &'a dyn Source,
    /// For questions to indexes, and for parts of packages.
    pub web: &'a dyn Web,
    /// Rules by which a mirror's URL learned on this machine is recorded as the public URL.
    pub mirrors: &'a [MirrorRule],
    /// Bounds on untrusted input.
    pub limits: &'a Limits,
    /// Number of packages indexed at once; at least 1.
    pub jobs: usize,
    /// What others publish: asked for what the HashDB does not know, before anything is fetched.
    pub shared: Option<&'a dyn SharedHashDb>,
    /// The weakest evidence that is accepted. Below `signed`, a package that a detector found need not be
    /// downloaded if weaker evidence says what is in it.
    pub evidence: Evidence,
}

/// The result of indexing a tree.
#[derive(Debug, Default)]
pub struct TreeIndexed {
    /// Candidates that the detectors found, each URL once, by URL.
    pub candidates: Vec<Candidate>,
    /// How many of them were already known.
    pub known: usize,
    /// How many of them publishers knew, and are recorded now.
    pub taken_over: usize,
    /// How many of them were fetched and recorded now.
    pub new: usize,
    /// Those that could not be indexed: URL and reason.
    pub failed: Vec<(String, IndexError)>,
    /// Names of those without a permanent URL, sorted.
    pub unreliable: Vec<String>,
    /// Entries that a detector could not parse.
    pub not_understood: Vec<DetectError>,
}

/// Where requests for a candidate may lead: a file that anybody may have written leads to public addresses only.
fn candidate_reach(candidate: &Candidate) -> Reach {
    match candidate.origin {
        Origin::Tree if !candidate.by_client => Reach::PublicOnly,
        Origin::Tree | Origin::Client | Origin::User => Reach::Anywhere,
    }
}

impl Indexer<'_> {
    /// Number of threads for `packages` packages: with several jobs one more than that, so that the cores
    /// stay busy while a package is fetched or written to the disk.
    pub fn threads(&self, packages: usize) -> usize {
        let threads = if self.jobs > 1 { self.jobs + 1 } else { 1 };
        threads.min(packages.max(1))
    }

    /// Indexes one package, unless the HashDB knows it already (same URL, same digest if one is wanted, read
    /// as deeply as requested, at the indexer's evidence).
    ///
    /// If the package is known, what only the request has (names, a project, an expiry day, further URLs) is
    /// added to its record.
    ///
    /// # Errors
    /// See [`IndexError`]. Nothing is recorded then.
    pub fn index(&self, request: &Request, monitor: &dyn Monitor) -> Result<Indexed, IndexError> {
        let request = &Request { url: public_url(self.mirrors, &request.url), ..request.clone() };
        let user_file =
            request.file.as_deref().map(|file| fetch::open(file, monitor)).transpose()?;
        let sha256 = fetch::wanted_digest(request, user_file.as_ref())?;
        if !request.again
            && let Some(id) = known::known(self.hashdb, request, sha256, self.evidence)?
            && !self.lacks_blocks(id)?
        {
            return Ok(Indexed::Known(id));
        }
        let package = match user_file {
            Some(file) => file,
            None => fetch::fetch(self.source, request, monitor)?,
        };
        self.read_and_record(request, &Naming::by_user(), &package, None, monitor)
    }

    /// Are blocks kept, and not those of this package?
    fn lacks_blocks(&self, package: PackageId) -> Result<bool, HashDbError> {
        let Some(store) = self.hashdb.blocks() else { return Ok(false) };
        Ok(self.hashdb.record(package)?.is_some_and(|record| !store.has(&record.sha256)))
    }

    /// Fetches the package with this record, reads it, and shows what is in it to `is_right`. If that is what was expected, the package is
    /// recorded as read here, as named by whoever named it before. Otherwise nothing is recorded.
    ///
    /// # Errors
    /// See [`IndexError`]. Nothing is recorded then.
    pub fn read_again(
        &self,
        record: &PackageRecord,
        is_right: &mut dyn FnMut(&Contents) -> bool,
        monitor: &dyn Monitor,
    ) -> Result<(), IndexError> {
        let request = Request {
            url: record.url.clone(),
            also: record.also.clone(),
            sha256: Some(record.sha256),
            size: Some(record.size),
            signatures: record.signatures.clone(),
            project: record.project.clone(),
            expires: record.expires.clone(),
            recursive: record.recursive,
            again: true,
            reach: places::reach(record),
            ..Request::default()
        };
        let package = fetch::fetch(self.source, &request, monitor)?;
        let contents = read::read(&package.file, &request, None, self.limits, monitor)?;
        if is_right(&contents) {
            record::record(self, &request, &Naming::of_record(record), &package, contents)?;
        }
        Ok(())
    }

    /// The package that a detector found, if the HashDB knows it. Nothing else is asked.
    fn known_candidate(
        &self,
        candidate: &Candidate,
        monitor: &dyn Monitor,
    ) -> Result<Option<PackageId>, IndexError> {
        let known = known::known_candidates(self, std::iter::once(candidate), monitor)?;
        Ok(known.into_iter().flatten().next())
    }

    /// Indexes what a detector found: like [`Self::index`], but the package may be on this machine.
    fn index_candidate(
        &self,
        candidate: &Candidate,
        pages: &Pages,
        monitor: &dyn Monitor,
    ) -> Result<Indexed, IndexError> {
        let mut candidate = Cow::Borrowed(candidate);
        loop {
            if let Some(id) = self.known_candidate(&candidate, monitor)? {
                return Ok(Indexed::Known(id));
            }
            let Some(question) = candidate.question.clone() else { break };
            candidate = Cow::Owned(pages.answered(self, &candidate, &*question, monitor)?);
        }
        if self.evidence < Evidence::Signed
            && let Some(indexed) = listed::index(self, &candidate, pages, monitor)?
        {
            return Ok(indexed);
        }
        let obtain::Obtained { package, request, asked, .. } =
            obtain::obtain(self, &candidate, pages, monitor)?;
        let own_name = read::own_name(&package.file, &candidate, self.limits)?;
        let naming = Naming::from_candidate(&candidate);
        asked.map_or(Ok(()), |check| self.hashdb.put_check(&check))?;
        self.read_and_record(&request, &naming, &package, own_name, monitor)
    }

    /// The request for a candidate.
    fn request_of(&self, candidate: &Candidate) -> Request {
        Request {
            url: public_url(self.mirrors, &candidate.url),
            sha256: candidate.sha256,
            size: candidate.size,
            signatures: candidate.signature.clone().into_iter().collect(),
            project: candidate.project.clone(),
            reach: candidate_reach(candidate),
            ..Request::default()
        }
    }

    /// `own_name`: the name in the package itself, if it was read already.
    fn read_and_record(
        &self,
        request: &Request,
        naming: &Naming,
        package: &fetch::Package,
        own_name: Option<Signature>,
        monitor: &dyn Monitor,
    ) -> Result<Indexed, IndexError> {
        let mut blocks =
            self.hashdb.blocks().map(|store| store.writer(&package.sha256)).transpose()?;
        let contents = read::read(&package.file, request, blocks.as_mut(), self.limits, monitor)?;
        package.check_unchanged()?;
        if contents.is_something_else(&request.url) {
            let url = escaped(request.url.as_bytes());
            if !naming.is_exact {
                // A page of a portal, perhaps: recorded, it would hide the package for ever.
                let name = request.signatures.first().map_or(&request.url, |name| &name.value);
                let package = escaped(name.as_bytes());
                let reason = format!("what {url} gives is no package that can be read");
                return Err(IndexError::Unreliable { package, reason });
            }
            let what = "it is no package that can be read: only the file as a whole is known";
            monitor.problem(ProblemKind::Note, url, what);
        }
        let mut request = request.clone();
        // It is also recorded under its own name, wherever it came from.
        let own_name = own_name.or_else(|| {
            let format = formats::by_name(contents.format)?;
            format.own_name(Input::File(&package.file), self.limits).ok()?
        });
        request.signatures.extend(own_name.filter(|name| !request.signatures.contains(name)));
        let indexed = record::record(self, &request, naming, package, contents)?;
        blocks.map_or(Ok(()), BlockWriter::finish)?;
        Ok(indexed)
    }

    /// Records what publishers know of packages that have one of these contents, and that the HashDB does not know. Returns how
    /// many are new. For contents that nothing names: each digest that is asked for is told to the publishers, in its first bits.
    ///
    /// # Errors
    /// The HashDB failed, or the monitor asked to stop.
    pub fn take_over_holders(
        &self,
        contents: &[Digest],
        monitor: &dyn Monitor,
    ) -> Result<usize, IndexError> {
        take_over::holders(self, contents, monitor)
    }

    /// Indexes those of `candidates` that the HashDB does not know, several at once. A package that fails is
    /// in the result and reported to the monitor; the others continue. Each package is recorded as soon as it
    /// is read, so that another run after an interruption continues from there.
    ///
    /// # Errors
    /// The HashDB failed, or the monitor asked to stop.
    pub fn index_candidates(
        &self,
        candidates: Vec<Candidate>,
        monitor: &dyn Monitor,
    ) -> Result<TreeIndexed, IndexError> {
        candidates::index_all(self, candidates, monitor)
    }

    /// Runs the detectors on the tree at `root`, which lies on `machine`, and indexes the packages that they
    /// find and the HashDB does not know. A package that fails is in the result and reported to the monitor;
    /// the others continue.
    ///
    /// # Errors
    /// `root` is not a readable folder, the HashDB failed, or the monitor asked to stop.
    pub fn index_tree(
        &self,
        root: &Path,
        detectors: &[&dyn Detector],
        machine: &Machine,
        monitor: &dyn Monitor,
    ) -> Result<TreeIndexed, IndexError> {
        self.index_part(root, &SearchOptions::default(), detectors, machine, monitor)
    }

    /// Like [`Self::index_tree`], for a part of the tree.
    ///
    /// # Errors
    /// As for [`Self::index_tree`].
    pub fn index_part(
        &self,
        root: &Path,
        options: &SearchOptions,
        detectors: &[&dyn Detector],
        machine: &Machine,
        monitor: &dyn Monitor,
    ) -> Result<TreeIndexed, IndexError> {
        let paths = walk::interesting_paths(root, options, detectors, monitor)?;
        let Detected { candidates, errors: not_understood, .. } =
            detect(root, &paths, detectors, machine, self.jobs, monitor);
        monitor.check_interrupted()?;
        let indexed = self.index_candidates(candidates, monitor)?;
        Ok(TreeIndexed { not_understood, ..indexed })
    }

    /// Indexes the packages of the system at `root`, as found by those of `detectors` that recognise systems,
    /// without looking at other files.
    ///
    /// # Errors
    /// The HashDB failed, or the monitor asked to stop.
    pub fn index_system(
        &self,
        root: &Path,
        detectors: &[&dyn Detector],
        machine: &Machine,
        monitor: &dyn Monitor,
    ) -> Result<TreeIndexed, IndexError> {
        let paths = detectors.iter().flat_map(|detector| detector.system_paths());
        let paths: Vec<RelPath> =
            paths.map(|path| RelPath::try_from(*path).expect("it is a plain path")).collect();
        let Detected { candidates, errors: not_understood, .. } =
            detect(root, &paths, detectors, machine, 1, monitor);
        let indexed = self.index_candidates(candidates, monitor)?;
        Ok(TreeIndexed { not_understood, ..indexed })
    }
}
