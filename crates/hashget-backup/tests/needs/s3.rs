//! A real object store: SeaweedFS.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hashget::fetch::OriginOptions;
use hashget::monitor::Silent;
use hashget_backup::store::{
    Compared, CredentialsFrom, Patience, S3Options, S3Store, Store as _, StoreError,
};

use crate::conformance::{Can, StopAfter, bytes, check_store, names, read, send, send_watched};

/// The store, all parts of it in one process.
struct Weed {
    child: Child,
    _folder: tempfile::TempDir,
    port: u16,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Weed {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
        let config = folder.path().join("s3.json");
        let identity = r#"{"identities":[{"name":"night","credentials":[{"accessKey":"key","secretKey":"secret"}],"actions":["Admin","Read","Write","List"]}]}"#;
        fs_err::write(&config, identity).unwrap();
        let mut command = Command::new("weed");
        command.args([
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            "-filer",
            "-volume.max=20",
            "-master.volumeSizeLimitMB=64",
            // Of fixed numbers, which another one on this machine may have.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]);
        for (name, port) in
            ["master.port", "volume.port", "filer.port", "s3.port"].iter().zip(&ports)
        {
            command.arg(format!("-{name}={port}"));
            if *name != "s3.port" {
                command.arg(format!("-{}.grpc={}", name, free_port()));
            } else {
                command.arg(format!("-s3.port.grpc={}", free_port()));
            }
        }
        command
            .arg(format!("-s3.config={}", config.display()))
            .arg(format!("-dir={}", folder.path().display()));
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        Self { child, _folder: folder, port: ports[3] }
    }

    fn store(&self, bucket: &str, secret: &str) -> S3Store {
        let secret = secret.to_owned();
        let variable = move |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("key".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some(secret.clone()),
            _ => None,
        };
        let options = S3Options {
            endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            largest_put: 5 << 20,
            part_bytes: 5 << 20,
            ..S3Options::default()
        };
        let from = CredentialsFrom::of_environment(None, variable);
        let patience = Patience { most: Duration::from_secs(20), ..Patience::default() };
        let network = OriginOptions::default();
        S3Store::new("s3://night/hosts", (bucket, "hosts/"), options, from, (&network, patience))
            .unwrap()
    }

    /// Waits until it answers, and makes a bucket by its own interface.
    fn make_bucket(&self) {
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() && self.put_bucket() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("weed does not start");
    }

    fn put_bucket(&self) -> bool {
        let endpoint = format!("http://127.0.0.1:{}", self.port).parse().unwrap();
        let bucket =
            rusty_s3::Bucket::new(endpoint, rusty_s3::UrlStyle::Path, "night", "us-east-1")
                .unwrap();
        let credentials = rusty_s3::Credentials::new("key", "secret");
        let url =
            rusty_s3::S3Action::sign(&bucket.create_bucket(&credentials), Duration::from_secs(60));
        ureq::put(url.as_str()).send_empty().is_ok_and(|answer| answer.status() == 200)
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn seaweedfs_conforms() {
    let weed = Weed::start();
    weed.make_bucket();
    let store = weed.store("night", "secret");
    let first = send(&store, "first", b"x").unwrap();
    store.remove("first", &Silent).unwrap();
    check_store(&store, Can { random: true, compared: first });
    let missing = weed.store("other", "secret").list(&Silent).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
    let wrong = weed.store("night", "wrong").list(&Silent).unwrap_err();
    assert!(matches!(wrong, StoreError::Refused { .. }), "{wrong}");
    // In parts; broken off, continued, and read from everywhere.
    let sent = bytes(23 << 20);
    send_watched(&store, "large", &sent, &StopAfter::bytes(12 << 20)).unwrap_err();
    assert!(names(&store).is_empty());
    let compared = send(&store, "large", &sent).unwrap();
    assert!(matches!(compared, Compared::Checksum | Compared::Size));
    assert!(read(&store, "large").unwrap() == sent);
    assert!(matches!(send(&store, "large", b"x").unwrap_err(), StoreError::Taken { .. }));
    let mut source = store.open("large", &Silent).unwrap();
    let mut piece = vec![0; 1000];
    source.random().unwrap().read_at(&mut piece, 10 << 20).unwrap();
    assert!(piece == sent[10 << 20..(10 << 20) + 1000]);
    source.read_exact(&mut piece).unwrap();
    assert!(piece == sent[..1000]);
}
