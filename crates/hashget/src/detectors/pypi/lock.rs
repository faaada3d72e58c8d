//! Lock files with a wheel's URL and digest: `uv.lock` and `pylock.toml`.
//!
//! Invariant: only the file that is exactly this wheel (name, version and tags) is taken from a lock file.

use toml::{Table, Value};

use super::index::{File, choose};
use super::{Installed, names};
use crate::detectors::{Answer, DetectError, Machine, public_url, small_files};

/// Size limit of a lock file; a larger file is reported and ignored.
const MAX_BYTES: u64 = 32 << 20;

/// The wheel in a lock file in a folder above it. A lock file that cannot be read is ignored: the index is
/// asked.
pub(super) fn find(
    machine: &Machine,
    installed: &Installed,
    note: &mut dyn FnMut(DetectError),
) -> Option<Answer> {
    let files = machine.files_for(&installed.folder, &["uv.lock", "pylock.toml"]);
    files.iter().find_map(|file| {
        let table = machine.once(file, || -> Option<Table> {
            let bytes = small_files::read_optional(file, MAX_BYTES, note)?;
            String::from_utf8_lossy(&bytes).parse().ok()
        });
        let table = (*table).as_ref()?;
        let packages = table.get("package").or_else(|| table.get("packages"))?.as_array()?;
        packages.iter().find_map(|package| in_package(package, installed))
    })
}

fn in_package(package: &Value, installed: &Installed) -> Option<Answer> {
    let name = names::normalised(&installed.name);
    if names::normalised(package.get("name")?.as_str()?) != name {
        return None;
    }
    let files: Vec<File> = package.get("wheels")?.as_array()?.iter().filter_map(file).collect();
    let answer = choose(&files, &name, &installed.version, &installed.tags, None)?;
    (!answer.is_other).then_some(answer)
}

fn file(wheel: &Value) -> Option<File> {
    let url = public_url(wheel.get("url")?.as_str()?).ok()?;
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
