//! Rust toolchains installed by rustup, which contain the manifest of their channel.
//!
//! Invariant: URL and digest of a component come from that manifest, and only installed components are named.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use super::{Candidate, DetectError, Detector, Machine, below, permanent_url, small_files};
use crate::model::{RelPath, Signature};

/// Recognises `lib/rustlib/multirust-channel-manifest.toml`.
pub(super) struct Rustup;

/// Size limit of a channel's manifest; a larger file is an error.
const MAX_BYTES: u64 = 4 << 20;

impl Detector for Rustup {
    fn name(&self) -> &str {
        "rustup"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        path.file_name() == b"multirust-channel-manifest.toml"
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let root = &machine.real_path(root)?;
        let file = path.below(root);
        let wrong = |problem: String| DetectError::new(&file, problem);
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else { return Ok(Vec::new()) };
        let components = file.with_file_name("components");
        let Some(installed) = small_files::read_whole(&components, MAX_BYTES)? else {
            return Err(wrong("there is no list of components beside it".to_owned()));
        };
        let installed = String::from_utf8_lossy(&installed).into_owned();
        let installed: BTreeSet<&str> =
            installed.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
        let manifest: Table = String::from_utf8_lossy(&bytes)
            .parse()
            .map_err(|_| wrong("it is not TOML".to_owned()))?;
        let date = manifest.get("date").and_then(Value::as_str).unwrap_or_default();
        let packages = manifest.get("pkg").and_then(Value::as_table);
        let packages = packages.ok_or_else(|| wrong("it has no [pkg]".to_owned()))?;
        // The manifest is in lib/rustlib of the toolchain.
        let toolchain =
            path.as_path().ancestors().nth(3).map(|folder| below(root, &root.join(folder)));
        let covers = toolchain.flatten().or_else(|| Some(RelPath::root()));
        let mut unknown = installed.clone();
        let mut candidates = Vec::new();
        for (package, description) in packages {
            let targets = description.get("target").and_then(Value::as_table).into_iter().flatten();
            for (target, archive) in targets {
                let name = match target.as_str() {
                    "*" => package.clone(),
                    target => format!("{package}-{target}"),
                };
                if !installed.contains(name.as_str()) {
                    continue;
                }
                unknown.remove(name.as_str());
                match candidate(machine, (&file, path), archive, &format!("{name}-{date}")) {
                    Ok(candidate) => {
                        candidates.push(Candidate { covers: covers.clone(), ..candidate });
                    }
                    Err(problem) => note(wrong(format!("{name}: {problem}"))),
                }
            }
        }
        if let Some(name) = unknown.first() {
            note(wrong(format!("it does not have {name}, which is installed")));
        }
        Ok(candidates)
    }
}

/// The component's archive: the one compressed with xz, which rustup prefers.
fn candidate(
    machine: &Machine,
    (file, found_at): (&Path, &RelPath),
    archive: &Value,
    name: &str,
) -> Result<Candidate, String> {
    let field = |name: &str| archive.get(name).and_then(Value::as_str);
    let pairs = [("xz_url", "xz_hash"), ("url", "hash")];
    let found = pairs.iter().find_map(|(url, hash)| Some((field(url)?, field(hash)?)));
    let (url, hash) = found.ok_or("the manifest has no URL and digest of it")?;
    let sha256 = hash.parse().map_err(|error| format!("its digest: {error}"))?;
    // A download that was kept or not finished: rustup names it by the digest.
    let homes = machine.homes_for(file).into_iter();
    let mut kept = homes.map(|home| home.join(".rustup/downloads").join(hash));
    Ok(Candidate {
        url: permanent_url(url).map_err(|error| format!("its URL: {error}"))?,
        sha256: Some(sha256),
        signature: Some(Signature { kind: "rust".to_owned(), value: name.to_owned() }),
        local_file: kept.find(|file| small_files::is_file(file)),
        found_at: found_at.clone(),
        ..Candidate::default()
    })
}
