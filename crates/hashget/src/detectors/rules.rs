//! User rules: detectors defined in the configuration.
//!
//! Invariant: a [`Rule`] is checked completely when it is created (globs, expressions, templates, the URL's
//! host); the contents of a tree can only fill in parts of the URL after its host.

use std::collections::BTreeMap;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use regex::{Captures, Regex, RegexBuilder};
use serde::Deserialize;

use super::{Candidate, DETECTORS, DetectError, Detector, Machine, public_url, small_files};
use crate::error::ErrorClass;
use crate::model::{Digest, Origin, RelPath, Signature, escaped};

mod template;

use template::Template;

/// Size limit of a file that a rule reads; a larger file is an error.
const MAX_BYTES: u64 = 1 << 20;

/// A rule as written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Its name for `--detect`.
    pub name: String,
    /// Glob for the path of an entry in the tree; `*` does not match `/`, `**/` does.
    pub path: String,
    /// Regular expression for the path; it must match, and its named groups are available in templates.
    #[serde(default)]
    pub path_pattern: Option<String>,
    /// The file to read: below the matched folder, or beside the matched file. If absent, the matched file
    /// itself.
    #[serde(default)]
    pub file: Option<String>,
    /// Regular expressions for the file's text (`^` and `$` match at line ends); all must match.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Template of the package's URL: `{group}` is replaced by the text that the group of a pattern matched.
    pub url: String,
    /// Template of its digest.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Template of its name in its ecosystem, `TYPE:VALUE`.
    #[serde(default)]
    pub signature: Option<String>,
    /// Template of its project.
    #[serde(default)]
    pub project: Option<String>,
}

/// An error in a rule of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule \"{rule}\": {field}: {problem}")]
pub struct RuleError {
    /// The rule's name, safe for a terminal.
    pub rule: String,
    /// The field of the rule.
    pub field: &'static str,
    /// What was found, and what was expected.
    pub problem: String,
}

impl RuleError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::BadRule
    }
}

/// A checked rule.
#[derive(Debug)]
pub struct Rule {
    name: String,
    path: GlobMatcher,
    path_pattern: Option<Regex>,
    file: Option<RelPath>,
    patterns: Vec<Regex>,
    url: Template,
    sha256: Option<Template>,
    signature: Option<Template>,
    project: Option<Template>,
}

impl Rule {
    /// Checks all `configs`; each name must be unique, and not that of a built-in detector.
    ///
    /// # Errors
    /// The first error in any of them.
    pub fn compile_all(configs: &[RuleConfig]) -> Result<Vec<Self>, RuleError> {
        for (position, config) in configs.iter().enumerate() {
            if configs[..position].iter().any(|earlier| earlier.name == config.name) {
                return Err(RuleError {
                    rule: escaped(config.name.as_bytes()),
                    field: "name",
                    problem: "there are two rules of this name".to_owned(),
                });
            }
        }
        configs.iter().map(Self::compile).collect()
    }

    /// Checks one rule.
    ///
    /// # Errors
    /// The first error in it.
    pub fn compile(config: &RuleConfig) -> Result<Self, RuleError> {
        let wrong = |field, problem: String| RuleError {
            rule: escaped(config.name.as_bytes()),
            field,
            problem: problem.trim_end().to_owned(),
        };
        check_name(&config.name).map_err(|problem| wrong("name", problem))?;
        let path = GlobBuilder::new(&config.path)
            .literal_separator(true)
            .build()
            .map_err(|error| wrong("path", error.to_string()))?
            .compile_matcher();
        let path_pattern = config
            .path_pattern
            .as_deref()
            .map(|pattern| {
                compile_pattern(pattern).map_err(|problem| wrong("path_pattern", problem))
            })
            .transpose()?;
        let patterns = config
            .patterns
            .iter()
            .map(|pattern| compile_pattern(pattern).map_err(|problem| wrong("patterns", problem)))
            .collect::<Result<Vec<_>, _>>()?;
        if config.file.is_some() && patterns.is_empty() {
            return Err(wrong(
                "file",
                "it has nothing to look for: expected patterns, too".to_owned(),
            ));
        }
        let file = config
            .file
            .as_deref()
            .map(|file| RelPath::try_from(file).map_err(|error| wrong("file", error.to_string())))
            .transpose()?;
        let groups = groups_of(path_pattern.iter().chain(&patterns))
            .map_err(|problem| wrong("patterns", problem))?;
        let template = |field, text: &str| {
            Template::compile(text, &groups).map_err(|problem| wrong(field, problem))
        };
        let optional = |field, text: &Option<String>| {
            text.as_deref().map(|text| template(field, text)).transpose()
        };
        let url = template("url", &config.url)?;
        check_url(&config.url, &url).map_err(|problem| wrong("url", problem))?;
        Ok(Self {
            name: config.name.clone(),
            path,
            path_pattern,
            file,
            patterns,
            url,
            sha256: optional("sha256", &config.sha256)?,
            signature: optional("signature", &config.signature)?,
            project: optional("project", &config.project)?,
        })
    }

