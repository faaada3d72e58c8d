//! Systems of RPM.
//!
//! Invariant: what is damaged or lies is told, and costs no file: it is archived.

use hashget::model::{Checksum, Digest, Evidence};
use hashget_testkit::origin::Fault;
use hashget_testkit::packages::{
    RpmFile, RpmValue, compress, cpio_named, rpm_header, rpm_of, rpm_tags,
};

use super::{System, noise};

const SQLITE: &str = "usr/lib/sysimage/rpm/rpmdb.sqlite";
const NDB: &str = "usr/lib/sysimage/rpm/Packages.db";

/// A package with its files.
struct Package {
    name: &'static str,
    vendor: &'static str,
    built: u32,
    files: Vec<(String, Vec<u8>)>,
}

impl Package {
    fn new(name: &'static str) -> Self {
        let files = vec![
            (format!("/etc/{name}.conf"), b"setting = 1\n".to_vec()),
            (format!("/usr/bin/{name}"), noise(name, 800_000)),
        ];
        Self { name, vendor: "A Project", built: 1_700_000_000, files }
    }

    fn file(&self) -> String {
        format!("{}-1.0~rc1-2.fc41.x86_64.rpm", self.name)
    }

    /// As in a package; in the database it has no first eight bytes.
    fn header(&self) -> Vec<u8> {
        let mut files: Vec<RpmFile<'_>> = self
            .files
            .iter()
            .map(|(name, content)| RpmFile { name: name.as_bytes(), content, ..RpmFile::default() })
            .collect();
        let link =
            RpmFile { name: b"/usr/bin/link", mode: 0o120_777, target: b"x", ..RpmFile::default() };
        let ghost = RpmFile { name: b"/var/ghost", flags: 64, ..RpmFile::default() };
        files.extend([link, ghost]);
        let text = |text: &str| RpmValue::Text(text.as_bytes().to_vec());
        let digests =
            self.files.iter().map(|(_, content)| Digest::of(content).to_string().into_bytes());
        let digests = digests.chain([Vec::new(), Digest::of(b"").to_string().into_bytes()]);
        let mut tags = rpm_tags(&files);
        tags.retain(|(tag, _)| *tag != 1000);
        tags.extend([
            (1000, text(self.name)),
            (1001, text("1.0~rc1")),
            (1002, text("2.fc41")),
            (1003, RpmValue::Int32(vec![3])),
            (1006, RpmValue::Int32(vec![self.built])),
            (1011, text(self.vendor)),
            (1022, text("x86_64")),
            (1035, RpmValue::Texts(digests.collect())),
            (1044, text("source-1.0~rc1-2.fc41.src.rpm")),
            (1125, text("none")),
            (5011, RpmValue::Int32(vec![8])),
        ]);
        rpm_header(&tags)
    }

    fn package(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, content) in &self.files {
            archive.extend(cpio_named(format!(".{name}").as_bytes(), content));
        }
        archive.extend(cpio_named(b"TRAILER!!!", b""));
        rpm_of(&self.header(), &archive)
    }

    /// Its path among builds at `/packages/`.
    fn build(&self) -> String {
        format!("/packages/source/1.0~rc1/2.fc41/x86_64/{}", self.file())
    }

    fn blob(&self) -> Vec<u8> {
        self.header()[8..].to_vec()
    }

    fn place_files(&self, system: &System) {
        for (path, content) in &self.files {
            system.write(&path[1..], content);
        }
    }
}

fn sqlite(system: &System, path: &str, blobs: &[Vec<u8>]) -> rusqlite::Connection {
    system.write(path, "");
    let connection = rusqlite::Connection::open(system.root().join(path)).unwrap();
    let table =
        "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)";
    connection.execute(table, []).unwrap();
    for blob in blobs {
        connection.execute("INSERT INTO Packages (blob) VALUES (?1)", [blob]).unwrap();
    }
    connection
}

fn ndb(blobs: &[Vec<u8>]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut slots = Vec::new();
    let mut data = Vec::new();
    for (at, blob) in blobs.iter().enumerate() {
        let (key, start) = (at + 1, 256 + data.len() / 16);
        let mut one = [&b"BlbS"[..], &word(key), &word(1), &word(blob.len()), blob].concat();
        one.resize((one.len() + 12).next_multiple_of(16) - 12, 0);
        one.extend([&word(0)[..], &word(blob.len()), b"BlbE"].concat());
        slots.extend([&b"Slot"[..], &word(key), &word(start), &word(one.len() / 16)].concat());
        data.extend(one);
    }
    let mut file = [&b"RpmP"[..], &word(0), &word(7), &word(1), &word(9)].concat();
    file.resize(32, 0);
    file.extend(slots);
    while file.len() < 4096 {
        file.extend([&b"Slot"[..], &[0; 12]].concat());
    }
    [file, data].concat()
}

