//! Shared knowledge: one machine publishes what it knows, another one packs with it.
//!
//! Invariant: what a publisher cannot prove, or says wrongly, is told, and nothing of it is relied on.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::{Path, PathBuf};

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Ended, Machine};

fn text() -> Vec<u8> {
    b"of a package\n".repeat(10_000)
}

const ALL: u64 = 130_000;

/// A machine that knows a package of `origin`, and publishes it below `/published/` there.
struct Publisher {
    machine: Machine,
    key: String,
}

impl Publisher {
    fn new(origin: &Origin) -> Self {
        Self::named(origin, "publisher.example/log")
    }

    fn named(origin: &Origin, name: &str) -> Self {
        origin.serve("/a.tar", TarBuilder::new().file("a", &text()).finish());
        let publisher = Self::without_packages(name);
        publisher.machine.hashget(&["index", &origin.url("/a.tar")]).expect(0);
        publisher
    }

    fn without_packages(name: &str) -> Self {
        let machine = Machine::new();
        let made =
            machine.hashget(&["publish", "keygen", "--key", "secret", "--name", name]).expect(0);
        let key = made.stdout.trim().to_owned();
        assert!(key.starts_with(&format!("{name}+")), "{key}");
        Self { machine, key }
    }

    fn publish(&self) -> Ended {
        self.machine.hashget(&["publish", "-o", "published", "--key", "secret"]).expect(0)
    }

    /// Publishes, and serves it below this path.
    fn serve(&self, origin: &Origin, path: &str) {
        self.publish();
        let folder = self.machine.path("published");
        for file in files(&folder) {
            let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
            origin.serve(&format!("{path}{name}"), fs_err::read(&file).unwrap());
        }
    }

