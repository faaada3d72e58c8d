//! `certificate-bundle`: the file of all certificates that a machine trusts, one after the other, as `update-ca-certificates` writes it.
//!
//! Invariant: it follows from the list of chosen certificates, from those that packages have, and from the machine's own.

use super::{
    Call, Parameters, ProgramError, ProgramRecipe, ProgramRun, ProgramScene, Reads, is_below, plain,
};
use crate::model::RelPath;

pub(super) struct CertificateBundle;

const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// The list of chosen certificates, and the folder that its paths begin in.
const CHOSEN: &str = "etc/ca-certificates.conf";
const OF_PACKAGES: &str = "usr/share/ca-certificates";
/// Those of the machine, which are all chosen.
const OWN: &str = "usr/local/share/ca-certificates";
/// Their paths, one a line.
const PARAMETER: &str = "own";

/// What is done: each certificate is written with a newline at its end. The arguments are the machine's own ones.
const SCRIPT: &str = r#"
function add(file, line) { while ((getline line < file) > 0) print line > "etc/ssl/certs/ca-certificates.crt"; close(file) }
BEGIN {
    while ((getline line < "etc/ca-certificates.conf") > 0) {
        sub(/^[ \t]+/, "", line)
        if (line ~ /^[^#!]/) add("usr/share/ca-certificates/" line)
    }
    for (number = 1; number < ARGC; number++) add(ARGV[number])
}
"#;

impl ProgramRecipe for CertificateBundle {
    fn name(&self) -> &'static str {
        "certificate-bundle"
    }

    fn packages(&self, _: &Parameters) -> Result<Vec<String>, ProgramError> {
        Ok(vec!["mawk".to_owned()])
    }

    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun> {
        let wanted = tree.wanted();
        let own = wanted.iter().map(|entry| &entry.path).filter(|path| is_own(path));
        let own: Vec<&str> =
            own.filter_map(|path| std::str::from_utf8(path.as_bytes()).ok()).collect();
        let parameter = || (PARAMETER.to_owned(), own.join("\n"));
        let parameters = (!own.is_empty()).then(parameter).into_iter().collect();
        super::run_for(self.name(), BUNDLE, tree, parameters)
    }

    fn reads(&self, parameters: &Parameters, _: &[RelPath]) -> Result<Reads, ProgramError> {
        let files = own(parameters)?.into_iter().chain([plain(CHOSEN)]).collect();
        Ok(Reads { files, below: vec![plain(OF_PACKAGES)] })
    }

    fn call(&self, parameters: &Parameters, _: &[RelPath]) -> Result<Call, ProgramError> {
        let own = own(parameters)?;
        let own = own.iter().map(ToString::to_string);
        let arguments = [SCRIPT.to_owned()].into_iter().chain(own).collect();
        Ok(Call { program: "bin/mawk".to_owned(), arguments, ..Call::default() })
    }
}

fn is_own(path: &RelPath) -> bool {
    is_below(path, OWN.as_bytes()) && path.as_bytes().ends_with(b".crt")
}

/// The machine's own certificates.
fn own(parameters: &Parameters) -> Result<Vec<RelPath>, ProgramError> {
    let lines = parameters.get(PARAMETER).map_or("", String::as_str).lines();
    let path = |line: &str| {
        let path = RelPath::new(line).ok().filter(is_own);
        let problem = "names what is no certificate of a machine's own";
        path.ok_or(ProgramError::Parameter { parameter: PARAMETER, problem })
    };
    lines.map(path).collect()
}
