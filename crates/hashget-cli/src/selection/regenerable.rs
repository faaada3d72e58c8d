//! What is said of files that profiles exclude.
//!
//! Invariant: what an archive says is shown as text, and never run.

use hashget::model::Amount;
use hashget::model::manifest::{ProfileItem, Regenerable};
use hashget::tree::Globs;
use hashget::wording::and_more;
use serde_json::{Value, json};

use crate::output::{Console, counted, safe, size};

/// Items of an archive that are used.
pub(crate) const MOST: usize = 1000;

/// Commands that a line names.
const NAMED: usize = 8;

/// How much profiles exclude, by their names, in the order of their items.
pub(crate) fn by_profile(regenerable: &[Regenerable]) -> Vec<(&str, Amount)> {
    let mut profiles: Vec<(&str, Amount)> = Vec::new();
    for one in regenerable {
        let name = one.item.profile.as_str();
        match profiles.iter_mut().find(|(known, _)| *known == name) {
            Some((_, amount)) => amount.add(one.files, one.bytes),
            None => profiles.push((name, one.amount())),
        }
    }
    profiles
}

/// The same as facts of a summary.
pub(crate) fn facts(regenerable: &[Regenerable]) -> Vec<[String; 2]> {
    let fact = |(name, amount): (&str, Amount)| {
        let (amount, name) = (amount_text(amount), safe(name));
        let what =
            format!("{amount} by the profile {name}; hashget info says what makes them again");
        ["Excluded".to_owned(), what]
    };
    by_profile(regenerable).into_iter().map(fact).collect()
}

pub(crate) fn amount_text(amount: Amount) -> String {
    format!("{}, {}", counted(amount.files, "file", "files"), size(amount.bytes))
}

/// The rows of a table, with its header; the reasons only for those who want to know all.
pub(crate) fn table(regenerable: &[Regenerable], with_reasons: bool) -> Vec<Vec<String>> {
    let shown = |mut row: Vec<String>| {
        row.truncate(if with_reasons { 5 } else { 4 });
        row
    };
    let header = ["FILES", "SIZE", "EXCLUDED", "MADE AGAIN BY", "REASON"].map(str::to_owned);
    let row = |one: &Regenerable| {
        let ProfileItem { pattern, reason, command, by_itself, .. } = &one.item;
        let itself = if *by_itself { " (by itself)" } else { "" };
        let (files, bytes) = (one.files.to_string(), size(one.bytes));
        vec![files, bytes, safe(pattern), format!("{}{itself}", safe(command)), safe(reason)]
    };
    let rows = regenerable.iter().take(MOST).map(row);
    std::iter::once(header.to_vec()).chain(rows).map(shown).collect()
}

/// How the columns of [`table`] are aligned.
pub(crate) fn alignment(with_reasons: bool) -> &'static str {
    if with_reasons { "rrlll" } else { "rrll" }
}

/// A record of each item.
pub(crate) fn records(console: &Console, regenerable: &[Regenerable]) -> anyhow::Result<()> {
    for one in regenerable.iter().take(MOST) {
        let ProfileItem { profile, pattern, reason, command, by_itself } = &one.item;
        let record = json!({
            "profile": profile,
            "pattern": pattern,
            "reason": reason,
            "command": command,
            "by_itself": by_itself,
            "files": one.files,
            "bytes": one.bytes,
        });
        console.record("regenerable", record)?;
    }
    Ok(())
}

/// The numbers of each profile, for programs.
pub(crate) fn profiles_record(regenerable: &[Regenerable]) -> Value {
    let record = |(profile, Amount { files, bytes }): (&str, Amount)| json!({ "profile": profile, "files": files, "bytes": bytes });
    Value::Array(by_profile(regenerable).into_iter().map(record).collect())
}

/// Why an item excludes a file, and what makes it again.
pub(crate) fn why(item: &ProfileItem) -> String {
    let itself = if item.by_itself {
        "the program makes it again by itself, as with"
    } else {
        "to make it again, run"
    };
    let (profile, reason, command) = (safe(&item.profile), safe(&item.reason), safe(&item.command));
    format!("the profile {profile} names it: {reason}; {itself} `{command}`")
}

/// What a restored folder lacks, and which commands make it again, in one line; `None` if there is nothing of the kind.
pub(crate) fn to_do(regenerable: &[Regenerable]) -> Option<String> {
    let all: Amount = regenerable.iter().map(Regenerable::amount).sum();
    let names: Vec<String> =
        by_profile(regenerable).iter().map(|(profile, _)| safe(profile)).collect();
    let mut commands: Vec<String> = Vec::new();
    for one in regenerable.iter().filter(|one| !one.item.by_itself) {
        let command = format!("`{}`", safe(&one.item.command));
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    let more = and_more(commands.len().saturating_sub(NAMED));
    commands.truncate(NAMED);
    let is_some_by_itself = regenerable.iter().any(|one| one.item.by_itself);
    let how = match (commands.is_empty(), is_some_by_itself) {
        (true, _) => "programs make it again by themselves".to_owned(),
        (false, true) => {
            format!("run {}{more}; programs make the rest again by themselves", commands.join(", "))
        }
        (false, false) => format!("to make it again, run {}{more}", commands.join(", ")),
    };
    let profiles = if names.len() == 1 { "profile" } else { "profiles" };
    (!regenerable.is_empty()).then(|| {
        let (amount, names) = (amount_text(all), names.join(", "));
        format!("Not in the backup, by the {profiles} {names}: {amount}; {how}")
    })
}

/// The patterns of what the profiles of an archive exclude; patterns that are none are passed over.
pub(crate) fn globs(regenerable: &[Regenerable]) -> Globs {
    let patterns = regenerable.iter().take(MOST).map(|one| &*one.item.pattern);
    // A pattern that is none keeps its place and matches nothing.
    let valid: Vec<&str> = patterns
        .map(|pattern| if Globs::new(&[pattern]).is_ok() { pattern } else { "./" })
        .collect();
    Globs::new(&valid).unwrap_or_default()
}
