//! Python packages installed by pip, uv and others, recognised by the wheels' `*.dist-info`.
//!
//! Invariant: a wheel is looked up by name, version and tags, and only at the indexes for which this
//! machine's clients are configured; an index with a password gives no candidate.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Candidate, DetectError, Detector, FileList, Machine, public_url, small_files};
use crate::model::{Digest, Keeping, Origin, RelPath, Signature, escaped};

mod config;
mod index;
mod lock;
mod names;
mod record;

use config::Indexes;
use index::Wheel;
use names::Tags;

/// Recognises `NAME-VERSION.dist-info/WHEEL`.
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
        path.file_name() == b"WHEEL"
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
            signature: Some(Signature { kind: "pypi".to_owned(), value: installed.full_name() }),
            found_at: path.clone(),
            lists: vec![list],
            ..Candidate::default()
        };
        let found = match installed.direct_url()? {
            Direct::Elsewhere => return Ok(Vec::new()),
            Direct::Url { url, sha256 } => Some(Candidate { url, sha256, ..candidate }),
            Direct::File { sha256, file } => {
                let local_file = file.filter(|file| small_files::is_file(file));
                installed.in_index(machine, Candidate { sha256, local_file, ..candidate }, note)?
            }
            Direct::None => match lock::find(machine, &installed, note) {
                Some(answer) => Some(Candidate {
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
}

/// An installed wheel.
struct Installed {
    /// Its `dist-info`.
    folder: PathBuf,
    /// Name and version from its folder.
    name: String,
    version: String,
    tags: Tags,
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
        let tags = Tags::of_wheel(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
            DetectError::new(wheel, "it has no line \"Tag: PYTHON-ABI-PLATFORM\"")
        })?;
        Ok(Some(Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            tags,
        }))
    }

    /// Its unique name, as in the name of its file.
    fn full_name(&self) -> String {
        format!("{}-{}-{}", names::normalised(&self.name), self.version, self.tags)
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
        let url = public_url(direct.url.split('#').next().unwrap_or_default())
            .map_err(|error| wrong(format!("bad \"url\": {error}")))?;
        let is_wheel = url.split('?').next().is_some_and(|path| path.ends_with(".whl"));
        // A package that was built here from a source archive has other files than the archive.
        Ok(if is_wheel { Direct::Url { url, sha256 } } else { Direct::Elsewhere })
    }

    /// The candidate with a question to the indexes configured on this machine.
    fn in_index(
        &self,
        machine: &Machine,
        candidate: Candidate,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Option<Candidate>, DetectError> {
        let site = self.folder.parent().unwrap_or(&self.folder);
        let indexes = machine.once(site, || Indexes::of(machine, &self.folder, note));
        if let Some(file) = indexes.only_private() {
            let problem = "its index asks for a password: its packages are not public";
            return Err(DetectError::new(file, problem));
        }
        let name = names::normalised(&self.name);
        let pages: Vec<String> =
            indexes.urls.iter().map(|index| format!("{index}/{name}/")).collect();
        let Some(first) = pages.first().cloned() else {
            let problem =
                "no configuration says which index its packages are from, and there is no pip";
            return Err(DetectError::new(site, problem));
        };
        let caches = machine.homes.iter().map(|home| home.join(".cache/pip"));
        let cache = machine.variable("PIP_CACHE_DIR").map(PathBuf::from);
        let wheel = Wheel {
            name,
            version: self.version.clone(),
            tags: self.tags.clone(),
            sha256: candidate.sha256,
            caches: cache.into_iter().chain(caches).collect::<BTreeSet<_>>(),
            pages,
        };
        Ok(Some(Candidate {
            url: first,
            origin: Origin::Client,
            keeping: Keeping::Withdrawable,
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
