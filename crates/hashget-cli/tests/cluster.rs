//! What a cluster does with the program: facts of packages by `publish facts`, and what was gathered by `publish finish`.
//!
//! Invariant: the tables are those of one machine that indexed the same packages, byte for byte; what is wrong with what was
//! gathered names the file, and nothing is signed.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::collections::BTreeSet;

use hashget::model::Digest;
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use serde_json::Value;
use support::{Ended, Machine, files_below};

/// Packages served by `origin`, so many; every second one has the same file twice.
fn serve(origin: &Origin, packages: usize) -> Vec<String> {
    let serve = |number: usize| {
        let path = format!("/p{number}.tar");
        let own = format!("file of package {number}");
        let package = TarBuilder::new().file("own", own.as_bytes()).file("licence", b"free");
        let again = if number.is_multiple_of(2) { "copy" } else { "other" };
        let content = if number.is_multiple_of(2) { own } else { format!("other of {number}") };
        origin.serve(&path, package.file(again, content.as_bytes()).finish());
        format!("{}\ttest:p{number}_1.0", origin.url(&path))
    };
    (0..packages).map(serve).collect()
}

fn facts_of(machine: &Machine, lines: &[String]) -> (Ended, Vec<Value>) {
    let mut command = machine.bare();
    command.envs(machine.variables()).args(["publish", "facts", "--jobs", "2"]);
    let ended = Ended::of(command.write_stdin(lines.join("\n"))).expect(0);
    let facts = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (ended, facts)
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

/// Gathers facts as a cluster does: `gathered/packages` and `gathered/keys`, each in two files.
fn gather(machine: &Machine, facts: &[Value]) {
    let mut facts = facts.to_vec();
    facts.sort_by_key(|fact| (fact["names"][0].to_string(), text(fact, "sha256").to_owned()));
    let mut keys = BTreeSet::new();
    for (number, fact) in facts.iter().enumerate() {
        let urls = fact["urls"].as_array().unwrap().iter();
        let urls = urls.map(|url| Digest::of(format!("url:{}", url.as_str().unwrap()).as_bytes()));
        let files = fact["files"].as_array().unwrap().iter().map(|file| text(file, "sha256"));
        let digests = urls.map(|digest| digest.to_string()).chain(files.map(str::to_owned));
        let own = ["sha256", "statement"].map(|field| text(fact, field).to_owned());
        keys.extend(digests.chain(own).map(|digest| (digest[..12].to_owned(), number)));
    }
    let keys: Vec<String> = keys.iter().map(|(key, number)| format!("{key} {number}")).collect();
    for fact in &mut facts {
        let fact = fact.as_object_mut().unwrap();
        fact.remove("files");
        fact.remove("statement");
    }
    let packages: Vec<String> = facts.iter().map(Value::to_string).collect();
    for (name, lines) in [("packages", packages), ("keys", keys)] {
        let (first, second) = lines.split_at(lines.len() / 2);
        for (part, lines) in [("part=0/part-1.txt", first), ("part=1/part-0.txt", second)] {
            machine.write(&format!("gathered/{name}/{part}"), lines.join("\n") + "\n");
        }
        machine.write(&format!("gathered/{name}/part=1/.part-0.txt.crc"), "of Spark");
        machine.write(&format!("gathered/{name}/_SUCCESS"), "");
    }
}

/// A machine with a key for publishing.
fn publisher() -> Machine {
    let machine = Machine::new();
    let keygen = ["publish", "keygen", "--key", "secret", "--name", "publisher.example/log"];
    machine.hashget(&keygen).expect(0);
    machine
}

const FINISH: &[&str] = &["publish", "finish", "gathered", "-o", "two", "--key", "secret"];

fn layers(machine: &Machine, folder: &str) -> Value {
    let manifests = files_below(&machine.path(folder).join("manifests"));
    let [manifest] = &manifests[..] else { panic!("{manifests:?}") };
    let bytes = fs_err::read(machine.path(folder).join("manifests").join(manifest)).unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap()["layers"].take()
}

#[test]
fn a_cluster_publishes_the_tables_of_one_machine() {
    let origin = Origin::start();
    let lines = serve(&origin, 40);
    let machine = publisher();
    for line in lines.iter().rev() {
        let (url, name) = line.split_once('\t').unwrap();
        machine.hashget(&["index", "--signature", name, url]).expect(0);
    }
    machine.hashget(&["publish", "-o", "one", "--key", "secret"]).expect(0);
    let (ended, facts) = facts_of(&machine, &lines);
    ended.says(&["Facts of 40 packages, 0 failed"]);
    gather(&machine, &facts);
    machine.hashget(FINISH).expect(0).says(&["Edition 1", "40 packages, 40 written"]);
    assert_eq!(layers(&machine, "one"), layers(&machine, "two"));
    // The same again is no new edition.
    machine.hashget(FINISH).expect(0).says(&["signed again"]);
}

#[test]
fn a_package_that_cannot_be_read_is_a_line_that_says_so() {
    let origin = Origin::start();
    let mut lines = serve(&origin, 2);
    let whole = TarBuilder::new().file("a", &[b'a'; 2000]).finish();
    origin.serve("/damaged.tar", &whole[..1000]);
    let url = |path: &str| origin.url(path);
    let wrong = "0".repeat(64);
    let bad = [
        (url("/nowhere.tar"), "does not have"),
        (url("/damaged.tar"), "cannot be indexed"),
        ("ftp://a.example/b".to_owned(), "begins with http"),
        ("http://me:secret@a.example/b".to_owned(), "user name or password"),
        (format!("{}\tno name", url("/p0.tar")), "KIND:VALUE"),
        (format!("{}\t\tabc", url("/p0.tar")), "64 hex digits"),
        (format!("{}\t\t{wrong}", url("/p0.tar")), "expected"),
        (format!("{}\ta:b\t{wrong}\tmore", url("/p0.tar")), "with a tab between them"),
    ];
    lines.extend(bad.iter().map(|(line, _)| line.clone()));
    lines.push(String::new());
    let (ended, facts) = facts_of(&Machine::new(), &lines);
    ended.says(&["Facts of 2 packages, 8 failed"]);
    assert_eq!(facts.len(), 10);
    let failed: Vec<&Value> = facts.iter().filter(|fact| fact.get("error").is_some()).collect();
    for (line, part) in bad {
        let url = line.split('\t').next().unwrap();
        let told = |fact: &&&Value| {
            text(fact, "url") == url.replace("me:secret@", "")
                && fact["error"].as_str().unwrap().contains(part)
        };
        assert!(failed.iter().any(|fact| told(&fact)), "{line}: {failed:?}");
    }
    let read: Vec<&Value> = facts.iter().filter(|fact| fact.get("error").is_none()).collect();
    let names: BTreeSet<&str> =
        read.iter().map(|fact| fact["names"][0].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["test:p0_1.0", "test:p1_1.0"]));
    assert_eq!(read[0]["files"].as_array().unwrap().len(), 3);
    let machine = Machine::new();
    machine.hashget(&["publish", "facts", "--json"]).expect(2).says(&["leave --json out"]);
}

