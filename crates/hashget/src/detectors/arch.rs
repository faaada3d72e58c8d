//! Arch Linux and its derivatives: the packages installed according to pacman.
//!
//! Invariant: a package's digest comes only from pacman's sync databases, and only if name, version and build
//! date are those of the installed package. No link is followed out of the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::os_release::OsRelease;
use super::{
    Candidate, DetectError, Detector, InstalledSystem, Machine, PackageUrl, Release, SystemPackage,
    Told, TreeFiles, of_kind, public_url, quoted, small_files,
};
use crate::model::{Origin, RelPath, Signature};
use crate::tree::TreeRoot;

mod archives;
mod installed;
mod mtree;
mod sync;

use archives::Archives;
use installed::Installed;
use sync::{Databases, Synced};

/// Recognises `var/lib/pacman/local`.
pub(super) struct Arch;

/// The folder of pacman's local database.
const LOCAL: &[u8] = b"var/lib/pacman/local";
const CACHE: &str = "var/cache/pacman/pkg";

impl Detector for Arch {
    fn name(&self) -> &str {
        "arch"
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
        if !small_files::is_folder(&entry) {
            return Ok(Vec::new());
        }
        let tree = TreeRoot::open(&system.below(&root))
            .map_err(|error| DetectError::new(&entry, error))?;
        let installed = installed::all(&tree, &entry, note)?;
        if installed.is_empty() {
            return Ok(Vec::new());
        }
        let tree = Arc::new(tree);
        let knowledge = Knowledge::gather(Arc::clone(&tree), machine, &installed, note);
        let mut unknown = BTreeMap::<&'static str, usize>::new();
        let mut candidates = Vec::with_capacity(installed.len());
        for package in installed {
            match knowledge.candidate(package, path) {
                Ok(candidate) => candidates.push(candidate),
                Err(reason) => *unknown.entry(reason).or_default() += 1,
            }
        }
        for (reason, count) in unknown {
            let problem = format!(
                "{count} packages {reason} (the system is \"{}\"): their files are just archived",
                knowledge.system
            );
            note(DetectError::new(&entry, problem));
        }
        Ok(candidates)
    }

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let (rest, architecture) = of_kind(signature, "arch")?.rsplit_once('-')?;
        let (rest, release) = rest.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        let (name, version) = (name.to_lowercase(), format!("{version}-{release}"));
        Some(PackageUrl::new("alpm", name).within(["arch"]).at(version).with("arch", architecture))
    }

    fn system(&self, tree: &dyn TreeFiles, path: &RelPath) -> Option<InstalledSystem> {
        let folder = system_of(path)?;
        let release = Release::read(tree, &folder);
        let desc = |name: &Vec<u8>| tree.read(&path.join(name).ok()?.join(b"desc").ok()?);
        let descs = tree.names(path).iter().filter_map(desc).collect::<Vec<_>>();
        let packages = descs.iter().filter_map(|desc| described(desc, &release)).collect();
        let told = Told { configuration: vec!["etc/"], ..Told::default() };
        Some(InstalledSystem { folder, packages, told, release })
    }

    fn is_laid_down(&self, member: &RelPath) -> bool {
        // What describes the package lies at its top.
        !member.as_bytes().starts_with(b".")
    }
}

/// An installed package as everybody calls it; its files lie where the package has them.
fn described(desc: &[u8], release: &Release) -> Option<SystemPackage> {
    let text = String::from_utf8_lossy(desc);
    let fields = installed::fields(&text);
    let field = |name| installed::first(&fields, name);
    let (name, version, architecture) = (field("NAME")?, field("VERSION")?, field("ARCH")?);
    let value = format!("{name}-{version}-{architecture}");
    let id = if release.id.is_empty() { "arch" } else { &release.id };
    let url = PackageUrl::new("alpm", name.to_lowercase()).within([id]).at(version);
    let url = url.with("arch", architecture).with("distro", release.distribution());
    let source = field("BASE").filter(|base| *base != name).unwrap_or_default();
    Some(SystemPackage {
        signature: Signature { kind: "arch".to_owned(), value },
        name: name.to_owned(),
        package_url: url.with("upstream", source),
        places: vec![("", String::new())],
        configuration: Vec::new(),
        may_be_missing: BTreeSet::new(),
        scripts: Vec::new(),
    })
}

