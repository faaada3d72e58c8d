//! Is this machine's time right? Names of archives and what is kept depend on it.
//!
//! Invariant: one request is made, to a host that packages come from, and nothing is downloaded.

use hashget::archive::host_of;
use hashget::fetch::{OriginOptions, RequestFailed, TimeOuts, agent_for};
use jiff::Timestamp;

use super::Finding;
use crate::environment::Environment;

/// What is looked at.
const CLOCK: &str = "clock";

/// A clock may be so many seconds wrong.
const TOLERANCE: i64 = 120;

/// Compares the clock with that of a server.
pub(super) fn clock(environment: &Environment<'_>) -> Finding {
    let Some(url) = url(environment) else {
        return Finding::well(CLOCK, "not compared: no package is known, so no server is");
    };
    if environment.is_offline() {
        return Finding::well(CLOCK, "not compared: --offline");
    }
    let host = host_of(&url);
    match date_of(&url, environment) {
        Ok(Some(told)) => judged(Timestamp::now(), told, &host),
        Ok(None) => Finding::well(CLOCK, format!("not compared: {host} does not say the time")),
        Err(problem) => {
            let found = format!("not compared: {host} cannot be reached: {problem}");
            Finding::warning(CLOCK, found, "check the network: packages come from there")
        }
    }
}

/// Judges a clock by the time that a server told.
fn judged(now: Timestamp, told: Timestamp, host: &str) -> Finding {
    let ahead = now.as_second() - told.as_second();
    if ahead.abs() <= TOLERANCE {
        return Finding::well(CLOCK, format!("right, as {host} says"));
    }
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let found = format!("{} s {direction} {host}", ahead.abs());
    let advice =
        "set it right, by NTP for instance: names of archives and what is kept depend on it";
    Finding::failure(CLOCK, found, advice)
}

/// The URL of some package that the HashDB knows.
fn url(environment: &Environment<'_>) -> Option<String> {
    let hashdb = environment.local_hashdb().ok()?;
    hashdb
        .list()
        .ok()?
        .into_iter()
        .map(|(_, record)| record.url)
        .find(|url| url.starts_with("http"))
}

/// What a server says the time is, if it does.
fn date_of(url: &str, environment: &Environment<'_>) -> Result<Option<Timestamp>, String> {
    let options = environment.origin_options().map_err(|error| error.to_string())?;
    let options = OriginOptions { time_outs: TimeOuts::brief(), ..options };
    let agent = agent_for(url, &options).map_err(|error| error.to_string())?;
    let answer = agent.head(url).call().map_err(|error| RequestFailed::from(error).problem)?;
    let text = answer.headers().get("date").and_then(|value| value.to_str().ok());
    let parsed = text.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    Ok(parsed.map(|time| time.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn a_clock_may_be_a_little_wrong() {
        let second = |second| Timestamp::from_second(second).unwrap();
        for (now, told, expected) in [
            (1000, 1000, Severity::Well),
            (1000, 1120, Severity::Well),
            (1000, 1121, Severity::Failure),
            (5000, 1000, Severity::Failure),
        ] {
            assert_eq!(judged(second(now), second(told), "h").severity, expected, "{now} {told}");
        }
        assert!(judged(second(5000), second(1000), "h").found.contains("4000 s ahead of h"));
    }
}
