//! A server in the process of the test, or a process of its own, and what asks it.
//!
//! Invariant: each server listens on loopback, works in a folder of its own, and ends with the test.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hashget::model::{
    Digest, Evidence, Keeping, Kind, Member, MemberMetadata, Origin, PackageRecord, RelPath,
    Signature,
};
use hashget_server::{Clock, Scope, Server, ServerDb, Settings};
use serde_json::Value;
use tempfile::TempDir;

/// When tests begin, in seconds since 1970 UTC.
pub(crate) const BEGIN: i64 = 1_800_000_000;
/// How long something may take that happens in the background.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The text of an error.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().expect("an error has a text").to_owned()
    }
}

/// Asks a server.
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    agent: ureq::Agent,
    pub(crate) token: Option<String>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .build();
        Self { address, agent: agent.into(), token: None }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), agent: self.agent.clone(), ..*self }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request with these headers.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let mut response = self.agent.run(request).expect("the server answers");
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body.to_string())
    }

    /// Submits a URL; the number of the submission.
    pub(crate) fn submit(&self, url: &str) -> i64 {
        let answer = self.post("/v1/submissions", &serde_json::json!({ "urls": [url] }));
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["submissions"][0]["id"].as_i64().unwrap()
    }

    /// The submission of this number.
    pub(crate) fn submission(&self, id: i64) -> Value {
        let answer = self.get(&format!("/v1/submissions/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until the submission is in this state.
    pub(crate) fn wait_for(&self, id: i64, state: &str) -> Value {
        self.wait_until(id, |found| found["state"] == state)
    }

    /// Waits until the submission is as wanted.
    pub(crate) fn wait_until(&self, id: i64, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.submission(id);
            if is_so(&found) {
                return found;
            }
            assert!(Instant::now() < end, "it stays {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends these bytes, and reads what comes until the server closes the connection.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A server that closes before it has read everything resets the connection.
        drop(stream.read_to_end(&mut answer));
        answer
    }

    /// The status of the answer to these bytes; 0 if there is none.
    pub(crate) fn raw_status(&self, bytes: &[u8]) -> u16 {
        let answer = self.raw(bytes);
        let text = String::from_utf8_lossy(&answer);
        text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

/// A server in this process, with a clock of the test's own.
pub(crate) struct TestServer {
    pub(crate) client: Client,
    pub(crate) folder: Arc<TempDir>,
    now: Arc<AtomicI64>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Settings as a TOML file would have them.
pub(crate) fn settings(toml: &str) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    fs_err::write(&file, toml).unwrap();
    Settings::read(&file).unwrap()
}

/// Settings under which a test's origin on loopback may be asked, and anybody may submit.
pub(crate) fn open_to_all() -> Settings {
    settings("anonymous = [\"read\", \"submit\"]\n[submissions]\npublic_hosts = [\"127.0.0.1\"]")
}

impl TestServer {
    pub(crate) fn start(settings: Settings) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), settings, BEGIN)
    }

    /// Starts one in a folder that an earlier one may have left.
    pub(crate) fn start_in(folder: Arc<TempDir>, settings: Settings, now: i64) -> Self {
        let now = Arc::new(AtomicI64::new(now));
        let clock = Arc::clone(&now);
        let clock = Clock::new(move || clock.load(Ordering::SeqCst));
        let server = Server::open(folder.path(), settings, clock).expect("the server starts");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                server.serve(listener, async { drop(stopped.await) }).await;
            });
        });
        let client = Client::new(told.recv().unwrap());
        Self { client, folder, now, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets hours pass.
    pub(crate) fn pass(&self, hours: i64) {
        self.now.fetch_add(hours * 3600, Ordering::SeqCst);
    }

    /// A new token with this scope.
    pub(crate) fn token(&self, name: &str, scope: Scope) -> String {
        ServerDb::open(self.path()).unwrap().add_token(name, scope, BEGIN).unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody waits any more if the server has panicked.
            _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server panicked");
        }
    }
}

/// A server that is a process of its own.
pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    pub(crate) client: Client,
}

impl ServerProcess {
    /// Starts the program in this folder, with these settings, on a free port.
    pub(crate) fn start(data: &Path, settings: &str) -> Self {
        let config: PathBuf = data.with_extension("toml");
        fs_err::write(&config, settings).unwrap();
        let mut command = program();
        command.arg("--data").arg(data).arg("--config").arg(&config);
        command.args(["--listen", "127.0.0.1:0"]);
        Self::run(command)
    }

    /// Starts this command, which is the program's.
    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut line, mut said) = (String::new(), String::new());
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended: {said}");
            said.push_str(&line);
            let text = line.trim();
            if let Some((_, address)) = text.split_once("address=") {
                break address.split_whitespace().next().unwrap().parse().unwrap();
            }
        };
        // Somebody must read the log, or the server waits for it.
        std::thread::spawn(move || drop(std::io::copy(&mut log, &mut std::io::sink())));
        Self { child, client: Client::new(address) }
    }

    /// Kills it at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The program, not started yet.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hashget-server"))
}

/// A Debian package of this name as a HashDB has it.
pub(crate) fn record(name: &str, number: u64) -> PackageRecord {
    PackageRecord {
        url: format!("https://a.example/{name}_{number}.deb"),
        also: Vec::new(),
        sha256: Digest::of(format!("{name} {number}").as_bytes()),
        size: 1000 + number,
        format: "deb".to_owned(),
        signatures: vec![Signature {
            kind: "deb".to_owned(),
            value: format!("{name}_1:{number}_amd64"),
        }],
        project: None,
        expires: None,
        indexed_at: 1_700_000_000,
        evidence: Evidence::Downloaded,
        vouched: true,
        origin: Origin::User,
        trees: Vec::new(),
        keeping: Keeping::Unknown,
        recursive: false,
        passed_over: 0,
        publisher: None,
    }
}

/// A file of a package.
pub(crate) fn member(path: &str, content: &str, size: u64) -> Member {
    Member {
        path: RelPath::new(path).unwrap(),
        kind: Kind::File { size },
        metadata: MemberMetadata::default(),
        sha256: Some(Digest::of(content.as_bytes())),
        extents: None,
    }
}
