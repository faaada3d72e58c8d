//! Any bytes as a server's responses: the first to a complete download, the others to its resumption and to a request
//! for a part. Three zero bytes in a row separate them.
#![no_main]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use hashget::fetch::{HttpOrigin, OriginOptions, Reach, Source as _, TimeOuts, Wanted, Web as _};
use hashget::limits::Limits;
use hashget::model::Digest;
use hashget::monitor::Silent;
use libfuzzer_sys::fuzz_target;

/// Serves on a loopback port, one response for each connection.
struct Server {
    url: String,
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/p", listener.local_addr().expect("an address"));
        let answers: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let shared = Arc::clone(&answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = shared.lock().expect("nobody panics").pop().unwrap_or_default();
                let _ = answer_one(stream, &answer);
            }
        });
        Server { url, answers }
    })
}

fn answer_one(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    stream.write_all(answer)
}

fn origin(folder: &std::path::Path) -> HttpOrigin {
    let short = Duration::from_millis(300);
    let time_outs = TimeOuts {
        resolve: short,
        connect: short,
        send: short,
        answer: short,
        stall: short,
        ..TimeOuts::default()
    };
    let limits = Limits { download_bytes: 1 << 20, ..Limits::default() };
    let partial_dir = Some(folder.to_path_buf());
    HttpOrigin::new(OriginOptions { partial_dir, limits, time_outs, ..OriginOptions::default() })
}

/// Refuses redirects to other servers.
fn stays_here(bytes: &[u8]) -> bool {
    let text: Vec<u8> = bytes
        .iter()
        .filter(|byte| !matches!(byte, b'\t' | b'\r'))
        .map(|byte| if *byte == b'\\' { b'/' } else { byte.to_ascii_lowercase() })
        .collect();
    let places = text.windows(8).enumerate().filter(|(_, word)| word == b"location");
    places.map(|(at, _)| &text[at..]).all(|place| {
        let line = place.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let colons = line.iter().filter(|byte| **byte == b':').count();
        colons <= 1 && !line.windows(2).any(|slashes| slashes == b"//")
    })
}

fuzz_target!(|bytes: &[u8]| {
    if !stays_here(bytes) {
        return;
    }
    let server = server();
    let text: Vec<u8> = bytes.to_vec();
    let mut answers: Vec<Vec<u8>> = Vec::new();
    let mut rest = &text[..];
    while let Some(at) = rest.windows(3).position(|mark| mark == [0; 3]) {
        answers.push(rest[..at].to_vec());
        rest = &rest[at + 3..];
    }
    answers.push(rest.to_vec());
    answers.reverse();
    *server.answers.lock().expect("nobody panics") = answers;
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let origin = origin(folder.path());
    let content = b"the content";
    for sha256 in [None, Some(Digest::of(content))] {
        let wanted = Wanted { url: server.url.clone(), sha256, ..Wanted::default() };
        for _ in 0..2 {
            if let Ok(fetched) = origin.fetch(&wanted, &Silent) {
                assert!(sha256.is_none_or(|sha256| sha256 == fetched.sha256), "it is proven");
                assert!(fetched.size <= 1 << 20);
            }
        }
    }
    if let Ok(range) = origin.fetch_range(&server.url, Reach::Anywhere, 3, 5, &Silent) {
        assert!(range.bytes.len() <= 5, "no more than was asked for");
    }
});
