//! Models and data sets of a Hugging Face hub in the client's cache.
//!
//! Invariant: a candidate is a file of one commit; the hub says that the commit is public, and that the file
//! has the SHA-256 under which the cache stores it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::{Answer, Candidate, DetectError, Detector, Machine, Question, public_url, small_files};
use crate::model::{Digest, Keeping, Origin, RelPath, Signature};

/// Recognises `KIND--ORG--NAME/snapshots/COMMIT/...`.
pub(super) struct HuggingFace;

/// Size limit of the client's source file; a larger file is an error.
const MAX_BYTES: u64 = 1 << 20;
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
        // Large files are stored under their SHA-256, and each snapshot links to them.
        let Ok(target) = fs_err::read_link(&entry) else { return Ok(Vec::new()) };
        let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Ok(sha256) = name.parse::<Digest>() else { return Ok(Vec::new()) };
        let blob = PathBuf::from(&place.top).join("blobs").join(name);
        let size = fs_err::symlink_metadata(&blob).ok().filter(std::fs::Metadata::is_file);
        let Some(size) = size.map(|metadata| metadata.len()) else { return Ok(Vec::new()) };
        let hub = hub(machine, &entry)?;
        let url = |text: String| public_url(&text).map_err(|error| DetectError::new(&entry, error));
        let Place { kind, repository, commit, file, .. } = &place;
        let page = url(format!("{hub}/api/{kind}/{repository}/revision/{commit}?blobs=true"))?;
        let shown = if kind == "models" { String::new() } else { format!("{kind}/") };
        let answer = url(format!("{hub}/{shown}{repository}/resolve/{commit}/{}", encoded(file)))?;
        let value = format!("{shown}{repository}@{commit}/{file}");
        Ok(vec![Candidate {
            url: page.clone(),
            origin: Origin::Client,
            keeping: Keeping::Withdrawable,
            sha256: Some(sha256),
            size: Some(size),
            signature: Some(Signature { kind: "huggingface".to_owned(), value }),
            local_file: Some(blob),
            found_at: path.clone(),
            question: Some(Arc::new(Revision {
                pages: vec![page],
                file: file.clone(),
                answer: Answer {
                    url: answer,
                    sha256: Some(sha256),
                    size: Some(size),
                    checksum: None,
                    ..Answer::default()
                },
            })),
            ..Candidate::default()
        }])
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
        let (top, rest) = path.split_once("/snapshots/")?;
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
    private: bool,
    #[serde(default)]
    gated: serde_json::Value,
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
        if page.private
            || !matches!(page.gated, serde_json::Value::Null | serde_json::Value::Bool(false))
        {
            return Ok(None);
        }
        let file = page.siblings.into_iter().find(|file| file.rfilename == self.file);
        let sha256 = file.and_then(|file| file.lfs?.sha256);
        Ok((sha256.is_some() && sha256 == self.answer.sha256).then(|| self.answer.clone()))
    }
}
