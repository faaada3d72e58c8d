//! `hashget backup --init`: writes a new job into the configuration.
//!
//! Invariant: nothing that is in the configuration is changed, and what is written is valid: the whole file is parsed before it
//! replaces the old one.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Args;
use hashget::pending_file::PendingFile;
use hashget_backup::notices::sendmail;
use hashget_backup::store::Address;
use serde_json::json;

use super::{destinations, host};
use crate::config::Config;
use crate::environment::Environment;
use crate::exit::UsageError;

/// Who may read a new configuration.
const MODE: u32 = 0o644;

/// What a job has that is written by `--init`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of --init")]
pub(super) struct NewJob {
    /// Folder or file to pack; repeatable
    #[arg(long, value_name = "PATH", requires = "init")]
    source: Vec<String>,

    /// Destination of the archives; repeatable
    #[arg(long, value_name = "DESTINATION", requires = "init")]
    to: Vec<String>,

    /// When it runs: a time of the day, or a calendar expression of systemd
    #[arg(long, value_name = "HH:MM|EXPRESSION", requires = "init")]
    at: Option<String>,

    /// Numbers of archives to keep: KIND is last, hourly, daily, weekly, monthly or yearly; repeatable
    #[arg(long, value_name = "KIND=N", requires = "init")]
    keep: Vec<String>,

    /// Recipient to whom the archives are encrypted: a key of age (age1..., ssh-ed25519 ...), a file of keys, passphrase:FILE or
    /// exec:COMMAND; repeatable
    #[arg(long, value_name = "RECIPIENT", requires = "init")]
    encrypt: Vec<String>,

    /// Whom a failure is mailed to
    #[arg(long, value_name = "ADDRESS", requires = "init")]
    mail: Option<String>,

    /// Take over the settings of hashget-nightly, of older versions
    #[arg(long, value_name = "FILE", requires = "init", num_args = 0..=1)]
    #[arg(default_missing_value = "/etc/hashget/nightly.conf")]
    #[arg(conflicts_with_all = ["source", "to", "at", "keep"])]
    from_nightly: Option<PathBuf>,
}

/// What is written.
struct Answers {
    sources: Vec<String>,
    to: Vec<String>,
    at: Option<String>,
    keep: Vec<(String, u32)>,
    encrypt: Vec<String>,
    mail: Option<String>,
    options: Vec<String>,
    /// As `--parity` takes it.
    parity: Option<String>,
}

impl Answers {
    /// The same with whole paths: those in the configuration start at its folder, those that the user gave here.
    fn with_whole_paths(self) -> anyhow::Result<Self> {
        let whole = |path: &Path| -> anyhow::Result<String> {
            let absolute = std::path::absolute(path)?;
            let text = absolute.to_str().map(str::to_owned);
            Ok(text.ok_or_else(|| UsageError(format!("{} is not UTF-8", path.display())))?)
        };
        let sources = self.sources.iter().map(|source| whole(Path::new(source)));
        let sources = sources.collect::<anyhow::Result<_>>()?;
        let destination = |to: &String| match Address::parse(to)? {
            Address::Folder(folder) => whole(&folder),
            _ => Ok(to.clone()),
        };
        let to = self.to.iter().map(destination).collect::<anyhow::Result<_>>()?;
        Ok(Self { sources, to, ..self })
    }
}

impl NewJob {
    /// Writes the job.
    pub(super) fn run(
        &self,
        names: &[String],
        environment: &Environment<'_>,
    ) -> anyhow::Result<()> {
        let name = match names {
            [] => "system",
            [name] => name,
            _ => return Err(UsageError("--init writes one job: give one name".to_owned()).into()),
        };
        let file = environment.config_file()?;
        let console = environment.console;
        if environment.config.jobs(&host()).iter().any(|job| job.name == name) {
            let wrong = format!("{} has a job {name} already: change it there", file.display());
            return Err(UsageError(wrong).into());
        }
        let answers = self.answers()?.with_whole_paths()?;
        if !answers.encrypt.is_empty() {
            environment.recipients(&answers.encrypt)?;
        }
        let section = section(name, &answers, sendmail().is_some());
        add(&section, &file)?;
        for to in &answers.to {
            let folder = destinations::open_given(to, environment)?.folder;
            if let Some(folder) = folder.filter(|folder| !folder.exists()) {
                fs_err::create_dir_all(&folder)?;
                console.say(&format!("Created {}", folder.display()));
            }
        }
        let lines = [
            format!("Wrote the job {name} into {}", file.display()),
            format!(
                "Next: `hashget backup {name}` makes the first archive; `hashget backup --enable {name}` lets it run by itself"
            ),
        ];
        let record = json!({ "job": name, "configuration": file.to_string_lossy() });
        console.summary("backup --init", record, &lines)?;
        Ok(())
    }

