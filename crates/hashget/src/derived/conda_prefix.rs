//! `conda-prefix`: a file of a conda package into which the client wrote the path of the environment.
//!
//! Invariant: it follows from the member and two texts, the one that stood there and the one that stands there now.

use std::collections::BTreeMap;

use super::{
    Derived, Failure, Ingredients, MOST_INPUT_BYTES, Made, Proposal, Recipe, Scene, Want,
    parameter, places,
};
use crate::model::manifest::Package;
use crate::model::{Digest, RelPath};

pub(super) struct CondaPrefix;

/// Parameters: how the text is replaced (`text` or `binary`), what stood there, and what stands there now.
const MODE: &str = "mode";
const PLACEHOLDER: &str = "placeholder";
const PREFIX: &str = "prefix";
const MODES: [&str; 2] = ["text", "binary"];

/// The end of every string in a binary file.
const NUL: u8 = 0;

impl Recipe for CondaPrefix {
    fn name(&self) -> &'static str {
        "conda-prefix"
    }

    fn wants(&self, _: &RelPath) -> Want {
        Want::Nothing
    }

    fn make(
        &self,
        derived: &Derived,
        from: &Ingredients<'_>,
        made: &mut Made,
    ) -> Result<(), Failure> {
        let wrong =
            |parameter, problem| Failure::Parameter { recipe: self.name(), parameter, problem };
        let mode = parameter(self, derived, MODE)?;
        let placeholder = parameter(self, derived, PLACEHOLDER)?.as_bytes();
        let prefix = parameter(self, derived, PREFIX)?.as_bytes();
        if placeholder.is_empty() {
            return Err(wrong(PLACEHOLDER, "is empty"));
        }
        let Some(contents) = from.contents else {
            let (recipe, member) = (self.name(), "at all".to_owned());
            return Err(Failure::NoInput { recipe, member });
        };
        match mode {
            "text" => {
                replace(contents, placeholder, prefix, &mut |bytes| made.push(bytes)).map(drop)
            }
            "binary" if prefix.len() > placeholder.len() => {
                Err(wrong(PREFIX, "is longer than the placeholder"))
            }
            "binary" => replace_padded(contents, placeholder, prefix, made),
            _ => Err(wrong(MODE, "is neither text nor binary")),
        }
    }

    fn propose(&self, scene: &dyn Scene) -> Vec<Proposal> {
        if name_of(scene.package()).is_none() {
            return Vec::new();
        }
        let beginning: &[u8] = match &*scene.package().format {
            "conda" => b"pkg/",
            "tar" => b"",
            _ => return Vec::new(),
        };
        let environments = places(scene.package(), beginning).into_iter();
        environments.flat_map(|place| self.of_environment(scene, beginning, &place)).collect()
    }
}

impl CondaPrefix {
    /// What the client's record of the package says that it wrote the path of the environment into.
    fn of_environment(&self, scene: &dyn Scene, beginning: &[u8], place: &[u8]) -> Vec<Proposal> {
        let Some(record) = record_of(scene, place) else { return Vec::new() };
        let mut proposals = Vec::new();
        for file in record.files() {
            let paths = [place, beginning]
                .map(|folder| RelPath::new([folder, file.path.as_bytes()].concat()).ok());
            let [Some(path), Some(member)] = paths else { continue };
            let Some(contents) = Some(&path)
                .filter(|path| scene.is_wanted(path))
                .and_then(|path| scene.contents(path))
            else {
                continue;
            };
            for prefix in scene.absolute(place) {
                let packed = without_prefix(&contents, &file, prefix.as_bytes());
                let Some(packed) = packed.filter(|packed| is_member(scene, &member, packed)) else {
                    continue;
                };
                let parameters =
                    [(MODE, file.mode), (PLACEHOLDER, file.placeholder), (PREFIX, &*prefix)];
                let parameters =
                    parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let derived = Derived {
                    recipe: self.name().to_owned(),
                    from: Some(member),
                    tool: Vec::new(),
                    patches: Vec::new(),
                    parameters: BTreeMap::from(parameters),
                };
                proposals.push(Proposal { path, derived, contents: Some(packed) });
                break;
            }
        }
        proposals
    }
}

