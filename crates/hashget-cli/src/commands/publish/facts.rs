//! `hashget publish facts`: reads packages and prints what is published of each. A cluster calls it on many machines.
//!
//! Invariant: every line that is read gives one line, whatever is wrong with its package; nothing is kept on this machine.

use std::io::{self, BufRead as _, BufReader, Write as _};

use anyhow::Context as _;
use hashget::error::ErrorClass;
use hashget::fetch::{Sources, shown};
use hashget::index::{Indexer, Request};
use hashget::model::{Digest, Evidence, Signature};
use hashget::monitor::{Monitor, Quiet};
use hashget::parallel;
use hashget::wording::one_line;
use hashget_published::{Facts, FactsOfOne};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{counted, standard};
use crate::values;

/// What became of one line.
enum Read {
    Facts(Box<Facts>),
    Failed { url: String, error: String },
}

/// Prints the facts of each package that a line of standard input names.
pub(super) fn print(environment: &Environment<'_>) -> anyhow::Result<()> {
    let console = environment.console;
    if console.is_json() {
        let wrong = "facts are lines of JSON themselves: leave --json out";
        return Err(UsageError(wrong.to_owned()).into());
    }
    standard::expect_open()?;
    let sources = environment.network()?;
    let counts = std::sync::Mutex::new([0u64; 2]);
    let lines = BufReader::new(io::stdin()).lines();
    let lines = lines.filter(|line| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
    parallel::for_each(environment.jobs, lines, |line| {
        let line = line.context("cannot read standard input")?;
        let read = read(&line, &sources, environment)?;
        let failed = usize::from(matches!(read, Read::Failed { .. }));
        write(&read).context("cannot write facts to standard output")?;
        counts.lock().expect("counting does not panic")[failed] += 1;
        anyhow::Ok(())
    })?;
    let [packages, failed] = counts.into_inner().expect("counting does not panic");
    let line = format!("Facts of {}, {failed} failed", counted(packages, "package", "packages"));
    console.summary("publish facts", json!({ "packages": packages, "failed": failed }), &[line])?;
    Ok(())
}

fn write(read: &Read) -> io::Result<()> {
    let mut line = match read {
        Read::Facts(facts) => serde_json::to_vec(facts)?,
        Read::Failed { url, error } => serde_json::to_vec(&json!({ "url": url, "error": error }))?,
    };
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
}

/// Reads the package that a line names. Only an interruption is an error.
fn read(line: &str, sources: &Sources, environment: &Environment<'_>) -> anyhow::Result<Read> {
    let failed = |error: String| {
        // Facts are published: no password of a list gets into them.
        let url = shown(line.split('\t').next().unwrap_or_default());
        Ok(Read::Failed { url, error })
    };
    let request = match request(line) {
        Ok(request) => request,
        Err(problem) => return failed(problem),
    };
    let hashdb = FactsOfOne::default();
    let mirrors = environment.mirrors();
    let indexer = Indexer {
        hashdb: &hashdb,
        source: &*sources.source,
        web: &*sources.web,
        shared: None,
        mirrors: &mirrors,
        limits: &environment.limits,
        jobs: 1,
        evidence: Evidence::Downloaded,
    };
    // Problems are in the line; they must not change the exit code.
    let console: &dyn Monitor = environment.console;
    if let Err(error) = indexer.index(&request, &Quiet(console)) {
        return match error.class() {
            ErrorClass::Interrupted => Err(error.into()),
            _ => failed(one_line(&error)),
        };
    }
    match hashdb.into_facts() {
        Some(facts) => Ok(Read::Facts(Box::new(facts))),
        None => failed("nothing was recorded of it".to_owned()),
    }
}

/// The package of a line: its URL and, behind tabs, its name (`KIND:VALUE`) and its SHA-256, both of which may be left out.
fn request(line: &str) -> Result<Request, String> {
    let mut fields = line.split('\t').map(str::trim);
    let url = values::package_url(fields.next().unwrap_or_default())?;
    let mut field = || fields.next().filter(|field| !field.is_empty());
    let (name, digest) = (field(), field());
    let signatures = name.map(|name| {
        name.parse::<Signature>().map_err(|_| "its name is none (KIND:VALUE)".to_owned())
    });
    let sha256 = digest.map(|digest| {
        digest.parse::<Digest>().map_err(|_| "its SHA-256 is none (64 hex digits)".to_owned())
    });
    if fields.next().is_some() {
        return Err("expected URL, name and SHA-256, with a tab between them".to_owned());
    }
    let signatures = signatures.transpose()?.into_iter().collect();
    Ok(Request { url, signatures, sha256: sha256.transpose()?, ..Request::default() })
}
