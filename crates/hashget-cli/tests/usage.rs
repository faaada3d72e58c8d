//! Command lines and configurations that cannot be meant: exit code 2, and a message that says what was
//! expected.

mod support;

use support::{Ended, Machine};

#[test]
fn wrong_command_lines_are_told_apart_from_failures() {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("tree")).unwrap();
    machine.write("file", "x");
    for (words, expected) in [
        ("", "Usage: hashget"),
        ("frobnicate", "frobnicate"),
        ("pack tree", "--file"),
        ("pack tree -f a.zip", ".tar.zst"),
        ("pack tree -f a.tar.gz --level 99", "from 0 to 9"),
        ("pack tree -f tree", "tree"),
        ("pack tree ../file -f a.tar", "\"..\" in it"),
        ("pack tree -f -", "--format"),
        ("pack tree -f - --format tar --json", "standard output"),
        ("pack tree -n --detect nonsense", "nonsense"),
        ("pack tree -n --expires 2027-02-30", "YYYY-MM-DD"),
        ("pack tree -n --evidence hearsay", "downloaded"),
        ("pack tree -n --min-size many", "64K"),
        ("pack tree -n --manifest-version 3", "3"),
        ("unpack a.tar", "--directory"),
        ("unpack tree -C out", "hashget restore"),
        ("restore file", "hashget unpack"),
        ("index", "--tree"),
        ("index ./package.deb", "--file"),
        ("index ftp://example.org/a", "http://"),
        ("index https://user:secret@example.org/a", "public URL"),
        ("index --tree tree https://example.org/a", "--tree"),
        ("index --tree file", "file is not a folder"),
        ("index --file file https://example.org/a https://example.org/b", "one URL"),
        ("index --signature nonsense https://example.org/a", "TYPE:VALUE"),
        ("get nonsense -o tree", "sha256:HEX"),
        ("get sha256:12 -o tree", "64 hex digits"),
        ("get deb:vim -o file", "file is not a folder"),
        ("db remove", "--package"),
        ("db show", "--package"),
        ("db list --package sig:vim", "TYPE:VALUE"),
        ("db list --jobs 0", "1 to 1024"),
        ("db list --pool ftp://bucket/", "not supported"),
        ("db list -q -v", "cannot be used"),
    ] {
        let words: Vec<&str> = words.split_whitespace().collect();
        let ended = machine.hashget(&words).expect(2).says(&[expected]);
        assert_eq!(ended.stdout.is_empty(), !words.contains(&"--json"), "{words:?}");
    }
}

#[test]
fn secrets_of_a_refused_url_are_not_repeated_in_a_summary() {
    let machine = Machine::new();
    let words = ["index", "--json", "https://user:secret@example.org/a"];
    let record = machine.hashget(&words).expect(2).last_record();
    assert_eq!((&record["type"], &record["exit_code"]), (&"error".into(), &2.into()));
}

#[test]
fn things_that_are_not_there_are_failures_with_a_hint() {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("tree")).unwrap();
    for (words, expected) in [
        ("pack nowhere -f a.tar", "nowhere"),
        ("unpack nowhere.tar -C out", "nowhere.tar"),
        ("restore nowhere", "nowhere"),
        ("restore tree", "no .hashget-restore.json"),
        ("get deb:vim_9.0_amd64 -o nowhere", "nowhere"),
        ("index --tree nowhere", "nowhere"),
    ] {
        let words: Vec<&str> = words.split_whitespace().collect();
        machine.hashget(&words).expect(1).says(&["error:", expected, "hint:"]);
    }
    assert!(!machine.path("a.tar").exists());
}

#[test]
fn a_wrong_configuration_is_named_by_file_line_and_key() {
    let machine = Machine::new();
    let file = machine.write("config.toml", "exclude = [\"/proc\"]\npols = [\"/srv\"]\n");
    let file = file.to_str().unwrap();
    let ended = machine.hashget(&["db", "status", "--config", file]).expect(2);
    let ended = ended.says(&["config.toml, line 2", "pols", "pool"]);
    assert_eq!(ended.stdout, "");
    machine
        .hashget(&["db", "status", "--config", "nowhere.toml"])
        .expect(2)
        .says(&["nowhere.toml"]);
}

#[test]
fn a_pool_that_is_not_there_is_named() {
    let machine = Machine::new();
    let url = "http://127.0.0.1:9/a";
    let ended = machine.hashget(&["index", "--offline", "--pool", "nowhere", url]);
    ended.expect(2).says(&["pool nowhere"]);
}

#[test]
fn a_program_is_told_of_usage_errors_too() {
    let machine = Machine::new();
    let ended = machine.hashget(&["--json", "pack", "tree", "-n", "--expires", "soon"]).expect(2);
    let record = ended.last_record();
    assert_eq!(record["type"], "error");
    assert!(record["message"].as_str().unwrap().contains("soon"), "{record}");
    // After `--`, words are names.
    let ended = machine.hashget(&["index", "--", "--json"]).expect(2);
    assert_eq!(ended.stdout, "");
}

#[test]
fn without_a_home_the_missing_place_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    // As root there always is a place, and it is the machine's own: nobody is who has none.
    const NOBODY: u32 = 65_534;
    let machine = Machine::new();
    let program = machine.path("hashget");
    hashget_testkit::programs::copy(env!("CARGO_BIN_EXE_hashget").as_ref(), &program);
    let open = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(machine.path(""), open).unwrap();
    let mut command = std::process::Command::new(&program);
    // If it were not set at all, that of the system's list of users would count.
    command.env_clear().env("HOME", "").current_dir("/").args(["db", "status"]);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ended::of(&mut assert_cmd::Command::from_std(command)).expect(2).says(&["--db"]);
}

#[test]
fn a_password_on_the_command_line_is_not_repeated() {
    let machine = Machine::new();
    let url = "http://user:secret@host.example:99999/a.tar";
    let other = "htp://user:sec/ret@host.example/a.tar";
    for arguments in [
        &["index", url][..],
        &["index", other],
        &["--pool", url, "pool", "list"],
        &["--pool", other, "pack", "."],
        &["pack", "tree", "-f", "a.tar", "--evidence", url],
        &["pack", "tree", "-f", "a.tar", "--detect", url],
        &["db", "show", "--package", url],
        &["db", "import", url],
        &["verify", url],
        &["unpack", url, "-C", "back"],
        &["get", "-o", ".", url],
        &[url],
    ] {
        for json in [&[][..], &["--json"]] {
            let ended = machine.hashget(&[json, arguments].concat());
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert!(ended.code != 0 && !said.is_empty(), "{arguments:?}");
            assert!(!said.contains("secret") && !said.contains("sec/ret"), "{arguments:?}: {said}");
        }
    }
}
