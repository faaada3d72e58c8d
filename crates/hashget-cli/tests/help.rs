//! What `--help` says of each command: reviewed as snapshots, because people and scripts rely on it.

mod support;

use support::{Ended, Machine, files_below};

fn help(words: &[&str]) -> String {
    let machine = Machine::new();
    let mut command = machine.bare();
    let ended = Ended::of(command.args(words).arg("--help")).expect(0);
    assert_eq!(ended.stderr, "");
    ended.stdout
}

#[test]
fn help_of_every_command() {
    for words in [
        &[][..],
        &["pack"],
        &["unpack"],
        &["restore"],
        &["index"],
        &["get"],
        &["db"],
        &["db", "status"],
        &["db", "list"],
        &["db", "show"],
        &["db", "remove"],
        &["completions"],
        &["man"],
    ] {
        let whole = help(words);
        // The global options are the same everywhere: once is enough.
        let text = match whole.split_once("\nGlobal options:\n") {
            Some((own, global)) if !words.is_empty() => {
                let example = global.split("\n\n").nth(1).unwrap_or("");
                format!("{own}\n(global options)\n{example}")
            }
            _ => whole,
        };
        insta::assert_snapshot!(["hashget", &words.join("-")].join("-"), text);
    }
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
