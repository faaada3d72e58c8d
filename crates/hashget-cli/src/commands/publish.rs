//! `hashget publish`: publishes what the HashDB knows, for other machines.
//!
//! Invariant: nothing is signed that was not read here or proven by whoever published it; a secret key is printed by nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use hashget::detectors::PrivateHosts;
use hashget::error::ErrorClass;
use hashget::hashdb::now;
use hashget::monitor::Silent;
use hashget::pending_file::PendingFile;
use hashget::places::Private;
use hashget_published::publish::{
    Difference, FromHashDb, FromPublished, Packages, PublishOptions, Published, Rank, diff, finish,
    publish, verify,
};
use hashget_published::{Edition, Memory, PublicKey, PublishedError, PublishedRecord, SigningKey};
use serde_json::json;

use crate::environment::Environment;
use crate::exit::{Code, EndedAs, UsageError};
use crate::output::{counted, safe, size};
use crate::publishers::files;

mod facts;

/// Publish what the HashDB knows, as static signed files for other machines
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(
    after_help = "Example: hashget publish keygen --key publisher.key --name hashdb.example.org\n         \
                        hashget publish -o /srv/www/hashdb --key publisher.key"
)]
pub(crate) struct Publish {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    target: Option<Target>,

    /// Make a new base, even if few packages are new
    #[arg(long)]
    whole: bool,

    /// Publish packages, too, whose URLs only files of packed trees named
    #[arg(long)]
    named_by_trees: bool,
}

/// What is published to, and how.
#[derive(Debug, Args)]
struct Target {
    /// The published folder: it is made, or gets one more edition
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// Key that signs; repeatable, while keys are changed
    #[arg(long, value_name = "FILE", required = true)]
    key: Vec<PathBuf>,

    /// Names of packages, most used first: packages that are used together are fetched together
    #[arg(long, value_name = "FILE")]
    rank: Option<PathBuf>,

    /// Name of one collection for all packages [default: one for each ecosystem]
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key, and print what readers need of it
    Keygen {
        /// File to write the secret key to
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Name of the log: a host name of yours, and a path if it has several [default: name of FILE]
        #[arg(long)]
        name: Option<String>,
    },
    /// Read all of a published folder, and check that it is what was signed
    Verify {
        /// The published folder, or its URL
        #[arg(value_name = "DIR|URL")]
        place: String,
        /// Public key of whoever published it; repeatable
        #[arg(long, value_name = "KEY", required = true)]
        key: Vec<PublicKey>,
    },
    /// Publish what several published folders have
    Merge {
        #[command(flatten)]
        target: Target,
        /// Make a new base, even if few packages are new
        #[arg(long)]
        whole: bool,
        /// Published folders, or their URLs
        #[arg(value_name = "DIR|URL", required = true)]
        places: Vec<String>,
        /// Public key of whoever published them; repeatable [default: those of --key]
        #[arg(long, value_name = "KEY")]
        from_key: Vec<PublicKey>,
    },
    /// Read packages, and print what is published of each as a line of JSON; for clusters
    #[command(
        after_help = "Standard input has a package a line: its URL and, behind tabs, its name (KIND:VALUE) and its SHA-256, \
                            both of which may be left out."
    )]
    Facts,
    /// Publish what a cluster gathered and sorted
    Finish {
        /// The folder that the cluster's job wrote
        #[arg(value_name = "DIR")]
        gathered: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Compare what two published folders say
    Diff {
        /// A published folder, or its URL
        #[arg(value_name = "DIR|URL")]
        first: String,
        /// Another one
        #[arg(value_name = "DIR|URL")]
        second: String,
        /// Public key of whoever published them; repeatable
        #[arg(long, value_name = "KEY", required = true)]
        key: Vec<PublicKey>,
    },
}

