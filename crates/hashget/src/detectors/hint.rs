//! Hint files: a small JSON file that says from which package the files beside it came.
//!
//! Invariant: a hint gives exactly one candidate or one error; nothing is guessed.

use std::path::Path;

use serde::Deserialize;

use super::{Candidate, DetectError, Detector, Machine, permanent_url, small_files};
use crate::model::{Digest, RelPath};

/// Recognises `hashget-hint.json` and `.hashget-hint.json`.
pub(super) struct Hint;

/// The name of the detector.
pub const HINT: &str = "hint";

/// Size limit of a hint; a larger file is an error.
const MAX_BYTES: u64 = 64 * 1024;

/// The project of packages whose hint does not have one.
const DEFAULT_PROJECT: &str = "_hints";

/// The fields of a hint file. Other fields are ignored.
#[derive(Deserialize)]
struct HintFile {
    url: Option<String>,
    project: Option<String>,
    sha256: Option<Digest>,
    size: Option<u64>,
}

impl Detector for Hint {
    fn name(&self) -> &str {
        HINT
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        matches!(path.file_name(), b"hashget-hint.json" | b".hashget-hint.json")
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
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else {
            return Ok(Vec::new());
        };
        let json: serde_json::Value = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("it is not JSON: {error}")))?;
        if !json.is_object() {
            return Err(wrong("expected a JSON object with a \"url\"".to_owned()));
        }
        let hint: HintFile = serde_json::from_value(json)
            .map_err(|error| wrong(format!("it is not a hint: {error}")))?;
        let url = hint.url.ok_or_else(|| {
            wrong(
                "it has no \"url\": expected the URL of the package that gives these files"
                    .to_owned(),
            )
        })?;
        let url = permanent_url(&url).map_err(|error| wrong(format!("bad \"url\": {error}")))?;
        Ok(vec![Candidate {
            url,
            sha256: hint.sha256,
            size: hint.size,
            signature: None,
            project: Some(hint.project.unwrap_or_else(|| DEFAULT_PROJECT.to_owned())),
            local_file: None,
            found_at: path.clone(),
            ..Candidate::default()
        }])
    }
}
