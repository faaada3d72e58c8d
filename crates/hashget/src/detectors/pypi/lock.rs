//! Lock files with a wheel's URL and digest: `uv.lock` and `pylock.toml`.
//!
//! Invariant: only the file that is exactly this wheel (name, version and tags) is taken from a lock file. The file is parsed
//! package by package, so that memory use does not exceed a small multiple of its size.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::index::{File, choose};
use super::{Installed, names};
use crate::detectors::json::without_mark;
use crate::detectors::{Answer, DetectError, Machine, permanent_url, small_files};

/// Size limit of a lock file; a larger file is reported and ignored.
const MAX_BYTES: u64 = 32 << 20;

/// Size limit of the part about one package; a larger part is ignored.
const MAX_PART: usize = 1 << 20;

/// The lines with which the part about a package begins.
const STARTS: [&str; 2] = ["[[package]]", "[[packages]]"];

/// The wheels of each package, by its normalised name.
type Wheels = BTreeMap<String, Vec<File>>;

/// The wheel in a lock file in a folder above it. A lock file that cannot be read is ignored: the index is
/// asked.
pub(super) fn find(
    machine: &Machine,
    installed: &Installed,
    note: &mut dyn FnMut(DetectError),
) -> Option<Answer> {
    let files = machine.files_for(&installed.folder, &["uv.lock", "pylock.toml"]);
    let name = names::normalised(&installed.name);
    files.iter().find_map(|file| {
        let wheels = machine.once(file, || {
            let bytes = small_files::read_optional(file, MAX_BYTES, note).unwrap_or_default();
            wheels_in(&String::from_utf8_lossy(without_mark(&bytes)))
        });
        let answer = choose(wheels.get(&name)?, &name, &installed.wanted)?;
        (!answer.is_other).then_some(answer)
    })
}

fn wheels_in(text: &str) -> Wheels {
    let mut found = Wheels::new();
    for part in parts(text).filter(|part| part.len() <= MAX_PART) {
        let Ok(table) = part.parse::<Table>() else { continue };
        let packages = table.get("package").or_else(|| table.get("packages"));
        for package in packages.and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = package.get("name").and_then(Value::as_str) else { continue };
            let wheels = package.get("wheels").and_then(Value::as_array).into_iter().flatten();
            found.entry(names::normalised(name)).or_default().extend(wheels.filter_map(file));
        }
    }
    found
}

/// The parts about one package each.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    let mut starts = Vec::new();
    for line in text.split_inclusive('\n') {
        if STARTS.contains(&line.trim_end()) {
            starts.push(at);
        }
        at += line.len();
    }
    let ends: Vec<usize> = starts.iter().copied().skip(1).chain([text.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| &text[start..end])
}

fn file(wheel: &Value) -> Option<File> {
    let url = permanent_url(wheel.get("url")?.as_str()?).ok()?;
    let digest = match wheel.get("hashes") {
        Some(hashes) => hashes.get("sha256")?.as_str()?,
        None => wheel.get("hash")?.as_str()?,
    };
    let size = wheel.get("size").and_then(Value::as_integer);
    let name = match wheel.get("name").and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => url.rsplit('/').next()?.replace("%2B", "+").replace("%2b", "+"),
    };
    Some(File {
        name,
        url,
        sha256: Some(digest.parse().ok()?),
        size: size.and_then(|size| u64::try_from(size).ok()),
    })
}
