//! Models and data sets of a Hugging Face hub: in the client's cache, and where `download --local-dir` put them.
//!
//! Invariant: a candidate is a file of one commit; the hub says that the commit is public, and that the file
//! has the SHA-256 under which the cache stores it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::json::Scalar;
use super::{
    Answer, Candidate, DetectError, Detector, Machine, NotPublic, PackageUrl, Question, below,
    of_kind, page_url, public_url, small_files,
};
use crate::model::{Digest, Keeping, Origin, RelPath, Signature};

mod local_dir;

use local_dir::Noted;

/// Recognises `KIND--ORG--NAME/snapshots/COMMIT/...`, and the notes of `download --local-dir`.
pub(super) struct HuggingFace;

/// Size limit of the client's source file; a larger file is an error.
const MAX_BYTES: u64 = 1 << 20;
/// Requests for smaller files would cost more than archiving them.
const LEAST_BYTES: u64 = 4096;
/// Possible folders of Python packages, relative to a root, a home folder or an environment.
const PACKAGES: [&str; 5] =
    ["usr/lib/python3/dist-packages", "usr/local/lib", "usr/lib", ".local/lib", "lib"];

impl Detector for HuggingFace {
    fn name(&self) -> &str {
        "huggingface"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        // The tree may start within the cache.
        let is_commit = |name: &&[u8]| name.len() == 40 && name.iter().all(u8::is_ascii_hexdigit);
        if Noted::is_note(path) {
            return true;
        }
        let mut names = path.components().peekable();
        while let Some(name) = names.next() {
            if name == b"snapshots" && names.next_if(is_commit).is_some() {
                return names.next().is_some();
            }
        }
        false
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let hub = || hub(machine, &entry);
        let package = match Noted::read(&entry)? {
            Some(noted) => noted.package(&hub()?),
            None => cached(&entry),
        };
        let Some(Package { value, repositories, commit, file, stored }) = package else {
            return Ok(Vec::new());
        };
        let hub = hub()?;
        let revision = Revision::new(&hub, &repositories, &commit, &file, &stored)
            .map_err(|error| DetectError::new(&entry, error))?;
        Ok(vec![Candidate {
            url: revision.pages[0].clone(),
            origin: Origin::Client,
            keeping: Keeping::Withdrawable,
            sha256: stored.sha256,
            size: Some(stored.size),
            signature: Some(Signature { kind: "huggingface".to_owned(), value }),
            covers: stored.file.parent().and_then(|folder| below(&root, folder)),
            local_file: Some(stored.file),
            found_at: path.clone(),
            question: Some(Arc::new(revision)),
            ..Candidate::default()
        }])
    }

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let (repository, rest) = of_kind(signature, "huggingface")?.split_once('@')?;
        let (revision, _) = rest.split_once('/')?;
        // The type is for models alone.
        if ["datasets/", "spaces/"].iter().any(|kind| repository.starts_with(kind)) {
            return None;
        }
        let (namespace, name) = repository.rsplit_once('/').unwrap_or(("", repository));
        Some(PackageUrl::new("huggingface", name).within([namespace]).at(revision.to_lowercase()))
    }
}

/// A file of a commit on this machine.
struct Package {
    /// Its name in the ecosystem.
    value: String,
    /// Where the commit may be; not empty.
    repositories: Vec<Repository>,
    commit: String,
    /// Its path in the repository.
    file: String,
    stored: Stored,
}

/// A repository of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repository {
    /// `models`, `datasets` or `spaces`.
    kind: String,
    /// `ORG/NAME`.
    name: String,
}

impl Repository {
    /// Its name with the kind before it, as in URLs.
    fn shown(&self) -> String {
        match &*self.kind {
            "models" => self.name.clone(),
            kind => format!("{kind}/{}", self.name),
        }
    }
}

/// The file of an entry of the client's cache.
fn cached(entry: &Path) -> Option<Package> {
    let place = SnapshotFile::parse(entry.as_os_str().as_bytes())?;
    let stored = Stored::find(entry, &place)?;
    let SnapshotFile { repository, commit, file, .. } = place;
    let value = format!("{}@{commit}/{file}", repository.shown());
    Some(Package { value, repositories: vec![repository], commit, file, stored })
}

/// A large file in the cache.
struct Stored {
    file: PathBuf,
    size: u64,
    /// `None` in a cache without links: the hub has the digest.
    sha256: Option<Digest>,
}

impl Stored {
    /// The file of an entry of a snapshot: what the entry links to, which is stored under its SHA-256, or the entry itself,
    /// on systems without links. Small files are stored under another digest, and the hub has no SHA-256 of them.
    fn find(entry: &Path, place: &SnapshotFile) -> Option<Self> {
        let size = |file: &Path| {
            let found = fs_err::symlink_metadata(file).ok().filter(std::fs::Metadata::is_file)?;
            Some(found.len())
        };
        let Ok(target) = fs_err::read_link(entry) else {
            let size = size(entry).filter(|size| *size >= LEAST_BYTES)?;
            return Some(Self { file: entry.to_owned(), size, sha256: None });
        };
        let name = target.file_name()?.to_str()?;
        let sha256 = name.parse().ok()?;
        let file = Path::new(&place.top).join("blobs").join(name);
        Some(Self { size: size(&file)?, file, sha256: Some(sha256) })
    }
}

/// A file of a snapshot, from its path.
struct SnapshotFile {
    /// The folder of the model.
    top: String,
    repository: Repository,
    commit: String,
    /// Its path in the snapshot.
    file: String,
}