/// A system of Fedora's kind with one package, whose builds the configuration names.
fn built() -> (System, Package) {
    let (mut system, package) = (System::new("rpm", "own"), Package::new("tool"));
    system.configure("own", "/packages/", "");
    package.place_files(&system);
    sqlite(&system, SQLITE, &[package.blob()]);
    system.origin.serve(&package.build(), package.package());
    (system, package)
}

const PRIMARY: &str = "var/cache/dnf/fedora-0123456789abcdef/repodata/12-primary.xml.zst";

/// What the client knows of a repository at `/kept/41/x86_64/`.
fn repodata(system: &System, package: &Package, bytes: &[u8]) {
    let index = "<repomd xmlns=\"http://a.example\"><data type=\"other\"/><data type=\"primary\">\
                 <location href=\"repodata/12-primary.xml.zst\"/></data></repomd>";
    system.write(&PRIMARY.replace("12-primary.xml.zst", "repomd.xml"), index);
    let (name, built, size, digest) = (package.name, package.built, bytes.len(), Digest::of(bytes));
    let list = format!(
        "<?xml version=\"1.0\"?>\n<metadata xmlns=\"http://a.example\" xmlns:rpm=\"http://b.example\">\
         <package type=\"rpm\"><name>other</name><broken></package>\n\
         <package type=\"rpm\"><name>{name}</name><arch>x86_64</arch>\
         <version epoch=\"3\" ver=\"1.0~rc1\" rel=\"2.fc41\"/>\
         <checksum type=\"sha256\" pkgid=\"YES\">{digest}</checksum><summary>&lt;/package&gt;</summary>\
         <time file=\"1\" build=\"{built}\"/><size package=\"{size}\" installed=\"1\"/>\
         <location href=\"Packages/t/{}\"/><format><rpm:header-range start=\"1\" end=\"2000\"/></format>\
         </package></metadata>",
        package.file()
    );
    system.write(PRIMARY, compress("zstd", list.as_bytes()));
    let server = system.origin.url("/kept/");
    let repo = format!("[fedora]\nname=x\nbaseurl={server}$releasever/$basearch\n");
    system.write("etc/yum.repos.d/fedora.repo", repo);
}

/// A system whose repository loses nothing.
fn kept() -> (System, Package) {
    let (mut system, package) = (System::new("rpm", "own"), Package::new("tool"));
    system.configure("own", "", "/kept/");
    package.place_files(&system);
    sqlite(&system, SQLITE, &[package.blob()]);
    repodata(&system, &package, &package.package());
    system.origin.serve(&place(&package), package.package());
    (system, package)
}

fn place(package: &Package) -> String {
    format!("/kept/41/x86_64/Packages/t/{}", package.file())
}

#[test]
fn a_build_is_found_by_its_source() {
    let (system, package) = built();
    let candidate = system.the_only();
    assert_eq!(candidate.url, system.origin.url(&package.build()));
    assert_eq!((candidate.sha256, candidate.lists.len()), (None, 0));
    assert_eq!(candidate.signature.unwrap().to_string(), "rpm:tool-1.0~rc1-2.fc41.x86_64");
    for evidence in [Evidence::Local, Evidence::Downloaded] {
        let packed = system.there_and_back(evidence);
        assert_eq!(packed.left_out_files, 2, "{evidence}");
        assert_eq!(
            system.known().0.evidence,
            Evidence::Downloaded,
            "nothing else gives its digest"
        );
        fs_err::remove_dir_all(system.path("back")).unwrap();
    }
}

#[test]
fn a_system_is_named_for_everybody_and_compared() {
    let (system, _) = built();
    system.there_and_back(Evidence::Downloaded);
    let url = "pkg:rpm/own/tool@1.0~rc1-2.fc41?arch=x86_64&distro=own-41&epoch=3&upstream=source-1.0~rc1-2.fc41.src.rpm";
    system.told_and_compared(url, "usr/bin/tool");
}

