//! `python-bytecode`: compiled Python beside its source.
//!
//! Invariant: it follows from the source, its time, the version of Python and the name that the code records. All files of a run are
//! compiled in one process, in the order of their paths, since what was compiled before shows in what is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{
    Call, Parameters, ProgramError, ProgramRecipe, ProgramRun, ProgramScene, Reads, parameter,
};
use crate::model::RelPath;

pub(super) struct PythonBytecode;

/// The program that compiles.
const SCRIPT: &str = include_str!("python_bytecode.py");
/// The folder of compiled files, beside the sources.
const FOLDER: &[u8] = b"__pycache__";
/// Bytes before the code: magic number, flags, and what is known of the source (PEP 552).
const HEADER: usize = 16;
/// Bytes of a name that the code records.
const MOST_NAME: usize = 4096;

/// A compiled file, by its path.
struct Compiled {
    /// Of Python, such as `3.11`.
    version: String,
    /// 0, 1 or 2.
    level: u8,
    source: RelPath,
}

impl Compiled {
    /// What the path of a compiled file says (PEP 3147, PEP 488).
    fn of(path: &RelPath) -> Option<Self> {
        let folder = path.parent().filter(|folder| folder.file_name() == FOLDER)?;
        let name = std::str::from_utf8(path.file_name()).ok()?.strip_suffix(".pyc")?;
        let (name, level) = match name.rsplit_once(".opt-") {
            Some((name, "1")) => (name, 1),
            Some((name, "2")) => (name, 2),
            Some(_) => return None,
            None => (name, 0),
        };
        let (module, tag) = name.rsplit_once('.')?;
        let digits = tag.strip_prefix("cpython-")?;
        let (major, minor) = digits.split_at_checked(1)?;
        let version = format!("{major}.{minor}");
        let above = folder.parent()?;
        let source = format!("{module}.py");
        let source = match above.is_root() {
            true => RelPath::new(source).ok()?,
            false => RelPath::new([above.as_bytes(), b"/", source.as_bytes()].concat()).ok()?,
        };
        is_version(&version).then_some(Self { version, level, source })
    }
}

/// Two numbers, with a dot between them.
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// How a compiled file knows that it is of its source.
fn check_of(compiled: &[u8]) -> Option<&'static str> {
    match compiled.get(4..8)? {
        [0, 0, 0, 0] => Some("time"),
        [3, 0, 0, 0] => Some("hash"),
        [1, 0, 0, 0] => Some("unchecked-hash"),
        _ => None,
    }
}

/// The name that the code records of its source, as far as that ends in the path of the source: what comes before it.
fn prefix_of(compiled: &[u8], source: &RelPath) -> Option<String> {
    let code = compiled.get(HEADER..)?;
    let source = source.as_bytes();
    // Python writes a string as a letter, its length, and its bytes.
    let is_string = |begin: usize, length: usize| {
        let short = begin >= 2
            && usize::from(code[begin - 1]) == length
            && b"zZ".contains(&(code[begin - 2] & 0x7f));
        let long = begin >= 5
            && code[begin - 4..begin] == u32::try_from(length).unwrap_or(0).to_le_bytes()
            && b"aAu".contains(&(code[begin - 5] & 0x7f));
        short || long
    };
    let ends = code.windows(source.len()).enumerate();
    let ends = ends.filter(|(_, window)| *window == source).map(|(at, _)| at);
    let name = |at: usize| {
        let first = at.saturating_sub(MOST_NAME);
        let begin =
            (first..=at).rev().find(|&begin| is_string(begin, at - begin + source.len()))?;
        String::from_utf8(code[begin..at].to_vec()).ok()
    };
    ends.filter_map(name).next()
}

