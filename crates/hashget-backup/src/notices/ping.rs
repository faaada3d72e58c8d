//! A monitoring service is told of the start and the end of a run, as services for cron jobs expect it: requests to an address,
//! to `/start` below it, and to `/fail` below it.
//!
//! Invariant: the end of the log is sent, never a password of an address.

use hashget::fetch::{RequestFailed, RequestLog};
use ureq::Agent;
use url::Url;

/// The most bytes of the log that are sent: the last ones.
const MOST_BYTES: usize = 10_000;

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// A run begins.
    Start,
    /// It ended with an archive.
    Success,
    /// It failed.
    Failure,
}

/// Tells the service at `address`.
///
/// # Errors
/// It could not be told; the text says why.
pub fn ping(agent: &Agent, address: &str, at: At, log: &str) -> Result<(), String> {
    let url = url_for(address, at);
    let mut noted = RequestLog::begin("POST", &origin_of(&url));
    match agent.post(&url).content_type("text/plain; charset=utf-8").send(tail(log)) {
        Ok(answer) => {
            noted.answered(answer.status().as_u16(), None);
            noted.ended();
            match answer.status() {
                status if status.is_success() => Ok(()),
                status => Err(format!("the answer was {status}")),
            }
        }
        Err(error) => {
            noted.failed("it could not be told");
            Err(RequestFailed::from(error).problem)
        }
    }
}

/// Scheme, host and port of an address: its path is a secret.
pub fn origin_of(address: &str) -> String {
    Url::parse(address).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

/// The address for it.
fn url_for(address: &str, at: At) -> String {
    let (path, query) = match address.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (address, String::new()),
    };
    let path = path.trim_end_matches('/');
    match at {
        At::Start => format!("{path}/start{query}"),
        At::Success => format!("{path}{query}"),
        At::Failure => format!("{path}/fail{query}"),
    }
}

/// The end of the log, from the start of a line on.
fn tail(log: &str) -> &str {
    let mut start = log.len().saturating_sub(MOST_BYTES);
    if start == 0 {
        return log;
    }
    while !log.is_char_boundary(start) {
        start += 1;
    }
    let rest = &log[start..];
    rest.split_once('\n').map_or(rest, |(_, lines)| lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_services() {
        for (address, at, expected) in [
            ("https://hc.example/uuid", At::Start, "https://hc.example/uuid/start"),
            ("https://hc.example/uuid/", At::Success, "https://hc.example/uuid"),
            ("https://hc.example/uuid?rid=1", At::Failure, "https://hc.example/uuid/fail?rid=1"),
        ] {
            assert_eq!(url_for(address, at), expected);
        }
    }

    #[test]
    fn only_whole_lines_of_the_end_are_sent() {
        assert_eq!(tail("a\nb\n"), "a\nb\n");
        let log = format!("{}\n{}", "\u{e9}".repeat(6000), "x\n".repeat(100));
        assert_eq!(tail(&log), "x\n".repeat(100));
    }
}
