//! The HTTP client's settings: time-outs, proxies, TLS; and what its errors mean.
//!
//! Invariant: every connection that hashget makes is set up here.

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::fetch_url::{FetchUrl, PrivateAddress, PublicOnly};
use super::http::Trouble;
use super::{FetchError, OriginOptions, Reach, TimeOuts};
use crate::model::escaped;

/// A client for requests to the server of `url`, which the configuration names. It follows no redirects, and no status is an
/// error to it.
///
/// # Errors
/// It is no URL of http or https.
pub fn agent_for(url: &str, options: &OriginOptions) -> Result<Agent, FetchError> {
    let route = options.proxies.route(&FetchUrl::parse(url)?, Reach::Configured);
    let proxy = options.proxies.proxy(route).cloned();
    Ok(new_agent(options.time_outs, proxy, &options.user_agent, false))
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFailed {
    /// What happened, safe for a terminal. It names no URL.
    pub problem: String,
    /// May it go better the next time?
    pub may_pass: bool,
}

impl From<ureq::Error> for RequestFailed {
    fn from(error: ureq::Error) -> Self {
        match trouble(error) {
            Trouble::Passing(problem) | Trouble::Silent(problem) => {
                Self { problem, may_pass: true }
            }
            Trouble::Lasting(problem) | Trouble::Refused(problem) => {
                Self { problem, may_pass: false }
            }
            Trouble::Interrupted => Self { problem: "interrupted".to_owned(), may_pass: false },
        }
    }
}

/// A client without any connection yet. With `public_only` it connects to no private address.
pub(super) fn new_agent(
    times: TimeOuts,
    proxy: Option<ureq::Proxy>,
    user_agent: &str,
    public_only: bool,
) -> Agent {
    let resolver = PublicOnly::with_proxy(proxy.as_ref().map(|proxy| proxy.uri().clone()));
    let config = Agent::config_builder()
        .proxy(proxy)
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .http_status_as_error(false)
        // The download follows redirects itself, and checks each.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(user_agent)
        .accept_encoding("identity")
        .timeout_resolve(Some(times.resolve))
        .timeout_connect(Some(times.connect))
        .timeout_send_request(Some(times.send))
        .timeout_recv_response(Some(times.answer))
        .timeout_per_read(Some(times.stall))
        .timeout_per_write(Some(times.send))
        .build();
    let connector = DefaultConnector::new();
    if public_only {
        Agent::with_parts(config, connector, resolver)
    } else {
        Agent::with_parts(config, connector, DefaultResolver::default())
    }
}

/// Classifies an error of the HTTP client. Its text may contain bytes of the server.
pub(super) fn trouble(error: ureq::Error) -> Trouble {
    use std::io::ErrorKind as Io;
    use ureq::Error as E;
    let text = |error: &dyn std::fmt::Display| escaped(error.to_string().as_bytes());
    match error {
        E::Other(error) if error.is::<PrivateAddress>() => Trouble::Refused(text(&error)),
        E::Timeout(phase) => Trouble::Silent(late(phase).to_owned()),
        E::HostNotFound => Trouble::Lasting("no such host".to_owned()),
        E::Io(error) if error.kind() == Io::UnexpectedEof => {
            Trouble::Passing("the connection was closed too early".to_owned())
        }
        // The certificate or the TLS handshake is invalid.
        E::Io(error) if error.kind() == Io::InvalidData => Trouble::Lasting(text(&error)),
        // The text of glibc's resolver for a name that does not exist.
        E::Io(error) if error.to_string().contains("Name or service not known") => {
            Trouble::Lasting("no such host".to_owned())
        }
        E::Io(error) => Trouble::Passing(text(&error)),
        error @ (E::Protocol(_)
        | E::ConnectionFailed
        | E::ConnectProxyFailed(_)
        | E::BodyStalled) => Trouble::Passing(text(&error)),
        error => Trouble::Lasting(text(&error)),
    }
}

/// The message for a time-out.
fn late(phase: ureq::Timeout) -> &'static str {
    match phase {
        ureq::Timeout::Resolve => "its host's name could not be looked up in time",
        ureq::Timeout::Connect => "no connection in time",
        ureq::Timeout::SendRequest | ureq::Timeout::PerWrite => {
            "the server took no request in time"
        }
        ureq::Timeout::PerRead => "the server fell silent",
        _ => "no answer in time",
    }
}
