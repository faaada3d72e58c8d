//! A conversation with an SFTP server through the pipes of a program, usually `ssh`.
//!
//! Invariant: nobody waits for the pipes themselves, and so an interruption is noticed soon. The program ends with the session.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use hashget::model::escaped;
use hashget::monitor::{Interrupted, Monitor};
use rustix::process::Signal;

use super::protocol::{self, Answer, LONGEST, Message, VERSION, code};
use crate::shell::{group_of, signal};

/// Interruptions are noticed within this time.
const ATTENTION: Duration = Duration::from_millis(100);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Requests that are on their way at once.
pub(super) const AT_ONCE: usize = 64;

/// Bytes of a file in one message: every server takes so many.
pub(super) const PIECE: u32 = 32 * 1024;

/// The last bytes of what the program says that are kept.
const LAST_WORDS: usize = 4096;

/// Why a conversation did not go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// Another session may go better.
    Passing(String),
    /// Another one would not.
    Lasting(String),
    /// The server said no: code and text.
    Refused(u32, String),
    /// The monitor asked to stop.
    Interrupted(Interrupted),
    /// A file of this machine could not be read.
    Local(std::io::Error),
}

impl From<Interrupted> for Broken {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        Self::Local(error)
    }
}

/// The conversation.
pub(super) struct Session {
    child: Child,
    to: Option<Sender<Vec<u8>>>,
    from: Receiver<Vec<u8>>,
    words: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
    extensions: Vec<Vec<u8>>,
    next: u32,
    /// Answers that came before they were waited for.
    early: BTreeMap<u32, Answer>,
}