#[test]
fn both_databases_in_all_their_places() {
    let package = Package::new("tool");
    for (folder, name) in [
        ("var/lib/rpm", "rpmdb.sqlite"),
        ("var/lib/rpm", "Packages.db"),
        ("usr/lib/sysimage/rpm", "Packages.db"),
        ("usr/share/rpm", "rpmdb.sqlite"),
    ] {
        let mut system = System::new("rpm", "own");
        system.configure("own", "/packages/", "");
        let path = format!("{folder}/{name}");
        if name == "rpmdb.sqlite" {
            sqlite(&system, &path, &[package.blob()]);
        } else {
            system.write(&path, ndb(&[package.blob()]));
        }
        assert_eq!(system.the_only().url, system.origin.url(&package.build()), "{path}");
        assert!(system.the_only().found_at.as_bytes() == path.as_bytes());
    }
    let system = System::new("rpm", "own");
    sqlite(&system, "srv/rpmdb.sqlite", &[package.blob()]);
    assert!(system.found().0.is_empty());
}

#[test]
fn changes_that_are_not_yet_in_the_database_count() {
    let mut system = System::new("rpm", "own");
    system.configure("own", "/packages/", "");
    let connection = sqlite(&system, SQLITE, &[]);
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    let insert = "INSERT INTO Packages (blob) VALUES (?1)";
    connection.execute(insert, [Package::new("tool").blob()]).unwrap();
    let folder = system.root().join(SQLITE);
    let folder = folder.parent().unwrap();
    let list = || {
        let mut files: Vec<(String, Vec<u8>)> = fs_err::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.display().to_string(), fs_err::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = list();
    assert_eq!(before.len(), 3, "the database, its changes, their index");
    assert!(system.the_only().url.ends_with("/tool-1.0~rc1-2.fc41.x86_64.rpm"));
    assert_eq!(list(), before, "nothing is written beside the database");
    drop(connection);
    assert_eq!(list().len(), 1);
    assert!(system.the_only().url.ends_with("/tool-1.0~rc1-2.fc41.x86_64.rpm"));
    assert_eq!(list().len(), 1);
}

#[test]
fn a_system_comes_back_on_any_evidence() {
    for evidence in [Evidence::Local, Evidence::Declared, Evidence::Downloaded] {
        let (system, package) = kept();
        system.write("etc/own.conf", "my own words");
        let candidate = system.the_only();
        assert_eq!(candidate.url, system.origin.url(&place(&package)));
        assert_eq!(candidate.sha256, Some(Digest::of(&package.package())));
        assert_eq!(candidate.size, Some(package.package().len() as u64));
        let packed = system.there_and_back(evidence);
        assert_eq!(packed.left_out_files, 2, "{evidence}");
        assert_eq!(system.known().0.evidence, evidence);
    }
}

#[test]
fn declared_takes_the_header_alone_and_local_nothing() {
    let (system, package) = kept();
    let (indexed, recorder) = system.index(Evidence::Local);
    assert_eq!((indexed.new, recorder.recorded().downloaded_bytes), (1, 0));
    let (indexed, recorder) = system.index(Evidence::Declared);
    assert_eq!((indexed.new, indexed.failed.len()), (1, 0));
    let fetched = recorder.recorded().downloaded_bytes;
    assert!(fetched > 0 && fetched * 20 < package.package().len() as u64, "{fetched}");
    assert_eq!(system.known().1, ["etc/tool.conf", "usr/bin/tool"]);
    let (system, package) = kept();
    system.origin.always(&place(&package), Fault::NoRange);
    assert_eq!(system.index(Evidence::Declared).0.new, 1, "a server without ranges");
}

#[test]
fn files_are_judged_by_the_digests_of_the_header() {
    let (system, _) = kept();
    let listed = system.the_only().lists[0].local().unwrap().unwrap();
    assert_eq!(listed.len(), 2, "no links and no ghosts: {listed:?}");
    assert_eq!(listed[0].member.as_bytes(), b"etc/tool.conf");
    assert_eq!(listed[0].checksum, Checksum::from(Digest::of(b"setting = 1\n")));
    for evidence in [Evidence::Local, Evidence::Declared] {
        let (system, _) = kept();
        system.write("etc/tool.conf", "setting = 2\n");
        system.index(evidence);
        assert_eq!(system.known().1, ["usr/bin/tool"], "{evidence}");
    }
}

#[test]
fn a_header_of_another_package_is_not_believed() {
    let (system, package) = kept();
    let mut other = Package::new("fool");
    other.files.clone_from(&package.files);
    let mut bytes = other.package();
    bytes.resize(package.package().len(), 0);
    system.origin.serve(&place(&package), bytes);
    let (indexed, recorder) = system.index(Evidence::Declared);
    assert_eq!((indexed.new, indexed.failed.len()), (0, 0), "a file of the tree named it: a note");
    let problems = recorder.recorded().problems;
    assert!(problems.iter().any(|(_, _, text)| text.contains("fool-3:1.0")), "{problems:?}");
}

#[test]
fn a_package_of_another_build_or_repository_has_no_digest() {
    let (system, package) = kept();
    let again = Package { built: 1, ..Package::new("tool") };
    repodata(&system, &again, &again.package());
    let (candidates, notes) = system.found();
    assert!(candidates.is_empty() && notes[0].problem.contains("not known to keep"), "{notes:?}");
    repodata(&system, &package, &package.package());
    assert_eq!(system.found().0.len(), 1);
    let secret = "[fedora]\nbaseurl=https://u:secret@kept.example/\n";
    for repo in ["[fedora]\nbaseurl=https://mirror.example/$basearch\n", secret, "[fedora]\n"] {
        system.write("etc/yum.repos.d/fedora.repo", repo);
        let (candidates, notes) = system.found();
        assert!(
            candidates.is_empty() && !format!("{notes:?}").contains("secret"),
            "{candidates:?}"
        );
    }
}

#[test]
fn what_others_made_is_archived() {
    let mut system = System::new("rpm", "own");
    system.configure("own", "/packages/", "");
    let foreign = Package { vendor: "Somebody", ..Package::new("foreign") };
    let (one, two) = (Package::new("one"), Package::new("two"));
    let blobs = [foreign.blob(), one.blob(), two.blob()];
    sqlite(&system, SQLITE, &blobs);
    let (candidates, notes) = system.found();
    let urls: Vec<&str> =
        candidates.iter().map(|one| one.url.rsplit('/').next().unwrap()).collect();
    assert_eq!(urls, [one.file(), two.file()]);
    assert!(notes[0].problem.contains("1 packages were made by others"), "{notes:?}");
}

#[test]
fn builds_stand_beside_the_home_page_of_one_distribution_alone() {
    for (id, expected) in [("fedora", 1), ("other", 0)] {
        let system = System::new("rpm", id);
        let package = Package::new("tool");
        sqlite(&system, SQLITE, &[package.blob()]);
        let (candidates, notes) = system.found();
        assert_eq!((candidates.len(), notes.len()), (expected, 1 - expected), "{notes:?}");
        let url = format!("https://kojipkgs.distribution.example{}", package.build());
        assert!(candidates.iter().all(|candidate| candidate.url == url), "{candidates:?}");
    }
}

/// A system of whose database nothing more is known.
fn with_database(path: &str, bytes: &[u8]) -> (usize, Vec<String>) {
    let mut system = System::new("rpm", "own");
    system.configure("own", "/packages/", "");
    system.write(path, bytes);
    let (candidates, notes) = system.found();
    (candidates.len(), notes.iter().map(ToString::to_string).collect())
}

#[test]
fn damaged_databases_are_told() {
    let mut berkeley = vec![0; 4096];
    berkeley[12..16].copy_from_slice(&0x0006_1561_u32.to_le_bytes());
    let whole = ndb(&[Package::new("tool").blob(), Package::new("fool").blob()]);
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    for (path, bytes, expected) in [
        ("var/lib/rpm/Packages", berkeley, "a Berkeley DB of rpm before 4.16, which is not read"),
        ("var/lib/rpm/Packages", b"text, and no database".to_vec(), "no database of rpm"),
        (SQLITE, Vec::new(), "too short"),
        (SQLITE, b"SQLite format 3\0".to_vec(), ""),
        (SQLITE, [&b"SQLite format 3\0"[..], &[0xff; 9000]].concat(), ""),
        (NDB, whole[..3000].to_vec(), "cut off"),
        (NDB, whole[..6000].to_vec(), "not within it"),
        (NDB, changed(4, b"\x01"), "version 1"),
        (NDB, changed(12, b"\xff\xff\xff\xff"), "pages of packages"),
        (NDB, changed(32, b"slot"), "is damaged"),
        (NDB, changed(40, b"\x01\0"), "not within it"),
        (NDB, changed(44, b"\xff\xff\xff\xff"), "not within it"),
    ] {
        let (candidates, notes) = with_database(path, &bytes);
        assert_eq!(candidates, 0);
        assert!(notes[0].contains(path) && notes[0].contains(expected), "{expected}: {notes:?}");
    }
    // One header that is damaged does not take the others with it.
    for (at, bytes) in [(4096, &b"BlbX"[..]), (4100, b"\x07"), (4108, b"\xff\xff\xff\x7f")] {
        let (candidates, notes) = with_database(NDB, &changed(at, bytes));
        assert_eq!((candidates, notes.len()), (1, 1), "{notes:?}");
    }
}

#[test]
fn damaged_headers_do_not_stop_the_others() {
    let whole = Package::new("tool").blob();
    let evil = Package { name: "../evil", ..Package::new("evil") };
    let key = [&3_u32.to_be_bytes()[..], &0_u32.to_be_bytes(), &[0; 48]].concat();
    let blobs =
        [Vec::new(), whole[..100].to_vec(), vec![0xff; 64], evil.blob(), key, whole.clone()];
    let mut system = System::new("rpm", "own");
    system.configure("own", "/packages/", "");
    sqlite(&system, SQLITE, &blobs);
    let (candidates, notes) = system.found();
    assert_eq!(candidates.len(), 1);
    assert_eq!(notes.len(), 1, "told once: {notes:?}");
    assert!(notes[0].problem.contains("3 more like it"), "{notes:?}");
}

#[test]
fn a_table_that_is_not_rpms_is_not_asked() {
    for table in [
        "CREATE VIEW Packages AS WITH RECURSIVE r(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM r) \
         SELECT hnum, zeroblob(9) AS blob FROM r",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB GENERATED ALWAYS AS (zeroblob(9)))",
        "CREATE TABLE other (a)",
    ] {
        let system = System::new("rpm", "own");
        system.write(SQLITE, "");
        let connection = rusqlite::Connection::open(system.root().join(SQLITE)).unwrap();
        connection.execute(table, []).unwrap();
        let (candidates, notes) = system.found();
        assert!(candidates.is_empty() && notes[0].problem.contains("Packages"), "{notes:?}");
    }
}

