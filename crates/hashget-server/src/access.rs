//! Who asks, and may they? Tokens, addresses and rates.
//!
//! Invariant: a request reaches its route only with the scope that the route needs, and within the rate of its token or address.
//! No secret is logged.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::app::{App, blocking};
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::server_db::{Token, TokenId};
use crate::settings::Limits;

/// Checks after which a rate limiter forgets the keys that it does not need any more.
const MANY: usize = 10_000;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The rates of tokens and addresses.
pub(crate) struct Gate {
    tokens: Rates<TokenId>,
    addresses: Rates<IpAddr>,
}

/// The rates of tokens, or of addresses.
struct Rates<K: Clone + Eq + Hash> {
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicUsize,
}

impl<K: Clone + Eq + Hash> Rates<K> {
    fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::hashmap(quota), checks: AtomicUsize::new(1) }
    }

    fn check(&self, key: &K) -> Result<(), Refusal> {
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(MANY) {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|until| {
            let seconds = until.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
            let problem = format!("too many requests: come back in {seconds} s");
            Refusal::later(StatusCode::TOO_MANY_REQUESTS, problem, seconds)
        })
    }
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        let quota = Quota::per_second(limits.requests_per_second).allow_burst(limits.burst);
        Self { tokens: Rates::new(quota), addresses: Rates::new(quota) }
    }

    fn check_token(&self, token: TokenId) -> Result<(), Refusal> {
        self.tokens.check(&token)
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        self.addresses.check(&network_of(address))
    }
}

/// An IPv4 address; of an IPv6 address its /64, which belongs to one customer.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Whose request it is: the other end's, unless that is a proxy, which says whose.
fn address_of(app: &App, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0).to_canonical();
    if !app.settings.proxies.contains(&peer) {
        return peer;
    }
    // What comes before the last one is what the client itself says.
    let last = request.headers().get_all("x-forwarded-for").iter().next_back();
    let named = last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    named.unwrap_or(peer)
}

/// The secret that a request was sent with. `Err` if it sends something else.
fn secret_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let secret = value.to_str().ok().and_then(|text| {
        let (scheme, secret) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim().to_owned())
    });
    secret.map(Some).ok_or_else(|| unauthorized("expected \"Authorization: Bearer TOKEN\""))
}

fn unauthorized(problem: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, problem)
}

/// Lets the request through to `next` if whoever sends it may do what `scope` allows, and not too often.
pub(crate) async fn admit(
    State((app, scope)): State<(Arc<App>, Scope)>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let (secret, address) = (secret_of(request.headers())?, address_of(&app, &request));
    match token_of(&app, secret, address).await? {
        Some(token) => {
            app.gate.check_token(token.id)?;
            if token.scope < scope {
                let problem = format!(
                    "this needs the scope \"{scope}\", and the token has \"{}\"",
                    token.scope
                );
                return Err(Refusal::new(StatusCode::FORBIDDEN, problem));
            }
        }
        None => {
            app.gate.check_address(address)?;
            if !app.settings.anybody_may(scope) {
                let problem = format!(
                    "this needs a token with the scope \"{scope}\": send \"Authorization: Bearer TOKEN\""
                );
                return Err(unauthorized(&problem));
            }
        }
    }
    Ok(next.run(request).await)
}

/// The token with this secret, if one was sent.
async fn token_of(
    app: &Arc<App>,
    secret: Option<String>,
    address: IpAddr,
) -> Result<Option<Token>, Refusal> {
    let Some(secret) = secret else { return Ok(None) };
    let server_db = Arc::clone(&app.server_db);
    let found = blocking(move || Ok(server_db.token(&secret)?)).await?;
    if found.is_none() {
        // Whoever guesses does not guess fast.
        app.gate.check_address(address)?;
        return Err(unauthorized("this token is not known: it may have been removed"));
    }
    Ok(found)
}
