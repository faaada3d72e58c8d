//! `wheel-record`: the file `NAME.dist-info/RECORD` that an installer of wheels writes.
//!
//! Invariant: it follows from the names, sizes and digests of the wheel's members, and from what the parameters say of files that
//! the installer made besides.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{
    Derived, Failure, Ingredient, Ingredients, Made, Proposal, Recipe, Scene, Want, parameter,
    places,
};
use crate::model::{Kind, RelPath};

pub(super) struct WheelRecord;

const RECORD: &[u8] = b".dist-info/RECORD";
/// Folders of a wheel whose files are installed elsewhere, and signatures of its record, which are not installed.
const ELSEWHERE: &[u8] = b".data/";
const SIGNATURES: [&[u8]; 2] = [b".dist-info/RECORD.jws", b".dist-info/RECORD.p7s"];

/// Parameters: how lines end, what is added to the names of compiled modules, further rows, and rows that are not there.
const ENDS: &str = "ends";
const COMPILED: &str = "compiled";
const ROWS: &str = "rows";
const WITHOUT: &str = "without";
const LINE_ENDS: [(&str, &str); 2] = [("lf", "\n"), ("crlf", "\r\n")];

/// A record is named only if the parameters have less than this part of its bytes.
const SHARE: usize = 4;

impl Recipe for WheelRecord {
    fn name(&self) -> &'static str {
        "wheel-record"
    }

    fn wants(&self, _: &RelPath) -> Want {
        Want::Digest
    }

    fn make(
        &self,
        derived: &Derived,
        from: &Ingredients<'_>,
        made: &mut Made,
    ) -> Result<(), Failure> {
        let ends = parameter(self, derived, ENDS)?;
        let Some((_, end)) = LINE_ENDS.iter().find(|(name, _)| *name == ends) else {
            let (recipe, problem) = (self.name(), "is neither lf nor crlf");
            return Err(Failure::Parameter { recipe, parameter: ENDS, problem });
        };
        let lines = |name| {
            let value = derived.parameters.get(name).map_or("", String::as_str);
            value.split('\n').filter(|line| !line.is_empty())
        };
        let compiled = derived.parameters.get(COMPILED).map(String::as_str);
        if compiled.is_some_and(|tag| !is_tag(tag)) {
            let (recipe, problem) = (self.name(), "is no part of a file's name");
            return Err(Failure::Parameter { recipe, parameter: COMPILED, problem });
        }
        let mut rows = rows(from.members, compiled);
        for line in lines(WITHOUT) {
            rows.remove(&Row::of(line));
        }
        rows.extend(lines(ROWS).map(Row::of));
        rows.iter().try_for_each(|row| {
            made.push(row.line.as_bytes())?;
            made.push(end.as_bytes())
        })
    }

    fn propose(&self, scene: &dyn Scene) -> Vec<Proposal> {
        let package = scene.package();
        // Members are read for this: not of every zip.
        if package.format != "zip" || !package.url.ends_with(".whl") {
            return Vec::new();
        }
        let is_record = |member: &&Ingredient| {
            let path = member.path.as_bytes();
            path.ends_with(RECORD) && depth(path) == 1
        };
        let Some(record) = scene.members().iter().find(is_record) else { return Vec::new() };
        let wanted = places(package, b"").into_iter().filter_map(|place| {
            let path = RelPath::new([&place, record.path.as_bytes()].concat()).ok();
            path.filter(|path| scene.is_wanted(path))
        });
        let proposal = |path: RelPath| {
            let derived = self.derived(scene, &path)?;
            Some(Proposal { path, derived, contents: None })
        };
        wanted.filter_map(proposal).collect()
    }
}

impl WheelRecord {
    /// How the record at `path` would be made, if most of it follows from the wheel.
    fn derived(&self, scene: &dyn Scene, path: &RelPath) -> Option<Derived> {
        let text = String::from_utf8(scene.contents(path)?).ok()?;
        let (ends, end) = LINE_ENDS.iter().rev().find(|(_, end)| text.ends_with(end))?;
        let actual: BTreeSet<Row> = text.split_terminator(end).map(Row::of).collect();
        let compiled = actual.iter().find_map(|row| tag_of(&row.line));
        let made = rows(scene.members(), compiled);
        let joined = |rows: Vec<&Row>| {
            let lines: Vec<&str> = rows.into_iter().map(|row| &*row.line).collect();
            lines.join("\n")
        };
        let further = joined(actual.difference(&made).collect());
        let without = joined(made.difference(&actual).collect());
        if (further.len() + without.len()).saturating_mul(SHARE) > text.len() {
            return None;
        }
        let all = [
            (ENDS, (*ends).to_owned()),
            (COMPILED, compiled.unwrap_or_default().to_owned()),
            (ROWS, further),
            (WITHOUT, without),
        ];
        let parameters: BTreeMap<String, String> = all
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Some(Derived {
            recipe: self.name().to_owned(),
            from: None,
            tool: Vec::new(),
            patches: Vec::new(),
            parameters,
        })
    }
}

/// A line of a record, sorted as its fields are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    path: String,
    line: String,
}

impl Row {
    /// The row of a line as it was written.
    fn of(line: &str) -> Self {
        let path = match line.strip_prefix('"') {
            // In quotes, a quote is written twice; the first single one ends the field.
            Some(rest) => {
                let mut path = String::new();
                let mut characters = rest.chars().peekable();
                while let Some(character) = characters.next() {
                    if character == '"' && characters.next_if_eq(&'"').is_none() {
                        break;
                    }
                    path.push(character);
                }
                path
            }
            None => line.split(',').next().unwrap_or_default().to_owned(),
        };
        Self { path, line: line.to_owned() }
    }

