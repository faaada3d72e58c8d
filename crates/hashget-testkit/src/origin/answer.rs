//! One response: what the request asks for, what the faults change, and how it is sent.
//!
//! Invariant: before the first byte is sent, the log entry is complete except for its byte count. The count is raised
//! before the bytes that it counts are sent.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::{Fault, Request, State, lock, page_of};

const ETAG: &str = "\"first\"";
const OTHER_ETAG: &str = "\"second\"";
const LAST_MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// How the end of the body is marked.
#[derive(PartialEq)]
enum Framing {
    Length(u64),
    Chunked,
    Close,
}

/// A response as it will be sent.
struct Plan {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    framing: Framing,
    /// Close the connection after this many bytes of the body.
    cut: Option<u64>,
    /// Stop sending after this many bytes of the body.
    stall: Option<u64>,
    slow: bool,
    endless: bool,
}

/// Answers one request. Returns whether the connection can serve another one.
pub(super) fn answer(
    stream: &TcpStream,
    state: &State,
    mut request: Request,
    faults: &[Fault],
) -> io::Result<bool> {
    let silent = faults.iter().find(|fault| matches!(fault, Fault::Hang | Fault::Drop));
    if let Some(silent) = silent {
        lock(&state.log).push(request);
        if *silent == Fault::Hang {
            wait_for_the_end(state);
        }
        return Ok(false);
    }
    if faults.contains(&Fault::Garbage) {
        lock(&state.log).push(request);
        let mut out = stream;
        out.write_all(b"\x00\x01\x1b[31m not HTTP at all\r\n\r\n")?;
        return Ok(false);
    }
    let content =
        lock(&state.pages).get(page_of(&request.path)).and_then(|page| page.content.clone());
    let plan = plan(&request, content, faults);
    request.status = plan.status;
    let head_only = request.method == "HEAD";
    let entry = {
        let mut log = lock(&state.log);
        log.push(request);
        log.len() - 1
    };
    send(stream, state, &plan, head_only, entry)
}

/// The correct response, changed by the faults.
fn plan(request: &Request, content: Option<Arc<Vec<u8>>>, faults: &[Fault]) -> Plan {
    if let Some(plan) = faults.iter().find_map(|fault| instead(fault, &request.path)) {
        return plan;
    }
    let Some(content) = content else { return plain(404, "not here\n") };
    let content = bent(content.as_ref().clone(), faults);
    let has = |fault: Fault| faults.contains(&fault);
    let etag = if has(Fault::ChangeEtagMidway) { OTHER_ETAG } else { ETAG };
    let mut headers = vec![("Content-Type", "application/octet-stream".to_owned())];
    if !has(Fault::NoEtag) {
        let date = faults.iter().find_map(|fault| match fault {
            Fault::PublishedAt(date) => Some(date.clone()),
            _ => None,
        });
        headers.push(("Last-Modified", date.unwrap_or_else(|| LAST_MODIFIED.to_owned())));
        if !has(Fault::OnlyLastModified) {
            headers.push(("ETag", etag.to_owned()));
        }
    }
    if has(Fault::Encoded) {
        headers.push(("Content-Encoding", "gzip".to_owned()));
    }
    let unchanged = has(Fault::ChangeEtagMidway)
        || request.if_range.as_deref().is_none_or(|known| known == etag || known == LAST_MODIFIED);
    let range = (!has(Fault::NoRange) && unchanged)
        .then_some(request.range.as_deref())
        .flatten()
        .and_then(wanted_bytes);
    let total = content.len();
    let (status, body) = match range {
        None => (200, content),
        Some((first, _)) if first >= total => {
            let mut plan = plain(416, "");
            plan.headers.push(("Content-Range", format!("bytes */{total}")));
            return plan;
        }
        Some((first, last)) => {
            let from = if has(Fault::WrongContentRange) { first.saturating_sub(1) } else { first };
            let said = if has(Fault::LyingContentRange) { first + 1 } else { from };
            let last = last.unwrap_or(usize::MAX).min(total - 1);
            headers.push(("Content-Range", format!("bytes {said}-{last}/{total}")));
            (206, content[from..=last].to_vec())
        }
    };
    framed(Plan { status, headers, framing: Framing::Length(0), ..of_body(body) }, faults)
}

