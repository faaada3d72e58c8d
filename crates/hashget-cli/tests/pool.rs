//! `pool`: with all that an archive needs in it, no server is needed any more.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_testkit::object_store::{BUCKET, ObjectStore};
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::registry::{Manner, Registry};
use support::{Ended, Machine, files_below};

/// A machine with an archive that needs two packages.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    for name in ["first", "second"] {
        let text = name.repeat(3000);
        let tar = TarBuilder::new().file(name, text.as_bytes()).finish();
        origin.serve(&format!("/{name}.tar"), tar);
        machine.write(&format!("tree/{name}"), text);
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    machine.write("tree/own", "mine");
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

#[test]
fn an_archive_is_restored_from_the_pool_when_its_server_is_gone() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let add = ["pool", "add", "--pool", "pool", "a.tar.zst"];
    machine.hashget(&add).expect(0).says(&["2 packages added to the pool"]);
    machine.hashget(&add).expect(0).says(&["0 packages added", "2 packages there already"]);
    drop(origin);
    let files = files_below(&machine.path("pool"));
    assert_eq!(files.len(), 2);
    assert!(
        files.iter().all(|name| name.starts_with("sha256/") && name.len() == 7 + 64 + 3),
        "{files:?}"
    );

    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    let pool = machine.path("pool");
    let pool = pool.to_str().unwrap();
    away.hashget(&["--offline", "--pool", pool, "unpack", "a.tar.zst", "-C", "back"]).expect(0);
    assert_eq!(files_below(&away.path("back")), ["first", "own", "second"]);
    // Any web server serves it.
    let server = Origin::start();
    for file in files {
        server
            .serve(&format!("/p/{file}"), fs_err::read(machine.path("pool").join(&file)).unwrap());
    }
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away.hashget(&["--pool", &server.url("/p/"), "unpack", "a.tar.zst", "-C", "back"]).expect(0);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn packages_of_this_machine_are_listed_and_removed() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.write("mine.deb", "any bytes");
    machine.write("other.tar", TarBuilder::new().file("a", b"b").finish());
    let ended =
        machine.hashget(&["pool", "add", "--pool", "p", "mine.deb", "other.tar", "a.tar.zst"]);
    ended.expect(0).says(&["4 packages added"]);
    let listed = machine.hashget(&["pool", "list", "--pool", "p"]).expect(0);
    assert_eq!(listed.stdout.lines().count(), 5);
    assert!(listed.stdout.contains(&origin.url("/first.tar")), "{}", listed.stdout);
    let records = machine.hashget(&["pool", "list", "--pool", "p", "--json"]).expect(0).records();
    let unnamed = records.iter().filter(|record| record["urls"] == serde_json::json!([]));
    assert_eq!(unnamed.count(), 2);
    let nobody = format!("sha256:{}", "0".repeat(64));
    machine.hashget(&["pool", "remove", "--pool", "p", &nobody]).expect(1).says(&["pool list"]);
    let digest = format!("sha256:{}", records[0]["sha256"].as_str().unwrap());
    machine.hashget(&["pool", "remove", "--pool", "p", &digest]).expect(0);
    machine.hashget(&["pool", "remove", "--pool", "p", "second.tar", "first.tar"]).expect(0);
    let left = machine.hashget(&["pool", "list", "--pool", "p", "--json"]).expect(0).last_record();
    assert!(left["packages"].as_u64().unwrap() <= 2, "{left}");
    machine.hashget(&["pool", "remove", "--pool", "p", "all"]).expect(0);
    assert_eq!(fs_err::read_dir(machine.path("p/sha256")).unwrap().count(), 0, "empty folders go");
    machine.hashget(&["pool", "list"]).expect(2).says(&["--pool DIR"]);
    machine.hashget(&["pool", "list", "--pool", "nowhere"]).expect(1).says(&["nowhere"]);
}

