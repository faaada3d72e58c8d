//! Packages installed by conda, mamba or pixi.
//!
//! Invariant: all data comes from the client's record of each package; a URL that contains a token gives no
//! candidate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::json::Scalar;
use super::{
    Candidate, DetectError, Detector, FileList, Listed, Machine, PackageUrl, of_kind,
    permanent_url, small_files,
};
use crate::model::{Checksum, Digest, RelPath, Signature};

/// Recognises `conda-meta/NAME-VERSION-BUILD.json`.
pub(super) struct Conda;

/// Size limit of a record; a larger file is an error.
const MAX_BYTES: u64 = 64 << 20;

/// How packages end.
const ENDINGS: [&str; 2] = [".conda", ".tar.bz2"];

/// The fields of a record that are used here. Clients write some of them empty, as null, or not at all.
#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    url: Scalar,
    #[serde(default)]
    sha256: Scalar,
    #[serde(default)]
    md5: Scalar,
    #[serde(default)]
    size: Scalar,
    #[serde(default, rename = "fn")]
    file_name: Scalar,
    #[serde(default)]
    package_tarball_full_path: Scalar,
    #[serde(default)]
    noarch: Scalar,
}

impl Record {
    /// The name of the package's file: that in the record, if it is one, otherwise the last part of its URL.
    fn file_name(&self, url: &str) -> Option<String> {
        let is_file = |name: &&str| {
            !name.contains('/')
                && ENDINGS.iter().any(|end| name.len() > end.len() && name.ends_with(end))
        };
        let of_url = url.rsplit('/').next();
        self.file_name.text().filter(is_file).or(of_url.filter(is_file)).map(str::to_owned)
    }
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
    #[serde(default)]
    path_type: Scalar,
    #[serde(default)]
    sha256: Scalar,
    #[serde(default)]
    sha256_in_prefix: Scalar,
    #[serde(default)]
    prefix_placeholder: Scalar,
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
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let file = path.below(root);
        let wrong = |problem: String| DetectError::new(&file, problem);
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else { return Ok(Vec::new()) };
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("it is no record of a package: {error}")))?;
        let Some(url) = record.url.text() else { return Ok(Vec::new()) };
        // Channels that need a login have a token in the path; packages that were built here have a file URL.
        if url.contains("/t/") || url.starts_with("file:") {
            return Ok(Vec::new());
        }
        let url = permanent_url(url).map_err(|error| wrong(format!("bad \"url\": {error}")))?;
        let Some(file_name) = record.file_name(&url) else { return Ok(Vec::new()) };
        let sha256 = digest(&record.sha256);
        let md5 = || format!("md5:{}", record.md5.text()?.to_ascii_lowercase()).parse().ok();
        let prefix = file.ancestors().nth(2).unwrap_or(root);
        let list = Files {
            record: file.clone(),
            prefix: prefix.to_owned(),
            is_zip: file_name.ends_with(".conda"),
            is_python: record.noarch.text() == Some("python"),
        };
        // The packages are in the base environment; other environments are in its `envs`.
        let bases = [Some(prefix), prefix.ancestors().nth(2)].into_iter().flatten();
        let mut cached = bases.map(|base| base.join("pkgs").join(&file_name));
        let named = record.package_tarball_full_path.text().map(Path::new);
        let named = named.and_then(|named| small_files::named_file(machine, root, named));
        let parent = path.parent().unwrap_or_default();
        Ok(vec![Candidate {
            url,
            checksum: if sha256.is_none() { md5() } else { None },
            sha256,
            size: record.size.number(),
            local_file: named.or_else(|| cached.find(|cached| small_files::is_on_disk(cached))),
            signature: Some(Signature { kind: "conda".to_owned(), value: file_name }),
            found_at: path.clone(),
            covers: Some(parent.parent().unwrap_or_default()),
            lists: vec![Arc::new(list)],
            ..Candidate::default()
        }])
    }

    fn package_url(&self, signature: &Signature, url: &str) -> Option<PackageUrl> {
        let file = of_kind(signature, "conda")?;
        let ending = ENDINGS.iter().find(|ending| file.ends_with(**ending))?;
        let (rest, build) = file[..file.len() - ending.len()].rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        let package =
            PackageUrl::new("conda", name.to_lowercase()).at(version).with("build", build);
        // `CHANNEL/PLATFORM/FILE` is the end of its URL.
        let of_channel = || {
            let mut parts = url.rsplit('/');
            (parts.next() == Some(file)).then_some(())?;
            Some((parts.next()?, parts.next()?))
        };
        let (platform, channel) = of_channel().unwrap_or_default();
        let package = package.with("channel", channel).with("subdir", platform);
        Some(package.with("type", ending.trim_start_matches('.')))
    }

    fn is_laid_down(&self, _member: &RelPath) -> bool {
        // conda writes the path of the environment into files, and links others elsewhere.
        false
    }
}

/// The digest in a field; clients write an empty text if they do not know it, and some write capital letters.
fn digest(field: &Scalar) -> Option<Digest> {
    field.text()?.to_ascii_lowercase().parse().ok()
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
        Ok(Some(record.paths_data.paths.iter().filter_map(|file| self.listed(file)).collect()))
    }
}

impl Files {
    /// `None` if the package does not have this file with these bytes: links have the digest of the file that they lead
    /// to, compiled files and entry points are made by the client, and the prefix is written into some files.
    fn listed(&self, file: &Installed) -> Option<Listed> {
        let is_as_packed = file.prefix_placeholder == Scalar::Nothing
            && matches!(file.path_type.text(), None | Some("hardlink"))
            && file.sha256_in_prefix.text().is_none_or(|here| Some(here) == file.sha256.text());
        let checksum = Checksum::from(digest(&file.sha256).filter(|_| is_as_packed)?);
        let path = RelPath::new(file.path.as_bytes()).ok()?;
        let packed = if self.is_python { as_packed(&file.path)? } else { file.path.clone() };
        let member = format!("{}{packed}", if self.is_zip { "pkg/" } else { "" });
        Some(Listed { member: RelPath::new(member).ok()?, path, checksum })
    }
}

/// Pure Python packages are packed without the interpreter's folder, which is only known here, and with their scripts in
/// a folder of their own. `None` for a path of another kind, of which it is not known how it was packed.
fn as_packed(path: &str) -> Option<String> {
    let is_version = |name: &str| name.starts_with("python");
    match path.split('/').collect::<Vec<_>>()[..] {
        ["lib", version, "site-packages", ..] if is_version(version) => {
            Some(path["lib/".len() + version.len() + 1..].to_owned())
        }
        ["bin", ref rest @ ..] if !rest.is_empty() => {
            Some(format!("python-scripts/{}", rest.join("/")))
        }
        _ => None,
    }
}
