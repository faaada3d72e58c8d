//! Archives in buckets: written, read by every command, and told what is wrong with them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_testkit::object_store::{Action, BUCKET, Fault, ObjectStore};
use support::{Ended, Machine};

fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("tree/notes.txt", "remember\n");
    let bytes: Vec<u8> =
        (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    machine.write("tree/sub/large", bytes);
    machine
}

fn with_store(machine: &Machine, server: &ObjectStore, arguments: &[&str]) -> Ended {
    let mut command = machine.bare();
    command.args(arguments).env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hidden");
    Ended::of(command.env("AWS_ENDPOINT_URL", server.endpoint()))
}

const PACK: [&str; 5] = ["pack", "tree", "--detect", "none", "-f"];

#[test]
fn an_archive_in_a_bucket_is_written_once_and_read_by_every_command() {
    let (machine, server) = (machine(), ObjectStore::start());
    let run = |arguments: &[&str]| with_store(&machine, &server, arguments);
    let archive = &format!("s3://{BUCKET}/hosts/a.tar.zst");
    let pack = [&PACK[..], &[archive]].concat();
    run(&pack).expect(0);
    let kept = server.objects()["hosts/a.tar.zst"].bytes.clone();
    run(&pack).expect(2).says(&["already has a file a.tar.zst"]);
    assert!(server.objects()["hosts/a.tar.zst"].bytes == kept);
    run(&["list", archive]).expect(0).prints(&["notes.txt", "sub/large"]);
    run(&["info", archive]).expect(0);
    run(&["cat", archive, "notes.txt"]).expect(0).prints(&["remember"]);
    run(&["verify", archive]).expect(0);
    run(&["find", archive, "notes.txt"]).expect(0).prints(&["notes.txt"]);
    run(&["diff", archive, "tree"]).expect(0);
    run(&["unpack", archive, "-C", "back"]).expect(0);
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