#[test]
fn damaged_metadata_is_told_and_builds_are_found_without_it() {
    let (mut system, package) = kept();
    system.configure("own", "/packages/", "");
    let index = PRIMARY.replace("12-primary.xml.zst", "repomd.xml");
    for (path, bytes) in [
        (PRIMARY, &b"\x28\xb5\x2f\xfdbroken"[..]),
        (PRIMARY, b"<package type=\"rpm\"><name>tool</name><a></package>"),
        (index.as_str(), b"<repomd>"),
        (index.as_str(), b"\xff"),
        (index.as_str(), b"<repomd/>"),
    ] {
        repodata(&system, &package, &package.package());
        system.write(path, bytes);
        let (candidates, notes) = system.found();
        assert_eq!((candidates.len(), notes.len()), (1, 1), "{notes:?}");
        assert_eq!(candidates[0].url, system.origin.url(&package.build()));
    }
    repodata(&system, &package, &package.package());
    for text in ["Packages/t/../../../../x.rpm", "/x.rpm", "https://a.example/x.rpm"] {
        let list = format!("Packages/t/{}", package.file());
        let bytes = zstd::decode_all(&fs_err::read(system.root().join(PRIMARY)).unwrap()[..]);
        let bytes = String::from_utf8(bytes.unwrap()).unwrap().replace(&list, text);
        system.write(PRIMARY, compress("zstd", bytes.as_bytes()));
        let (candidates, _) = system.found();
        let base = system.origin.url("/");
        assert!(candidates.iter().all(|one| one.url.starts_with(&base)), "{candidates:?}");
        assert!(candidates.iter().all(|one| !one.url.contains("..")), "{candidates:?}");
        repodata(&system, &package, &package.package());
    }
}

#[test]
fn links_do_not_lead_out_of_the_system() {
    let outside = tempfile::tempdir().unwrap();
    let (system, _) = built();
    fs_err::rename(system.root().join(SQLITE), outside.path().join("rpmdb.sqlite")).unwrap();
    let link = system.root().join(SQLITE);
    fs_err::os::unix::fs::symlink(outside.path().join("rpmdb.sqlite"), &link).unwrap();
    assert!(system.found().0.is_empty());
    fs_err::remove_file(&link).unwrap();
    fs_err::create_dir(&link).unwrap();
    assert!(system.found().0.is_empty());
}