/// Has the package a file with these contents at this path?
fn is_member(scene: &dyn Scene, path: &RelPath, contents: &[u8]) -> bool {
    let found = scene.members().iter().find(|member| member.path == *path);
    found.is_some_and(|member| member.sha256 == Some(Digest::of(contents)))
}

/// The client's record of a package in an environment.
struct Record(serde_json::Value);

/// A file into which the client wrote the path of the environment.
struct Prefixed<'r> {
    path: &'r str,
    mode: &'static str,
    placeholder: &'r str,
}

impl Record {
    fn files(&self) -> impl Iterator<Item = Prefixed<'_>> {
        let paths = self.0.pointer("/paths_data/paths").and_then(|paths| paths.as_array());
        paths.into_iter().flatten().filter_map(|item| {
            let text = |name| item.get(name).and_then(|value| value.as_str());
            let mode = text("file_mode")?;
            let mode = MODES.into_iter().find(|known| *known == mode)?;
            let placeholder = text("prefix_placeholder").filter(|text| !text.is_empty())?;
            Some(Prefixed { path: text("_path")?, mode, placeholder })
        })
    }
}

/// What the package's file is called, without its ending; `None` if it is no package of conda's.
fn name_of(package: &Package) -> Option<&str> {
    let file = package.url.rsplit('/').next()?;
    [".conda", ".tar.bz2"].iter().find_map(|ending| file.strip_suffix(ending))
}

/// The record has the name of the package's file.
fn record_of(scene: &dyn Scene, place: &[u8]) -> Option<Record> {
    let name = name_of(scene.package())?;
    let path = [place, &b"conda-meta/"[..], name.as_bytes(), &b".json"[..]].concat();
    let record = scene.contents(&RelPath::new(path).ok()?)?;
    serde_json::from_slice(&record).ok().map(Record)
}

/// The file as it was in the package, if `prefix` is what was written into it.
fn without_prefix(contents: &[u8], file: &Prefixed<'_>, prefix: &[u8]) -> Option<Vec<u8>> {
    let placeholder = file.placeholder.as_bytes();
    if prefix.is_empty() {
        return None;
    }
    // What a restore would not read is no input of the recipe.
    let mut packed = Made::new(MOST_INPUT_BYTES);
    if file.mode == "text" {
        let mut push = |bytes: &[u8]| packed.push(bytes);
        let count = replace(contents, prefix, placeholder, &mut push).ok()?;
        return (count > 0).then(|| packed.into_bytes());
    }
    let padding = placeholder.len().checked_sub(prefix.len())?;
    let mut rest = contents;
    while let Some(at) = find(rest, prefix) {
        let Some(length) = rest[at..].iter().position(|&byte| byte == NUL) else { break };
        let (before, string) = (&rest[..at], &rest[at..at + length]);
        packed.push(before).ok()?;
        let mut push = |bytes: &[u8]| packed.push(bytes);
        let count = replace(string, prefix, placeholder, &mut push).ok()?;
        let filled = rest.get(at + length..at + length + padding.checked_mul(count)?)?;
        if filled.iter().any(|&byte| byte != NUL) {
            return None;
        }
        rest = &rest[at + length + filled.len()..];
    }
    packed.push(rest).ok()?;
    Some(packed.into_bytes())
}

/// Passes on `bytes` with `new` in the place of every `old`, which is not empty; how many these were.
fn replace(
    bytes: &[u8],
    old: &[u8],
    new: &[u8],
    push: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let (mut rest, mut count) = (bytes, 0);
    while let Some(at) = find(rest, old) {
        push(&rest[..at])?;
        push(new)?;
        rest = &rest[at + old.len()..];
        count += 1;
    }
    push(rest)?;
    Ok(count)
}

