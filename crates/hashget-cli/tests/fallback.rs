//! Fall-backs: what restoring gets from public archives when no other source has it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use hashget_testkit::origin::{Fault as OriginFault, Origin};
use hashget_testkit::packages::{TarBuilder, compress};
use hashget_testkit::public_archives::{Fault, PublicArchives, Vault};
use support::{Ended, Machine, files_below};

const PROVEN: &str = "Proven: the folder is exactly what was packed";

/// When the copies were made.
const TIMES: [&str; 4] = ["20210203040506", "20220203040506", "20230203040506", "20240203040506"];

/// The file with this number.
fn file(number: usize) -> Vec<u8> {
    format!("file {number} of the package\n").repeat(300 + number).into_bytes()
}

/// The package with so many files, below this folder.
fn package(files: usize, top: &str) -> Vec<u8> {
    (0..files)
        .fold(TarBuilder::new().directory(top), |tar, number| {
            tar.file(&format!("{top}/{number}"), &file(number))
        })
        .finish()
}

/// A machine with an archive whose only package is gone, and the public archives.
struct Scene {
    origin: Origin,
    archives: PublicArchives,
    machine: Machine,
    files: usize,
}

impl Scene {
    fn new(files: usize) -> Self {
        let (origin, archives, machine) =
            (Origin::start(), PublicArchives::start(), Machine::new());
        origin.serve("/lib.tar", package(files, "x"));
        for number in 0..files {
            let path = machine.write(&format!("tree/lib/{number}"), file(number));
            fs_err::File::open(path).unwrap().file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        machine.write("tree/own", "mine");
        let scene = Self { origin, archives, machine, files };
        scene.configure("");
        scene.machine.hashget(&["index", &scene.url()]).expect(0);
        scene.machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
        fs_err::remove_dir_all(scene.machine.path("cache")).unwrap();
        scene.origin.always("/lib.tar", OriginFault::Status(404));
        scene
    }

    /// A configuration in which the package's host is public.
    fn configure(&self, more: &str) {
        self.configure_all(&format!("{more}\n[host.\"127.0.0.1\"]\npublic = true\n"));
    }

    fn configure_all(&self, more: &str) {
        let base = self.archives.base();
        let fallback = format!("[fallback]\nsoftware_heritage = \"{base}\"\nwayback = \"{base}/\"");
        self.machine.write("own-config.toml", format!("{fallback}\n{more}"));
    }

    fn url(&self) -> String {
        self.origin.url("/lib.tar")
    }

    fn has_copies(&self, copies: &[&[u8]]) {
        for (time, copy) in TIMES.iter().zip(copies) {
            self.archives.has_copy(&self.url(), time, copy);
        }
    }

    fn has_contents(&self) {
        (0..self.files).for_each(|number| self.archives.has_content(&file(number)));
    }

    fn unpack(&self, options: &[&str]) -> Ended {
        for left in ["back", "cache"] {
            drop(fs_err::remove_dir_all(self.machine.path(left)));
        }
        let command = ["unpack", "a.tar.zst", "-C", "back"];
        self.machine.hashget(&[&command[..], options].concat())
    }

    /// Everything came, and is right.
    fn is_whole(&self) {
        for number in 0..self.files {
            let path = self.machine.path(&format!("back/lib/{number}"));
            assert_eq!(fs_err::read(path).unwrap(), file(number));
        }
        assert!(!self.machine.path("back/.hashget-restore.json").exists());
    }

    /// Nothing came of the package.
    fn is_without_the_package(&self) {
        let files = files_below(&self.machine.path("back"));
        assert_eq!(files, [".hashget-restore.json", "own"]);
    }
}

#[test]
fn a_package_comes_from_the_wayback_machine() {
    let scene = Scene::new(6);
    scene.has_copies(&[&package(6, "x")]);
    let copy = format!("{}/web/{}id_/{}", scene.archives.base(), TIMES[0], scene.url());
    let said = format!("no other source has it: from {copy}");
    scene.unpack(&[]).expect(0).says(&["note:", "lib.tar", &said, PROVEN]);
    scene.is_whole();
    // It is in the cache now, and the folder can be made again without the archive.
    let asked = scene.archives.requests().len();
    let again = ["unpack", "a.tar.zst", "-C", "again"];
    let ended = scene.machine.hashget(&again).expect(0);
    assert!(!ended.stderr.contains("no other source"), "{}", ended.stderr);
    assert_eq!(scene.archives.requests().len(), asked);
    assert_eq!(scene.archives.requests_below("/api/"), 0);
    // Whoever only has the archive gets it as well, and single files of it.
    fs_err::remove_dir_all(scene.machine.path("cache")).unwrap();
    fs_err::remove_dir_all(scene.machine.path("db")).unwrap();
    let ended = scene.machine.hashget(&["cat", "a.tar.zst", "lib/3"]).expect(0).says(&[&said]);
    assert_eq!(ended.stdout.as_bytes(), file(3));
}

#[test]
fn copies_with_other_bytes_are_passed_over_up_to_three() {
    let scene = Scene::new(2);
    let (right, other) = (package(2, "x"), |top| package(2, top));
    scene.has_copies(&[&other("y"), &other("y"), &right]);
    scene.unpack(&[]).expect(0).says(&["the Wayback Machine has other bytes, of 2021-02-03"]);
    scene.is_whole();
    assert_eq!(scene.archives.requests_below("/web/"), 2, "equal copies are fetched once");
    let scene = Scene::new(2);
    scene.has_copies(&[&other("y"), &other("z"), &other("w"), &right]);
    scene.unpack(&[]).expect(5);
    scene.is_without_the_package();
    assert_eq!(scene.archives.requests_below("/web/"), 3);
}

#[test]
fn whatever_the_wayback_machine_does_the_end_is_a_clear_note() {
    let scene = Scene::new(2);
    scene.has_copies(&[&package(2, "x")]);
    for (path, fault, said) in [
        ("/cdx/", Fault::TooMany, "nothing came from it: the server answers 429"),
        ("/cdx/", Fault::RetryAfter(0), "nothing came from it: the server answers 429"),
        ("/cdx/", Fault::LoginPage, "a page came in place of its list of copies"),
        ("/cdx/", Fault::Page, "a page came in place of its list of copies"),
        ("/cdx/", Fault::OtherJson, "its list of copies is not as documented"),
        ("/cdx/", Fault::Close, "the connection was closed too early"),
        ("/cdx/", Fault::Down, "the server answers 503"),
        ("/web/", Fault::LoginPage, "a page came in place of the package"),
        ("/web/", Fault::Page, "a page came in place of the package"),
        ("/web/", Fault::OtherJson, "the Wayback Machine has other bytes, of 2021-02-03"),
        ("/web/", Fault::OtherBytes, "the Wayback Machine has other bytes, of 2021-02-03"),
        ("/web/", Fault::TooMany, "nothing came from it: the server answers 429"),
    ] {
        scene.archives.fault(path, fault);
        let ended = scene.unpack(&[]).expect(5).says(&["note:", said]);
        // The error is that of the place where the package belongs.
        let own = "127.0.0.1";
        assert!(ended.stderr.contains(own) && ended.stderr.contains("lib.tar"), "{}", ended.stderr);
        scene.is_without_the_package();
        scene.archives.heal();
    }
}

#[test]
fn single_files_come_from_software_heritage_by_their_digest() {
    let scene = Scene::new(3);
    scene.has_contents();
    let said = "3 of its files come from Software Heritage, by digest";
    scene.unpack(&[]).expect(0).says(&["note:", "lib.tar", said, PROVEN]);
    scene.is_whole();
    assert_eq!(scene.archives.requests_below("/api/1/content/"), 3);
    assert_eq!(scene.archives.requests_below("/api/1/vault/"), 0);
    // Without a HashDB nothing says which files these are: nothing is asked.
    fs_err::remove_dir_all(scene.machine.path("db")).unwrap();
    let asked = scene.archives.requests_below("/api/");
    scene.unpack(&[]).expect(5);
    scene.is_without_the_package();
    assert_eq!(scene.archives.requests_below("/api/"), asked);
}

#[test]
fn many_files_come_as_a_directory_of_the_vault_and_the_rest_one_by_one() {
    let scene = Scene::new(8);
    let folder = (0..7).fold(TarBuilder::new(), |tar, number| {
        tar.file(&format!("swh/elsewhere/{number}"), &file(number))
    });
    let folder = compress("gzip", &folder.file("swh/more", b"more").finish());
    let name = scene.archives.has_directory(&package(8, "x"), &folder, Vault::DoneAfter(2));
    scene.archives.has_content(&file(7));
    let from = format!("7 of its files come from Software Heritage ({name})");
    let single = "1 of its files comes from Software Heritage, by digest";
    scene.unpack(&[]).expect(0).says(&[&from, single, PROVEN]);
    scene.is_whole();
    let requests = scene.archives.requests();
    let asked = |method: &str, path: &str| {
        let is_it = |one: &&_| {
            let one: &hashget_testkit::public_archives::Request = one;
            one.method == method && one.path.contains(path)
        };
        requests.iter().filter(is_it).count()
    };
    let path = format!("/api/1/vault/flat/{name}/");
    assert_eq!((asked("POST", &path), asked("GET", &path)), (1, 3), "{requests:?}");
    assert_eq!(asked("GET", "/api/1/content/"), 1, "{requests:?}");
}

#[test]
fn a_vault_that_fails_leaves_the_files_one_by_one() {
    let scene = Scene::new(6);
    let name = scene.archives.has_directory(&package(6, "x"), b"", Vault::Failed);
    scene.has_contents();
    let failed = format!("it could not put {name} together (as told)");
    let said = "6 of its files come from Software Heritage, by digest";
    scene.unpack(&[]).expect(0).says(&[&failed, said]);
    scene.is_whole();
    // What the vault gives may be anything.
    let scene = Scene::new(6);
    scene.archives.has_directory(&package(6, "x"), b"no tarball", Vault::DoneAfter(0));
    scene.has_contents();
    scene
        .unpack(&[])
        .expect(0)
        .says(&["note: Software Heritage: its directory is no tarball", said]);
    scene.is_whole();
}

#[test]
fn the_limits_of_software_heritage_are_waited_for_up_to_a_bound() {
    let scene = Scene::new(4);
    scene.has_contents();
    scene.archives.limit(2, 3600);
    let said = "2 of its files come from Software Heritage, by digest";
    let left = "2 of its files were not asked for at Software Heritage: its limit of 120 requests is \
                used up; a token raises it (token_file in [fallback])";
    scene.unpack(&[]).expect(5).says(&[said, left]);
    assert_eq!(scene.archives.requests_below("/api/"), 2, "nobody asks in vain");
    scene.archives.limit(3, 0);
    scene.unpack(&[]).expect(0).says(&["its limit of requests is reached; asking again in"]);
    scene.is_whole();
    scene.configure("wait = \"0s\"");
    scene.archives.limit(0, 5);
    scene.unpack(&[]).expect(5).says(&["4 of its files were not asked for"]);
    scene.is_without_the_package();
}

#[test]
fn a_token_goes_to_software_heritage_alone() {
    let scene = Scene::new(2);
    scene.has_contents();
    let token = scene.machine.write("swh.token", "t0ken\n");
    scene.configure("token_file = \"swh.token\"");
    scene.unpack(&[]).expect(2).says(&["everybody can read it: use chmod 600"]);
    fs_err::set_permissions(token, PermissionsExt::from_mode(0o600)).unwrap();
    scene.unpack(&[]).expect(0);
    for request in scene.archives.requests() {
        let expected = request.path.starts_with("/api/").then(|| "Bearer t0ken".to_owned());
        assert_eq!(request.authorization, expected, "{request:?}");
    }
    scene.archives.limit(0, 3600);
    let ended = scene.unpack(&[]).expect(5).says(&["its limit of 120 requests is used up"]);
    assert!(!ended.stderr.contains("a token raises"), "{}", ended.stderr);
}

#[test]
fn whatever_software_heritage_does_the_end_is_a_clear_note() {
    let scene = Scene::new(2);
    scene.has_contents();
    for (fault, said) in [
        (Fault::TooMany, "its limit of requests is used up"),
        (Fault::LoginPage, "it gave other bytes than asked for by sha256"),
        (Fault::Page, "it gave other bytes than asked for by sha256"),
        (Fault::OtherBytes, "it gave other bytes than asked for by sha256"),
        (Fault::Close, "not asked for at Software Heritage: the connection was closed too early"),
        (Fault::Down, "not asked for at Software Heritage: it answers 503"),
    ] {
        scene.archives.fault("/api/1/content/", fault);
        scene.configure("wait = \"0s\"");
        scene.unpack(&[]).expect(5).says(&["note:", said]);
        scene.is_without_the_package();
        scene.archives.heal();
    }
    let scene = Scene::new(6);
    scene.has_contents();
    for (path, fault, said) in [
        ("/api/1/extid/", Fault::Page, "a page came in place of its answer"),
        ("/api/1/extid/", Fault::OtherJson, "not as documented: it has no target"),
        ("/api/1/vault/", Fault::OtherJson, "not as documented: it has no status"),
    ] {
        scene.archives.has_directory(&package(6, "x"), b"", Vault::DoneAfter(0));
        scene.archives.fault(path, fault);
        scene.unpack(&[]).expect(0).says(&["note: Software Heritage:", said]);
        scene.is_whole();
        scene.archives.heal();
    }
}

#[test]
fn nobody_is_asked_unless_it_is_restored_and_public() {
    let scene = Scene::new(2);
    scene.has_contents();
    scene.has_copies(&[&package(2, "x")]);
    scene.unpack(&["--no-fallback"]).expect(5);
    scene.unpack(&["--offline"]).expect(5);
    for command in [
        &["verify", "a.tar.zst"][..],
        &["verify", "--deep", "a.tar.zst"],
        &["missing", "a.tar.zst"],
        &["index", &scene.url()],
    ] {
        scene.machine.hashget(command).expect(5);
    }
    scene.machine.hashget(&["--db", "new", "pack", "tree", "-f", "b.tar.zst"]);
    // A host of this machine, unless the configuration says that it is public.
    scene.configure_all("");
    scene.unpack(&[]).expect(5);
    scene.is_without_the_package();
    scene.configure_all("use = []\n[host.\"127.0.0.1\"]\npublic = true\n");
    scene.unpack(&[]).expect(5);
    assert_eq!(scene.archives.requests(), []);
    // A restore goes on where an unpacking ended.
    scene.configure("");
    scene.machine.hashget(&["restore", "back", "--no-fallback"]).expect(5);
    scene.machine.hashget(&["restore", "back"]).expect(0).says(&[PROVEN]);
    scene.is_whole();
}
