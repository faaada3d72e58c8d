//! The page for people, in a browser.

use hashget::hashdb::{HashDbWriter as _, LocalHashDb};
use hashget::model::{PackageRecord, Signature};
use hashget_server::Scope;
use serde_json::json;

use crate::browser::Browser;
use crate::support::{TestServer, member, record, settings};

const DOWN: &str = "\u{E015}";
const UP: &str = "\u{E013}";
const ENTER: &str = "\u{E007}";

fn server_with_packages(toml: &str) -> TestServer {
    let server = TestServer::start(settings(toml));
    let hashdb = LocalHashDb::open(server.path()).unwrap();
    let files: Vec<_> = (0..1200)
        .map(|number| member(&format!("data/usr/share/doc/{number:04}"), &number.to_string(), 5000))
        .collect();
    hashdb.put(&record("large", 1), &files).unwrap();
    let once = PackageRecord { vouched: false, ..record("vim-common", 2) };
    hashdb.put(&once, &[member("data/usr/share/vim", "common", 10)]).unwrap();
    hashdb.put(&record("vim", 3), &[member("data/usr/bin/vim", "an editor", 9)]).unwrap();
    server
}

pub(crate) fn people_search_by_name_and_by_keyboard() {
    let server = server_with_packages("");
    let browser = Browser::start();
    browser.open(&server.client.url("/"));
    // What is new comes first.
    browser.wait("document.querySelectorAll('#found a').length === 3");
    browser.key("/");
    assert_eq!(browser.run("return document.activeElement.id"), "q");
    browser.keys("#q", "vim");
    browser.wait("document.querySelectorAll('#found a').length === 2");
    let badges =
        browser.run("return [...document.querySelectorAll('#found .badge')].map(x => x.innerText)");
    assert_eq!(badges, json!(["seen once"]));
    browser.key(DOWN);
    browser.key(DOWN);
    browser.key(UP);
    let focused = browser.run("return document.activeElement.querySelector('.title').innerText");
    assert_eq!(focused, "vim_1:3_amd64");
    browser.key(ENTER);
    browser.wait("document.querySelector('h1.name')?.innerText === 'vim_1:3_amd64'");
    browser.wait("document.body.innerText.includes('data/usr/bin/vim')");
    assert_eq!(
        browser.run("return document.querySelector('.place a').href"),
        "https://a.example/vim_3.deb"
    );

    // From a file in it to the packages that have the file; a long list comes in parts.
    browser.run("document.querySelector('td.digest a').click()");
    browser.wait("document.querySelectorAll('#found a').length === 1 && document.getElementById('q').value.length === 64");
    browser.open(&server.client.url(&format!("/#/package/{}", record("large", 1).sha256)));
    browser.wait("document.querySelectorAll('tbody tr').length === 500");
    browser.run("document.querySelector('.more button').click()");
    browser.wait("document.querySelectorAll('tbody tr').length === 1000");
    browser.run("document.querySelector('.more button').click()");
    browser.wait("document.querySelectorAll('tbody tr').length === 1200 && document.querySelector('.more').hidden");
    browser.open(&server.client.url("/#/status"));
    browser.wait("document.querySelector('main').innerText.includes('1,205')");
    browser.open(&server.client.url("/#/search/nowhere"));
    browser.wait("document.querySelector('main').innerText.includes('No package here has')");
    browser.check_log();
}

pub(crate) fn a_chosen_file_is_found_and_not_uploaded() {
    let server = server_with_packages("");
    let token = server.token("admin", Scope::Admin);
    let browser = Browser::start();
    browser.open(&server.client.url("/"));
    browser.wait("document.querySelectorAll('#found a').length === 3");
    let folder = tempfile::tempdir().unwrap();
    for (content, found) in
        [("an editor", "1 package with mine"), ("unknown", "No package here has mine")]
    {
        let file = folder.path().join("mine");
        fs_err::write(&file, content).unwrap();
        browser.keys("#file", file.to_str().unwrap());
        browser
            .wait(&format!("document.querySelector('main').innerText.includes({})", json!(found)));
    }
    // Dropped, it is the same.
    browser.run(
        "const data = new DataTransfer(); data.items.add(new File(['an editor'], 'dropped'));
         const event = (name) => window.dispatchEvent(new DragEvent(name, { dataTransfer: data, cancelable: true }));
         event('dragenter'); window.shown = !document.getElementById('drop').hidden; event('dragover'); event('drop');",
    );
    assert_eq!(browser.run("return window.shown"), true);
    browser.wait("document.querySelector('main').innerText.includes('1 package with dropped')");
    browser.wait("document.getElementById('drop').hidden");
    browser.check_log();
    // The server was asked questions, and sent nothing.
    let metrics = server.client.with_token(&token).get("/metrics").text();
    assert!(metrics.contains("route=\"/v1/search\",method=\"GET\""), "{metrics}");
    assert!(
        !metrics.contains("method=\"POST\"") && !metrics.contains("method=\"PUT\""),
        "{metrics}"
    );
}

