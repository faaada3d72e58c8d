//! Packages installed by conda, mamba or pixi.
//!
//! Invariant: all data comes from the client's record of each package; a URL that contains a token gives no
//! candidate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::{Candidate, DetectError, Detector, FileList, Listed, Machine, public_url, small_files};
use crate::model::{Checksum, Digest, RelPath, Signature};

/// Recognises `conda-meta/NAME-VERSION-BUILD.json`.
pub(super) struct Conda;

/// Size limit of a record; a larger file is an error.
const MAX_BYTES: u64 = 256 << 20;

/// The fields of a record that are used here.
#[derive(Deserialize)]
struct Record {
    url: Option<String>,
    sha256: Option<Digest>,
    md5: Option<String>,
    size: Option<u64>,
    #[serde(rename = "fn")]
    file_name: Option<String>,
    package_tarball_full_path: Option<PathBuf>,
    noarch: Option<serde_json::Value>,
}

/// The record with its list of files.
#[derive(Deserialize)]
struct WithFiles {
    #[serde(default)]
    paths_data: Paths,
}

#[derive(Deserialize, Default)]
struct Paths {
    #[serde(default)]
    paths: Vec<Installed>,
}

/// An installed file.
#[derive(Deserialize)]
struct Installed {
    #[serde(rename = "_path")]
    path: String,
    sha256: Option<Digest>,
    prefix_placeholder: Option<String>,
}

impl Detector for Conda {
    fn name(&self) -> &str {
        "conda"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        let mut names = path.as_bytes().rsplit(|&byte| byte == b'/');
        let is_record = names.next().is_some_and(|name| name.ends_with(b".json"));
        is_record && names.next() == Some(b"conda-meta")
    }

    fn detect(
        &self,
        _machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let file = path.below(root);
        let wrong = |problem: String| DetectError::new(&file, problem);
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else { return Ok(Vec::new()) };
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("it is no record of a package: {error}")))?;
        let (Some(url), Some(file_name)) = (&record.url, &record.file_name) else {
            return Ok(Vec::new());
        };
        // Channels that need a login have a token in the path; packages that were built here have a file URL.
        if url.contains("/t/") || url.starts_with("file:") {
            return Ok(Vec::new());
        }
        let url = public_url(url).map_err(|error| wrong(format!("bad \"url\": {error}")))?;
        let checksum = record.md5.as_deref().and_then(|md5| format!("md5:{md5}").parse().ok());
        let prefix = file.ancestors().nth(2).unwrap_or(root);
        let list = Files {
            record: file.clone(),
            prefix: prefix.to_owned(),
            is_zip: file_name.ends_with(".conda"),
            is_python: record.noarch.as_ref().is_some_and(|noarch| noarch == "python"),
        };
        // The packages are in the base environment; other environments are in its `envs`.
        let bases = [Some(prefix), prefix.ancestors().nth(2)].into_iter().flatten();
        let cached = bases.map(|base| base.join("pkgs").join(file_name));
        let mut cached = record.package_tarball_full_path.clone().into_iter().chain(cached);
        Ok(vec![Candidate {
            url,
            checksum: if record.sha256.is_none() { checksum } else { None },
            sha256: record.sha256,
            size: record.size.filter(|size| *size > 0),
            signature: Some(Signature { kind: "conda".to_owned(), value: file_name.clone() }),
            local_file: cached.find(|cached| small_files::is_file(cached)),
            found_at: path.clone(),
            lists: vec![Arc::new(list)],
            ..Candidate::default()
        }])
    }
}

/// A record's digests of the files as they were packed.
#[derive(Debug)]
struct Files {
    record: PathBuf,
    prefix: PathBuf,
    is_zip: bool,
    is_python: bool,
}

impl FileList for Files {
    fn format(&self) -> &'static str {
        if self.is_zip { "conda" } else { "tar" }
    }

    fn root(&self) -> &Path {
        &self.prefix
    }

    fn local(&self) -> Result<Option<Vec<Listed>>, String> {
        let bytes =
            small_files::read_whole(&self.record, MAX_BYTES).map_err(|error| error.to_string())?;
        let Some(bytes) = bytes else { return Ok(None) };
        let record: WithFiles =
            serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        // Files into which the prefix was written differ from those in the package.
        let files = record.paths_data.paths.iter().filter(|file| file.prefix_placeholder.is_none());
        Ok(Some(files.filter_map(|file| self.listed(file)).collect()))
    }
}

impl Files {
    fn listed(&self, file: &Installed) -> Option<Listed> {
        let checksum = Checksum::from(file.sha256?);
        let path = RelPath::new(file.path.as_bytes()).ok()?;
        let packed = if self.is_python { as_packed(&file.path) } else { file.path.as_str() };
        let member = format!("{}{packed}", if self.is_zip { "pkg/" } else { "" });
        Some(Listed { member: RelPath::new(member).ok()?, path, checksum })
    }
}

/// Pure Python packages are packed without the interpreter's folder, which is only known here.
fn as_packed(path: &str) -> &str {
    let is_version = |name: &str| name.starts_with("python");
    match path.split('/').collect::<Vec<_>>()[..] {
        ["lib", version, "site-packages", ..] if is_version(version) => {
            &path["lib/".len() + version.len() + 1..]
        }
        _ => path,
    }
}