    /// What the options say, or the user.
    fn answers(&self) -> anyhow::Result<Answers> {
        if let Some(file) = &self.from_nightly {
            return of_nightly(file);
        }
        let asks = std::io::stdin().is_terminal();
        let keep = self.keep.iter().map(|text| kept(text)).collect::<Result<_, _>>()?;
        let mut answers = Answers {
            sources: self.source.clone(),
            to: self.to.clone(),
            at: self.at.clone(),
            keep,
            encrypt: self.encrypt.clone(),
            mail: self.mail.clone(),
            options: Vec::new(),
            parity: None,
        };
        if answers.sources.is_empty() && asks {
            answers.sources = vec![asked("Folder to pack", "/")?];
        }
        if answers.to.is_empty() && asks {
            answers.to = vec![asked("Destination of the archives", "/var/backups/hashget")?];
        }
        if answers.at.is_none() && asks {
            answers.at = Some(asked("Every day at", "02:30")?);
        }
        if answers.sources.is_empty() || answers.to.is_empty() {
            let wrong =
                "--init: expected --source PATH and --to DESTINATION, or a terminal to ask on";
            return Err(UsageError(wrong.to_owned()).into());
        }
        if answers.keep.is_empty() {
            let usual = [("last", 3), ("daily", 7), ("weekly", 4), ("monthly", 12)];
            answers.keep = usual.map(|(kind, number)| (kind.to_owned(), number)).to_vec();
        }
        Ok(answers)
    }
}

/// A rule, `daily=7`.
fn kept(text: &str) -> Result<(String, u32), UsageError> {
    let wrong =
        || UsageError(format!("--keep {text}: expected a kind and a number, such as daily=7"));
    let (kind, number) = text.split_once('=').ok_or_else(wrong)?;
    let kinds = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
    if !kinds.contains(&kind) {
        return Err(wrong());
    }
    Ok((kind.to_owned(), number.parse().map_err(|_| wrong())?))
}

/// Asks on the terminal.
fn asked(question: &str, default: &str) -> anyhow::Result<String> {
    let mut out = anstream::stderr();
    write!(out, "{question} [{default}]: ")?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let answer = line.trim();
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}

/// The settings of `hashget-nightly`, as its shell reads them.
fn of_nightly(file: &Path) -> anyhow::Result<Answers> {
    let shown = file.display();
    fs_err::metadata(file).context("cannot take over the settings of hashget-nightly")?;
    let script = "TREE=/ ARCHIVES=/var/backups/hashget KEEP=14 OPTIONS=\n. \"$1\" || exit 1\nset -f\n\
                  eval \"set -- $(printf %s \"$OPTIONS\" | tr '\\n' ' ')\"\n\
                  for word in \"$TREE\" \"$ARCHIVES\" \"$KEEP\" \"$@\"; do printf '%s\\0' \"$word\"; done";
    let absolute = std::path::absolute(file)?;
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", script, "sh"]).arg(&absolute).output()?;
    let text = String::from_utf8(output.stdout).unwrap_or_default();
    let mut words = text.split_terminator('\0').map(str::to_owned);
    let (Some(tree), Some(archives), Some(keep)) = (words.next(), words.next(), words.next())
    else {
        return Err(UsageError(format!("{shown} cannot be read by a shell")).into());
    };
    let last =
        keep.parse().map_err(|_| UsageError(format!("{shown}: KEEP={keep} is no number")))?;
    let (options, parity) = without_parity(words);
    let at = Some("02:30".to_owned());
    let keep = vec![("last".to_owned(), last)];
    let (sources, to, encrypt) = (vec![tree], vec![archives], Vec::new());
    Ok(Answers { sources, to, at, keep, encrypt, mail: None, options, parity })
}

