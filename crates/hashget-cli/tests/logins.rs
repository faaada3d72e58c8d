//! Logins of netrc and of token files: sent to the pools and mirrors that the configuration names, and to nobody else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use hashget::model::Digest;
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Ended, Machine, files_below};

const BASIC: &str = "Basic dXNlcjpzM2NyZXQ=";

fn package() -> Vec<u8> {
    TarBuilder::new().file("file", &b"contents of the file ".repeat(300)).finish()
}

/// Where a pool has the package.
fn in_pool() -> String {
    let hex = Digest::of(&package()).to_string();
    format!("/sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..])
}

fn machine(netrc: &str, mode: u32) -> Machine {
    let machine = Machine::new();
    let path = machine.write("home/.netrc", netrc);
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    machine
}

fn run(machine: &Machine, configuration: &str, arguments: &[&str]) -> Ended {
    let configuration = machine.write("config.toml", configuration);
    let mut command = machine.bare();
    command.envs(machine.variables()).env("HASHGET_CONFIG", configuration).args(arguments);
    Ended::of(&mut command)
}

fn mirror(origin: &Origin) -> String {
    let place = origin.url("/");
    format!("[[mirror]]\nprefix = \"https://packages.example/\"\nuse = [\"{place}\"]\n")
}

const NETRC: &str = "machine 127.0.0.1 login user password s3cret\n";

/// What each request of a server had as its login.
fn sent(origin: &Origin) -> Vec<Option<String>> {
    origin.requests().into_iter().map(|request| request.authorization).collect()
}

#[test]
fn a_mirror_gets_its_login_and_a_redirect_of_it_does_not() {
    let (origin, elsewhere) = (Origin::start(), Origin::start());
    elsewhere.serve("/p.tar", package());
    origin.always("/p.tar", Fault::RedirectTo(elsewhere.url("/p.tar")));
    let machine = machine(NETRC, 0o600);
    run(&machine, &mirror(&origin), &["index", "https://packages.example/p.tar"]).expect(0);
    assert_eq!((sent(&origin), sent(&elsewhere)), (vec![Some(BASIC.to_owned())], vec![None]));
    for file in files_below(&machine.path("db")).iter().map(|file| machine.path("db").join(file)) {
        let bytes = fs_err::read(file).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"s3cret" || part == b"dXNlcj"));
    }
}

#[test]
fn a_packages_own_url_is_never_fetched_with_a_login() {
    let origin = Origin::start();
    origin.serve("/p.tar", package());
    let machine = machine(NETRC, 0o600);
    let url = origin.url("/p.tar");
    let mirror = mirror(&origin).replace("/\"]", "/elsewhere/\"]");
    run(&machine, &mirror, &["index", &url]).expect(0);
    let itself = format!("[[mirror]]\nprefix = \"{url}\"\nuse = [\"{url}\"]\n");
    run(&machine, &itself, &["--db", "other", "--cache", "empty", "index", &url]).expect(0);
    assert_eq!(sent(&origin), [None, None]);
}

#[test]
fn a_pool_gets_the_token_of_its_file() {
    let (origin, pool) = (Origin::start(), Origin::start());
    origin.serve("/p.tar", package());
    pool.serve(&in_pool(), package());
    // A login in netrc would make the package's own host private, too.
    let machine = machine("", 0o600);
    machine.hashget(&["index", &origin.url("/p.tar")]).expect(0);
    machine.write("tree/file", b"contents of the file ".repeat(300));
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    let token = machine.write("token", "t0ken\n");
    let host = pool.url("").replace("http://", "");
    let configuration =
        format!("pool = [\"{}\"]\n[host.\"{host}\"]\ntoken_file = \"token\"\n", pool.url(""));
    let unpack = ["--cache", "empty", "unpack", "a.tar", "-C", "back"];
    run(&machine, &configuration, &unpack).expect(2).says(&["everybody can read it"]);
    fs_err::set_permissions(&token, std::fs::Permissions::from_mode(0o640)).unwrap();
    run(&machine, &configuration, &unpack).expect(0);
    assert_eq!(sent(&pool), [Some("Bearer t0ken".to_owned())]);
    assert_eq!(origin.requests().len(), 1);
    fs_err::write(&token, "two words").unwrap();
    run(&machine, &configuration, &unpack).expect(2).says(&["expected one line with a token"]);
}

#[test]
fn a_netrc_that_everybody_can_read_is_not_used() {
    let origin = Origin::start();
    origin.serve("/p.tar", package());
    let machine = machine(NETRC, 0o644);
    let index = ["index", "https://packages.example/p.tar"];
    run(&machine, &mirror(&origin), &index).expect(0).says(&[".netrc", "chmod 600"]);
    assert_eq!(sent(&origin), [None]);
}
