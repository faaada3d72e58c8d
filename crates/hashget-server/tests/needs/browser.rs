//! A headless Chromium, driven by the WebDriver protocol.
//!
//! Invariant: it ends with the test, and whatever it complained of fails the test.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the page may take for what is asked of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The name of an element in answers of the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    driver: Child,
    agent: ureq::Agent,
    session: String,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = said
            .find_map(|line| line.unwrap().strip_suffix('.')?.rsplit(' ').next()?.parse().ok())
            .expect("it says where it listens");
        std::thread::spawn(move || said.for_each(drop));
        let config = ureq::Agent::config_builder();
        let agent = config.http_status_as_error(false).proxy(None).build().into();
        let profile = tempfile::tempdir().unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let session = format!("http://127.0.0.1:{port}");
        let mut browser = Self { driver, agent, session, _profile: profile };
        let options = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let made = browser.call(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": options } }),
        );
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        browser.session = format!("{}/session/{id}", browser.session);
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let mut answer = match method {
            "GET" => self.agent.get(url).call(),
            _ => self.agent.post(url).content_type("application/json").send(body.to_string()),
        }
        .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        answer["value"].take()
    }

    pub(crate) fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// What this function body returns in the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        let result = self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }));
        assert!(result.get("stacktrace").is_none(), "{script}: {result}");
        result
    }

    /// Waits until this expression is true in the page.
    pub(crate) fn wait(&self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.run(&format!("return Boolean({expression})")) != true {
            let shown = self.run("return document.body.innerText");
            assert!(Instant::now() < end, "{expression} stays false: {shown}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Sends keys to the element: text, or those of the protocol. A file's path to a field of files.
    pub(crate) fn keys(&self, selector: &str, keys: &str) {
        let found =
            self.call("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        let id = found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}"));
        let sent = self.call("POST", &format!("/element/{id}/value"), &json!({ "text": keys }));
        assert!(sent.is_null(), "{selector}: {sent}");
    }

    /// Sends a key to whatever has the focus.
    pub(crate) fn key(&self, key: &str) {
        let actions =
            json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let body = json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] });
        self.call("POST", "/actions", &body);
    }

    /// Calls a command of the browser's own protocol.
    pub(crate) fn command(&self, name: &str, parameters: &Value) {
        let body = json!({ "cmd": name, "params": parameters });
        self.call("POST", "/goog/cdp/execute", &body);
    }

    /// A window of this width, light or dark.
    pub(crate) fn look(&self, width: u32, scheme: &str) {
        let metrics =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.command("Emulation.setDeviceMetricsOverride", &metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Writes what is seen into a PNG file.
    pub(crate) fn screenshot(&self, file: &Path) {
        let shot = self.call("GET", "/screenshot", &Value::Null);
        let png = base64_decoded(shot.as_str().unwrap());
        fs_err::write(file, png).unwrap();
    }

    /// Fails if the browser complained of anything: an error of the script, a resource that the policy forbids.
    pub(crate) fn check_log(&self) {
        let log = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        assert_eq!(log, json!([]));
    }
}

/// The page decodes what it encoded.
fn base64_decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 6 | u32::from(value(*byte)));
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.agent.delete(&self.session).call());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
