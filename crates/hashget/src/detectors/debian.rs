//! Debian and its derivatives: the packages installed according to dpkg.
//!
//! Invariant: data of the tree and of this machine only shows where to look; a digest is taken only from
//! signed lists, and no link is followed out of the tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::os_release::OsRelease;
use super::{
    Answer, Candidate, DetectError, Detector, InstalledSystem, Machine, PackageUrl, TreeFiles,
    small_files,
};
use crate::model::{Origin, RelPath, Signature};

mod archive_keys;
mod archives;
mod bulk;
mod installed_files;
mod keyrings;
mod lists;
mod md5sums;
mod question;
mod release;
mod signed_text;
mod signers;
mod snapshot;
mod sources;
mod status;
mod system;

use archives::Permanent;
use lists::Lists;
use md5sums::Md5Sums;
use question::SignedLists;
use signers::Signers;
use status::Installed;

pub use bulk::BulkPlace;

/// Size limit of dpkg's files; a larger one is an error.
const MAX_BYTES: u64 = 256 << 20;

/// The list of installed packages: one file, or a folder with one file for each package.
const SYSTEM_PATHS: [&str; 2] = ["var/lib/dpkg/status", "var/lib/dpkg/status.d"];

/// Recognises a Debian system by `var/lib/dpkg/status`, or `status.d` (images without dpkg). The package
/// lists and packages of this machine are used, too.
#[derive(Debug)]
pub(super) struct Debian;

/// By the path in packages: the file's actual path, and the package whose own file stays at the path (`None`
/// for a local diversion).
type Diversions = BTreeMap<RelPath, (RelPath, Option<String>)>;

impl Detector for Debian {
    fn name(&self) -> &str {
        "debian"
    }

