//! `hashget statement`: what somebody says is in a package, and whether it is so.
//!
//! Invariant: a statement is called right only if the package was read here, by the rules that the statement names.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hashget::fetch::{Sources, Wanted};
use hashget::formats::RULES;
use hashget::index::{Contents, read_contents};
use hashget::model::Digest;
use hashget::monitor::{Monitor, ProblemKind};
use hashget_published::Statement;
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::safe;

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
                let found = read(package, None, *recursive, environment)?;
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
    let found = read(package, Some(&said), said.nested, environment)?;
    let console = environment.console;
    let is_true = found == said;
    if !is_true {
        let told = format!("the statement is wrong; what is in the package is:\n{found}");
        let monitor: &dyn Monitor = console;
        monitor.problem(ProblemKind::Verification, safe(&file.display().to_string()), told);
    }
    let line = match is_true {
        true => "The statement is right: the package has this list of members",
        false => "The statement is wrong",
    };
    let record = json!({ "right": is_true, "said": record(&said), "found": record(&found) });
    console.summary("statement check", record, &[line.to_owned()])?;
    Ok(())
}

/// What hashget says is in a package. It must be the one that `said` is about, if there is one.
fn read(
    package: &str,
    said: Option<&Statement>,
    nested: bool,
    environment: &Environment<'_>,
) -> anyhow::Result<Statement> {
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
            let file: File = fs_err::File::open(package)?.into_file();
            let sha256 = Digest::of_reader(&file)?;
            let size = file.metadata()?.len();
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
    Ok(Statement::new(sha256, size, contents.format, nested, &contents.members))
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