/// Replaces in strings that end with a NUL, and lengthens each of them by NULs to what it was.
fn replace_padded(bytes: &[u8], old: &[u8], new: &[u8], made: &mut Made) -> Result<(), Failure> {
    let mut rest = bytes;
    while let Some(at) = find(rest, old) {
        let Some(length) = rest[at..].iter().position(|&byte| byte == NUL) else { break };
        made.push(&rest[..at])?;
        let string = &rest[at..at + length];
        let count = replace(string, old, new, &mut |bytes| made.push(bytes))?;
        made.push(&vec![NUL; (old.len() - new.len()) * count])?;
        rest = &rest[at + length..];
    }
    made.push(rest)
}

/// Where `text`, which is not empty, is found first.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == text[0])?;
        if bytes[at..].starts_with(text) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "/opt/a_long_placeholder_that_stands_there";

    fn made(mode: &str, prefix: &str, contents: &[u8]) -> Result<Vec<u8>, String> {
        let parameters = [(MODE, mode), (PLACEHOLDER, PLACE), (PREFIX, prefix)];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let derived = Derived {
            recipe: String::new(),
            from: None,
            tool: Vec::new(),
            patches: Vec::new(),
            parameters: parameters.into(),
        };
        let mut made = Made::new(1000);
        let from = Ingredients { members: &[], contents: Some(contents) };
        CondaPrefix.make(&derived, &from, &mut made).map_err(|error| error.to_string())?;
        Ok(made.bytes().to_vec())
    }

    fn file(mode: &'static str) -> Prefixed<'static> {
        Prefixed { path: "x", mode, placeholder: PLACE }
    }

    #[test]
    fn texts_get_shorter_and_binaries_keep_their_length() {
        let text = format!("#!{PLACE}/bin/python\n{PLACE}");
        assert_eq!(made("text", "/env", text.as_bytes()).unwrap(), b"#!/env/bin/python\n/env");
        let binary = format!("\x7fELF\0{PLACE}/lib:{PLACE}/x\0\0end{PLACE}");
        let found = made("binary", "/env", binary.as_bytes()).unwrap();
        let padding = "\0".repeat(2 * (PLACE.len() - 4));
        assert_eq!(found, format!("\x7fELF\0/env/lib:/env/x{padding}\0\0end{PLACE}").into_bytes());
        assert_eq!(found.len(), binary.len());
    }

    #[test]
    fn what_was_in_the_package_is_found_again() {
        for (mode, contents) in [
            ("text", format!("a{PLACE}b{PLACE}")),
            ("binary", format!("a\0{PLACE}/lib\0b\0{PLACE}{PLACE}\0")),
        ] {
            for prefix in ["/e", "/srv/env", PLACE] {
                let installed = made(mode, prefix, contents.as_bytes()).unwrap();
                let packed = without_prefix(&installed, &file(mode), prefix.as_bytes());
                assert_eq!(packed.as_deref(), Some(contents.as_bytes()), "{mode} {prefix}");
            }
        }
        // What does not leave room for the placeholder was never in its place.
        assert_eq!(without_prefix(b"/e\0x", &file("binary"), b"/e"), None);
        assert_eq!(without_prefix(b"nothing", &file("text"), b"/e"), None);
    }

    #[test]
    fn what_the_manifest_says_wrongly_is_named() {
        let long = format!("{PLACE}{PLACE}");
        assert!(made("binary", &long, b"").unwrap_err().contains("longer than the placeholder"));
        assert!(made("octal", "/env", b"").unwrap_err().contains("neither text nor binary"));
        assert!(
            made("text", &"x".repeat(2000), PLACE.as_bytes()).unwrap_err().contains("1000 bytes")
        );
    }
}