impl Session {
    /// Starts the program and says hello.
    ///
    /// # Errors
    /// It cannot be started, or no server of this protocol answers.
    pub(super) fn start(words: &[String], monitor: &dyn Monitor) -> Result<Self, Broken> {
        let (program, arguments) =
            words.split_first().ok_or_else(|| Broken::Lasting("no program is named".to_owned()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for us: we end it.
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| {
            Broken::Lasting(format!(
                "{program} cannot be started: {}",
                hashget::wording::plain(&error.to_string())
            ))
        })?;
        let (to, outgoing) = bounded::<Vec<u8>>(AT_ONCE);
        let (incoming, from) = bounded(AT_ONCE);
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Broken::Lasting(format!("{program} has no pipes")));
        };
        std::thread::Builder::new().spawn(move || {
            // If it fails, the other side is gone, and no answer comes.
            while let Ok(message) = outgoing.recv() {
                if stdin.write_all(&message).is_err() {
                    break;
                }
            }
        })?;
        std::thread::Builder::new().spawn(move || read_messages(stdout, &incoming))?;
        let kept = Arc::<Mutex<Vec<u8>>>::default();
        let listening = Arc::clone(&kept);
        let listener = std::thread::Builder::new().spawn(move || listen(stderr, &listening))?;
        let (extensions, early) = (Vec::new(), BTreeMap::new());
        let (to, listener) = (Some(to), Some(listener));
        let mut session =
            Self { child, to, from, words: kept, listener, extensions, next: 0, early };
        session.say(protocol::hello(), monitor)?;
        let welcome = session.message(monitor)?;
        match protocol::welcome(&welcome) {
            Some((VERSION.., extensions)) => session.extensions = extensions,
            Some((version, _)) => {
                return Err(Broken::Lasting(format!(
                    "it speaks version {version} of SFTP, expected 3"
                )));
            }
            None => return Err(session.nonsense()),
        }
        Ok(session)
    }

    /// Does the server have this extension?
    pub(super) fn has(&self, extension: &str) -> bool {
        self.extensions.iter().any(|name| name == extension.as_bytes())
    }

    fn say(&mut self, message: Vec<u8>, monitor: &dyn Monitor) -> Result<(), Broken> {
        let began = Instant::now();
        let mut message = message;
        loop {
            monitor.check_interrupted()?;
            let sent = self.to.as_ref().map(|to| to.send_timeout(message, ATTENTION));
            match sent {
                Some(Ok(())) => return Ok(()),
                Some(Err(SendTimeoutError::Timeout(unsent))) if began.elapsed() < PATIENCE => {
                    message = unsent;
                }
                Some(Err(SendTimeoutError::Timeout(_))) => {
                    return Err(Broken::Passing("it took nothing for 90 seconds".to_owned()));
                }
                Some(Err(SendTimeoutError::Disconnected(_))) | None => return Err(self.end()),
            }
        }
    }

    /// The next message.
    fn message(&mut self, monitor: &dyn Monitor) -> Result<Vec<u8>, Broken> {
        let began = Instant::now();
        loop {
            monitor.check_interrupted()?;
            match self.from.recv_timeout(ATTENTION) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) if began.elapsed() < PATIENCE => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Broken::Passing("it did not answer for 90 seconds".to_owned()));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.end()),
            }
        }
    }

    /// Why the program ended.
    fn end(&mut self) -> Broken {
        self.to = None;
        // One that has closed its pipes ends by itself; whatever it is at, nothing comes of it any more.
        for _ in 0..20 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        // What it has started may keep the pipe of its messages open.
        for _ in 0..20 {
            if self.listener.as_ref().is_none_or(JoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let words = self.words.lock().expect("nothing panics while it listens");
        why(&String::from_utf8_lossy(&words))
    }

    /// Ends the program, and what it has started in its group.
    fn kill(&mut self) {
        // A number that was waited for may be another process's by now.
        if let Ok(None) = self.child.try_wait() {
            signal(group_of(&self.child), Signal::KILL);
        }
    }

    pub(super) fn nonsense(&mut self) -> Broken {
        match self.end() {
            Broken::Passing(_) => Broken::Lasting(
                "its answer makes no sense: is something printed by its login shell?".to_owned(),
            ),
            broken => broken,
        }
    }

    /// Sends a request; its number, by which the answer is had.
    pub(super) fn ask(
        &mut self,
        kind: u8,
        fields: impl FnOnce(Message) -> Message,
        monitor: &dyn Monitor,
    ) -> Result<u32, Broken> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.say(fields(Message::new(kind, id)).finish(), monitor)?;
        Ok(id)
    }

    /// The answer to a request.
    pub(super) fn answer(&mut self, id: u32, monitor: &dyn Monitor) -> Result<Answer, Broken> {
        loop {
            if let Some(answer) = self.early.remove(&id) {
                return Ok(answer);
            }
            let message = self.message(monitor)?;
            let Some((found, answer)) = protocol::answer(&message) else {
                return Err(self.nonsense());
            };
            if self.early.len() > 2 * AT_ONCE {
                return Err(self.nonsense());
            }
            self.early.insert(found, answer);
        }
    }

    /// Expects that it went well.
    pub(super) fn done(&mut self, id: u32, monitor: &dyn Monitor) -> Result<(), Broken> {
        match self.answer(id, monitor)? {
            Answer::Status(code::OK, _) => Ok(()),
            Answer::Status(code, text) => Err(Broken::Refused(code, text)),
            _ => Err(self.nonsense()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.to = None;
        self.kill();
        drop(self.child.wait());
    }
}

/// Passes on what the server says, message by message, until it ends or says what is no message.
fn read_messages(pipe: impl Read, to: &Sender<Vec<u8>>) {
    let mut pipe = BufReader::with_capacity(LONGEST as usize, pipe);
    let mut length = [0; 4];
    while pipe.read_exact(&mut length).is_ok() {
        let length = u32::from_be_bytes(length);
        // What is too long is none, and nobody understands it. One that is cut never came.
        let is_message = (1..=LONGEST).contains(&length);
        let mut message = vec![0; if is_message { length as usize } else { 0 }];
        if pipe.read_exact(&mut message).is_err() || to.send(message).is_err() || !is_message {
            return;
        }
    }
}

/// Keeps the last of what the program says.
fn listen(mut pipe: ChildStderr, words: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        let mut words = words.lock().expect("nothing panics while it listens");
        words.extend(&buffer[..count]);
        let more = words.len().saturating_sub(LAST_WORDS);
        words.drain(..more);
    }
}

/// What the last words of `ssh` mean.
fn why(words: &str) -> Broken {
    const LASTING: [&str; 9] = [
        "Permission denied",
        "Host key verification failed",
        "Name or service not known",
        "subsystem request failed",
        "Too many authentication failures",
        "no matching",
        "Bad configuration option",
        "Identity file",
        "command not found",
    ];
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let Some(last) = lines.last() else {
        return Broken::Passing("the connection was closed".to_owned());
    };
    let told = lines.iter().rev().find(|line| LASTING.iter().any(|known| line.contains(known)));
    match told {
        Some(line) => Broken::Lasting(escaped(line.as_bytes())),
        None => Broken::Passing(escaped(last.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_last_tells_whether_to_try_again() {
        let lasting = |words| matches!(why(words), Broken::Lasting(_));
        assert!(lasting("user@nas: Permission denied (publickey).\r\n"));
        assert!(lasting("Host key verification failed.\nConnection closed\n"));
        assert!(lasting("ssh: Could not resolve hostname nas: Name or service not known"));
        assert!(!lasting(
            "ssh: Could not resolve hostname nas: Temporary failure in name resolution"
        ));
        assert!(!lasting("ssh: connect to host nas port 22: Connection refused"));
        assert!(!lasting("") && !lasting("client_loop: send disconnect: Broken pipe"));
    }
}
