//! RPM systems (Fedora, EL, openSUSE and others): the packages installed according to rpm's database.
//!
//! Invariant: a package's digest comes only from the metadata of a repository that is configured as never
//! removing packages. No link is followed out of the tree, and rpm's database is never written.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::os_release::OsRelease;
use super::{
    Candidate, DetectError, Detector, InstalledSystem, Machine, PackageUrl, Release, SystemPackage,
    Told, TreeFiles, of_kind, public_url, quoted, small_files,
};
use crate::formats::{FileNotes, PackageHeader, RpmIdentity};
use crate::limits::Limits;
use crate::model::{Origin, RelPath, Signature};
use crate::tree::TreeRoot;

mod database;
mod files;
mod installed;
mod ndb;
mod primary;
mod repositories;

use database::{Copied, Database};
use installed::Installed;
use repositories::{Listed, Repositories};

/// Recognises rpm's database.
pub(super) struct Rpm;

/// Possible folders: the usual one, that of openSUSE and of Fedora since 36, that of ostree systems.
const FOLDERS: [&[u8]; 3] = [b"var/lib/rpm", b"usr/lib/sysimage/rpm", b"usr/share/rpm"];
/// File names of its formats: SQLite, ndb, Berkeley DB.
const NAMES: [&[u8]; 3] = [b"rpmdb.sqlite", b"Packages.db", b"Packages"];

/// The distribution whose builds are at this label beside its home page.
const FEDORA: (&str, &str) = ("fedora", "kojipkgs");

impl Detector for Rpm {
    fn name(&self) -> &str {
        "rpm"
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
        let Some((system, place)) = system_of(path) else { return Ok(Vec::new()) };
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        if !small_files::is_file(&entry) {
            return Ok(Vec::new());
        }
        let wrong = |problem: String| DetectError::new(&entry, problem);
        let tree =
            TreeRoot::open(&system.below(&root)).map_err(|error| wrong(error.to_string()))?;
        let database = Database::open(&tree, &place).map_err(wrong)?;
        let installed = installed::all(&database, &mut |problem| note(wrong(problem)));
        let installed = installed.map_err(wrong)?;
        if installed.packages.is_empty() {
            return Ok(Vec::new());
        }
        let system =
            System { tree: Arc::new(tree), database: Arc::new(database), vendor: installed.vendor };
        let knowledge = Knowledge::gather(&system, machine, &installed.packages, note);
        let mut unknown = BTreeMap::<&'static str, usize>::new();
        let mut candidates = Vec::with_capacity(installed.packages.len());
        for package in installed.packages {
            match knowledge.candidate(&system, package, path) {
                Ok(candidate) => candidates.push(candidate),
                Err(reason) => *unknown.entry(reason).or_default() += 1,
            }
        }
        for (reason, count) in unknown {
            let id = knowledge.release.field("ID");
            note(wrong(format!(
                "{count} packages {reason} (the system is \"{id}\"): their files are just archived"
            )));
        }
        Ok(candidates)
    }

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let stem = of_kind(signature, "rpm")?;
        let (rest, architecture) = stem.rsplit_once('.')?;
        let (rest, release) = rest.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        let version = format!("{version}-{release}");
        Some(PackageUrl::new("rpm", name).at(version).with("arch", architecture))
    }

    fn system(&self, tree: &dyn TreeFiles, path: &RelPath) -> Option<InstalledSystem> {
        let (folder, _) = system_of(path)?;
        let beside = RelPath::new([path.as_bytes(), b"-wal"].concat()).ok()?;
        let database = Copied::new(&tree.read(path)?, tree.read(&beside).as_deref()).ok()?;
        let database = database.open().ok()?;
        let installed = installed::all(&database, &mut |_| {}).ok()?;
        let release = Release::read(tree, &folder);
        let packages = installed.packages.iter().map(|package| {
            // A list that cannot be read says nothing: then everything must be there, and only /etc is configuration.
            let files = database.header(package.key).ok().and_then(|bytes| {
                PackageHeader::of_database(bytes).and_then(|it| it.notes(&Limits::default())).ok()
            });
            described(package, files.unwrap_or_default(), &release)
        });
        let packages = packages.collect();
        let told = Told { configuration: vec!["etc/"], ..Told::default() };
        Some(InstalledSystem { folder, packages, told, release })
    }
}

