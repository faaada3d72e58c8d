//! Releases of acme: a folder with a file `.acme-release`.
//!
//! Invariant: a candidate has the digest that the release file names.

use std::path::Path;

use super::{Candidate, DetectError, Detector, Machine, public_url, small_files};
use crate::model::{Digest, RelPath, Signature};

/// Recognises `.acme-release`.
pub(super) struct Acme;

/// Size limit; larger files are ignored.
const MAX_BYTES: u64 = 64 * 1024;

impl Detector for Acme {
    fn name(&self) -> &str {
        "acme"
    }

    // Called for every entry of every tree: decides by the name alone, reads nothing from the disk.
    fn interested_in(&self, path: &RelPath) -> bool {
        path.file_name() == b".acme-release"
    }

    // Called for those entries only. May read files near the entry; never writes, never uses the network. `note` is
    // for entries with many packages: it receives those that are not understood, and the others still count.
    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let file = path.below(root);
        let wrong = |problem: String| DetectError::new(&file, problem);
        // `text` reads regular files only, and never more than the limit.
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else {
            return Ok(Vec::new());
        };
        let release = String::from_utf8_lossy(&bytes);
        let field = |name: &str| {
            let value =
                release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            value.ok_or_else(|| wrong(format!("it has no line \"{name} = ...\"")))
        };
        let (name, version) = (field("name")?, field("version")?);
        let sha256: Digest = field("sha256")?.parse().map_err(|error| wrong(format!("{error}")))?;
        // Which registry? The client's own configuration says so: `.acmerc` in a folder above the entry, in
        // a home folder, or below the root of the machine; `ACME_REGISTRY` has precedence.
        let configured = machine.files_for(&file, &[".acmerc", "etc/acmerc"]);
        let registry = match (machine.variable("ACME_REGISTRY"), configured.first()) {
            (Some(registry), _) => registry.to_owned(),
            (None, Some(configured)) => {
                let bytes = small_files::read_whole(configured, MAX_BYTES)?.unwrap_or_default();
                String::from_utf8_lossy(&bytes).trim().to_owned()
            }
            (None, None) => return Err(wrong("no .acmerc says where its registry is".to_owned())),
        };
        let url = format!("{registry}/{name}/{name}-{version}.tar.xz");
        Ok(vec![Candidate {
            // Refuses URLs that are not public, and normalises the others.
            url: public_url(&url).map_err(|error| wrong(error.to_string()))?,
            sha256: Some(sha256),
            signature: Some(Signature {
                kind: "acme".to_owned(),
                value: format!("{name}-{version}"),
            }),
            found_at: path.clone(),
            ..Candidate::default()
        }])
    }
}