impl ProgramRecipe for PythonBytecode {
    fn name(&self) -> &'static str {
        "python-bytecode"
    }

    fn packages(&self, parameters: &Parameters) -> Result<Vec<String>, ProgramError> {
        Ok(vec![format!("python{}-minimal", version(parameters)?)])
    }

    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun> {
        let mut runs: BTreeMap<Parameters, Vec<RelPath>> = BTreeMap::new();
        for entry in tree.wanted() {
            let Some(compiled) = Compiled::of(&entry.path).filter(|one| tree.is_file(&one.source))
            else {
                continue;
            };
            let Some(contents) = tree.contents(&entry.path) else { continue };
            let (Some(check), Some(prefix)) =
                (check_of(&contents), prefix_of(&contents, &compiled.source))
            else {
                continue;
            };
            let parameters =
                [("python", compiled.version), ("prefix", prefix), ("check", check.to_owned())];
            let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
            runs.entry(Parameters::from(parameters)).or_default().push(entry.path.clone());
        }
        let run = |(parameters, outputs)| ProgramRun { recipe: self.name(), parameters, outputs };
        runs.into_iter().map(run).collect()
    }

    fn reads(&self, _: &Parameters, outputs: &[RelPath]) -> Result<Reads, ProgramError> {
        let files = outputs.iter().filter_map(Compiled::of).map(|compiled| compiled.source);
        Ok(Reads { files: files.collect(), ..Reads::default() })
    }

    fn call(&self, parameters: &Parameters, outputs: &[RelPath]) -> Result<Call, ProgramError> {
        let version = version(parameters)?;
        let (prefix, check) = (parameter(parameters, "prefix")?, parameter(parameters, "check")?);
        let mut input = String::new();
        for path in outputs {
            // What has another version is not what this run makes.
            let Some(compiled) = Compiled::of(path).filter(|one| one.version == version) else {
                continue;
            };
            let name = [prefix.as_bytes(), compiled.source.as_bytes()].concat();
            let level = compiled.level.to_string();
            let words = [compiled.source.as_bytes(), path.as_bytes(), &name, level.as_bytes()];
            for word in words {
                let _ = write!(input, "{} ", hex::encode(word));
            }
            let _ = writeln!(input, "{}", hex::encode(check));
        }
        Ok(Call {
            program: format!("bin/python{version}"),
            arguments: ["-S", "-s", "-B", "-c", SCRIPT].map(str::to_owned).to_vec(),
            input: input.into_bytes(),
            home: Some(("PYTHONHOME", "usr")),
            ..Call::default()
        })
    }
}

fn version(parameters: &Parameters) -> Result<&str, ProgramError> {
    let version = parameter(parameters, "python")?;
    let problem = "is no version of Python";
    let is_one = is_version(version).then_some(version);
    is_one.ok_or(ProgramError::Parameter { parameter: "python", problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_is_compiled() {
        let of = |text: &str| {
            let compiled = Compiled::of(&RelPath::new(text).unwrap())?;
            Some((compiled.version, compiled.level, compiled.source.to_string()))
        };
        let some = |version: &str, level, source: &str| {
            Some((version.to_owned(), level, source.to_owned()))
        };
        for (text, expected) in [
            ("lib/a/__pycache__/m.cpython-311.pyc", some("3.11", 0, "lib/a/m.py")),
            ("__pycache__/m.cpython-39.opt-2.pyc", some("3.9", 2, "m.py")),
            ("__pycache__/m.x.cpython-313.opt-1.pyc", some("3.13", 1, "m.x.py")),
            ("a/m.cpython-311.pyc", None),
            ("__pycache__/m.pypy39.pyc", None),
            ("__pycache__/m.cpython-.pyc", None),
            ("__pycache__/m.cpython-3x.pyc", None),
            ("__pycache__/m.cpython-311.opt-3.pyc", None),
            ("__pycache__/m.cpython-311.pyo", None),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn the_name_that_the_code_records_has_a_prefix() {
        let source = RelPath::new("lib/m.py").unwrap();
        let file = |string: &[u8]| [&[0; HEADER][..], b"code", string, b"more"].concat();
        for (string, expected) in [
            (&b"\xfa\x0d/env/lib/m.py"[..], Some("/env/")),
            (b"z\x09/lib/m.py", Some("/")),
            (b"z\x08lib/m.py", Some("")),
            (b"\xe1\x0d\0\0\0/env/lib/m.py", Some("/env/")),
            (b"z\x0c/env/lib/m.py", None),
            (b"z\x0d/env/lib/n.py", None),
            (b"", None),
        ] {
            assert_eq!(prefix_of(&file(string), &source).as_deref(), expected, "{string:?}");
        }
    }
}
