//! What is installed according to pacman: `local/NAME-VERSION/desc`.
//!
//! Invariant: an [`Installed`] has a name, version and architecture that can be used unchanged in a URL and a
//! file name. Other packages are reported as a note, and the rest is read.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::super::{DetectError, small_files};
use super::LOCAL;
use crate::model::{RelPath, escaped};
use crate::tree::TreeRoot;

/// Size limit of a description; a larger file is reported and skipped.
const MAX_BYTES: u64 = 1 << 20;
/// Limit on the number of packages; a system with more is refused.
const MOST_PACKAGES: usize = 200_000;

/// A package whose files are in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) name: String,
    /// With epoch and release.
    pub(super) version: String,
    pub(super) architecture: String,
    /// Build time in seconds since 1970; 0 if unknown.
    pub(super) built: u64,
    /// Was it signed? Then it came from a distribution.
    pub(super) is_signed: bool,
    /// Its folder, relative to the system's root.
    pub(super) folder: RelPath,
}

impl Installed {
    /// Its unique name, as in the name of its file.
    pub(super) fn full_name(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.architecture)
    }
}

/// All packages of the system at `tree`, whose `local` folder is `entry`, sorted by name.
pub(super) fn all(
    tree: &TreeRoot,
    entry: &Path,
    note: &mut dyn FnMut(DetectError),
) -> Result<Vec<Installed>, DetectError> {
    let wrong = |problem: String| DetectError::new(entry, problem);
    let entries = fs_err::read_dir(entry).map_err(|error| wrong(error.to_string()))?;
    let mut names = Vec::new();
    for name in entries.flatten().map(|entry| entry.file_name()) {
        names.push(name.as_bytes().to_owned());
        if names.len() > MOST_PACKAGES {
            return Err(wrong(format!("it has more than {MOST_PACKAGES} packages")));
        }
    }
    names.sort();
    let mut installed = Vec::new();
    for name in names {
        let folder = RelPath::new([LOCAL, b"/", &name].concat());
        let Ok(folder) = folder else { continue };
        let Ok(desc) = folder.join(b"desc") else { continue };
        match small_files::read_below(tree, &desc, MAX_BYTES) {
            Ok(None) => {}
            Ok(Some(bytes)) => match understand(&String::from_utf8_lossy(&bytes), folder) {
                Ok(package) => installed.push(package),
                Err(problem) => note(DetectError::new(&desc.below(tree.path()), problem)),
            },
            Err(error) => note(error),
        }
    }
    Ok(installed)
}

fn understand(desc: &str, folder: RelPath) -> Result<Installed, String> {
    let fields = fields(desc);
    let field = |name: &'static str, allowed: &str| -> Result<String, String> {
        let value = first(&fields, name).ok_or_else(|| format!("it has no %{name}%"))?;
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || allowed.as_bytes().contains(&byte);
        if !value.starts_with(['-', '.', ':']) && value.bytes().all(is_plain) {
            return Ok(value.to_owned());
        }
        Err(format!("its %{name}% is \"{}\"", escaped(value.as_bytes())))
    };
    let package = Installed {
        name: field("NAME", "@._+-")?,
        version: field("VERSION", "._+:~-")?,
        architecture: field("ARCH", "_")?,
        built: first(&fields, "BUILDDATE").and_then(|text| text.parse().ok()).unwrap_or(0),
        is_signed: fields.get("VALIDATION").is_some_and(|by| by.contains(&"pgp")),
        folder,
    };
    let own_name = format!("{}-{}", package.name, package.version);
    if package.folder.file_name() != own_name.as_bytes() {
        return Err(format!("it is of the package {own_name}, not of that of its folder"));
    }
    Ok(package)
}

/// The fields of a description: `%NAME%`, lines of values, an empty line.
pub(super) fn fields(desc: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = None;
    for line in desc.lines().map(str::trim_end) {
        let name = line.strip_prefix('%').and_then(|rest| rest.strip_suffix('%'));
        match (name, current) {
            (Some(name), None) => current = Some(name),
            _ if line.is_empty() => current = None,
            (_, Some(current)) => fields.entry(current).or_default().push(line),
            (None, None) => {}
        }
    }
    fields
}

/// The first value of a field.
pub(super) fn first<'a>(fields: &BTreeMap<&str, Vec<&'a str>>, name: &str) -> Option<&'a str> {
    fields.get(name)?.first().copied()
}
