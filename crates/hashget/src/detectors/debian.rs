//! Debian and what descends from it: the packages that dpkg says are installed.
//!
//! Invariant: what the tree or this machine says of a package is only where to look; a digest is taken
//! from signed lists alone, and nothing in a tree is followed out of it.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::os_release::OsRelease;
use super::{Candidate, DetectError, Detector, Machine, text};
use crate::model::{RelPath, Signature};

pub(crate) mod archives;
mod lists;
pub(crate) mod paragraphs;
mod sources;
pub(crate) mod status;

use archives::Permanent;
use lists::{Listed, Lists};
use status::Installed;

/// More bytes than this are no file of dpkg.
const MAX_BYTES: u64 = 256 << 20;

/// Recognises a Debian system by `var/lib/dpkg/status`, or `status.d` (images without dpkg). Package lists and
/// packages of the machine are used, too.
#[derive(Debug)]
pub struct Debian;

/// What is known of a .deb beyond a [`Candidate`]'s fields: enough to look it up, and to judge the files
/// that it put into the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebPackage {
    /// Its name.
    pub name: String,
    /// Its version, with the epoch.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// How its permanent URL becomes known.
    pub place: DebPlace,
    /// Where the archive that published it has it today.
    pub mirrors: Vec<String>,
    /// The folder of the system that it is installed in.
    pub root: PathBuf,
    /// dpkg's list of its files' MD5s, below `root`.
    pub md5sums: RelPath,
    /// Its configuration files, with the MD5s that they came with.
    pub conffiles: Vec<(RelPath, [u8; 16])>,
    /// Files that lie somewhere else than their packages say.
    pub diversions: Arc<Diversions>,
}

/// How a .deb's permanent URL becomes known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DebPlace {
    /// The candidate's URL is the permanent one.
    Known,
    /// The candidate's URL is a question to the snapshots of Debian's archives.
    Snapshot,
    /// A signed list says that it comes from an archive that does not keep packages: there is none.
    Nowhere {
        /// Who made that archive.
        origin: String,
    },
}

/// By the path that packages say: where the file is, and the package that still has the path itself
/// (`None` for a local diversion).
pub type Diversions = BTreeMap<RelPath, (RelPath, Option<String>)>;

impl Detector for Debian {
    fn name(&self) -> &str {
        "debian"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        system_of(path).is_some()
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
    ) -> Result<Vec<Candidate>, DetectError> {
        self.detect_noting(machine, root, path, &mut |_| {})
    }

    fn detect_noting(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let Some(system) = system_of(path) else { return Ok(Vec::new()) };
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let system_root = system.below(&root);
        let installed =
            if text::is_folder(&entry) { in_folder(&entry, note)? } else { in_file(&entry, note)? };
        if installed.is_empty() {
            return Ok(Vec::new());
        }
        let knowledge = Knowledge::gather(&system_root, machine, &installed, note);
        let info = path.parent().unwrap_or_default();
        let mut unknown = 0;
        let mut candidates = Vec::with_capacity(installed.len());
        for package in &installed {
            match knowledge.candidate(package, path, &info) {
                Some(candidate) => candidates.push(candidate),
                None => unknown += 1,
            }
        }
        if unknown > 0 {
            note(DetectError::new(
                &entry,
                format!(
                    "the archive of {unknown} packages is not known to keep them for ever (the \
                     system is \"{}\"): their files are just archived",
                    knowledge.system
                ),
            ));
        }
        Ok(candidates)
    }
}

/// The folder in the tree that is the system whose packages `path` tells.
fn system_of(path: &RelPath) -> Option<RelPath> {
    let path = path.as_bytes();
    let folder = path
        .strip_suffix(b"var/lib/dpkg/status")
        .or_else(|| path.strip_suffix(b"var/lib/dpkg/status.d"))?;
    if folder.is_empty() {
        return Some(RelPath::root());
    }
    RelPath::new(folder.strip_suffix(b"/")?).ok()
}

fn in_file(file: &Path, note: &mut dyn FnMut(DetectError)) -> Result<Vec<Installed>, DetectError> {
    let Some(bytes) = text::read_whole(file, MAX_BYTES)? else { return Ok(Vec::new()) };
    let (installed, notes) =
        status::read(&bytes[..]).map_err(|error| DetectError::new(file, error))?;
    notes.into_iter().for_each(|problem| note(DetectError::new(file, problem)));
    Ok(installed)
}

