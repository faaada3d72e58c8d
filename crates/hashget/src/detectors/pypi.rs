//! Python packages installed by pip, uv and others, recognised by the wheels' `*.dist-info`.
//!
//! Invariant: a wheel is looked up by name, version and tags, and only at the indexes for which this
//! machine's clients are configured; if one of them wants a login, none is asked.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    Candidate, DetectError, Detector, FileList, Machine, PackageUrl, described_url, of_kind,
    package_url, small_files,
};
use crate::model::{Digest, Keeping, Origin, RelPath, Signature, escaped};

mod config;
mod index;
mod ini;
mod lock;
mod names;
mod record;

use config::Indexes;
use index::{Wanted, Wheel};
use names::Tags;

/// Recognises `NAME-VERSION.dist-info/WHEEL`, and `METADATA` where that is missing.
pub(super) struct PyPi;

/// Size limit of a small file of `dist-info`; a larger file is an error.
const MAX_BYTES: u64 = 1 << 20;

/// Installers that are package managers themselves: their packages are left to other detectors.
const OTHER_MANAGERS: &[&str] =
    &["debian", "conda", "rpm", "dnf", "portage", "pacman", "apk", "nix"];

impl Detector for PyPi {
    fn name(&self) -> &str {
        "pypi"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        matches!(path.file_name(), b"WHEEL" | b"METADATA")
            && path.parent().is_some_and(|parent| parent.file_name().ends_with(b".dist-info"))
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        // The tree may start within site-packages; folders above it are used, too.
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let Some(installed) = Installed::read(&entry)? else { return Ok(Vec::new()) };
        let list: Arc<dyn FileList> = Arc::new(record::Record::new(&installed.folder));
        let candidate = Candidate {
            found_at: path.clone(),
            covers: path.parent().and_then(|folder| folder.parent()),
            lists: vec![list],
            ..Candidate::default()
        };
        let found = match installed.direct_url()? {
            Direct::Elsewhere => return Ok(Vec::new()),
            Direct::Url { url, sha256 } => {
                let signature = Some(installed.signature(Some(host_of(&url))));
                Some(Candidate { url, sha256, signature, ..candidate })
            }
            Direct::File { sha256, file } => {
                let local_file =
                    file.and_then(|file| small_files::named_file(machine, &root, &file));
                installed.in_index(machine, Candidate { sha256, local_file, ..candidate }, note)?
            }
            Direct::None => match lock::find(machine, &installed, note) {
                Some(answer) => Some(Candidate {
                    signature: Some(installed.signature(Some(host_of(&answer.url)))),
                    url: answer.url,
                    sha256: answer.sha256,
                    size: answer.size,
                    ..candidate
                }),
                None => installed.in_index(machine, candidate, note)?,
            },
        };
        Ok(found.into_iter().collect())
    }

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let value = of_kind(signature, "pypi")?;
        let (name, version) = package_url::name_and_version(value.split('@').next()?);
        // Tags of the wheel follow.
        let version = version.split('-').next()?;
        Some(PackageUrl::new("pypi", names::normalised(name)).at(version))
    }

    fn is_laid_down(&self, member: &RelPath) -> bool {
        let mut parts = member.as_bytes().split(|&byte| byte == b'/');
        let first = parts.next().unwrap_or_default();
        // pip writes its own list of files, and puts scripts and data elsewhere.
        !first.ends_with(b".data") && !member.as_bytes().ends_with(b".dist-info/RECORD")
    }
}

/// The tag of the Python in whose folder `lib/pythonX.Y/site-packages` a package is installed.
fn python_above(folder: &Path) -> Option<String> {
    let names = folder.ancestors().filter_map(|folder| folder.file_name()?.to_str());
    names.filter_map(|name| name.strip_prefix("python")).find_map(|version| {
        let (major, minor) = version.split_once('.')?;
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(major) && is_number(minor)).then(|| format!("cp{major}{minor}"))
    })
}

/// The host in a URL.
fn host_of(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or_default()
}

/// An installed wheel.
struct Installed {
    /// Its `dist-info`.
    folder: PathBuf,
    /// Name and version from its folder.
    name: String,
    version: String,
    wanted: Wanted,
}

/// The contents of `direct_url.json`.
enum Direct {
    /// No such file: it came from an index.
    None,
    /// It came from a folder or a repository: nothing public has exactly the same bytes.
    Elsewhere,
    /// It came from this URL.
    Url { url: String, sha256: Option<Digest> },
    /// It came from a local wheel.
    File { sha256: Option<Digest>, file: Option<PathBuf> },
}

#[derive(serde::Deserialize)]
struct DirectUrl {
    url: String,
    archive_info: Option<ArchiveInfo>,
}

