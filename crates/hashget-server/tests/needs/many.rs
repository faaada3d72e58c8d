//! A great number of clients that send nothing useful.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::support::ServerProcess;

const CLIENTS: usize = 10_000;

pub(crate) fn ten_thousand_slow_clients_do_not_keep_others_from_being_served() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(
        &folder.path().join("data"),
        "[limits]\nconnections_per_address = 12000\nhead_seconds = 15\nrequests_per_second = 100000\nburst = 100000",
    );
    let beginnings: [&[u8]; 3] = [
        b"",
        b"GET /v1/search HTTP/1.1\r\nhost: a\r\nx: ",
        b"POST /v1/lookup HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{\"keys\": [",
    ];
    let mut slow = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let mut stream = TcpStream::connect(server.client.address).unwrap();
        stream.write_all(beginnings[number % beginnings.len()]).unwrap();
        slow.push(stream);
        if number % 1000 == 999 {
            assert_eq!(server.client.get("/healthz").status, 200);
            let asked = json!({ "keys": ["0123456789ab"] });
            assert_eq!(server.client.post("/v1/lookup", &asked).status, 200);
        }
    }
    // Each of them is sent away in the end.
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    assert_eq!(server.client.get("/healthz").status, 200);
}
