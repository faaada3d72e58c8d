//! Command lines that the pages of the documentation show, parsed as the program parses them.
//!
//! Invariant: nothing is run. A line that could be typed must parse as a whole; of a synopsis (`hashget get WHAT -o DIR`),
//! its commands and options must exist.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Command, CommandFactory as _, Parser as _};

use super::Arguments;

/// What clap calls an error, and is an answer.
const FINE: &[ErrorKind] = &[ErrorKind::DisplayHelp, ErrorKind::DisplayVersion];

/// The first line of a file that a page shows, and an option of the Python tool.
const OTHERS: &[&str] = &["hashget statement v1", "hashget --hashserver http://HOST/"];

fn pages() -> Vec<(PathBuf, String)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/detectors"] {
        for entry in fs_err::read_dir(workspace.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            // What changed names commands as they were.
            if path.extension().is_some_and(|extension| extension == "md")
                && !path.ends_with("CHANGELOG.md")
            {
                found.push((path.clone(), fs_err::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// The command lines of a page's blocks, and the commands that its sentences quote.
fn shown(page: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut lines, mut quoted) = (Vec::new(), Vec::new());
    let mut is_fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            lines.extend(line.strip_prefix("$ ").or(line.strip_prefix("hashget ").map(|_| line)));
        } else if let Some(line) = line.strip_prefix("    ") {
            lines.push(line);
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            quoted.extend(spans.filter(|span| span.starts_with("hashget ")));
        }
    }
    (lines, quoted)
}

/// The calls of hashget in a line for the shell, as words; without redirections, comments, and what stands in columns
/// behind a command to explain it.
fn calls(line: &str) -> Vec<Vec<String>> {
    let (mut calls, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    let mut characters = line.trim_start().chars().peekable();
    let mut spaces = 0;
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(character),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ') => {
                words.extend(word.take());
                spaces += 1;
                if spaces > 2
                    && characters.peek().is_some_and(|next| ![' ', '-', '['].contains(next))
                {
                    break;
                }
                continue;
            }
            (None, '|' | ';' | '&' | '(' | ')') if is_between_commands(line, character) => {
                words.extend(word.take());
                calls.push(std::mem::take(&mut words));
            }
            (None, '<' | '>') => {
                words.extend(word.take());
                while characters.next_if(|next| *next == ' ').is_some() {}
                while characters.next_if(|next| *next != ' ').is_some() {}
            }
            (None, other) => word.get_or_insert_default().push(other),
        }
        spaces = 0;
    }
    words.extend(word);
    calls.push(words);
    let calls = calls.into_iter().map(|words| {
        words.into_iter().skip_while(|word| word == "sudo" || word.contains('=')).collect()
    });
    calls
        .filter(|words: &Vec<String>| words.first().is_some_and(|word| word == "hashget"))
        .collect()
}

/// In a synopsis, `A|B` is a choice; between commands, `|` stands alone.
fn is_between_commands(line: &str, character: char) -> bool {
    character != '|' || line.contains(" | ")
}

/// Is this a form to fill in, not a line to type?
fn is_synopsis(words: &[String]) -> bool {
    words.iter().skip(1).any(|word| {
        let letters: String = word.chars().filter(char::is_ascii_alphabetic).collect();
        let is_placeholder = letters.len() > 1
            && letters.chars().all(|letter| letter.is_ascii_uppercase())
            && !word.starts_with(['/', '.', '$']);
        is_placeholder
            || word.contains(['|', '[', ']', '…'])
            || word.contains("...")
            || word.ends_with("HEX")
    })
}

/// What a synopsis, or a quoted beginning of a command, names that does not exist.
fn unknown(words: &[String], root: &Command) -> Option<String> {
    let mut command = root;
    for word in words.iter().skip(1) {
        let word = word.trim_start_matches('[').trim_end_matches([']', '.', ',']);
        if let Some(option) = word.strip_prefix("--") {
            let option = option.split(['=', ']', '|', '[']).next().unwrap_or(option);
            let is_known = command.get_arguments().any(|known| {
                known.get_long() == Some(option)
                    || known.get_all_aliases().is_some_and(|names| names.contains(&option))
            });
            if !is_known && !option.is_empty() && !["help", "version"].contains(&option) {
                return Some(format!("{}: no option --{option}", command.get_name()));
            }
            continue;
        }
        let is_name =
            |name: &str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase());
        if !command.has_subcommands() || !word.split('|').all(is_name) {
            continue;
        }
        let all = word.split('|').map(|name| (name, command.find_subcommand(name)));
        let all: Vec<_> = all.filter(|(name, _)| *name != "help").collect();
        // `hashget backup JOB`: a command that takes names beside its own commands.
        let takes_names = command.get_positionals().next().is_some();
        if let Some((name, None)) = all.iter().find(|(_, found)| found.is_none() && !takes_names) {
            return Some(format!("{}: no command {name}", command.get_name()));
        }
        match all.as_slice() {
            [(_, Some(found))] => command = found,
            _ => break,
        }
    }
    None
}

/// Why a line would not be understood.
fn complaint(words: &[String], root: &Command) -> Option<String> {
    if is_synopsis(words) {
        return unknown(words, root);
    }
    let error = Arguments::try_parse_from(words).err()?;
    (!FINE.contains(&error.kind())).then(|| error.to_string())
}

#[test]
fn every_command_of_every_page_is_one_of_the_program() {
    let mut root = Arguments::command();
    root.build();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (path, text) in pages() {
        let (lines, quoted) = shown(&text);
        let lines = lines.iter().flat_map(|line| calls(line));
        let complaints = lines.map(|words| (complaint(&words, &root), words)).chain(
            quoted.iter().flat_map(|line| calls(line)).map(|words| (unknown(&words, &root), words)),
        );
        for (complaint, words) in complaints {
            count += 1;
            if OTHERS.contains(&words.join(" ").as_str()) {
                continue;
            }
            if let Some(complaint) = complaint {
                wrong.push(format!("{}: {}\n{complaint}", path.display(), words.join(" ")));
            }
        }
    }
    assert!(count > 200, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn commands_are_found_in_lines_for_the_shell() {
    let found = |line: &str| calls(line).iter().map(|words| words.join(" ")).collect::<Vec<_>>();
    assert_eq!(
        found("hashget list a.tar.zst './etc x'   # all"),
        ["hashget list a.tar.zst ./etc x"]
    );
    assert_eq!(
        found("sudo hashget cat a b | less; hashget db status >x"),
        ["hashget cat a b", "hashget db status"]
    );
    assert_eq!(found("hashget db list|show   what it does"), ["hashget db list|show"]);
    assert!(found("tar xf hashget.tar").is_empty());
}

#[test]
fn what_does_not_exist_is_found() {
    let mut root = Arguments::command();
    root.build();
    let complains = |line: &str| calls(line).iter().all(|words| complaint(words, &root).is_some());
    for line in [
        "hashget pakc /srv -f a.tar.zst",
        "hashget pack /srv -f a.tar.zst --fast",
        "hashget pack DIR --fast",
        "hashget pool add|take",
        "hashget db shows --package SPEC",
    ] {
        assert!(complains(line), "{line}");
    }
}