/// Faults that replace the whole response.
fn instead(fault: &Fault, path: &str) -> Option<Plan> {
    let with = |status: u16, name: &'static str, value: String| {
        let mut plan = plain(status, "something else\n");
        plan.headers.push((name, value));
        Some(plan)
    };
    match fault {
        Fault::Status(status) => Some(plain(*status, "as told\n")),
        Fault::RetryAfter(status, seconds) => with(*status, "Retry-After", seconds.to_string()),
        Fault::RetryAfterText(status, text) => with(*status, "Retry-After", text.clone()),
        Fault::RedirectTo(location) => with(302, "Location", location.clone()),
        Fault::RedirectLoop => with(302, "Location", path.to_owned()),
        Fault::RedirectForEver if path.contains('?') => with(302, "Location", format!("{path}x")),
        Fault::RedirectForEver => with(302, "Location", format!("{path}?x")),
        _ => None,
    }
}

/// The content, with the faults that change it.
fn bent(mut content: Vec<u8>, faults: &[Fault]) -> Vec<u8> {
    for fault in faults {
        match fault {
            Fault::Short(count) => content.truncate(size(*count)),
            Fault::Long(count) => content.extend(std::iter::repeat_n(b'+', size(*count))),
            Fault::Corrupt(at) => {
                if let Some(byte) = content.get_mut(size(*at)) {
                    *byte ^= 0xff;
                }
            }
            Fault::Other | Fault::ChangeEtagMidway => {
                content.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
            }
            _ => {}
        }
    }
    content
}

/// The framing of the body, with the faults that break it.
fn framed(mut plan: Plan, faults: &[Fault]) -> Plan {
    plan.framing = Framing::Length(plan.body.len() as u64);
    for fault in faults {
        match fault {
            Fault::Truncate(count) => plan.cut = Some(*count),
            Fault::Stall(count) => plan.stall = Some(*count),
            Fault::Slow => plan.slow = true,
            Fault::NoLength => plan.framing = Framing::Close,
            Fault::Chunked => plan.framing = Framing::Chunked,
            Fault::ClaimLength(count) => plan.framing = Framing::Length(*count),
            Fault::Endless => {
                plan.framing = Framing::Close;
                plan.endless = true;
            }
            _ => {}
        }
    }
    plan
}

fn of_body(body: Vec<u8>) -> Plan {
    let framing = Framing::Length(body.len() as u64);
    let headers = Vec::new();
    Plan {
        status: 200,
        headers,
        body,
        framing,
        cut: None,
        stall: None,
        slow: false,
        endless: false,
    }
}

fn plain(status: u16, text: &str) -> Plan {
    Plan { status, ..of_body(text.as_bytes().to_vec()) }
}

/// N and M of `bytes=N-M`, or N of `bytes=N-`; other forms are ignored, as a server may do.
fn wanted_bytes(range: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
    let first = first.parse().ok()?;
    last.is_none_or(|last| last >= first).then_some((first, last))
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Sends the response. Returns whether the connection can serve another request.
fn send(
    mut stream: &TcpStream,
    state: &State,
    plan: &Plan,
    head_only: bool,
    entry: usize,
) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", plan.status);
    for (name, value) in &plan.headers {
        head += &format!("{name}: {value}\r\n");
    }
    match plan.framing {
        Framing::Length(length) => head += &format!("Content-Length: {length}\r\n"),
        Framing::Chunked => head += "Transfer-Encoding: chunked\r\n",
        Framing::Close => head += "Connection: close\r\n",
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    if head_only {
        return Ok(plan.framing != Framing::Close);
    }
    let end = [plan.cut, plan.stall].into_iter().flatten().map(size).min().unwrap_or(usize::MAX);
    let body = &plan.body[..end.min(plan.body.len())];
    for piece in body.chunks(if plan.slow { 1 } else { 16 * 1024 }) {
        if state.stopping.has_begun() {
            return Ok(false);
        }
        lock(&state.log)[entry].bytes += piece.len() as u64;
        send_piece(stream, piece, &plan.framing)?;
        if plan.slow {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    while plan.endless && !state.stopping.has_begun() {
        lock(&state.log)[entry].bytes += 4096;
        stream.write_all(&[0; 4096])?;
    }
    if plan.stall.is_some() {
        wait_for_the_end(state);
        return Ok(false);
    }
    if plan.framing == Framing::Chunked && plan.cut.is_none() {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(match plan.framing {
        Framing::Length(length) => length == body.len() as u64,
        Framing::Chunked => plan.cut.is_none(),
        Framing::Close => false,
    })
}

fn send_piece(mut stream: &TcpStream, piece: &[u8], framing: &Framing) -> io::Result<()> {
    if *framing != Framing::Chunked {
        return stream.write_all(piece);
    }
    stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
    stream.write_all(piece)?;
    stream.write_all(b"\r\n")
}

/// Keeps the connection open without sending until the origin stops.
fn wait_for_the_end(state: &State) {
    while !state.stopping.has_begun() {
        std::thread::sleep(Duration::from_millis(10));
    }
}