pub(crate) fn names_of_packages_are_text() {
    let server = server_with_packages("");
    let hashdb = LocalHashDb::open(server.path()).unwrap();
    let code = "<img src=x onerror=\"document.title='harmed'\"><b>bold</b>";
    let hostile = PackageRecord {
        url: format!("javascript:document.title='harmed'//{code}"),
        signatures: vec![Signature { kind: "deb".to_owned(), value: code.to_owned() }],
        ..record("hostile", 4)
    };
    let members = [member(&format!("data/{}", code.replace('/', "-")), "hostile", 10)];
    hashdb.put(&hostile, &members).unwrap();
    let browser = Browser::start();
    browser.open(&server.client.url("/#/search/onerror"));
    browser.wait("document.querySelectorAll('#found a').length === 1");
    assert_eq!(browser.run("return document.querySelector('.title').innerText"), code);
    browser.open(&server.client.url(&format!("/#/package/{}", hostile.sha256)));
    browser.wait("document.querySelectorAll('tbody tr').length === 1");
    assert_eq!(
        browser.run(
            "return document.querySelectorAll('main img, main b, main a[href^=javascript]').length"
        ),
        0
    );
    browser
        .open(&server.client.url(&format!("/#/search/{}", "%3Cimg%20src=x%20onerror=alert(1)%3E")));
    browser.wait("document.querySelector('main').innerText.includes('No package here has')");
    assert_eq!(browser.run("return document.title"), "hashget: what is in public packages");
    browser.check_log();
}

pub(crate) fn it_fits_and_can_be_read_at_every_width_light_and_dark() {
    let server = server_with_packages("");
    let browser = Browser::start();
    let package = format!("/#/package/{}", record("large", 1).sha256);
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs_err::create_dir_all(&folder).unwrap();
    for (page, path) in [("packages", "/"), ("package", &package), ("status", "/#/status")] {
        for width in [380, 1100] {
            for scheme in ["light", "dark"] {
                browser.look(width, scheme);
                browser.open(&server.client.url(path));
                browser
                    .wait("document.querySelector('main').getAttribute('aria-busy') === 'false'");
                let wide = browser.run("return document.documentElement.scrollWidth - innerWidth");
                assert!(wide.as_i64().unwrap() <= 0, "{page} at {width}: {wide} too wide");
                // The colours of each text and of what is behind it, and their contrast as WCAG 2 defines it.
                let low = browser.run(CONTRAST);
                assert_eq!(low, json!([]), "{page} at {width}, {scheme}");
                browser.screenshot(&folder.join(format!("{page}-{width}-{scheme}.png")));
            }
        }
    }
    browser.check_log();
}

/// Texts whose contrast is below 4.5.
const CONTRAST: &str = "
    const numbers = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
        const part = (value) => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
        return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            const parts = numbers(colour);
            if (colour.startsWith('rgb') && parts.length === 3) return parts;
        }
        return [255, 255, 255];
    };
    const low = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !element.checkVisibility() || element.closest('noscript, .skip')) continue;
        const [a, b] = [light(numbers(getComputedStyle(element).color)), light(ground(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) low.push(element.textContent.trim().slice(0, 40) + ': ' + contrast.toFixed(2));
    }
    return low;
";

pub(crate) fn where_a_token_is_needed_it_is_asked_for() {
    let server = server_with_packages("anonymous = []");
    let token = server.token("me", Scope::Read);
    let browser = Browser::start();
    browser.open(&server.client.url("/"));
    browser.wait("!document.getElementById('access').hidden");
    browser.keys("#token", "hgt_wrong\u{E007}");
    browser.wait("document.querySelector('main').innerText.includes('The token is not known')");
    browser.keys("#token", &format!("{token}\u{E007}"));
    browser.wait("document.querySelectorAll('#found a').length === 3");
    assert_eq!(browser.run("return document.getElementById('access').hidden"), true);
}
