//! Debian and what descends from it: the packages that dpkg says are installed.
//!
//! Invariant: what the tree or this machine says of a package is only where to look; a digest is taken
//! from signed lists alone, and nothing in a tree is followed out of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::os_release::OsRelease;
use super::{Candidate, DetectError, Detector, Machine, small_files};
use crate::model::{RelPath, Signature};

pub(crate) mod archives;
mod lists;
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
#[derive(Debug, Clone)]
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
    /// Where signed lists may say more of it; `None` once they were asked.
    pub(crate) unasked: Option<Unasked>,
}

/// A package that the lists have not been asked for. Reading them takes longer than scanning a small system does, and
/// nobody needs them for a package whose name the HashDB knows.
#[derive(Debug, Clone)]
pub(crate) struct Unasked {
    knowledge: Arc<Knowledge>,
    /// Which of the installed packages.
    index: usize,
}

impl DebPackage {
    /// The candidate with what the signed lists say; `None` when they were asked already. What is wrong with the lists
    /// is told once for all packages of a system.
    pub fn look_up(&self, note: &mut dyn FnMut(DetectError)) -> Option<Candidate> {
        let Unasked { knowledge, index } = self.unasked.as_ref()?;
        let lists = knowledge.lists();
        lists.tell(note);
        knowledge.candidate(*index, Some(lists))
    }
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
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let Some(system) = system_of(path) else { return Ok(Vec::new()) };
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let system_root = system.below(&root);
        let installed = if small_files::is_folder(&entry) {
            in_folder(&entry, note)?
        } else {
            in_file(&entry, note)?
        };
        if installed.is_empty() {
            return Ok(Vec::new());
        }
        let knowledge = Arc::new(Knowledge::gather(&system_root, machine, installed, path));
        // Of other systems only the lists can tell whether an archive keeps the packages.
        let must_ask = Permanent::of_system(&knowledge.system).is_none();
        let mut unknown = 0;
        let mut candidates = Vec::with_capacity(knowledge.installed.len());
        for index in 0..knowledge.installed.len() {
            let Some(mut candidate) =
                knowledge.candidate(index, must_ask.then(|| knowledge.lists()))
            else {
                unknown += 1;
                continue;
            };
            if let (false, Some(deb)) = (must_ask, &mut candidate.deb) {
                deb.unasked = Some(Unasked { knowledge: Arc::clone(&knowledge), index });
            }
            candidates.push(candidate);
        }
        if must_ask {
            knowledge.lists().tell(note);
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
    let Some(bytes) = small_files::read_whole(file, MAX_BYTES)? else { return Ok(Vec::new()) };
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
#[derive(Debug)]
struct Knowledge {
    root: PathBuf,
    /// The root of the machine, where that is another one.
    machine: Option<PathBuf>,
    /// The ID of the system in the tree.
    system: String,
    installed: Vec<Installed>,
    /// Where they were found.
    found_at: RelPath,
    lists: OnceLock<BothLists>,
    diversions: Arc<Diversions>,
}

/// What signed lists say.
#[derive(Debug)]
struct BothLists {
    of_tree: Lists,
    of_machine: Lists,
    /// What is wrong with them, until it is told.
    notes: Mutex<Vec<DetectError>>,
}

impl BothLists {
    /// Tells what is wrong with them, once.
    fn tell(&self, note: &mut dyn FnMut(DetectError)) {
        let notes = std::mem::take(&mut *self.notes.lock().expect("nothing panics with it"));
        notes.into_iter().for_each(note);
    }
}

impl Knowledge {
    fn gather(
        root: &Path,
        machine: &Machine,
        installed: Vec<Installed>,
        found_at: &RelPath,
    ) -> Self {
        let is_root =
            |machine: &PathBuf| fs_err::canonicalize(machine).is_ok_and(|machine| machine == root);
        Self {
            root: root.to_path_buf(),
            machine: machine.root.clone().filter(|machine| !is_root(machine)),
            system: OsRelease::read(root).field("ID").to_owned(),
            installed,
            found_at: found_at.clone(),
            lists: OnceLock::new(),
            diversions: Arc::new(diversions(root)),
        }
    }

    /// The lists, read when they are needed first.
    fn lists(&self) -> &BothLists {
        self.lists.get_or_init(|| {
            let of_tree = Lists::read(&self.root, &self.installed.iter().collect::<Vec<_>>());
            let missing: Vec<&Installed> =
                self.installed.iter().filter(|package| of_tree.of(package).is_empty()).collect();
            let of_machine = match &self.machine {
                Some(machine) if !missing.is_empty() => Lists::read(machine, &missing),
                _ => Lists::default(),
            };
            let notes = of_tree.notes.iter().chain(&of_machine.notes);
            let notes = notes.map(|(path, problem)| DetectError::new(path, problem)).collect();
            BothLists { of_tree, of_machine, notes: Mutex::new(notes) }
        })
    }

    /// One of the installed packages, by what `lists` say if they were asked. `None` when nothing says that its
    /// archive keeps it.
    fn candidate(&self, index: usize, lists: Option<&BothLists>) -> Option<Candidate> {
        let package = &self.installed[index];
        let own = lists.map_or(&[][..], |lists| lists.of_tree.of(package));
        let entries = match lists {
            Some(lists) if own.is_empty() => lists.of_machine.of(package),
            _ => own,
        };
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
            found_at: self.found_at.clone(),
            deb: Some(Box::new(DebPackage {
                name: name.clone(),
                version: version.clone(),
                architecture: architecture.clone(),
                place,
                mirrors: mirrors.map(|listed| listed.mirrors.clone()).unwrap_or_default(),
                root: self.root.clone(),
                md5sums: self.md5sums(package),
                conffiles: package.conffiles.clone(),
                diversions: Arc::clone(&self.diversions),
                unasked: None,
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
            .find(|file| small_files::is_file(file))
    }

    /// dpkg's list of MD5s, below the system's folder.
    fn md5sums(&self, package: &Installed) -> RelPath {
        let name = &package.name;
        let file = if self.found_at.file_name() == b"status.d" {
            format!("var/lib/dpkg/status.d/{name}.md5sums")
        } else if package.multi_arch_same {
            format!("var/lib/dpkg/info/{name}:{}.md5sums", package.architecture)
        } else {
            format!("var/lib/dpkg/info/{name}.md5sums")
        };
        RelPath::new(file).unwrap_or_else(|_| self.found_at.parent().unwrap_or_default())
    }
}

/// dpkg's diversions: three lines each, the path, where it is instead, and the package for which it is
/// not (`:` for all).
fn diversions(root: &Path) -> Diversions {
    let file = root.join("var/lib/dpkg/diversions");
    let Ok(Some(bytes)) = small_files::read_whole(&file, MAX_BYTES) else {
        return Diversions::new();
    };
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let understand = |lines: &[&[u8]]| {
        let [from, to, package] = lines else { return None };
        let (from, to) = (RelPath::normalise(from).ok()?, RelPath::normalise(to).ok()?);
        let package = (*package != b":").then(|| String::from_utf8_lossy(package).into_owned());
        Some((from, (to, package)))
    };
    lines.chunks_exact(3).filter_map(understand).collect()
}
