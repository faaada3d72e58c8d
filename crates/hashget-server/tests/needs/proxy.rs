//! A reverse proxy in front of the server, configured as `docs/server.md` says.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Client, TestServer, settings};

pub(crate) fn caddy_tells_whose_requests_they_are() {
    let server = TestServer::start(settings(
        "proxies = [\"127.0.0.1\"]\n[limits]\nrequests_per_second = 1\nburst = 3",
    ));
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let page = fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/server.md"));
    let page = page.unwrap();
    let example = page.split("```caddyfile\n").nth(1).unwrap().split("```").next().unwrap();
    let config = example
        .replace("hashget.example.org", &format!("http://{address}"))
        .replace("127.0.0.1:8080", &server.client.address.to_string());
    assert!(config.contains(&server.client.address.to_string()), "{config}");
    let file = folder.path().join("Caddyfile");
    fs_err::write(&file, format!("{{\n\tadmin off\n}}\n{config}")).unwrap();
    let mut caddy = Command::new("caddy")
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(&file)
        .env("HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path())
        .env("XDG_CONFIG_HOME", folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(caddy.try_wait().unwrap().is_none(), "caddy ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    let client = Client::new(address);
    // Behind the proxy, the rate is that of the client, whatever it says of itself.
    let ask = |number: u32| {
        let forged = format!("192.0.2.{number}");
        client.ask("GET", "/v1/search", &[("x-forwarded-for", &forged)], "").status
    };
    let statuses: Vec<u16> = (0..30).map(ask).collect();
    drop(caddy.kill());
    drop(caddy.wait());
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
}