/// The folder of the system in the tree whose local database is `path`.
fn system_of(path: &RelPath) -> Option<RelPath> {
    let folder = path.as_bytes().strip_suffix(LOCAL)?;
    if folder.is_empty() {
        return Some(RelPath::root());
    }
    RelPath::new(folder.strip_suffix(b"/")?).ok()
}

/// Why a package has no candidate.
const BUILT_HERE: &str = "are of no repository and were not signed, so that nobody else has them";
const NOT_KEPT: &str = "are of an archive that is not known to keep them for ever";

/// What the tree and this machine know about packages, read once.
struct Knowledge {
    tree: Arc<TreeRoot>,
    /// The ID of the system in the tree.
    system: String,
    archives: Archives,
    databases: Databases,
    /// pacman's package caches, in the tree and on this machine.
    caches: Vec<PathBuf>,
}

impl Knowledge {
    fn gather(
        tree: Arc<TreeRoot>,
        machine: &Machine,
        installed: &[Installed],
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let release = OsRelease::read(tree.path(), note);
        let roots = [Some(tree.path()), machine.root.as_deref()];
        let caches = roots.into_iter().flatten().map(|root| root.join(CACHE)).collect();
        Self {
            system: release.field("ID").to_owned(),
            archives: Archives::load(&tree, &release, &machine.archives, note),
            databases: Databases::read(&tree, installed, note),
            caches,
            tree,
        }
    }

    fn candidate(&self, package: Installed, found_at: &RelPath) -> Result<Candidate, &'static str> {
        let synced = self.databases.find(&package);
        let file_name = match synced {
            Some(synced) => synced.file_name.clone(),
            None => self.file_name(&package),
        };
        let url = self.url(&package, synced, &file_name)?;
        let cached = self.caches.iter().map(|cache| cache.join(&file_name));
        Ok(Candidate {
            url,
            origin: Origin::Client,
            sha256: synced.map(|synced| synced.sha256),
            size: synced.map(|synced| synced.size),
            signature: Some(Signature { kind: "arch".to_owned(), value: package.full_name() }),
            local_file: cached.into_iter().find(|file| small_files::is_file(file)),
            found_at: found_at.clone(),
            lists: vec![Arc::new(mtree::Files::new(Arc::clone(&self.tree), package))],
            ..Candidate::default()
        })
    }

    /// The permanent URL: in the archive of all packages, otherwise in a repository that never removes
    /// packages.
    fn url(
        &self,
        package: &Installed,
        synced: Option<&Synced>,
        file_name: &str,
    ) -> Result<String, &'static str> {
        let repository = synced.map(|synced| &*synced.repository);
        if repository.is_none() && !package.is_signed {
            return Err(BUILT_HERE);
        }
        let url = self.archives.packages(repository).map(|base| {
            let first = &package.name[..1];
            format!("{base}{first}/{}/{}", quoted(&package.name), quoted(file_name))
        });
        let kept = || {
            let server = self.archives.repository(repository?, &package.architecture)?;
            Some(format!("{server}/{}", quoted(file_name)))
        };
        url.or_else(kept).and_then(|url| public_url(&url).ok()).ok_or(NOT_KEPT)
    }

    /// The name of the package's file if no database has it: that of a file in a cache, otherwise with the
    /// compression in use when the package was built.
    fn file_name(&self, package: &Installed) -> String {
        let named = |end: &str| format!("{}.pkg.tar.{end}", package.full_name());
        let is_cached =
            |name: &String| self.caches.iter().any(|at| small_files::is_file(&at.join(name)));
        let by_time = if package.built < ZSTD_SINCE { "xz" } else { "zst" };
        ["zst", "xz"].map(named).into_iter().find(is_cached).unwrap_or_else(|| named(by_time))
    }
}

/// Packages are compressed with zstd since 27 December 2019 (here in seconds since 1970), before that with
/// xz.
const ZSTD_SINCE: u64 = 1_577_404_800;