    /// The row of a file, with its digest and size, or without.
    fn new(path: &str, rest: &str) -> Self {
        let is_quoted = path.contains([',', '"', '\n', '\r']);
        let line = match is_quoted {
            true => format!("\"{}\",{rest}", path.replace('"', "\"\"")),
            false => format!("{path},{rest}"),
        };
        Self { path: path.to_owned(), line }
    }
}

/// The rows of all files that are installed beside the record, and of the modules compiled from them.
fn rows(members: &[Ingredient], compiled: Option<&str>) -> BTreeSet<Row> {
    let mut rows = BTreeSet::new();
    for member in members {
        let (Kind::File { size }, Some(sha256)) = (&member.kind, &member.sha256) else { continue };
        let Ok(path) = std::str::from_utf8(member.path.as_bytes()) else { continue };
        let bytes = path.as_bytes();
        let first = path.split('/').next().unwrap_or_default();
        let is_elsewhere =
            first.len() < path.len() && format!("{first}/").as_bytes().ends_with(ELSEWHERE);
        if is_elsewhere || SIGNATURES.iter().any(|name| bytes.ends_with(name)) {
            continue;
        }
        if bytes.ends_with(RECORD) && depth(bytes) == 1 {
            rows.insert(Row::new(path, ","));
            continue;
        }
        let digest = BASE64_URL_SAFE_NO_PAD.encode(sha256.as_bytes());
        rows.insert(Row::new(path, &format!("sha256={digest},{size}")));
        if let (Some(tag), Some(module)) = (compiled, path.strip_suffix(".py")) {
            let (folder, name) = module.rsplit_once('/').unwrap_or(("", module));
            let separator = if folder.is_empty() { "" } else { "/" };
            let path = format!("{folder}{separator}__pycache__/{name}.{tag}.pyc");
            rows.insert(Row::new(&path, ","));
        }
    }
    rows
}

/// What is added to the names of compiled modules, by the row of one of them.
fn tag_of(line: &str) -> Option<&str> {
    let path = line.strip_suffix(",,")?.strip_suffix(".pyc")?;
    let (folder, name) = path.rsplit_once('/')?;
    let is_compiled = folder == "__pycache__" || folder.ends_with("/__pycache__");
    name.split_once('.').map(|(_, tag)| tag).filter(|tag| is_compiled && is_tag(tag))
}

/// Can it be a part of a file's name? It is written once for each module.
fn is_tag(text: &str) -> bool {
    text.len() < 255 && !text.contains(['/', '\n', '\r'])
}

/// How many folders a path is in.
fn depth(path: &[u8]) -> usize {
    path.iter().filter(|&&byte| byte == b'/').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn member(path: &str, text: &str) -> Ingredient {
        let (kind, sha256) =
            (Kind::File { size: text.len() as u64 }, Some(Digest::of(text.as_bytes())));
        Ingredient { path: RelPath::new(path).unwrap(), kind, sha256 }
    }

    #[test]
    fn rows_are_sorted_by_their_fields() {
        for (one, next) in [("a,x", "a+b,x"), ("a,x", "a-b,x"), ("\"a,b\",x", "ab,x")] {
            assert!(Row::of(one) < Row::of(next), "{one} {next}");
        }
        assert_eq!(Row::of("\"a\"\"b\",x").path, "a\"b");
        assert_eq!(Row::new("a\"b", "x").line, "\"a\"\"b\",x");
    }

    #[test]
    fn the_record_has_what_was_installed_and_what_was_made() {
        let members = [
            member("p/a.py", "1"),
            member("p-1.data/scripts/p", "2"),
            member("p-1.dist-info/RECORD", "3"),
            member("p-1.dist-info/RECORD.jws", "4"),
            member("top.py", ""),
        ];
        let parameters =
            [("ends", "crlf"), ("compiled", "cpython-311"), ("rows", "../../../bin/p,x,1")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let derived = Derived {
            recipe: String::new(),
            from: None,
            tool: Vec::new(),
            patches: Vec::new(),
            parameters: parameters.into(),
        };
        let mut made = Made::new(10_000);
        let from = Ingredients { members: &members, contents: None };
        WheelRecord.make(&derived, &from, &mut made).unwrap();
        let digest =
            |text: &str| BASE64_URL_SAFE_NO_PAD.encode(Digest::of(text.as_bytes()).as_bytes());
        let expected = [
            "../../../bin/p,x,1",
            "__pycache__/top.cpython-311.pyc,,",
            "p-1.dist-info/RECORD,,",
            "p/__pycache__/a.cpython-311.pyc,,",
            &format!("p/a.py,sha256={},1", digest("1")),
            &format!("top.py,sha256={},0", digest("")),
            "",
        ];
        assert_eq!(String::from_utf8_lossy(made.bytes()), expected.join("\r\n"));
    }

    #[test]
    fn what_the_manifest_says_wrongly_is_named() {
        let derived = Derived {
            recipe: String::new(),
            from: None,
            tool: Vec::new(),
            patches: Vec::new(),
            parameters: BTreeMap::new(),
        };
        let mut made = Made::new(10);
        let nothing = Ingredients::default();
        let error = WheelRecord.make(&derived, &nothing, &mut made).unwrap_err().to_string();
        assert!(error.contains("parameter ends is missing"), "{error}");
        let ends = BTreeMap::from([("ends".to_owned(), "cr".to_owned())]);
        let derived = Derived { parameters: ends, ..derived };
        let error = WheelRecord.make(&derived, &nothing, &mut made).unwrap_err().to_string();
        assert!(error.contains("neither lf nor crlf"), "{error}");
    }
}
