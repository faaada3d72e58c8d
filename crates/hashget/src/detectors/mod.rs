//! Detectors recognise an ecosystem in a tree and name the packages in it: one file for each ecosystem.
//!
//! Invariant: a detector only reads files on this machine (no network, no HashDB) and returns candidates;
//! other code decides whether a candidate is known, fetched or used.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::error::ErrorClass;
use crate::model::{RelPath, Signature, escaped};

mod address;
mod arch;
mod candidate;
mod cargo;
mod conda;
mod debian;
mod downloads;
mod gems;
mod go;
mod gradle;
mod hint;
mod hugging_face;
mod json;
mod kernel;
mod machine;
mod maven;
mod moving;
mod npm;
mod os_release;
mod owners;
mod package_url;
mod private_hosts;
mod pypi;
mod rpm;
mod rules;
mod rustup;
mod small_files;
mod start;
mod system;
mod wordpress;
mod yaml;

#[cfg(test)]
#[path = "../../tests/example/mod.rs"]
mod example;

pub use address::{NotPublic, public_url};
use address::{described_url, page_url, permanent_url, quoted};
pub use candidate::{
    Answer, Candidate, ContentAddress, Declared, FileList, Listed, Parts, Question,
};
pub use debian::BulkPlace;
pub use hint::HINT;
pub use machine::{Archive, ArchiveKey, Machine};
pub use moving::is_moving;
pub use owners::{Owner, owners};
pub use package_url::{PackageUrl, package_url};
pub use private_hosts::PrivateHosts;
pub(crate) use private_hosts::refused;
pub use rules::{Rule, RuleConfig, RuleError};
pub(crate) use small_files::is_on_disk;
pub use system::{
    InstalledSystem, Override, PathRules, Release, SystemPackage, Told, TreeFiles, systems,
};

/// Every built-in detector, in the order in which they are asked. Adding one takes one file and one line.
pub const DETECTORS: &[&dyn Detector] = &[
    &hint::Hint,
    &kernel::Kernel,
    &cargo::Cargo,
    &debian::Debian,
    &arch::Arch,
    &rpm::Rpm,
    &pypi::PyPi,
    &npm::Npm,
    &rustup::Rustup,
    &go::Go,
    &maven::Maven,
    &gradle::Gradle,
    &gems::Gems,
    &conda::Conda,
    &hugging_face::HuggingFace,
    &wordpress::WordPress,
    &downloads::Downloads,
];

/// Recognises one ecosystem. Called from several threads at once, for different entries.
pub trait Detector: Send + Sync {
    /// Its name for `--detect`.
    fn name(&self) -> &str;

    /// The paths, relative to the root of a system, that list all packages installed on it; none for
    /// detectors that do not recognise systems.
    fn system_paths(&self) -> &[&str] {
        &[]
    }

    /// Could this entry lead to a package? Looks only at the name; called for every entry of a tree.
    fn interested_in(&self, path: &RelPath) -> bool;

    /// Reads what it needs around `path` (an entry of the tree at `root`, selected by
    /// [`Self::interested_in`]) and names the packages. `machine` has what is known about the machine besides
    /// the tree, mainly the configuration of clients. If an entry lists many packages, `note` receives those
    /// that cannot be parsed.
    ///
    /// # Errors
    /// The entry is of this ecosystem but cannot be parsed at all; other entries are not affected.
    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError>;

    /// Passes each file owned by an installed package of the system at `root` to `visit`, by its path
    /// relative to `root`, with the package's name; nothing if there is no system of this ecosystem.
    fn installed_files(&self, _root: &Path, _visit: &mut dyn FnMut(&Path, &Signature)) {}

    /// What everybody calls a package with this signature, that is at `url`; `None` if the signature is of another ecosystem,
    /// or says too little.
    fn package_url(&self, _signature: &Signature, _url: &str) -> Option<PackageUrl> {
        None
    }

