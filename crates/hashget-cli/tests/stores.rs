//! Archives in buckets, and encrypted ones: written, read by every command, and told what is wrong with them.

#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_testkit::object_store::{Action, BUCKET, Fault, ObjectStore};
use support::{Ended, Machine};

/// Made for these tests.
const RECIPIENT: &str = "age1sxjgycssl3yeua6gztw4prp4t5xvwgvhptrdnej77ns0khll5qrqamxs7t";
const IDENTITY: &str = "AGE-SECRET-KEY-182FWFK6TFUTLMJ0LRYKRGNM7LEMGF2F23R7QLPGY2PPPAGQWPM0SG45ZHX";
const OTHER: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("tree/notes.txt", "remember\n");
    let bytes: Vec<u8> =
        (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    machine.write("tree/sub/large", bytes);
    machine.write("identity", format!("{IDENTITY}\n"));
    machine.write("other", format!("{OTHER}\n"));
    machine
}

fn with_store(machine: &Machine, server: &ObjectStore, arguments: &[&str]) -> Ended {
    let mut command = machine.bare();
    command.args(arguments).env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hidden");
    Ended::of(command.env("AWS_ENDPOINT_URL", server.endpoint()))
}

const PACK: [&str; 5] = ["pack", "tree", "--detect", "none", "-f"];

/// A command that is its own inverse.
const ROTATION: &str = "exec:tr '\\000-\\377' '\\200-\\377\\000-\\177'";

/// The command, with the identity.
fn opened<'a>(command: &[&'a str]) -> Vec<&'a str> {
    [command, &["--identity", "identity"]].concat()
}

#[test]
fn an_archive_in_a_bucket_is_written_once_and_read_by_every_command() {
    let (machine, server) = (machine(), ObjectStore::start());
    let run = |arguments: &[&str]| with_store(&machine, &server, arguments);
    let archive = &format!("s3://{BUCKET}/hosts/a.tar.zst.age");
    let pack = [&PACK[..], &[archive, "--recipient", RECIPIENT]].concat();
    run(&pack).expect(0);
    let kept = server.objects()["hosts/a.tar.zst.age"].bytes.clone();
    assert!(kept.starts_with(b"age-encryption.org/v1\n"));
    run(&pack).expect(2).says(&["already has a file a.tar.zst.age"]);
    assert!(server.objects()["hosts/a.tar.zst.age"].bytes == kept);
    run(&opened(&["list", archive])).expect(0).prints(&["notes.txt", "sub/large"]);
    run(&opened(&["info", archive])).expect(0);
    run(&opened(&["cat", archive, "notes.txt"])).expect(0).prints(&["remember"]);
    run(&opened(&["verify", archive])).expect(0);
    run(&opened(&["find", archive, "notes.txt"])).expect(0).prints(&["notes.txt"]);
    run(&opened(&["diff", archive, "tree"])).expect(0);
    run(&opened(&["unpack", archive, "-C", "back"])).expect(0);
    let read = |name: &str| fs_err::read(machine.path(name)).unwrap();
    assert!(read("back/sub/large") == read("tree/sub/large"));
    run(&["info", &format!("s3://{BUCKET}/none.tar")]).expect(1).says(&["has no file none.tar"]);
    run(&["info", "s3://other/none.tar"]).expect(1).says(&["s3://other does not exist"]);
    run(&["info", "s3://none"]).expect(2).says(&["it names no file"]);
}

#[test]
fn a_store_that_refuses_is_told_and_has_no_archive() {
    let (machine, server) = (machine(), ObjectStore::start());
    server.fault(Action::Put, Fault::Error(403, "AccessDenied"));
    let archive = format!("s3://{BUCKET}/a.tar.zst");
    let pack = [&PACK[..], &[&archive]].concat();
    with_store(&machine, &server, &pack).expect(1).says(&["AccessDenied"]);
    assert!(server.objects().is_empty());
    machine.hashget(&pack).expect(2).says(&["there are no credentials"]);
}