    /// What readers write into their configuration.
    fn entry(&self, url: &str) -> String {
        format!("[[publisher]]\nurl = \"{url}\"\nkey = \"{}\"\n", self.key)
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// A machine that has the file of the package, and never saw the package.
fn reader(configuration: &str) -> Machine {
    let machine = Machine::new();
    machine.write("tree/a", text());
    machine.write("own-config.toml", configuration);
    machine
}

fn pack(machine: &Machine, options: &[&str]) -> Ended {
    let pack = ["pack", "tree", "-f", "a.tar", "--json"];
    machine.hashget(&[&pack[..], options].concat())
}

fn left_out(ended: &Ended) -> u64 {
    ended.last_record()["left_out_bytes"].as_u64().unwrap()
}

fn asked(ended: &Ended) -> Vec<serde_json::Value> {
    ended.records().into_iter().filter(|record| record["type"] == "publisher").collect()
}

#[test]
fn a_fresh_machine_packs_without_a_package() {
    let origin = Origin::start();
    let publisher = Publisher::new(&origin);
    publisher.serve(&origin, "/published/");
    let machine = reader(&publisher.entry(&origin.url("/published/")));
    let fetched = origin.requests_of("/a.tar").len();
    let ended = pack(&machine, &["--ask-hashes", "all"]).expect(0);
    assert_eq!(left_out(&ended), ALL);
    assert_eq!(origin.requests_of("/a.tar").len(), fetched);
    let [record] = &asked(&ended)[..] else { panic!("{}", ended.stdout) };
    assert_eq!((&record["packages"], &record["digests"]), (&1.into(), &1.into()));
    assert!(record["learned"].to_string().contains("digests of 1 file"), "{record}");
    // It is known from now on, and on whose word.
    let shown = machine.hashget(&["db", "show", "--package", "all"]).expect(0);
    shown.prints(&["signed", "publisher.example/log"]);
    let status = machine.hashget(&["db", "status"]).expect(0);
    status.prints(&["Publisher", "edition 1"]);
    let before = origin.requests().len();
    assert_eq!(left_out(&pack(&machine, &["--ask-hashes", "all"]).expect(0)), ALL);
    // Nothing is asked, but for the spot check: the package itself, which is what was said.
    let [fetch] = &origin.requests()[before..] else { panic!("{:?}", origin.requests()) };
    assert_eq!(fetch.path, "/a.tar");
    machine.hashget(&["db", "show", "--package", "all"]).expect(0).prints(&["downloaded"]);
    machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
    assert_eq!(fs_err::read(machine.path("back/a")).unwrap(), text());
}

#[test]
fn what_is_asked_is_what_the_user_allows() {
    let origin = Origin::start();
    let publisher = Publisher::new(&origin);
    publisher.serve(&origin, "/published/");
    let entry = publisher.entry(&origin.url("/published/"));
    for (configuration, options, expected) in [
        // Not a folder of the system, nor of packages.
        (entry.clone(), &[][..], 0),
        (entry.clone(), &["--ask-hashes", "none"], 0),
        (entry.clone(), &["--private", "--ask-hashes", "all"], 0),
        (entry.clone(), &["--offline", "--ask-hashes", "all"], 0),
        (entry.clone(), &["--ask-hashes", "all"], ALL),
        (format!("{entry}hashes = \"all\"\n"), &[], ALL),
        (format!("{entry}hashes = \"none\"\n"), &[], 0),
        (entry.clone(), &["--ask-hashes", "all", "--evidence", "downloaded"], 0),
    ] {
        let machine = reader(&configuration);
        let before = origin.requests().len();
        let ended = pack(&machine, options).expect(0);
        assert_eq!(left_out(&ended), expected, "{configuration} {options:?}");
        let told = !asked(&ended).is_empty();
        assert_eq!(told, origin.requests().len() > before, "{configuration} {options:?}");
    }
}

#[test]
fn a_publisher_that_cannot_be_used_costs_nothing_but_deduplication() {
    let origin = Origin::start();
    let publisher = Publisher::new(&origin);
    publisher.serve(&origin, "/published/");
    let good = publisher.entry(&origin.url("/published/"));
    let other = Publisher::without_packages("publisher.example/log");
    let wrong_key = good.replace(&publisher.key, &other.key);
    let cases = [
        (publisher.entry(&origin.url("/nowhere/")), "does not have"),
        (wrong_key, "none of the keys"),
        (publisher.entry("http://127.0.0.1:1/"), "not asked in this run"),
    ];
    for (configuration, told) in cases {
        let machine = reader(&configuration);
        let ended = pack(&machine, &["--ask-hashes", "all"]).expect(5);
        let ended = ended.prints(&["this publisher is not asked in this run", told]);
        assert_eq!(left_out(&ended), 0);
        machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
        assert_eq!(fs_err::read(machine.path("back/a")).unwrap(), text());
    }
    // The next one is asked.
    let elsewhere = Publisher::without_packages("other.example/log");
    let machine = reader(&format!("{}{good}", elsewhere.entry(&origin.url("/nowhere/"))));
    assert_eq!(left_out(&pack(&machine, &["--ask-hashes", "all"]).expect(5)), ALL);
}

#[test]
fn whatever_is_wrong_with_a_file_is_told() {
    let origin = Origin::start();
    let publisher = Publisher::new(&origin);
    publisher.serve(&origin, "/published/");
    let folder = publisher.machine.path("published");
    let configuration = publisher.entry(&origin.url("/published/"));
    for file in files(&folder) {
        let name = file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        if name.starts_with("tile/0") || name == ".lock" {
            continue;
        }
        let path = format!("/published/{name}");
        for fault in [Fault::Corrupt(10), Fault::Status(404), Fault::NoRange] {
            origin.always(&path, fault);
            let machine = reader(&configuration);
            let ended = pack(&machine, &["--ask-hashes", "all"]);
            assert!(ended.code == 0 || ended.code == 5, "{name}: {}", ended.stderr);
            assert!(ended.code == 5 || left_out(&ended) == ALL, "{name}");
            machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
            assert_eq!(fs_err::read(machine.path("back/a")).unwrap(), text(), "{name}");
            origin.heal(&path);
        }
    }
}

fn another() -> Vec<u8> {
    b"another".repeat(10_000)
}

/// A publisher whose HashDB says what is not so: the package has another file.
fn liar(origin: &Origin) -> Publisher {
    let publisher = Publisher::named(origin, "liar.example/log");
    publisher.machine.hashget(&["db", "export", "-o", "true.jsonl"]).expect(0);
    let known = fs_err::read_to_string(publisher.machine.path("true.jsonl")).unwrap();
    let (right, false_text) = (sha256(&text()), sha256(&another()));
    let lie = known.replace(&right, &false_text).replace("130000", "70000");
    assert_ne!(lie, known);
    publisher.machine.write("false.jsonl", lie);
    publisher.machine.hashget(&["db", "remove", "--package", "all"]).expect(0);
    publisher.machine.hashget(&["db", "import", "--trust", "false.jsonl"]).expect(0);
    publisher
}

fn sha256(bytes: &[u8]) -> String {
    hashget::model::Digest::of(bytes).to_string()
}

#[test]
fn a_lie_is_found_told_with_its_proof_and_never_believed_again() {
    let origin = Origin::start();
    let publisher = liar(&origin);
    publisher.serve(&origin, "/published/");
    let machine = reader(&publisher.entry(&origin.url("/published/")));
    machine.write("tree/a", another());
    let ended = pack(&machine, &["--ask-hashes", "all"]).expect(0);
    assert_eq!(left_out(&ended), 70_000, "it is believed as long as nobody looks");
    let ended = pack(&machine, &["--ask-hashes", "all"]).expect(5);
    let ended =
        ended.prints(&["is not what is in the package", "Nothing of this publisher is relied on"]);
    assert_eq!(left_out(&ended), 0);
    // The proof can be checked by everybody.
    let proof = files(&machine.path("db/publishers"));
    let proof = proof.iter().find(|file| file.extension().is_some_and(|it| it == "statement"));
    let proof = proof.unwrap().to_str().unwrap();
    let url = origin.url("/a.tar");
    let checked = Machine::new().hashget(&["statement", "check", proof, &url]).expect(4);
    checked.says(&["the statement is wrong"]);
    // And nothing of it is asked any more.
    let before = origin.requests().len();
    pack(&machine, &["--ask-hashes", "all"]).expect(5).prints(&["has said what is not so"]);
    assert_eq!(origin.requests().len(), before);
    machine.hashget(&["db", "status"]).expect(0).prints(&["not relied on"]);
}

#[test]
fn two_publishers_must_agree_if_the_user_wants_that() {
    let origin = Origin::start();
    let (one, other) = (Publisher::new(&origin), liar(&origin));
    one.serve(&origin, "/one/");
    other.serve(&origin, "/other/");
    let second = Publisher::named(&origin, "second.example/log");
    second.serve(&origin, "/second/");
    let [one, other, second] = [(&one, "/one/"), (&other, "/other/"), (&second, "/second/")]
        .map(|(publisher, path)| publisher.entry(&origin.url(path)));
    for (configuration, expected) in [
        (format!("{one}{other}"), 0),
        (format!("{one}{second}"), ALL),
        (format!("{one}{other}{second}"), ALL),
    ] {
        let machine = reader(&format!("publishers_agree = 2\n{configuration}"));
        let ended = pack(&machine, &["--ask-hashes", "all"]).expect(0);
        assert_eq!(left_out(&ended), expected, "{configuration}");
    }
}

#[test]
fn each_publisher_is_configured_once() {
    let origin = Origin::start();
    let (one, other) = (Publisher::new(&origin), Publisher::named(&origin, "other.example/log"));
    let (url, again) = (origin.url("/one/"), Publisher::new(&origin));
    let both =
        format!("[[publisher]]\nurl = \"{url}\"\nkey = [\"{}\", \"{}\"]\n", one.key, other.key);
    for (configuration, told) in [
        (
            format!("{}{}", one.entry(&url), again.entry(&url)),
            "\"publisher.example/log\" is here twice",
        ),
        (both, "the keys have several names"),
        (format!("publishers_agree = 2\n{}", one.entry(&url)), "publishers_agree = 2"),
    ] {
        pack(&reader(&configuration), &[]).expect(2).says(&[told]);
    }
}

#[test]
fn what_is_published_is_verified_compared_and_merged() {
    let origin = Origin::start();
    let publisher = Publisher::new(&origin);
    let machine = &publisher.machine;
    publisher.publish().says(&["Edition 1", "1 package, 1 written"]);
    publisher.publish().says(&["Nothing has changed", "signed again"]);
    machine
        .hashget(&["publish", "verify", "published", "--key", &publisher.key])
        .expect(0)
        .says(&["Every byte is what was signed", "1 package"]);
    origin.serve("/b.tar", TarBuilder::new().file("b", b"of another one").finish());
    machine.hashget(&["index", &origin.url("/b.tar")]).expect(0);
    machine.hashget(&["publish", "-o", "both", "--key", "secret"]).expect(0);
    let key = &publisher.key;
    let compared = machine.hashget(&["publish", "diff", "published", "both", "--key", key]);
    let compared = compared.expect(0).prints(&["+ "]);
    compared.says(&["0 only in the first, 1 only in the second"]);
    let places = ["published", "both"];
    let merge = ["publish", "merge", "-o", "merged", "--key", "secret"];
    machine.hashget(&[&merge[..], &places].concat()).expect(0).says(&["2 packages"]);
    let compared = machine.hashget(&["publish", "diff", "merged", "both", "--key", key]);
    compared.expect(0).says(&["0 only in the first, 0 only in the second"]);
    // One that contradicts.
    let liar = liar(&origin);
    liar.publish();
    let place = liar.machine.path("published");
    let place = place.to_str().unwrap();
    let keys = ["--key", key, "--key", &liar.key];
    let compared = machine.hashget(&[&["publish", "diff", "published", place][..], &keys].concat());
    compared.expect(4).says(&["say different things"]);
    let from = ["--from-key", key, "--from-key", &liar.key];
    let merged = [&merge[..], &["published", place], &from].concat();
    machine.hashget(&merged).expect(4).says(&["say different things"]);
    // A damaged byte.
    let table = files(&machine.path("published/tables")).remove(0);
    let mut bytes = fs_err::read(&table).unwrap();
    bytes[20] ^= 1;
    fs_err::write(&table, bytes).unwrap();
    machine
        .hashget(&["publish", "verify", "published", "--key", key])
        .expect(4)
        .says(&["its bytes are not those that were signed"]);
}

#[test]
fn a_key_is_never_overwritten_and_never_printed() {
    let publisher = Publisher::without_packages("publisher.example/log");
    let machine = &publisher.machine;
    let secret = fs_err::read_to_string(machine.path("secret")).unwrap();
    machine.hashget(&["publish", "keygen", "--key", "secret"]).expect(1);
    assert_eq!(fs_err::read_to_string(machine.path("secret")).unwrap(), secret);
    machine
        .hashget(&["publish", "-o", "published", "--key", "secret"])
        .expect(1)
        .says(&["index some first"]);
    machine.write("bad", "PRIVATE+KEY+nothing");
    let ended = machine.hashget(&["publish", "-o", "published", "--key", "bad"]).expect(2);
    ended.says(&["bad", "no key of a publisher"]);
    let wrong = reader("[[publisher]]\nurl = \"https://a.example/\"\nkey = \"a+b+c\"\n");
    pack(&wrong, &[]).expect(2).says(&["own-config.toml, line 3", "NAME+HASH+BASE64"]);
}

/// An archive, alone on a machine that knows nothing but a publisher; the package that it needs is gone.
fn restored_from_elsewhere(origin: &Origin, configuration: &str, options: &[&str]) -> Ended {
    let machine = Machine::new();
    machine.write("own-config.toml", configuration);
    let archive = origin.url("/kept/a.tar");
    machine.hashget(&[&["unpack", &archive, "-C", "back"][..], options].concat())
}

#[test]
fn what_no_source_has_comes_from_where_publishers_say() {
    let origin = Origin::start();
    let publisher = Publisher::new(&origin);
    // Another package with the same file, which only the publisher knows.
    origin.serve("/b.tar", TarBuilder::new().file("src/b", &text()).file("c", b"c").finish());
    publisher.machine.hashget(&["index", &origin.url("/b.tar")]).expect(0);
    publisher.serve(&origin, "/published/");
    let packing = Machine::new();
    packing.write("tree/a", text());
    packing.hashget(&["index", &origin.url("/a.tar")]).expect(0);
    packing.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    origin.serve("/kept/a.tar", fs_err::read(packing.path("a.tar")).unwrap());
    origin.always("/a.tar", Fault::Status(404));

    let entry = publisher.entry(&origin.url("/published/"));
    let public = "[fallback]\nuse = []\n[host.\"127.0.0.1\"]\npublic = true\n";
    let ended = restored_from_elsewhere(&origin, &format!("{entry}{public}"), &[]).expect(0);
    ended.says(&["b.tar: has 1 missing file", "Asked ", "It could learn", "Proven"]);
    // Nobody is asked whom the user does not want to be asked, nor for what is not everybody's.
    for (configuration, options) in [
        (format!("{entry}{public}"), &["--no-fallback"][..]),
        (format!("{entry}hashes = \"none\"\n{public}"), &[]),
        (entry.clone(), &[]),
    ] {
        let before = origin.requests_of("/b.tar").len();
        restored_from_elsewhere(&origin, &configuration, options).expect(5);
        assert_eq!(origin.requests_of("/b.tar").len(), before, "{configuration}");
    }
    // The other package is gone as well; the same one is elsewhere.
    origin.always("/b.tar", Fault::Status(404));
    origin.heal("/a.tar");
    let same = TarBuilder::new().file("a", &text()).finish();
    origin.serve("/mirror/a.tar", same);
    publisher.machine.hashget(&["index", &origin.url("/mirror/a.tar")]).expect(0);
    publisher.serve(&origin, "/published/");
    origin.always("/a.tar", Fault::Status(404));
    let ended = restored_from_elsewhere(&origin, &format!("{entry}{public}"), &[]).expect(0);
    ended.says(&["a publisher knows another place", "Proven"]);
    assert!(!origin.requests_of("/mirror/a.tar").is_empty());
}

#[test]
fn nobody_s_word_puts_a_file_into_its_place() {
    let origin = Origin::start();
    let (small, evil) = (b"what was packed\n".repeat(40), b"something else!\n".repeat(40));
    let tar = TarBuilder::new().file("sub/f", &small).file("sub/g", &text());
    origin.serve("/a.tar", tar.finish());
    origin.serve("/q.tar", TarBuilder::new().file("x", &evil).finish());
    let packing = Machine::new();
    packing.write("tree/sub/f", &small);
    packing.write("tree/sub/g", text());
    packing.hashget(&["index", &origin.url("/a.tar")]).expect(0);
    packing.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    origin.serve("/kept/a.tar", fs_err::read(packing.path("a.tar")).unwrap());
    // The publisher says that another file is at the path.
    let publisher = Publisher::without_packages("liar.example/log");
    for name in ["a", "q"] {
        publisher.machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    publisher.machine.hashget(&["db", "export", "-o", "true.jsonl"]).expect(0);
    let known = fs_err::read_to_string(publisher.machine.path("true.jsonl")).unwrap();
    let lie = known.replace(&sha256(&small), &sha256(&evil));
    assert_ne!(lie, known);
    publisher.machine.write("false.jsonl", lie);
    publisher.machine.hashget(&["db", "remove", "--package", "all"]).expect(0);
    publisher.machine.hashget(&["db", "import", "--trust", "false.jsonl"]).expect(0);
    publisher.serve(&origin, "/published/");
    origin.always("/a.tar", Fault::Status(404));
    let public = "[fallback]\nuse = []\n[host.\"127.0.0.1\"]\npublic = true\n";
    let configuration = format!("{}{public}", publisher.entry(&origin.url("/published/")));
    let archive = origin.url("/kept/a.tar");
    for part in [&[][..], &["sub/f"]] {
        let machine = Machine::new();
        machine.write("own-config.toml", &configuration);
        let unpack = [&["unpack", &archive, "-C", "back"][..], part].concat();
        let ended = machine.hashget(&unpack).expect(5);
        assert!(!ended.stderr.contains("has the digest that was packed"), "{}", ended.stderr);
        assert!(!machine.path("back/sub/f").exists(), "{}", ended.stderr);
    }
    let machine = Machine::new();
    machine.write("own-config.toml", &configuration);
    assert_eq!(machine.hashget(&["cat", &archive, "sub/f"]).stdout, "");
}

#[test]
fn a_backup_is_made_whatever_is_wrong_with_what_is_known() {
    let origin = Origin::start();
    let publisher = Publisher::new(&origin);
    publisher.serve(&origin, "/published/");
    let machine = reader(&publisher.entry(&origin.url("/published/")));
    pack(&machine, &["--ask-hashes", "all"]).expect(0);
    // The list of the one package that is known is damaged.
    let database = rusqlite::Connection::open(machine.path("db/hashdb.sqlite")).unwrap();
    let changed = database.execute("UPDATE members SET list = x'0102'", []).unwrap();
    assert_eq!(changed, 1);
    drop(database);
    let ended = pack(&machine, &["--ask-hashes", "all"]);
    assert!(matches!(ended.code, 0 | 5), "{}", ended.stderr);
    machine.hashget(&["verify", "a.tar"]);
    machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
    assert_eq!(fs_err::read(machine.path("back/a")).unwrap(), text());
}