/// One file for each package, beside its `.md5sums`.
fn in_folder(
    folder: &Path,
    note: &mut dyn FnMut(DetectError),
) -> Result<Vec<Installed>, DetectError> {
    let entries = fs_err::read_dir(folder).map_err(|error| DetectError::new(folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut installed = Vec::new();
    for file in files {
        if file.extension().is_none_or(|extension| extension != "md5sums") {
            installed.extend(in_file(&file, note)?);
        }
    }
    Ok(installed)
}

/// What a tree and this machine know of packages, read once.
struct Knowledge {
    root: PathBuf,
    /// The root of the machine, where that is another one.
    machine: Option<PathBuf>,
    /// The ID of the system in the tree.
    system: String,
    lists: Lists,
    lists_of_machine: Lists,
    diversions: Arc<Diversions>,
}

impl Knowledge {
    fn gather(
        root: &Path,
        machine: &Machine,
        installed: &[Installed],
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let lists = Lists::read(root, &installed.iter().collect::<Vec<_>>());
        let missing: Vec<&Installed> =
            installed.iter().filter(|package| lists.of(package).is_empty()).collect();
        let is_root =
            |machine: &PathBuf| fs_err::canonicalize(machine).is_ok_and(|machine| machine == root);
        let machine = machine.root.clone().filter(|machine| !is_root(machine));
        let lists_of_machine = match &machine {
            Some(machine) if !missing.is_empty() => Lists::read(machine, &missing),
            _ => Lists::default(),
        };
        for (path, problem) in lists.notes.iter().chain(&lists_of_machine.notes) {
            note(DetectError::new(path, problem));
        }
        Self {
            root: root.to_path_buf(),
            machine,
            system: OsRelease::read(root).field("ID").to_owned(),
            lists,
            lists_of_machine,
            diversions: Arc::new(diversions(root)),
        }
    }

    /// `None` when nothing says that its archive keeps it.
    fn candidate(
        &self,
        package: &Installed,
        found_at: &RelPath,
        info: &RelPath,
    ) -> Option<Candidate> {
        let own = self.lists.of(package);
        let entries = if own.is_empty() { self.lists_of_machine.of(package) } else { own };
        // Different files of one name and version: nobody can tell which of them was installed.
        let listed = match entries {
            [one] => Some(one),
            _ => None,
        };
        let (url, place) = self.place(package, entries)?;
        let Installed { name, version, architecture, .. } = package;
        let of_archive = |listed: &&Listed| listed.permanent.is_some();
        let mirrors = listed.filter(of_archive).filter(|_| !own.is_empty());
        Some(Candidate {
            url,
            sha256: listed.map(|listed| listed.sha256),
            size: listed.map(|listed| listed.size),
            signature: Some(Signature {
                kind: "deb".to_owned(),
                value: format!("{name}_{version}_{architecture}"),
            }),
            local_file: self.local_file(package),
            found_at: found_at.clone(),
            deb: Some(Box::new(DebPackage {
                name: name.clone(),
                version: version.clone(),
                architecture: architecture.clone(),
                place,
                mirrors: mirrors.map(|listed| listed.mirrors.clone()).unwrap_or_default(),
                root: self.root.clone(),
                md5sums: self.md5sums(package, found_at, info),
                conffiles: package.conffiles.clone(),
                diversions: Arc::clone(&self.diversions),
            })),
            ..Candidate::default()
        })
    }

    fn place(&self, package: &Installed, entries: &[Listed]) -> Option<(String, DebPlace)> {
        let question = || archives::question(&package.name, &package.version);
        if let [listed] = entries {
            if let Some(permanent) = listed.permanent {
                let stamp = listed.stamp.as_deref().unwrap_or_default();
                let url = permanent.url_at(package, &listed.filename, stamp);
                if let Some(url) = url.filter(|_| !stamp.is_empty()) {
                    return Some((url, DebPlace::Known));
                }
            } else {
                let origin = listed.origin.clone();
                return Some((question(), DebPlace::Nowhere { origin }));
            }
        }
        match Permanent::of_system(&self.system)? {
            Permanent::Debian(_) => Some((question(), DebPlace::Snapshot)),
            Permanent::Ubuntu => Some((archives::launchpad(package), DebPlace::Known)),
        }
    }

    /// The package's file in apt's cache, of the tree or of this machine.
    fn local_file(&self, package: &Installed) -> Option<PathBuf> {
        let version = package.version.replace(':', "%3a");
        let name = format!("{}_{version}_{}.deb", package.name, package.architecture);
        std::iter::once(&self.root)
            .chain(&self.machine)
            .map(|root| root.join("var/cache/apt/archives").join(&name))
            .find(|file| text::is_file(file))
    }

    /// dpkg's list of MD5s, below the system's folder.
    fn md5sums(&self, package: &Installed, found_at: &RelPath, info: &RelPath) -> RelPath {
        let name = &package.name;
        let file = if found_at.file_name() == b"status.d" {
            format!("var/lib/dpkg/status.d/{name}.md5sums")
        } else if package.multi_arch_same {
            format!("var/lib/dpkg/info/{name}:{}.md5sums", package.architecture)
        } else {
            format!("var/lib/dpkg/info/{name}.md5sums")
        };
        RelPath::new(file).unwrap_or_else(|_| info.clone())
    }
}

/// dpkg's diversions: three lines each, the path, where it is instead, and the package for which it is
/// not (`:` for all).
fn diversions(root: &Path) -> Diversions {
    let file = root.join("var/lib/dpkg/diversions");
    let Ok(Some(bytes)) = text::read_whole(&file, MAX_BYTES) else { return Diversions::new() };
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let understand = |lines: &[&[u8]]| {
        let [from, to, package] = lines else { return None };
        let (from, to) = (RelPath::normalise(from).ok()?, RelPath::normalise(to).ok()?);
        let package = (*package != b":").then(|| String::from_utf8_lossy(package).into_owned());
        Some((from, (to, package)))
    };
    lines.chunks_exact(3).filter_map(understand).collect()
}

/// A reader of a control file or another short text.
pub(crate) fn first_paragraph(text: &[u8]) -> Option<paragraphs::Paragraph> {
    paragraphs::Paragraphs::new(BufReader::new(text)).next().ok().flatten()
}