#[test]
fn damage_is_named_and_mended_by_adding_again() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"]).expect(0);
    machine.hashget(&["pool", "verify", "--pool", "pool"]).expect(0).says(&["2 packages proven"]);
    let files = files_below(&machine.path("pool"));
    let bad = machine.path("pool").join(&files[0]);
    let mut bytes = fs_err::read(&bad).unwrap();
    bytes[1000] ^= 1;
    fs_err::write(&bad, &bytes).unwrap();
    let ended = machine.hashget(&["pool", "verify", "--pool", "pool"]).expect(4);
    ended.says(&[&files[0], "damaged", "1 package DAMAGED"]);
    let digest = files[0].strip_prefix("sha256/").unwrap().replace('/', "");
    machine.hashget(&["pool", "remove", "--pool", "pool", &format!("sha256:{digest}")]).expect(0);
    machine
        .hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"])
        .expect(0)
        .says(&["1 package added"]);
    machine.hashget(&["pool", "verify", "--pool", "pool"]).expect(0);
}

#[test]
fn what_cannot_be_had_is_told_and_the_rest_is_added() {
    let origin = Origin::start();
    let machine = machine(&origin);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    origin.always("/first.tar", Fault::Status(404));
    let ended = machine.hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"]).expect(5);
    ended.says(&["first.tar", "1 package added", "1 package could not be had"]);
    assert_eq!(files_below(&machine.path("pool")).len(), 1);
    origin.heal("/first.tar");
    origin.always("/first.tar", Fault::Corrupt(700));
    machine.hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"]).expect(4);
    assert_eq!(files_below(&machine.path("pool")).len(), 1, "nothing unproven is in the pool");
}

fn with_store(machine: &Machine, server: &ObjectStore, arguments: &[&str]) -> Ended {
    let mut command = machine.bare();
    command.envs(machine.variables()).args(arguments).env("AWS_ENDPOINT_URL", server.endpoint());
    Ended::of(command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hidden"))
}

#[test]
fn a_bucket_is_a_pool_for_every_command() {
    let (origin, server) = (Origin::start(), ObjectStore::start());
    let machine = machine(&origin);
    let pool = &format!("s3://{BUCKET}/packages");
    let run = |arguments: &[&str]| with_store(&machine, &server, arguments);
    let add = ["pool", "add", "--pool", pool, "a.tar.zst"];
    run(&add).expect(0).says(&["2 packages added to the pool"]);
    run(&add).expect(0).says(&["0 packages added", "2 packages there already"]);
    let objects = server.objects();
    assert!(objects.keys().all(|key| key.starts_with("packages/sha256/")), "{objects:?}");
    let listed = run(&["pool", "list", "--pool", pool]).expect(0);
    assert!(listed.stdout.contains(&origin.url("/first.tar")), "{}", listed.stdout);
    run(&["pool", "verify", "--pool", pool]).expect(0).says(&["2 packages proven"]);
    // Any server of the bucket's files is a pool as well.
    let public = Origin::start();
    for (key, object) in &objects {
        public.serve(&format!("/{key}"), object.bytes.clone());
    }
    for name in ["/first.tar", "/second.tar"] {
        origin.always(name, Fault::Status(404));
    }
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    let unpack = |pool: &str, to: &str| {
        with_store(&away, &server, &["--pool", pool, "unpack", "a.tar.zst", "-C", to])
    };
    unpack(pool, "back").expect(0);
    assert_eq!(files_below(&away.path("back")), ["first", "own", "second"]);
    fs_err::remove_dir_all(away.path("cache")).unwrap();
    unpack(&public.url("/packages"), "again").expect(0);
    fs_err::remove_dir_all(away.path("cache")).unwrap();
    away.hashget(&["--pool", pool, "--offline", "unpack", "a.tar.zst", "-C", "off"]).expect(5);
    run(&["pool", "remove", "--pool", pool, "all"]).expect(0).says(&["2 packages removed"]);
    assert!(server.objects().is_empty());
    unpack(pool, "none").expect(5);
    let nowhere = ["pool", "list", "--pool", "s3://other/p"];
    run(&nowhere).expect(1).says(&["the pool s3://other/p refused", "make the bucket"]);
    machine.hashget(&["pool", "list", "--pool", "s3://"]).expect(2).says(&["s3://"]);
}

#[test]
fn verifying_goes_on_where_the_last_run_ended() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"]).expect(0);
    let files = files_below(&machine.path("pool"));
    let second = machine.path("pool").join(&files[1]);
    let mut bytes = fs_err::read(&second).unwrap();
    bytes[1000] ^= 1;
    fs_err::write(&second, bytes).unwrap();
    // At least one package is looked at in each run.
    let verify = ["pool", "verify", "--pool", "pool", "--at-most", "1"];
    machine.hashget(&verify).expect(0).says(&["1 package proven", "1 package not looked at"]);
    machine.hashget(&verify).expect(4).says(&["1 package DAMAGED", "1 package not looked at"]);
    machine.hashget(&verify).expect(0).says(&["1 package proven"]);
    let whole = ["pool", "verify", "--pool", "pool", "--at-most", "1h", "--json"];
    let record = machine.hashget(&whole).expect(4).last_record();
    assert_eq!(
        (&record["proven"], &record["damaged"], &record["left"]),
        (&1.into(), &1.into(), &0.into())
    );
}

