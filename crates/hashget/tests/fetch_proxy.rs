//! Proxies: which servers hear of a request, what is said when the proxy fails, and what it does to a body.
//!
//! Invariant: an HTTP proxy here answers no request; what goes through it fails, and what goes past it arrives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use hashget::fetch::{FetchError, HttpOrigin, OriginOptions, Proxies, Reach, Source as _, Wanted};
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget_testkit::origin::{Fault, Origin};
use stage::{Stage, bytes};

fn through(proxies: Proxies) -> HttpOrigin {
    HttpOrigin::new(OriginOptions { proxies, ..OriginOptions::default() })
}

fn served() -> Origin {
    let origin = Origin::start();
    origin.serve("/p", bytes(1000));
    origin
}

fn fetch(source: &HttpOrigin, url: String, reach: Reach) -> Result<(), FetchError> {
    source.fetch(&Wanted { url, reach, ..Wanted::default() }, &Silent).map(drop)
}

#[test]
fn the_proxy_of_the_environment_is_asked_unless_a_pool_is_on_this_machine() {
    let (origin, proxy) = (served(), Origin::start());
    let address = proxy.url("").replace("http://", "http://user:secret@");
    let variable = |name: &str| (name == "HTTP_PROXY").then(|| address.clone());
    let source = through(Proxies::of_variables(variable).unwrap());
    let error = fetch(&source, origin.url("/p"), Reach::Anywhere).unwrap_err().to_string();
    assert!(error.contains("through the proxy 127.0.0.1:") && !error.contains("secret"), "{error}");
    assert_eq!(proxy.requests()[0].method, "CONNECT");
    assert_eq!(origin.requests(), []);
    fetch(&source, origin.url("/p"), Reach::Configured).unwrap();
}

#[test]
fn no_proxy_goes_past_it() {
    let (origin, proxy) = (served(), Origin::start());
    let variable = |name: &str| match name {
        "all_proxy" => Some(proxy.url("")),
        "no_proxy" => Some("127.0.0.0/8".to_owned()),
        _ => None,
    };
    let source = through(Proxies::of_variables(variable).unwrap());
    fetch(&source, origin.url("/p"), Reach::Anywhere).unwrap();
    assert_eq!(proxy.requests(), []);
}

/// Reads the bytes and answers with others.
fn exchange(stream: &mut TcpStream, count: usize, answer: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    stream.write_all(answer).unwrap();
    bytes
}

#[test]
fn a_socks_proxy_is_spoken_to_as_one() {
    for scheme in ["socks5", "socks5h"] {
        let origin = served();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = origin.url("").trim_start_matches("http://").to_owned();
        let proxy = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let greeting = exchange(&mut client, 2, b"");
            exchange(&mut client, usize::from(greeting[1]), &[5, 0]);
            // Version, connect, reserved, an IPv4 address or a name.
            let head = exchange(&mut client, 4, b"");
            let more =
                if head[3] == 1 { 3 } else { usize::from(exchange(&mut client, 1, b"")[0]) - 1 };
            exchange(&mut client, more + 3, &[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]);
            let mut server = TcpStream::connect(target).unwrap();
            let mut back = server.try_clone().unwrap();
            let mut to_client = client.try_clone().unwrap();
            std::thread::spawn(move || std::io::copy(&mut back, &mut to_client));
            drop(std::io::copy(&mut client, &mut server));
        });
        let source = through(Proxies::configured(&format!("{scheme}://{address}")).unwrap());
        fetch(&source, origin.url("/p"), Reach::Anywhere).unwrap();
        assert_eq!(origin.requests().len(), 1);
        drop(source);
        drop(origin);
        proxy.join().unwrap();
    }
}

#[test]
fn a_proxy_may_be_in_the_private_network_and_what_it_is_asked_for_may_not() {
    let (origin, proxy) = (served(), Origin::start());
    proxy.always("public.example:80", Fault::Status(403));
    let source = through(Proxies::configured(&proxy.url("")).unwrap());
    let error = fetch(&source, origin.url("/p"), Reach::PublicOnly).unwrap_err();
    assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
    assert_eq!(proxy.requests(), []);
    fetch(&source, "http://public.example/p".to_owned(), Reach::PublicOnly).unwrap_err();
    assert_eq!(proxy.requests().len(), 1);
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_a_proxy_compressed_once_more_is_decoded() {
    let stage = Stage::new();
    let file = gzip(&stage.content);
    for (path, body, known, expected) in [
        // The header lies about the file itself.
        ("/a.tar.gz", file.clone(), false, &file),
        ("/b.tar.gz", gzip(&file), false, &file),
        ("/c.tgz", gzip(&file), true, &file),
        // The digest proves what the name does not tell.
        ("/d.tar", file.clone(), true, &stage.content),
        ("/e.crate", file.clone(), true, &file),
    ] {
        stage.origin.serve(path, body);
        stage.origin.always(path, Fault::Encoded);
        let sha256 = known.then(|| Digest::of(expected));
        let wanted = Wanted { url: stage.origin.url(path), sha256, ..Wanted::default() };
        let mut fetched = stage.source.fetch(&wanted, &Silent).unwrap();
        let mut came = Vec::new();
        std::io::Read::read_to_end(&mut fetched.file, &mut came).unwrap();
        assert!(came == *expected, "{path}: {} bytes", came.len());
        assert_eq!((fetched.sha256, fetched.size), (Digest::of(expected), expected.len() as u64));
    }
}