impl Publish {
    pub(crate) fn run(&self, environment: &Environment<'_>) -> anyhow::Result<()> {
        match (&self.action, &self.target) {
            (Some(Action::Keygen { key, name }), _) => keygen(key, name.as_deref(), environment),
            (Some(Action::Verify { place, key }), _) => verify_place(place, key, environment),
            (Some(Action::Merge { target, whole, places, from_key }), _) => {
                merge(target, *whole, places, from_key, environment)
            }
            (Some(Action::Facts), _) => facts::print(environment),
            (Some(Action::Finish { gathered, target }), _) => {
                let published = target
                    .publish(true, |options| finish(gathered, options, environment.console))?;
                report(&published, 0, &lines(&published, target), environment)
            }
            (Some(Action::Diff { first, second, key }), _) => {
                diff_places(first, second, key, environment)
            }
            (None, Some(target)) => self.publish(target, environment),
            (None, None) => Err(UsageError("expected -o DIR and --key FILE".to_owned()).into()),
        }
    }

    fn publish(&self, target: &Target, environment: &Environment<'_>) -> anyhow::Result<()> {
        let hashdb = environment.local_hashdb()?;
        let hosts = PrivateHosts::of_tree(&environment.machine(), Path::new("/"), []);
        let private = Private::new(move |url| hosts.reason(url).is_some());
        let packages = FromHashDb::new(&hashdb, &private, self.named_by_trees)?;
        let passed_over = packages.passed_over();
        let published = target
            .publish(self.whole, |options| publish(&[&packages], options, environment.console))?;
        let mut lines = lines(&published, target);
        if passed_over > 0 {
            lines.push(format!(
                "{} not published: not downloaded here, or their URLs are not public{}",
                counted(passed_over, "package", "packages"),
                if self.named_by_trees { "" } else { ", or only files of packed trees named them" }
            ));
        }
        report(&published, passed_over, &lines, environment)
    }
}