    /// The text to which the patterns apply; `None` if there is no such file.
    fn text(&self, entry: &Path) -> Result<Option<String>, DetectError> {
        let file = match &self.file {
            None => entry.to_path_buf(),
            Some(file) if small_files::is_folder(entry) => file.below(entry),
            Some(file) => file.below(entry.parent().unwrap_or(entry)),
        };
        let bytes = small_files::read_whole(&file, MAX_BYTES)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn candidate(
        &self,
        values: &BTreeMap<String, String>,
        path: &RelPath,
    ) -> Result<Candidate, String> {
        let filled = |template: &Option<Template>| {
            template.as_ref().map(|template| template.fill(values)).filter(|text| !text.is_empty())
        };
        let url = public_url(&self.url.fill_url(values)).map_err(|error| error.to_string())?;
        let sha256 = filled(&self.sha256).map(|text| text.parse::<Digest>()).transpose();
        let signature =
            filled(&self.signature).map(|text| text.parse::<Signature>()).transpose()?;
        Ok(Candidate {
            url,
            origin: Origin::User,
            sha256: sha256.map_err(|error| error.to_string())?,
            size: None,
            signature,
            project: filled(&self.project),
            local_file: None,
            found_at: path.clone(),
            ..Candidate::default()
        })
    }
}

impl Detector for Rule {
    fn name(&self) -> &str {
        &self.name
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        self.path.is_match(path.as_path())
            && self
                .path_pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(&String::from_utf8_lossy(path.as_bytes())))
    }

    fn detect(
        &self,
        _machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let entry = path.below(root);
        let mut values = BTreeMap::new();
        if let Some(pattern) = &self.path_pattern {
            let shown = String::from_utf8_lossy(path.as_bytes());
            let Some(captures) = pattern.captures(&shown) else {
                return Ok(Vec::new());
            };
            keep_groups(pattern, &captures, &mut values);
        }
        if !self.patterns.is_empty() {
            let Some(text) = self.text(&entry)? else {
                return Ok(Vec::new());
            };
            for pattern in &self.patterns {
                let Some(captures) = pattern.captures(&text) else {
                    return Ok(Vec::new());
                };
                keep_groups(pattern, &captures, &mut values);
            }
        }
        let candidate = self.candidate(&values, path).map_err(|problem| {
            let name = escaped(self.name.as_bytes());
            DetectError::new(&entry, format!("rule \"{name}\" makes of it: {problem}"))
        })?;
        Ok(vec![candidate])
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err("expected letters, digits, \"-\", \"_\" and \".\"".to_owned());
    }
    if matches!(name, "all" | "none") || DETECTORS.iter().any(|detector| detector.name() == name) {
        return Err("this name is taken by hashget itself: choose another one".to_owned());
    }
    Ok(())
}

fn compile_pattern(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .multi_line(true)
        .crlf(true)
        .build()
        .map_err(|error| error.to_string())
}

/// The names of all groups, which must be unique over all patterns.
fn groups_of<'a>(patterns: impl Iterator<Item = &'a Regex>) -> Result<Vec<String>, String> {
    let mut groups: Vec<String> = Vec::new();
    for group in patterns.flat_map(|pattern| pattern.capture_names().flatten()) {
        if groups.iter().any(|known| known == group) {
            return Err(format!("two patterns have a group \"{group}\": give each its own name"));
        }
        groups.push(group.to_owned());
    }
    Ok(groups)
}

/// The host must be part of the rule itself: a tree must not choose which machine is contacted.
fn check_url(text: &str, template: &Template) -> Result<(), String> {
    let host = match text.split_once("://") {
        Some(("http" | "https", rest)) => rest.split_once('/').map(|(host, _)| host),
        _ => None,
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]@".contains(&byte);
    match host {
        None => {
            Err("expected a template that begins with http://HOST/ or https://HOST/".to_owned())
        }
        Some(host) if host.is_empty() || !host.bytes().all(is_plain) => {
            Err("its host must be written in full, without groups".to_owned())
        }
        Some(_) => public_url(&template.fill_url(&BTreeMap::new()))
            .map(|_| ())
            .map_err(|error| error.to_string()),
    }
}

/// Stores the text matched by the named groups; it is empty for a group that did not participate.
fn keep_groups(pattern: &Regex, captures: &Captures<'_>, values: &mut BTreeMap<String, String>) {
    for group in pattern.capture_names().flatten() {
        let value = captures.name(group).map_or("", |matched| matched.as_str());
        values.insert(group.to_owned(), value.to_owned());
    }
}