/// An installed package as everybody calls it; its files lie where the package has them.
fn described(package: &Installed, files: FileNotes, release: &Release) -> SystemPackage {
    let RpmIdentity { name, epoch, version, release: build, architecture, .. } = &package.identity;
    let url = PackageUrl::new("rpm", name.clone()).within([&*release.id]);
    let url = url.at(format!("{version}-{build}")).with("arch", architecture.clone());
    let epoch = if *epoch > 0 { epoch.to_string() } else { String::new() };
    let source = package.source.as_ref();
    let source = source.map(|it| format!("{}-{}-{}.src.rpm", it.name, it.version, it.release));
    let url = url.with("distro", release.distribution()).with("epoch", epoch);
    SystemPackage {
        signature: Signature { kind: "rpm".to_owned(), value: package.identity.file_stem() },
        name: name.clone(),
        package_url: url.with("upstream", source.unwrap_or_default()),
        places: vec![("", String::new())],
        configuration: files.configuration,
        may_be_missing: files.may_be_missing,
        scripts: Vec::new(),
    }
}

/// The folder of the system in the tree whose database is `path`, and the path within that folder.
fn system_of(path: &RelPath) -> Option<(RelPath, RelPath)> {
    let name = path.file_name();
    if !NAMES.contains(&name) {
        return None;
    }
    let folder = path.parent()?;
    let known = FOLDERS.iter().find(|known| folder.as_bytes().ends_with(known))?;
    let place = RelPath::new([*known, b"/", name].concat()).ok()?;
    let system = folder.as_bytes().strip_suffix(*known)?;
    if system.is_empty() {
        return Some((RelPath::root(), place));
    }
    Some((RelPath::new(system.strip_suffix(b"/")?).ok()?, place))
}

/// Why a package has no candidate.
const NOT_KEPT: &str = "are of an archive that is not known to keep them for ever";
const OTHERS: &str = "were made by others than the distribution";
const NO_SOURCE: &str = "do not say what they were built from";

/// An RPM system.
struct System {
    tree: Arc<TreeRoot>,
    database: Arc<Database>,
    /// The vendor of the distribution, according to its packages.
    vendor: String,
}

/// What the tree and this machine know about packages, read once.
struct Knowledge {
    release: OsRelease,
    /// The URL below which builds lie by name.
    builds: Option<String>,
    repositories: Repositories,
}

impl Knowledge {
    fn gather(
        system: &System,
        machine: &Machine,
        installed: &[Installed],
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let release = OsRelease::read(system.tree.path(), note);
        let id = release.field("ID");
        let configured = || machine.archives.iter().filter(|archive| archive.system == id);
        let own = || (id == FEDORA.0).then(|| release.service(FEDORA.1, "packages/")).flatten();
        let builds = configured().find_map(|archive| archive.packages.clone()).or_else(own);
        let kept: Vec<&str> =
            configured().filter_map(|archive| archive.repositories.as_deref()).collect();
        let repositories = Repositories::read(&system.tree, &release, &kept, installed, note);
        Self { builds, repositories, release }
    }

    fn candidate(
        &self,
        system: &System,
        package: Installed,
        found_at: &RelPath,
    ) -> Result<Candidate, &'static str> {
        let stem = package.identity.file_stem();
        let candidate = Candidate {
            origin: Origin::Client,
            signature: Some(Signature { kind: "rpm".to_owned(), value: stem }),
            found_at: found_at.clone(),
            ..Candidate::default()
        };
        if let Some(listed) = self.repositories.find(&package.identity) {
            let Listed { url, sha256, size, header_end, local_file } = listed;
            let list = files::Files {
                tree: Arc::clone(&system.tree),
                database: Arc::clone(&system.database),
                package,
                header_end: *header_end,
            };
            return Ok(Candidate {
                url: url.clone(),
                sha256: Some(*sha256),
                size: Some(*size),
                local_file: local_file.clone(),
                lists: vec![Arc::new(list)],
                ..candidate
            });
        }
        Ok(Candidate { url: self.build(system, &package)?, ..candidate })
    }

    /// The URL of a package among the distribution's builds: `NAME/VERSION/RELEASE` of the source package.
    fn build(&self, system: &System, package: &Installed) -> Result<String, &'static str> {
        let base = self.builds.as_deref().ok_or(NOT_KEPT)?;
        if system.vendor != package.vendor {
            return Err(OTHERS);
        }
        let source = package.source.as_ref().ok_or(NO_SOURCE)?;
        let place =
            [&source.name, &source.version, &source.release, &package.identity.architecture];
        let place = place.map(|part| quoted(part)).join("/");
        let file = quoted(&package.identity.file_stem());
        public_url(&format!("{base}{place}/{file}.rpm")).map_err(|_| NOT_KEPT)
    }
}
