//! A publisher in a real object store.

use std::path::Path;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::weed::{WEED_BUCKET, WEED_CREDENTIALS, Weed};

use crate::support::{Ended, Machine};

fn upload(weed: &Weed, folder: &Path, below: &Path) {
    for entry in fs_err::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => upload(weed, folder, &path),
            false => {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                weed.put(&format!("shared/{name}"), &fs_err::read(&path).unwrap());
            }
        }
    }
}

fn with_store(machine: &Machine, weed: &Weed, secret: &str, arguments: &[&str]) -> Ended {
    let mut command = machine.bare();
    command.envs(machine.variables()).args(arguments).env("AWS_ACCESS_KEY_ID", WEED_CREDENTIALS.0);
    command.env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_ENDPOINT_URL", weed.endpoint());
    Ended::of(&mut command)
}

/// What a machine leaves out that has the file of a package and knows nothing.
fn left_out(configuration: &str, weed: &Weed, secret: &str, code: i32) -> (u64, String) {
    let machine = Machine::new();
    machine.write("tree/a", text());
    machine.write("own-config.toml", configuration);
    let pack = ["pack", "tree", "-f", "a.tar", "--json", "--ask-hashes", "all"];
    let ended = with_store(&machine, weed, secret, &pack).expect(code);
    (ended.last_record()["left_out_bytes"].as_u64().unwrap(), ended.stdout)
}

fn text() -> Vec<u8> {
    b"of a package\n".repeat(10_000)
}

pub(crate) fn a_publisher_in_seaweedfs_is_read() {
    let (origin, publisher) = (Origin::start(), Machine::new());
    origin.serve("/a.tar", TarBuilder::new().file("a", &text()).finish());
    let made = ["publish", "keygen", "--key", "secret", "--name", "publisher.example/log"];
    let key = publisher.hashget(&made).expect(0).stdout.trim().to_owned();
    publisher.hashget(&["index", &origin.url("/a.tar")]).expect(0);
    publisher.hashget(&["publish", "-o", "published", "--key", "secret"]).expect(0);
    let mut weed = Weed::start();
    let folder = publisher.path("published");
    upload(&weed, &folder, &folder);
    let place = format!("s3://{WEED_BUCKET}/shared");
    let secret = WEED_CREDENTIALS.1;
    let verify = ["publish", "verify", &place, "--key", &key];
    with_store(&publisher, &weed, secret, &verify)
        .expect(0)
        .says(&["Every byte is what was signed"]);
    let configuration = format!("[[publisher]]\nurl = \"{place}\"\nkey = \"{key}\"\n");
    assert_eq!(left_out(&configuration, &weed, secret, 0).0, 130_000);
    // Without the right to read, the backup is made all the same, and it is told.
    let (bytes, said) = left_out(&configuration, &weed, "wrong", 5);
    assert_eq!(bytes, 0);
    assert!(said.contains("this publisher is not asked in this run"), "{said}");
    weed.restart();
    assert_eq!(left_out(&configuration, &weed, secret, 0).0, 130_000);
}