#[test]
fn what_no_archive_needs_is_removed_and_nothing_if_one_cannot_be_read() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.write("other.tar", TarBuilder::new().file("a", b"b").finish());
    machine.hashget(&["pool", "add", "--pool", "p", "other.tar", "a.tar.zst"]).expect(0);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back", "--keep-manifest"]).expect(0);
    fs_err::create_dir_all(machine.path("nights")).unwrap();
    fs_err::copy(machine.path("a.tar.zst"), machine.path("nights/a.tar.zst")).unwrap();
    let left = || files_below(&machine.path("p")).len();
    let remove = |more: &[&str]| {
        machine.hashget(&[&["pool", "remove", "--pool", "p", "--unused-by"][..], more].concat())
    };
    machine.write("nights/b.tar.zst", "no archive");
    remove(&["nights"])
        .expect(1)
        .says(&["nothing is removed, because nights/b.tar.zst may need it"]);
    fs_err::remove_file(machine.path("nights/b.tar.zst")).unwrap();
    fs_err::create_dir_all(machine.path("empty")).unwrap();
    remove(&["nights", "empty"]).expect(2).says(&["no archive lies in empty"]);
    remove(&["a.tar.zst", "nowhere.tar.zst"]).expect(1);
    machine.write("broken/.hashget-restore.json", "{");
    machine.write("broken/a.tar.zst", fs_err::read(machine.path("a.tar.zst")).unwrap());
    remove(&["broken"]).expect(1);
    assert_eq!(left(), 3);
    for archives in ["nights", "back", "a.tar.zst"] {
        remove(&[archives, "-n"]).expect(0).says(&["1 package would be removed from the pool"]);
        assert_eq!(left(), 3);
    }
    remove(&["nights"]).expect(0).says(&["1 package removed from the pool"]);
    assert_eq!(left(), 2);
    remove(&["nights"]).expect(0).says(&["0 packages removed"]);
    machine.hashget(&["pool", "remove", "--pool", "p"]).expect(2);
}

#[test]
fn a_repository_of_a_registry_is_a_pool_for_every_command() {
    let (origin, registry) = (Origin::start(), Registry::start());
    let machine = machine(&origin);
    registry.do_so(Manner::Tokens);
    registry.do_so(Manner::Logins);
    let pool = &registry.repository("p");
    let add = ["pool", "add", "--pool", pool, "a.tar.zst"];
    machine.hashget(&add).expect(1).says(&["give a login"]);
    let netrc = machine.write("home/.netrc", "machine 127.0.0.1 login user password s3cret\n");
    fs_err::set_permissions(netrc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    machine.hashget(&add).expect(0).says(&["2 packages added to the pool"]);
    machine.hashget(&add).expect(0).says(&["2 packages there already"]);
    let listed = machine.hashget(&["pool", "list", "--pool", pool]).expect(0);
    assert!(listed.stdout.contains(&origin.url("/first.tar")), "{}", listed.stdout);
    machine.hashget(&["pool", "verify", "--pool", pool]).expect(0).says(&["2 packages proven"]);
    for name in ["/first.tar", "/second.tar"] {
        origin.always(name, Fault::Status(404));
    }
    // Reading needs no login.
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away.hashget(&["--pool", pool, "unpack", "a.tar.zst", "-C", "back"]).expect(0);
    assert_eq!(files_below(&away.path("back")), ["first", "own", "second"]);
    machine.hashget(&["pool", "remove", "--pool", pool, "first.tar"]).expect(0);
    registry.do_so(Manner::KeepsAll);
    let remove = ["pool", "remove", "--pool", pool, "all"];
    machine.hashget(&remove).expect(1).says(&["it removes nothing on request"]);
}
