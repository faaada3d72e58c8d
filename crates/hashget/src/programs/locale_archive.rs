//! `locale-archive`: the file of all compiled locales, to which `localedef` adds one after the other.
//!
//! Invariant: it follows from the sources of locales and character maps, and from which of them were compiled, in which order.

use std::collections::BTreeSet;

use super::{
    Call, Parameters, ProgramError, ProgramRecipe, ProgramRun, ProgramScene, Reads, parameter,
    plain,
};
use crate::model::RelPath;

pub(super) struct LocaleArchive;

const ARCHIVE: &str = "usr/lib/locale/locale-archive";
/// Which locales a machine has.
const CHOSEN: &str = "etc/locale.gen";
const ALIASES: &str = "etc/locale.alias";
const SOURCES: &str = "usr/share/i18n/locales";
const OWN_SOURCES: &str = "usr/local/share/i18n/locales";
const MAPS: &str = "usr/share/i18n/charmaps";
/// A source, a character map and a name for each, one locale a line.
const PARAMETER: &str = "locales";
/// The program compiles one locale a time.
const MOST_LOCALES: usize = 20;

/// A locale that is compiled.
struct Locale<'l> {
    source: &'l str,
    map: &'l str,
    name: &'l str,
}

impl ProgramRecipe for LocaleArchive {
    fn name(&self) -> &'static str {
        "locale-archive"
    }

    fn packages(&self, _: &Parameters) -> Result<Vec<String>, ProgramError> {
        Ok(vec!["libc-bin".to_owned()])
    }

    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun> {
        let chosen = tree.contents(&plain(CHOSEN)).unwrap_or_default();
        let chosen = String::from_utf8_lossy(&chosen);
        let lines = chosen.lines().filter_map(|line| chosen_locale(line, tree));
        let locales = lines.collect::<Vec<_>>().join("\n");
        let parameters = Parameters::from([(PARAMETER.to_owned(), locales)]);
        match self::locales(&parameters) {
            Ok(_) => super::run_for(self.name(), ARCHIVE, tree, parameters),
            Err(_) => Vec::new(),
        }
    }

    fn reads(&self, parameters: &Parameters, _: &[RelPath]) -> Result<Reads, ProgramError> {
        let locales = locales(parameters)?;
        let mut files: BTreeSet<RelPath> =
            locales.iter().filter_map(|locale| RelPath::new(map_path(locale.map)).ok()).collect();
        files.insert(plain(ALIASES));
        Ok(Reads { files, below: vec![plain(SOURCES), plain(OWN_SOURCES)] })
    }

    fn call(&self, parameters: &Parameters, _: &[RelPath]) -> Result<Call, ProgramError> {
        let locales = locales(parameters)?;
        let words = |Locale { source, map, name }: &Locale<'_>| {
            let (maps, aliases) = (format!("/{MAPS}/{map}"), format!("/{ALIASES}"));
            ["-i", source, "-c", "-f", &maps, "-A", &aliases, name].map(str::to_owned).to_vec()
        };
        let mut calls = locales.iter().map(words);
        let arguments = calls.next().unwrap_or_default();
        Ok(Call {
            program: "bin/localedef".to_owned(),
            arguments,
            further: calls.collect(),
            own_root: true,
            unpack: locales.iter().map(|locale| map_path(locale.map)).collect(),
            ..Call::default()
        })
    }
}

/// Where a character map lies.
fn map_path(map: &str) -> String {
    format!("{MAPS}/{map}.gz")
}

/// What a line of the list of chosen locales makes `locale-gen` compile.
fn chosen_locale(line: &str, tree: &dyn ProgramScene) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let (name, map) = (words.next()?, words.next()?);
    if name.starts_with('#') {
        return None;
    }
    let is_in = |folder: &str, name: &str| {
        RelPath::new(format!("{folder}/{name}")).is_ok_and(|path| tree.is_file(&path))
    };
    let at = name.split_once('@').map_or(String::new(), |(_, at)| format!("@{at}"));
    let base = name.split(['.', '@']).next().unwrap_or_default();
    let short = format!("{base}{at}");
    let source = if is_in(OWN_SOURCES, name) {
        format!("/{OWN_SOURCES}/{name}")
    } else if is_in(SOURCES, name) {
        name.to_owned()
    } else if is_in(OWN_SOURCES, &short) {
        format!("/{OWN_SOURCES}/{short}")
    } else {
        short
    };
    Some(format!("{source} {map} {name}"))
}

/// The locales of a run.
///
/// # Errors
/// The parameter is missing, or makes no sense.
fn locales(parameters: &Parameters) -> Result<Vec<Locale<'_>>, ProgramError> {
    let wrong = |problem| ProgramError::Parameter { parameter: PARAMETER, problem };
    let lines: Vec<&str> = parameter(parameters, PARAMETER)?.lines().collect();
    if lines.is_empty() || lines.len() > MOST_LOCALES {
        return Err(wrong("has no locales, or too many"));
    }
    let locales = lines.into_iter().map(of_line).collect::<Option<Vec<_>>>();
    locales.ok_or_else(|| wrong("names what is no locale"))
}

/// The locale that a line names.
fn of_line(line: &str) -> Option<Locale<'_>> {
    let mut words = line.split(' ');
    let (source, map, name) = (words.next()?, words.next()?, words.next()?);
    let is_plain = |word: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.@-:+".contains(&byte);
        word.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && word.bytes().all(is_part)
    };
    let own = source.strip_prefix('/').and_then(|path| path.strip_prefix(OWN_SOURCES));
    let source_name = own.map_or(Some(source), |rest| rest.strip_prefix('/'))?;
    let all = [source_name, map, name].into_iter().all(is_plain) && words.next().is_none();
    all.then_some(Locale { source, map, name })
}