    fn system_paths(&self) -> &[&str] {
        &SYSTEM_PATHS
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
        let knowledge = Arc::new(Knowledge::gather(&system_root, machine, installed, path, note));
        let systems = machine.once(&root, Systems::default);
        systems.add(&knowledge);
        _ = knowledge.systems.set(systems);
        // For other systems, only the lists show whether an archive keeps the packages permanently.
        let must_ask = Permanent::of_system(&knowledge.system).is_none();
        let mut unknown = 0;
        let mut candidates = Vec::with_capacity(knowledge.installed.len());
        for index in 0..knowledge.installed.len() {
            if must_ask && matches!(knowledge.by_lists(index), Ok(None)) {
                unknown += 1;
            } else {
                candidates.push(Knowledge::candidate(&knowledge, index));
            }
        }
        if must_ask {
            knowledge.lists().report(note);
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

    fn installed_files(&self, root: &Path, visit: &mut dyn FnMut(&Path, &Signature)) {
        installed_files::each(root, visit);
    }

    fn package_url(&self, signature: &Signature, url: &str) -> Option<PackageUrl> {
        system::package_url(signature, url)
    }

    fn system(&self, tree: &dyn TreeFiles, path: &RelPath) -> Option<InstalledSystem> {
        system::read(tree, &system_of(path)?, path)
    }

    fn is_laid_down(&self, member: &RelPath) -> bool {
        system::is_laid_down(member)
    }
}

/// The folder of the system in the tree whose package list is `path`.
fn system_of(path: &RelPath) -> Option<RelPath> {
    let ends = SYSTEM_PATHS.iter().find_map(|end| path.as_bytes().strip_suffix(end.as_bytes()));
    let folder = ends?;
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

/// What the tree and this machine know about packages, read once.
#[derive(Debug)]
struct Knowledge {
    root: PathBuf,
    /// The root of this machine, if it differs from the system's root.
    machine: Option<PathBuf>,
    /// The ID of the system in the tree.
    system: String,
    installed: Vec<Installed>,
    /// The entry that led to them.
    found_at: RelPath,
    lists: OnceLock<BothLists>,
    /// All systems of the tree.
    systems: OnceLock<Arc<Systems>>,
    /// Verifies the signatures of lists; `None` if nothing is known about this machine.
    signers: Option<Arc<Signers>>,
    diversions: Diversions,
}

/// The systems that were found in one tree.
#[derive(Debug, Default)]
struct Systems(Mutex<Vec<Weak<Knowledge>>>);

impl Systems {
    fn add(&self, system: &Arc<Knowledge>) {
        self.0.lock().expect("nothing panics with it").push(Arc::downgrade(system));
    }

    fn all(&self) -> Vec<Arc<Knowledge>> {
        let systems = self.0.lock().expect("nothing panics with it");
        systems.iter().filter_map(Weak::upgrade).collect()
    }
}

/// The contents of the signed lists.
#[derive(Debug)]
struct BothLists {
    of_tree: Lists,
    of_machine: Lists,
    /// Errors in the lists that have not been reported yet.
    notes: Mutex<Vec<DetectError>>,
}

impl BothLists {
    /// Reports errors in the lists, once for all packages of the system.
    fn report(&self, note: &mut dyn FnMut(DetectError)) {
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
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let is_root =
            |machine: &PathBuf| fs_err::canonicalize(machine).is_ok_and(|machine| machine == root);
        Self {
            root: root.to_path_buf(),
            machine: machine.root.clone().filter(|machine| !is_root(machine)),
            system: OsRelease::read(root, note).field("ID").to_owned(),
            installed,
            found_at: found_at.clone(),
            lists: OnceLock::new(),
            systems: OnceLock::new(),
            signers: Signers::load(machine),
            diversions: diversions(root, note),
        }
    }

    /// The lists, read on first use.
    fn lists(&self) -> &BothLists {
        self.lists.get_or_init(|| {
            let (signers, all) = (self.signers.as_deref(), self.installed.iter());
            let mut of_tree = Lists::read(&self.root, &all.clone().collect::<Vec<_>>(), signers);
            let missing: Vec<&Installed> =
                all.filter(|package| !of_tree.vouches_for(package)).collect();
            let mut of_machine = match &self.machine {
                Some(machine) if !missing.is_empty() => Lists::read(machine, &missing, signers),
                _ => Lists::default(),
            };
            let mut notes = std::mem::take(&mut of_tree.notes);
            notes.append(&mut of_machine.notes);
            BothLists { of_tree, of_machine, notes: Mutex::new(notes) }
        })
    }

    /// The candidate for one of the installed packages, before the lists are read.
    fn candidate(knowledge: &Arc<Self>, index: usize) -> Candidate {
        let package = &knowledge.installed[index];
        let url = match Permanent::of_system(&knowledge.system) {
            Some(Permanent::Ubuntu) => archives::launchpad(package),
            _ => archives::question(&package.name, &package.version),
        };
        let question = SignedLists { knowledge: Arc::clone(knowledge), index };
        let md5sums = Md5Sums { knowledge: Arc::clone(knowledge), index };
        Candidate {
            url,
            origin: Origin::Client,
            signature: Some(Signature { kind: "deb".to_owned(), value: package.full_name() }),
            local_file: knowledge.local_file(package),
            found_at: knowledge.found_at.clone(),
            question: Some(Arc::new(question)),
            lists: vec![Arc::new(md5sums)],
            ..Candidate::default()
        }
    }

    /// The answer of the lists about one of the installed packages: those of the system, otherwise those of
    /// this machine. Those that are vouched for come first, and of these the lists of other systems in the tree
    /// count, too: they have the same package, of which only one is a candidate. `None` if nothing shows that its archive keeps it permanently.
    fn by_lists(&self, index: usize) -> Result<Option<Answer>, String> {
        let (lists, package) = (self.lists(), &self.installed[index]);
        let own = lists.of_tree.entries(package);
        let is_vouched =
            lists.of_tree.vouches_for(package) || lists.of_machine.vouches_for(package);
        if !is_vouched && let Some(other) = self.other_system_that_vouches(package) {
            let entries = other.lists().of_tree.entries(package);
            return question::by_list(package, &self.system, entries, true);
        }
        let is_own_list = !own.is_empty() && !lists.of_machine.vouches_for(package);
        let entries = if is_own_list { own } else { lists.of_machine.entries(package) };
        question::by_list(package, &self.system, entries, is_own_list)
    }

    fn other_system_that_vouches(&self, package: &Installed) -> Option<Arc<Self>> {
        let has_it = |system: &&Arc<Self>| system.installed.contains(package);
        let systems = self.systems.get()?.all();
        let mut others = systems.iter().filter(|system| system.root != self.root).filter(has_it);
        others.find(|system| system.lists().of_tree.vouches_for(package)).cloned()
    }

    /// The package's file in the apt cache of the tree or of this machine.
    fn local_file(&self, package: &Installed) -> Option<PathBuf> {
        let version = package.version.replace(':', "%3a");
        let name = format!("{}_{version}_{}.deb", package.name, package.architecture);
        std::iter::once(&self.root)
            .chain(&self.machine)
            .map(|root| root.join("var/cache/apt/archives").join(&name))
            .find(|file| small_files::is_file(file))
    }

    /// The path of dpkg's MD5 list of one of the installed packages, relative to the system's folder.
    fn md5sums(&self, index: usize) -> RelPath {
        let package = &self.installed[index];
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

/// dpkg's diversions, three lines each: the path, the path to which it is diverted, and the package to which
/// the diversion does not apply (`:` if it applies to all).
fn diversions(root: &Path, note: &mut dyn FnMut(DetectError)) -> Diversions {
    let file = root.join("var/lib/dpkg/diversions");
    let bytes = small_files::read_optional(&file, MAX_BYTES, note);
    bytes.map(|bytes| diversions_in(&bytes)).unwrap_or_default()
}

/// The diversions of dpkg's list.
fn diversions_in(list: &[u8]) -> Diversions {
    let lines: Vec<&[u8]> = list.split(|&byte| byte == b'\n').collect();
    let understand = |lines: &[&[u8]]| {
        let [from, to, package] = lines else { return None };
        let (from, to) = (RelPath::normalise(from).ok()?, RelPath::normalise(to).ok()?);
        let package = (*package != b":").then(|| String::from_utf8_lossy(package).into_owned());
        Some((from, (to, package)))
    };
    lines.chunks_exact(3).filter_map(understand).collect()
}