#[derive(serde::Deserialize)]
struct ArchiveInfo {
    hash: Option<String>,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

impl Installed {
    /// `None` if it is not a supported wheel: installed by another package manager, or the file is missing.
    fn read(wheel: &Path) -> Result<Option<Self>, DetectError> {
        let Some(folder) = wheel.parent() else { return Ok(None) };
        let Some(bytes) = small_files::read_whole(wheel, MAX_BYTES)? else { return Ok(None) };
        let is_wheel = wheel.ends_with("WHEEL");
        let has = |name: &str| small_files::is_file(&folder.join(name));
        if !is_wheel && (has("WHEEL") || !has("RECORD")) {
            return Ok(None);
        }
        let name = folder.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let name = std::str::from_utf8(name).ok();
        let stem = name.and_then(|name| name.strip_suffix(".dist-info"));
        let Some((name, version)) = stem.and_then(|stem| stem.rsplit_once('-')) else {
            return Err(DetectError::new(wheel, "its folder is not called NAME-VERSION.dist-info"));
        };
        if !names::is_name(name) || !names::is_version(version) {
            return Err(DetectError::new(wheel, "its folder has no proper name and version"));
        }
        let installer =
            small_files::read_whole(&folder.join("INSTALLER"), MAX_BYTES)?.unwrap_or_default();
        let installer = String::from_utf8_lossy(&installer).trim().to_ascii_lowercase();
        if OTHER_MANAGERS.contains(&installer.as_str()) {
            return Ok(None);
        }
        let wanted = Wanted {
            version: version.to_owned(),
            tags: Tags::of_wheel(&String::from_utf8_lossy(&bytes)).filter(|_| is_wheel),
            python: python_above(folder),
            sha256: None,
        };
        let (name, version) = (name.to_owned(), version.to_owned());
        Ok(Some(Self { folder: folder.to_owned(), name, version, wanted }))
    }

    /// Its name in Python's ecosystem. A wheel that is not from the index that pip has built in is another package, even if
    /// it has the same name: `source` says where it is from.
    fn signature(&self, source: Option<&str>) -> Signature {
        let source = source.map(|source| format!("@{source}")).unwrap_or_default();
        Signature { kind: "pypi".to_owned(), value: format!("{}{source}", self.full_name()) }
    }

    /// Its unique name, as in the name of its file.
    fn full_name(&self) -> String {
        let tags = match (&self.wanted.tags, &self.wanted.python) {
            (Some(tags), _) => tags.to_string(),
            (None, Some(python)) => format!("unknown-{python}"),
            (None, None) => "unknown".to_owned(),
        };
        format!("{}-{}-{tags}", names::normalised(&self.name), self.version)
    }

    fn direct_url(&self) -> Result<Direct, DetectError> {
        let file = self.folder.join("direct_url.json");
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else {
            return Ok(Direct::None);
        };
        let wrong = |problem: String| DetectError::new(&file, problem);
        let direct: DirectUrl = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("it is not understood: {error}")))?;
        let Some(archive) = direct.archive_info else { return Ok(Direct::Elsewhere) };
        let old = archive.hash.as_deref().and_then(|hash| hash.strip_prefix("sha256="));
        let sha256 = archive.hashes.get("sha256").map(String::as_str).or(old);
        let sha256 = sha256.and_then(|digits| digits.parse().ok());
        if let Some(path) = direct.url.strip_prefix("file://") {
            let file = (!path.contains('%')).then(|| PathBuf::from(path));
            return Ok(Direct::File { sha256, file });
        }
        // A package that was built here from a source archive has other files than the archive.
        if !direct.url.split(['?', '#']).next().is_some_and(|path| path.ends_with(".whl")) {
            return Ok(Direct::Elsewhere);
        }
        let (url, _) =
            described_url(&direct.url).map_err(|error| wrong(format!("bad \"url\": {error}")))?;
        Ok(Direct::Url { url, sha256 })
    }

    /// The candidate with a question to the indexes configured on this machine.
    fn in_index(
        &self,
        machine: &Machine,
        candidate: Candidate,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Option<Candidate>, DetectError> {
        let site = self.folder.parent().unwrap_or(&self.folder);
        let indexes = machine.once(site, || Indexes::configured(machine, &self.folder, note));
        if let Some((file, why)) = indexes.refusal() {
            return Err(DetectError::new(file, why));
        }
        let name = names::normalised(&self.name);
        let indexes_of = indexes.for_package(&name);
        let pages: Vec<String> =
            indexes_of.iter().map(|index| format!("{index}/{name}/")).collect();
        let Some(first) = pages.first().cloned() else {
            let problem =
                "no configuration says which index its packages are from, and there is no pip";
            return Err(DetectError::new(site, problem));
        };
        // Other indexes may have other bytes under the same name.
        let source = (!indexes.is_built_in).then(|| indexes_of.join(","));
        let homes = machine.homes_for(&self.folder).into_iter();
        let caches = homes.map(|home| home.join(".cache/pip"));
        let cache = machine.variable("PIP_CACHE_DIR").map(PathBuf::from);
        let wheel = Wheel {
            name,
            wanted: Wanted { sha256: candidate.sha256, ..self.wanted.clone() },
            caches: cache.into_iter().chain(caches).collect::<BTreeSet<_>>(),
            pages,
        };
        Ok(Some(Candidate {
            url: first,
            origin: Origin::Client,
            keeping: Keeping::Withdrawable,
            signature: Some(self.signature(source.as_deref())),
            question: Some(Arc::new(wheel)),
            ..candidate
        }))
    }
}

impl std::fmt::Display for Installed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&escaped(self.full_name().as_bytes()))
    }
}