const PACKAGES: &str = "gathered/packages/part=1/part-0.txt";
const KEYS: &str = "gathered/keys/part=0/part-1.txt";

/// The first line of a text.
fn first(text: &str) -> String {
    text.lines().next().unwrap().to_owned() + "\n"
}

/// The text with its first line twice.
fn first_twice(text: &str) -> String {
    first(text) + text
}

/// The text with its first lines in the wrong order.
fn swapped(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(0, 1);
    lines.join("\n") + "\n"
}

/// What is done to the text of a file.
type Damage<'d> = &'d dyn Fn(&str) -> String;

/// Publishing what was gathered says what is wrong if a file is damaged so, signs nothing, and works once the file is right again.
fn is_told(facts: &[Value], file: &str, damage: Damage<'_>, told: &[&str]) {
    let machine = publisher();
    gather(&machine, facts);
    let good = fs_err::read_to_string(machine.path(file)).unwrap();
    let bad = damage(&good);
    assert_ne!(good, bad, "{told:?}");
    machine.write(file, bad);
    machine.hashget(FINISH).expect(4).says(told);
    assert!(!machine.path("two/checkpoint").exists(), "{told:?}");
    machine.write(file, good);
    machine.hashget(FINISH).expect(0);
}

#[test]
fn what_is_wrong_with_gathered_packages_names_the_file() {
    let origin = Origin::start();
    let (_, facts) = facts_of(&Machine::new(), &serve(&origin, 4));
    let replaced = |from: &'static str, to: &'static str| move |text: &str| text.replace(from, to);
    let cases: [(Damage<'_>, &str); 9] = [
        (&replaced("}", ""), "it is no package"),
        (&|text| text.trim_end().to_owned(), "the file ends within it"),
        (&replaced("\"rules\":1", "\"rules\":9"), "version 9"),
        (&replaced("http://", "file://"), "no public one"),
        (&replaced("list\":\"A", "list\":\"!"), "no base64"),
        (&replaced("\"members\":3", "\"members\":4"), "not the one"),
        (&replaced("list\":\"AS", "list\":\"AT"), "does not decompress"),
        (&swapped, "not in order"),
        (&first_twice, "there twice"),
    ];
    for (damage, problem) in cases {
        is_told(&facts, PACKAGES, damage, &["packages/part=1/part-0.txt: line ", problem]);
    }
    // Another name puts the same package at another place.
    let renamed = |text: &str| text.to_owned() + &first(text).replace("test:", "zz:");
    is_told(&facts, PACKAGES, &renamed, &["packages: ", "there twice, with different names"]);
}

#[test]
fn what_is_wrong_with_gathered_keys_names_the_file() {
    let origin = Origin::start();
    let (_, facts) = facts_of(&Machine::new(), &serve(&origin, 4));
    let cases: [(Damage<'_>, &str); 5] = [
        (&swapped, "not in order"),
        (&first_twice, "not in order, or there twice"),
        (&|text| text.replacen(" 0", " 4", 1), "no package 4"),
        (&|text| text.replacen(' ', "x ", 1), "12 hexadecimal digits"),
        (&|text| text.to_owned() + &"0".repeat(99), "longer than 64 bytes"),
    ];
    for (damage, problem) in cases {
        is_told(&facts, KEYS, damage, &["keys/part=0/part-1.txt: line ", problem]);
    }
    let without_first = |text: &str| text.replacen(&first(text), "", 1);
    is_told(&facts, KEYS, &without_first, &["gathered/keys: ", "not those of the packages"]);
}

#[test]
fn what_is_not_complete_or_empty_is_not_published() {
    let origin = Origin::start();
    let (_, facts) = facts_of(&Machine::new(), &serve(&origin, 2));
    let machine = publisher();
    gather(&machine, &facts);
    fs_err::remove_file(machine.path("gathered/keys/_SUCCESS")).unwrap();
    machine.hashget(FINISH).expect(4).says(&["gathered/keys", "no _SUCCESS"]);
    for file in ["part=0/part-1.txt", "part=1/part-0.txt"] {
        machine.write(&format!("gathered/packages/{file}"), "");
    }
    machine.hashget(FINISH).expect(1).says(&["gathered no package"]);
}