    /// The system whose list of packages is the entry `path` (selected by [`Self::interested_in`]); `None` if it is no such
    /// list, or cannot be parsed.
    fn system(&self, _tree: &dyn TreeFiles, _path: &RelPath) -> Option<InstalledSystem> {
        None
    }

    /// Does the client lay this member of one of its packages down as it is? What it writes anew, or puts elsewhere, cannot be
    /// compared.
    fn is_laid_down(&self, _member: &RelPath) -> bool {
        true
    }
}

/// An entry that a detector could not parse.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct DetectError {
    /// The entry, or a file beside it.
    pub path: String,
    /// What was found, and what was expected.
    pub problem: String,
}

impl DetectError {
    /// An error with `problem` for `path`; both are made safe for a terminal.
    fn new(path: &Path, problem: impl fmt::Display) -> Self {
        Self {
            path: escaped(path.as_os_str().as_bytes()),
            problem: escaped(problem.to_string().as_bytes()),
        }
    }
}

/// The name within its ecosystem, if the signature is of this kind.
fn of_kind<'s>(signature: &'s Signature, kind: &str) -> Option<&'s str> {
    (signature.kind == kind).then_some(&*signature.value)
}

/// Does the client of the ecosystem lay a member of a package with this signature down as it is?
pub fn laid_down(signature: &Signature) -> impl Fn(&RelPath) -> bool + use<> {
    let owner = DETECTORS.iter().find(|detector| detector.package_url(signature, "").is_some());
    move |member| owner.is_none_or(|detector| detector.is_laid_down(member))
}

/// The path of `folder` within the tree at `root`; that of the tree itself if the folder lies above it or elsewhere.
fn below(root: &Path, folder: &Path) -> Option<RelPath> {
    let path = folder.strip_prefix(root).ok().map(|path| path.as_os_str().as_bytes());
    match path.filter(|path| !path.is_empty()) {
        Some(path) => RelPath::new(path).ok(),
        None => Some(RelPath::root()),
    }
}

/// A name in `--detect` that is not a detector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no detector \"{}\": choose from all, none, {}", escaped(name.as_bytes()), known.join(", "))]
pub struct UnknownDetector {
    /// The unknown name.
    pub name: String,
    /// The existing detectors and rules.
    pub known: Vec<String>,
}

impl UnknownDetector {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::BadInput
    }
}

/// The detectors that `names` selects from the built-in ones and the user's `rules`, each once, in their own
/// order. `all` selects every one, `none` selects none; an empty list selects none. A name with a `-` before it is
/// taken away from the others; if all names have one, from every detector.
///
/// # Errors
/// The first name that is neither `all`, `none`, a detector nor a rule.
pub fn select<'a>(
    names: &[String],
    rules: &'a [Rule],
) -> Result<Vec<&'a dyn Detector>, UnknownDetector> {
    let every = || DETECTORS.iter().copied().chain(rules.iter().map(|rule| rule as &dyn Detector));
    let is_known = |name: &str| every().any(|detector| detector.name() == name);
    let (mut chosen, mut dropped) = (Vec::new(), Vec::new());
    for name in names {
        let plain = name.strip_prefix('-');
        let is_group = plain.is_none() && matches!(name.as_str(), "all" | "none");
        if !is_group && !is_known(plain.unwrap_or(name)) {
            let known = every().map(|detector| detector.name().to_owned()).collect();
            return Err(UnknownDetector { name: name.clone(), known });
        }
        plain.map_or_else(|| chosen.push(&**name), |plain| dropped.push(plain));
    }
    if chosen.is_empty() && !dropped.is_empty() {
        chosen.push("all");
    }
    let is_selected = |detector: &&dyn Detector| {
        (chosen.contains(&"all") || chosen.contains(&detector.name()))
            && !dropped.contains(&detector.name())
    };
    Ok(every().filter(is_selected).collect())
}