impl SnapshotFile {
    fn parse(path: &[u8]) -> Option<Self> {
        let path = std::str::from_utf8(path).ok()?;
        // A backup of the cache may lie below a folder of the same name.
        path.match_indices("/snapshots/")
            .find_map(|(at, middle)| Self::within(&path[..at], &path[at + middle.len()..]))
    }

    /// `top` is the folder of a model, `rest` the path below `snapshots`.
    fn within(top: &str, rest: &str) -> Option<Self> {
        let (commit, file) = rest.split_once('/')?;
        let folder = top.rsplit('/').next()?;
        let (kind, name) = folder.split_once("--")?;
        let name = name.replace("--", "/");
        (matches!(kind, "models" | "datasets" | "spaces") && is_commit(commit) && is_name(&name))
            .then(|| Self {
                top: top.to_owned(),
                repository: Repository { kind: kind.to_owned(), name },
                commit: commit.to_owned(),
                file: file.to_owned(),
            })
    }
}

/// Is it the name of a repository?
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed) && RelPath::new(name).is_ok()
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Encodes a path for a URL, including the characters that would end it.
fn encoded(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

/// The URL of the hub: the one configured for the client, otherwise its default.
fn hub(machine: &Machine, entry: &Path) -> Result<String, DetectError> {
    let base = |text: &str| public_url(text).map(|url| url.trim_end_matches('/').to_owned());
    if let Some(hub) = machine.variable("HF_ENDPOINT") {
        return base(hub).map_err(|error| DetectError::new(entry, format!("HF_ENDPOINT: {error}")));
    }
    for constants in constants(machine, entry) {
        let bytes = small_files::read_whole(&constants, MAX_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let line = text
            .lines()
            .find(|line| line.contains("DEFAULT_ENDPOINT") && line.contains("https://"));
        let hub = line.and_then(|line| line.split('"').find(|part| part.starts_with("https://")));
        if let Some(hub) = hub.and_then(|hub| base(hub).ok()) {
            return Ok(hub);
        }
    }
    let folder = entry.ancestors().find(|folder| folder.ends_with("hub")).unwrap_or(entry);
    Err(DetectError::new(
        folder,
        "nothing says which hub these files are from: expected HF_ENDPOINT, or an installed huggingface_hub",
    ))
}

/// `huggingface_hub/constants.py` of the known Pythons.
fn constants(machine: &Machine, entry: &Path) -> Vec<PathBuf> {
    const FILE: &str = "huggingface_hub/constants.py";
    let mut roots: Vec<PathBuf> =
        machine.variable("VIRTUAL_ENV").map(PathBuf::from).into_iter().collect();
    roots.extend(machine.systems_for(entry));
    let mut files = Vec::new();
    for folder in roots.iter().flat_map(|root| PACKAGES.iter().map(|folder| root.join(folder))) {
        files.push(folder.join(FILE));
        let Ok(versions) = fs_err::read_dir(&folder) else { continue };
        let mut versions: Vec<PathBuf> = versions
            .flatten()
            .filter(|version| version.file_name().as_bytes().starts_with(b"python3"))
            .map(|version| version.path())
            .collect();
        versions.sort();
        for version in versions {
            files
                .extend(["site-packages", "dist-packages"].map(|end| version.join(end).join(FILE)));
        }
    }
    files.retain(|file| small_files::is_file(file));
    files
}

/// Asks the hub for the files of a commit, and whether it is public.
#[derive(Debug)]
struct Revision {
    /// One for each repository that may have the commit.
    pages: Vec<String>,
    file: String,
    /// In the order of the pages.
    answers: Vec<Answer>,
}

impl Revision {
    fn new(
        hub: &str,
        repositories: &[Repository],
        commit: &str,
        file: &str,
        stored: &Stored,
    ) -> Result<Self, NotPublic> {
        let (mut pages, mut answers) = (Vec::new(), Vec::new());
        for repository in repositories {
            let Repository { kind, name } = repository;
            pages.push(page_url(&format!("{hub}/api/{kind}/{name}/revision/{commit}?blobs=true"))?);
            let (shown, file) = (repository.shown(), encoded(file));
            let url = public_url(&format!("{hub}/{shown}/resolve/{commit}/{file}"))?;
            let (sha256, size) = (stored.sha256, Some(stored.size));
            answers.push(Answer { url, sha256, size, ..Answer::default() });
        }
        Ok(Self { pages, file: file.to_owned(), answers })
    }
}

/// The fields of the hub's answer that are used here.
#[derive(Deserialize)]
struct RevisionPage {
    #[serde(default)]
    private: Scalar,
    #[serde(default)]
    gated: Scalar,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<Digest>,
}

impl Question for Revision {
    fn pages(&self) -> &[String] {
        &self.pages
    }

    fn answer(&self, url: &str, page: &[u8]) -> Result<Option<Answer>, String> {
        let at = self.pages.iter().position(|page| page == url);
        let Some(answer) = at.and_then(|at| self.answers.get(at)) else { return Ok(None) };
        let page: RevisionPage = serde_json::from_slice(page).map_err(|error| error.to_string())?;
        // `gated` is false, or says how access is granted.
        if page.private.is_set() || page.gated.is_set() {
            return Ok(None);
        }
        let file = page.siblings.into_iter().find(|file| file.rfilename == self.file);
        let sha256 = file.and_then(|file| file.lfs?.sha256);
        let is_it = sha256.is_some() && answer.sha256.is_none_or(|stored| Some(stored) == sha256);
        Ok(is_it.then(|| Answer { sha256, ..answer.clone() }))
    }
}