/// Options without `--parity`, and what it said: of a job, it is a key.
fn without_parity(mut words: impl Iterator<Item = String>) -> (Vec<String>, Option<String>) {
    let (mut options, mut parity) = (Vec::new(), None);
    while let Some(word) = words.next() {
        match word.strip_prefix("--parity=") {
            Some(share) => parity = Some(share.to_owned()),
            None if word == "--parity" => parity = words.next(),
            None => options.push(word),
        }
    }
    (options, parity)
}

/// The text of a job, on a machine that can send mail or cannot.
fn section(name: &str, answers: &Answers, has_mail: bool) -> String {
    let list = |words: &[String]| toml::Value::from(words.to_vec()).to_string();
    let given = |words: &[String]| (!words.is_empty()).then(|| list(words));
    let text = |word: &String| toml::Value::from(word.as_str()).to_string();
    let rules: Vec<String> =
        answers.keep.iter().map(|(kind, number)| format!("{kind} = {number}")).collect();
    let keep = Some(format!("{{ {} }}", rules.join(", ")));
    // A night that fails is loud, unless somebody says otherwise.
    let mail = answers.mail.as_ref().map(text).or(has_mail.then(|| "\"root\"".to_owned()));
    let dump = "{ \"var/backups/pg.sql\" = \"pg_dumpall\" }";
    let ping = "\"https://hc.example.org/uuid\"";
    // Key, value, an example of one that is not set, and what it says.
    let lines = [
        ("sources", Some(list(&answers.sources)), "", "folders and files that are packed"),
        ("to", Some(list(&answers.to)), "", "where the archives go, to all of them"),
        ("encrypt", given(&answers.encrypt), "[\"age1...\"]", "whose keys open the archives"),
        ("keep", keep, "", "the rest is removed after a good run"),
        ("schedule", answers.at.as_ref().map(text), "\"02:30\"", "for `hashget backup --enable`"),
        ("options", given(&answers.options), "[\"--level\", \"19\"]", "more of `hashget pack`"),
        ("parity", answers.parity.as_ref().map(text), "\"5%\"", "heals damage of this share"),
        ("exclude", None, "[\"/var/tmp\"]", "globs of what is left out"),
        ("profile", None, "[\"server\"]", "excludes caches that programs make again"),
        ("before", None, "[\"systemctl stop app\"]", "commands before packing"),
        ("streams", None, dump, "what commands give, as files of the archive"),
        ("mail", mail, "\"root\"", "whom a failure is mailed to"),
        ("ping", None, ping, "a service that is told of start and end"),
    ];
    let mut section = format!(
        "\n# See hashget-backup(1) and /usr/share/doc/hashget/backup.md.\n[backup.{name}]\n"
    );
    for (key, value, example, says) in lines {
        section.push_str(&match value {
            Some(value) => format!("{key:<10} = {value:<30} # {says}\n"),
            None => format!("#{key:<9} = {example:<30} # {says}\n"),
        });
    }
    section
}

/// Adds a section to the configuration, which stays valid.
fn add(section: &str, file: &Path) -> anyhow::Result<()> {
    let old = match fs_err::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let line = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    let text = format!("{old}{line}{section}");
    Config::check(&text, file)?;
    if let Some(folder) = file.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let mut pending = PendingFile::replacing(file, MODE)?;
    pending.write_all(text.as_bytes())?;
    pending.commit(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_mailed_to_root_where_there_is_mail_and_nobody_else_was_named() {
        let answers = |mail: Option<&str>| Answers {
            sources: vec!["/".into()],
            to: vec!["/srv/backup".into()],
            at: None,
            encrypt: Vec::new(),
            keep: Vec::new(),
            mail: mail.map(str::to_owned),
            options: Vec::new(),
            parity: None,
        };
        for (named, has_mail, expected) in [
            (None, true, "\nmail       = \"root\""),
            (None, false, "\n#mail "),
            (Some("ada"), true, "\nmail       = \"ada\""),
            (Some("ada"), false, "\nmail       = \"ada\""),
        ] {
            let text = section("web", &answers(named), has_mail);
            assert!(text.contains(expected), "{text}");
            Config::check(&text, Path::new("/etc/hashget/config.toml")).unwrap();
        }
    }
}
