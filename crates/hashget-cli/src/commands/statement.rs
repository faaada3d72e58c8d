//! `hashget statement`: what somebody says is in a package, and whether it is so.
//!
//! Invariant: a statement is called right only if the package was read here, by the rules that the statement names.

use std::fs::File;
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hashget::fetch::{Sources, Wanted};
use hashget::formats::RULES;
use hashget::index::{Contents, read_contents};
use hashget::model::HashingReader;
use hashget::monitor::{Monitor, ProblemKind};
use hashget_published::Statement;
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{counted, safe};

/// Show or check what somebody says is in a package
#[derive(Debug, Args)]
#[command(after_help = "Example: hashget statement check vim.statement vim_9.0_amd64.deb")]
pub(crate) struct StatementCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read a package, and compare what is in it with a statement
    Check {
        /// The statement: a text of seven lines
        #[arg(value_name = "FILE")]
        statement: PathBuf,
        /// The package: a file, or its URL
        #[arg(value_name = "PACKAGE|URL")]
        package: String,
    },
    /// Read a package, and print what hashget says is in it
    Show {
        /// The package: a file, or its URL
        #[arg(value_name = "PACKAGE|URL")]
        package: String,
        /// Also read packages inside it
        #[arg(long)]
        recursive: bool,
    },
}

impl StatementCommand {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        match &self.action {
            Action::Check { statement, package } => check(statement, package, environment),
            Action::Show { package, recursive } => {
                let (found, _) = read(package, None, *recursive, environment)?;
                let console = environment.console;
                if !console.is_json() {
                    console.line(found.to_string().trim_end())?;
                }
                console.summary("statement show", record(&found), &[])?;
                Ok(())
            }
        }
    }
}

fn check(file: &Path, package: &str, environment: &Environment<'_>) -> anyhow::Result<()> {
    let text = fs_err::read_to_string(file)?;
    let said: Statement =
        text.parse().with_context(|| format!("{} cannot be checked", file.display()))?;
    if said.rules != RULES {
        let wrong = format!(
            "{}: it was made by the rules of version {}; this hashget reads packages by those of version {RULES}",
            file.display(),
            said.rules
        );
        return Err(UsageError(wrong).into());
    }
    let (found, passed_over) = read(package, Some(&said), said.nested, environment)?;
    let console = environment.console;
    // Whoever cannot read a member has another list, which proves nothing.
    let is_right = match found == said {
        true => Some(true),
        false if passed_over > 0 => None,
        false => Some(false),
    };
    let problem = match is_right {
        Some(true) => None,
        Some(false) => {
            let told = format!("the statement is wrong; what is in the package is:\n{found}");
            Some((ProblemKind::Verification, told))
        }
        None => {
            let members = counted(passed_over, "member", "members");
            let told =
                format!("it could not be checked: {members} of the package could not be read");
            Some((ProblemKind::Incomplete, told))
        }
    };
    if let Some((kind, told)) = problem {
        (console as &dyn Monitor).problem(kind, safe(&file.display().to_string()), told);
    }
    let line = match is_right {
        Some(true) => "The statement is right: the package has this list of members",
        Some(false) => "The statement is wrong",
        None => "Nothing was found out about the statement",
    };
    let record = json!({ "right": is_right, "said": record(&said), "found": record(&found) });
    console.summary("statement check", record, &[line.to_owned()])?;
    Ok(())
}

/// What hashget says is in a package, and how many of its members it could not read. It must be the one that `said` is about, if there
/// is one.
fn read(
    package: &str,
    said: Option<&Statement>,
    nested: bool,
    environment: &Environment<'_>,
) -> anyhow::Result<(Statement, u64)> {
    let (file, sha256, size) = match package.contains("://") {
        true => {
            let Sources { source, .. } = environment.sources()?;
            let wanted = Wanted {
                url: package.to_owned(),
                sha256: said.map(|said| said.package),
                size: said.map(|said| said.size),
                ..Wanted::default()
            };
            let fetched = source.fetch(&wanted, environment.console)?;
            (fetched.file, fetched.sha256, fetched.size)
        }
        false => {
            let mut file: File = fs_err::File::open(package)?.into_file();
            let mut hashing = HashingReader::new(&file);
            io::copy(&mut hashing, &mut io::sink())?;
            let (sha256, size) = hashing.finish();
            file.rewind()?;
            (file, sha256, size)
        }
    };
    if let Some(said) = said.filter(|said| said.package != sha256) {
        let wrong =
            format!("{package} is another package: sha256:{sha256}, not sha256:{}", said.package);
        return Err(UsageError(wrong).into());
    }
    let contents: Contents =
        read_contents(&file, package, nested, &environment.limits, environment.console)?;
    let statement = Statement::new(sha256, size, contents.format, nested, &contents.members);
    Ok((statement, contents.passed_over))
}

fn record(statement: &Statement) -> serde_json::Value {
    json!({
        "package": statement.package,
        "size": statement.size,
        "format": statement.format,
        "nested": statement.nested,
        "rules": statement.rules,
        "members": statement.members,
        "list": statement.list,
        "digest": statement.digest(),
    })
}