impl Target {
    fn publish(
        &self,
        whole: bool,
        publish: impl FnOnce(&PublishOptions<'_>) -> Result<Published, PublishedError>,
    ) -> anyhow::Result<Published> {
        let keys = self.keys()?;
        let rank = match &self.rank {
            Some(file) => Rank::parse(&fs_err::read_to_string(file)?),
            None => Rank::default(),
        };
        fs_err::create_dir_all(&self.output)?;
        let options = PublishOptions {
            folder: &self.output,
            keys: &keys,
            rank: &rank,
            collection: self.collection.as_deref(),
            whole,
            now: now(),
        };
        publish(&options).with_context(|| format!("cannot publish to {}", self.output.display()))
    }

    fn keys(&self) -> anyhow::Result<Vec<SigningKey>> {
        let read = |file: &PathBuf| {
            let text = fs_err::read_to_string(file)?;
            SigningKey::parse(&text).with_context(|| format!("{}", file.display()))
        };
        self.key.iter().map(read).collect()
    }
}

fn keygen(file: &Path, name: Option<&str>, environment: &Environment<'_>) -> anyhow::Result<()> {
    let own = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let key = SigningKey::generate(name.unwrap_or(own))?;
    let pending = PendingFile::create(file, 0o600)?;
    pending.file().write_all(key.to_text().as_bytes())?;
    // A key that is overwritten is lost, and with it the log.
    pending.commit_new(file).with_context(|| format!("cannot write {}", file.display()))?;
    let console = environment.console;
    if !console.is_json() {
        console.line(&key.public().to_string())?;
    }
    let record = json!({ "key": key.public().to_string(), "file": file.to_string_lossy() });
    let hint = format!(
        "The secret is in {}; keep a copy elsewhere. Readers write the line above into their configuration, as key below [[publisher]]",
        safe(&file.display().to_string())
    );
    console.summary("publish keygen", record, &[hint])?;
    Ok(())
}

fn edition(
    place: &str,
    keys: &[PublicKey],
    environment: &Environment<'_>,
) -> anyhow::Result<Edition> {
    let files = files(environment, place)?;
    Edition::open(files, keys, Memory::none(), now(), environment.console)
        .with_context(|| format!("cannot read {place}"))
}

fn verify_place(
    place: &str,
    keys: &[PublicKey],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let edition = edition(place, keys, environment)?;
    let scratch = tempfile::tempdir()?;
    let verified = verify(&edition, scratch.path(), environment.console).map_err(|error| {
        let told = match error.class() {
            ErrorClass::BadAnswer => format!("{place} is not what was signed"),
            _ => format!("{place} cannot be read"),
        };
        anyhow::Error::new(error).context(told)
    })?;
    let line = format!(
        "Every byte is what was signed, and every row what follows from the packages: {}, {}, {}",
        counted(verified.packages, "package", "packages"),
        counted(verified.members, "member", "members"),
        size(verified.bytes)
    );
    let record = json!({
        "packages": verified.packages,
        "members": verified.members,
        "keys": verified.keys,
        "bytes": verified.bytes,
        "editions": edition.checkpoint.size,
        "signed_at": edition.checkpoint.time,
    });
    environment.console.summary("publish verify", record, &[line])?;
    Ok(())
}

fn merge(
    target: &Target,
    whole: bool,
    places: &[String],
    from_keys: &[PublicKey],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let own: Vec<PublicKey> = target.keys()?.iter().map(|key| key.public().clone()).collect();
    let keys = if from_keys.is_empty() { &own[..] } else { from_keys };
    let mut inputs = Vec::with_capacity(places.len());
    for place in places {
        inputs.push(FromPublished::new(edition(place, keys, environment)?, environment.console));
    }
    let packages: Vec<&dyn Packages> = inputs.iter().map(|one| one as &dyn Packages).collect();
    let published =
        target.publish(whole, |options| publish(&packages, options, environment.console))?;
    report(&published, 0, &lines(&published, target), environment)
}

fn diff_places(
    first: &str,
    second: &str,
    keys: &[PublicKey],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let editions = [edition(first, keys, environment)?, edition(second, keys, environment)?];
    let [one, other] = editions.map(|edition| FromPublished::new(edition, &Silent));
    let difference = diff(&one, &other)?;
    let console = environment.console;
    let line = |sign: &str, kind: &str, record: &PublishedRecord| -> anyhow::Result<()> {
        let name = record.names.first().map_or(&*record.urls[0], |name| &**name);
        console.data(
            || format!("{sign} {} {}", record.sha256, safe(name)),
            "difference",
            || json!({ "kind": kind, "sha256": record.sha256, "name": name, "url": record.urls[0] }),
        )?;
        Ok(())
    };
    for record in &difference.only_first {
        line("-", "only_first", record)?;
    }
    for record in &difference.only_second {
        line("+", "only_second", record)?;
    }
    for (record, _) in &difference.other_records {
        line("~", "other_record", record)?;
    }
    for (record, _) in &difference.contradictions {
        line("!", "contradiction", record)?;
    }
    let counts = counts(&difference);
    let lines = [format!(
        "{} only in the first, {} only in the second, {} with other names or places, {} of which other members are stated",
        counts[0], counts[1], counts[2], counts[3]
    )];
    let record = json!({
        "only_first": counts[0],
        "only_second": counts[1],
        "other_records": counts[2],
        "contradictions": counts[3],
    });
    console.summary("publish diff", record, &lines)?;
    if difference.contradictions.is_empty() {
        return Ok(());
    }
    let message = "the two say different things of what is in a package: one of them is wrong; \
                   `hashget statement check` tells which one"
        .to_owned();
    Err(EndedAs { code: Code::Verification, message }.into())
}

fn counts(difference: &Difference) -> [usize; 4] {
    let Difference { only_first, only_second, other_records, contradictions } = difference;
    [only_first.len(), only_second.len(), other_records.len(), contradictions.len()]
}

fn lines(published: &Published, target: &Target) -> Vec<String> {
    let folder = safe(&target.output.display().to_string());
    let packages = counted(published.packages, "package", "packages");
    let told = match published.is_new {
        true => format!("Edition {} in {folder}", published.editions),
        false => format!(
            "Nothing has changed in {folder}: edition {} was signed again",
            published.editions
        ),
    };
    let written = match published.is_new {
        true => format!(", {} written", published.written),
        false => String::new(),
    };
    let withdrawn = match published.withdrawn {
        0 => String::new(),
        number => format!(", {number} withdrawn"),
    };
    vec![format!("{told}: {packages}{written}{withdrawn}, {}", size(published.bytes))]
}

fn report(
    published: &Published,
    passed_over: u64,
    lines: &[String],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let record = json!({
        "packages": published.packages,
        "written": published.written,
        "withdrawn": published.withdrawn,
        "passed_over": passed_over,
        "keys": published.keys,
        "editions": published.editions,
        "new": published.is_new,
        "bytes": published.bytes,
    });
    environment.console.summary("publish", record, lines)?;
    Ok(())
}
