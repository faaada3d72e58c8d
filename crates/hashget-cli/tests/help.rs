//! What `--help` says of each command: reviewed as snapshots, because people and scripts rely on it.

use std::collections::BTreeSet;
use std::path::Path;

mod support;

use support::{Ended, Machine, files_below};

/// Every command.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["pack"],
    &["unpack"],
    &["restore"],
    &["backup"],
    &["backup", "list"],
    &["backup", "restore"],
    &["backup", "mount"],
    &["backup", "prune"],
    &["backup", "check"],
    &["backup", "status"],
    &["backup", "rescue"],
    &["doctor"],
    &["prepare"],
    &["index"],
    &["get"],
    &["list"],
    &["cat"],
    &["diff"],
    &["find"],
    &["mount"],
    &["info"],
    &["explain"],
    &["report"],
    &["sbom"],
    &["changed"],
    &["verify"],
    &["missing"],
    &["audit"],
    &["heal"],
    &["repair"],
    &["cache"],
    &["cache", "status"],
    &["cache", "clean"],
    &["pool"],
    &["pool", "add"],
    &["pool", "list"],
    &["pool", "verify"],
    &["pool", "remove"],
    &["db"],
    &["db", "status"],
    &["db", "list"],
    &["db", "show"],
    &["db", "remove"],
    &["db", "set"],
    &["db", "verify"],
    &["db", "export"],
    &["db", "import"],
    &["publish", "facts"],
    &["publish", "finish"],
    &["completions"],
    &["man"],
    &["publish"],
    &["publish", "keygen"],
    &["publish", "verify"],
    &["publish", "merge"],
    &["publish", "diff"],
    &["statement"],
    &["statement", "show"],
    &["statement", "check"],
];

fn help(words: &[&str]) -> String {
    let machine = Machine::new();
    let mut command = machine.bare();
    let ended = Ended::of(command.args(words).arg("--help")).expect(0);
    assert_eq!(ended.stderr, "");
    ended.stdout
}

#[test]
fn help_of_every_command() {
    for words in COMMANDS {
        let whole = help(words);
        // The global options are the same everywhere: once is enough.
        let text = match whole.split_once("\nGlobal options:\n") {
            Some((own, global)) if !words.is_empty() => {
                let example = global.split("\n\n").nth(1).unwrap_or("");
                format!("{own}\n(global options)\n{example}")
            }
            _ => whole,
        };
        let name: Vec<&str> = [&["hashget"], *words].concat();
        insta::assert_snapshot!(name.join("-"), text);
    }
}

#[test]
fn help_is_a_command_too() {
    let machine = Machine::new();
    for words in [&["help"][..], &["help", "pack"], &["help", "db", "list"]] {
        let ended = machine.hashget(words).expect(0);
        assert_eq!(ended.stdout, help(&words[1..]), "{words:?}");
    }
    machine.hashget(&["help", "nonsense"]).expect(2).says(&["nonsense"]);
    assert!(!machine.path("home").exists() && !machine.path("db").exists());
}

#[test]
fn the_version_is_the_packages() {
    let ended = Machine::new().hashget(&["--version"]).expect(0);
    assert_eq!(ended.stdout, format!("hashget {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_know_the_commands() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = machine.hashget(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("unpack") && script.contains("exclude-caches"), "{shell}");
    }
    assert!(!machine.path("home").exists() && !machine.path("db").exists());
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let machine = Machine::new();
    machine.hashget(&["man", "man1"]).expect(0);
    let pages = files_below(&machine.path("man1"));
    for page in ["hashget.1", "hashget-pack.1", "hashget-unpack.1", "hashget-db-remove.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} is not among {pages:?}");
    }
    let page = fs_err::read_to_string(machine.path("man1/hashget-pack.1")).unwrap();
    assert!(page.contains("one\\-file\\-system"));
}

/// The long options that a text names.
fn long_options(text: &str) -> BTreeSet<String> {
    let is_name = |character: &char| character.is_ascii_lowercase() || *character == '-';
    text.split("--")
        .skip(1)
        .map(|rest| rest.chars().take_while(is_name).collect::<String>())
        .filter(|name| name.len() > 1 && !name.starts_with('-'))
        .collect()
}

#[test]
fn the_page_names_every_option_and_no_other() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = long_options(&fs_err::read_to_string(page).unwrap());
    let mut known = BTreeSet::new();
    for words in COMMANDS {
        known.extend(long_options(&help(words)));
    }
    let unnamed: Vec<_> = known.difference(&page).filter(|name| *name != "version").collect();
    assert!(unnamed.is_empty(), "docs/cli.md does not name {unnamed:?}");
    let unknown: Vec<_> = page.difference(&known).collect();
    assert!(unknown.is_empty(), "docs/cli.md names {unknown:?}");
}
