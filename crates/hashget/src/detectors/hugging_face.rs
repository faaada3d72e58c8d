//! Models and data sets of a Hugging Face hub in the client's cache.
//!
//! Invariant: a candidate is a file of one commit; the hub says that the commit is public, and that the file
//! has the SHA-256 under which the cache stores it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::json::Scalar;
use super::{
    Answer, Candidate, DetectError, Detector, Machine, Question, below, page_url, public_url,
    small_files,
};
use crate::model::{Digest, Keeping, Origin, RelPath, Signature};

/// Recognises `KIND--ORG--NAME/snapshots/COMMIT/...`.
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
        let Some(place) = Place::of(entry.as_os_str().as_bytes()) else { return Ok(Vec::new()) };
        let Some(stored) = Stored::of(&entry, &place) else { return Ok(Vec::new()) };
        let hub = hub(machine, &entry)?;
        let wrong = |error| DetectError::new(&entry, error);
        let Place { kind, repository, commit, file, .. } = &place;
        let page = page_url(&format!("{hub}/api/{kind}/{repository}/revision/{commit}?blobs=true"))
            .map_err(wrong)?;
        let shown = if kind == "models" { String::new() } else { format!("{kind}/") };
        let answer =
            public_url(&format!("{hub}/{shown}{repository}/resolve/{commit}/{}", encoded(file)))
                .map_err(wrong)?;
        let value = format!("{shown}{repository}@{commit}/{file}");
        Ok(vec![Candidate {
            url: page.clone(),
            origin: Origin::Client,
            keeping: Keeping::Withdrawable,
            sha256: stored.sha256,
            size: Some(stored.size),
            signature: Some(Signature { kind: "huggingface".to_owned(), value }),
            covers: stored.file.parent().and_then(|folder| below(&root, folder)),
            local_file: Some(stored.file),
            found_at: path.clone(),
            question: Some(Arc::new(Revision {
                pages: vec![page],
                file: file.clone(),
                answer: Answer {
                    url: answer,
                    sha256: stored.sha256,
                    size: Some(stored.size),
                    ..Answer::default()
                },
            })),
            ..Candidate::default()
        }])
    }
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
    fn of(entry: &Path, place: &Place) -> Option<Self> {
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
struct Place {
    /// The folder of the model.
    top: String,
    /// `models`, `datasets` or `spaces`.
    kind: String,
    /// `ORG/NAME`.
    repository: String,
    commit: String,
    /// Its path in the snapshot.
    file: String,
}

impl Place {
    fn of(path: &[u8]) -> Option<Self> {
        let path = std::str::from_utf8(path).ok()?;
        // A backup of the cache may lie below a folder of the same name.
        path.match_indices("/snapshots/")
            .find_map(|(at, middle)| Self::within(&path[..at], &path[at + middle.len()..]))
    }

    /// `top` is the folder of a model, `rest` the path below `snapshots`.
    fn within(top: &str, rest: &str) -> Option<Self> {
        let (commit, file) = rest.split_once('/')?;
        let folder = top.rsplit('/').next()?;
        let (kind, repository) = folder.split_once("--")?;
        let is_name = |name: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
            !name.is_empty() && name.bytes().all(allowed) && RelPath::new(name).is_ok()
        };
        let repository = repository.replace("--", "/");
        let is_commit = commit.len() == 40 && commit.bytes().all(|digit| digit.is_ascii_hexdigit());
        (matches!(kind, "models" | "datasets" | "spaces") && is_commit && is_name(&repository))
            .then(|| Self {
                top: top.to_owned(),
                kind: kind.to_owned(),
                repository,
                commit: commit.to_owned(),
                file: file.to_owned(),
            })
    }
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
    pages: Vec<String>,
    file: String,
    answer: Answer,
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

    fn answer(&self, _url: &str, page: &[u8]) -> Result<Option<Answer>, String> {
        let page: RevisionPage = serde_json::from_slice(page).map_err(|error| error.to_string())?;
        // `gated` is false, or says how access is granted.
        if page.private.is_set() || page.gated.is_set() {
            return Ok(None);
        }
        let file = page.siblings.into_iter().find(|file| file.rfilename == self.file);
        let sha256 = file.and_then(|file| file.lfs?.sha256);
        let is_it =
            sha256.is_some() && self.answer.sha256.is_none_or(|stored| Some(stored) == sha256);
        Ok(is_it.then(|| Answer { sha256, ..self.answer.clone() }))
    }
}