#[test]
fn an_encrypted_file_opens_with_the_right_identity_alone() {
    let machine = machine();
    let pack = [&PACK[..], &["a.tar.zst.age", "--recipient", RECIPIENT]].concat();
    machine.hashget(&pack).expect(0);
    machine
        .hashget(&["list", "a.tar.zst.age", "--identity", "identity"])
        .expect(0)
        .prints(&["sub/large"]);
    // What can be said without an identity is said, and nothing else.
    let told = machine.hashget(&["info", "a.tar.zst.age"]).expect(0);
    told.prints(&["to 1 recipient (X25519)", "Size"]).says(&["--identity opens it"]);
    let json = machine.hashget(&["info", "--json", "a.tar.zst.age"]).expect(0);
    assert!(json.stdout.contains(r#""encrypted":{"X25519":1}"#), "{}", json.stdout);
    machine
        .hashget(&["list", "a.tar.zst.age"])
        .expect(1)
        .says(&["encrypted to 1 recipient (X25519)", "--identity"]);
    let wrong = machine.hashget(&["list", "a.tar.zst.age", "--identity", "other"]);
    wrong.expect(1).says(&["no identity that was given"]);
    let mut command = machine.bare();
    command
        .args(["cat", "a.tar.zst.age", "notes.txt"])
        .env("HASHGET_IDENTITY", machine.path("identity"));
    Ended::of(&mut command).expect(0).prints(&["remember"]);
    let whole = fs_err::read(machine.path("a.tar.zst.age")).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for bytes in [&damaged[..], &whole[..whole.len() - 1], &whole[..whole.len() / 2]] {
        machine.write("b.tar.zst.age", bytes);
        let unpack = ["unpack", "b.tar.zst.age", "-C", "back", "--identity", "identity"];
        machine.hashget(&unpack).expect(4);
    }
}

#[test]
fn names_and_recipients_that_do_not_fit_are_refused_before_the_work() {
    let machine = machine();
    let pack = |rest: &[&str]| machine.hashget(&[&PACK[..], rest].concat());
    pack(&["a.tar.zst.age"]).expect(2).says(&["--recipient"]);
    pack(&["a.tar.zst.enc", "--recipient", RECIPIENT]).expect(2).says(&["call it a.tar.zst.age"]);
    pack(&["a.tar.zst", "--recipient", "exec:cat"]).expect(2).says(&["call it a.tar.zst.enc"]);
    pack(&["a.tar.zst.age", "--recipient", RECIPIENT, "--recipient", "passphrase:identity"])
        .expect(2)
        .says(&["only recipient"]);
    pack(&["a.tar.zst", "--recipient", RECIPIENT]).expect(2).says(&["call it a.tar.zst.age"]);
    pack(&["a.tar.zst.age", "--recipient", "nobody"]).expect(2).says(&["no recipient"]);
    let secret = pack(&["a.tar.zst.age", "--recipient", IDENTITY]).expect(2).says(&["is secret"]);
    drop(secret);
    pack(&["a.tar.zst.age", "--recipient", RECIPIENT, "--parity", "5%"])
        .expect(2)
        .says(&["--parity"]);
    assert!(!machine.path("a.tar.zst.age").exists());
}

#[test]
fn a_passphrase_or_a_command_encrypts_too() {
    let machine = machine();
    machine.write("passphrase", "correct horse\n");
    for (archive, recipient, identity) in [
        ("a.tar.zst.age", "passphrase:passphrase", "passphrase:passphrase"),
        ("a.tar.gz.enc", ROTATION, ROTATION),
    ] {
        machine.hashget(&[&PACK[..], &[archive, "--recipient", recipient]].concat()).expect(0);
        let closed = machine.hashget(&["list", archive]).expect(1);
        let asks = if archive.ends_with(".enc") { "exec:COMMAND" } else { "no passphrase" };
        closed.says(&[asks, "--identity"]);
        let with = ["--identity", identity];
        machine.hashget(&[&["verify", archive][..], &with].concat()).expect(0);
        let cat = ["cat", archive, "notes.txt"];
        machine.hashget(&[&cat[..], &with].concat()).expect(0).prints(&["remember"]);
    }
    let fails = ["b.tar.zst.enc", "--recipient", "exec:cat; echo no key >&2; exit 2"];
    machine.hashget(&[&PACK[..], &fails].concat()).expect(1).says(&["no key", "exit status: 2"]);
    assert!(!machine.path("b.tar.zst.enc").exists());
}
