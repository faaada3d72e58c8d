//! The connections of clients: how many, and how long each may take.
//!
//! Invariant: a client that sends or takes nothing is gone after a bounded time, and no address, or network of one customer, has more than its share
//! of the connections.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt as _;

use crate::access::{Peer, network_of};
use crate::lingering::Lingering;
use crate::settings::Settings;

/// Bytes of a request's head, at most.
const HEAD: usize = 64 << 10;
/// How long requests that are underway may take when the server stops.
const GRACE: Duration = Duration::from_secs(20);
/// Pause after a connection could not be accepted, because there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections by network.
#[derive(Default)]
struct Shares(Mutex<HashMap<IpAddr, usize>>);

/// A place among the connections of a network.
struct Share {
    shares: Arc<Shares>,
    network: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Share {
    /// `None` if the network of the address has `most` connections already.
    fn take(
        shares: &Arc<Shares>,
        address: IpAddr,
        most: usize,
        permit: OwnedSemaphorePermit,
    ) -> Option<Self> {
        let network = network_of(address);
        let mut counts = shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self { shares: Arc::clone(shares), network, _permit: permit })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// Serves connections until `stop` is ready; then what is underway is finished, within a bounded time.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &Settings,
    stop: impl Future<Output = ()>,
) {
    let limits = &settings.limits;
    let places = Arc::new(Semaphore::new(number(limits.connections).min(Semaphore::MAX_PERMITS)));
    let (shares, graceful) = (Arc::new(Shares::default()), GracefulShutdown::new());
    let stall = Duration::from_secs(limits.stall_seconds.get().into());
    let head = Duration::from_secs(limits.head_seconds.get().into());
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    builder.header_read_timeout(head).max_header_size(HEAD);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let permit = Arc::clone(&places).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (Ok(permit), Ok((stream, peer))) = (permit, accepted) else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let address = peer.ip().to_canonical();
        let is_proxy = settings.proxies.contains(&address);
        let most = if is_proxy { usize::MAX } else { number(limits.connections_per_address) };
        let Some(share) = Share::take(&shares, address, most, permit) else { continue };
        let connection = connection(&builder, stream, address, router.clone(), stall);
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is no event.
            drop(watched.await);
            drop(share);
        });
    }
    drop(listener);
    let finished = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    if finished.is_err() {
        tracing::warn!("some requests were not finished when the server stopped");
    }
}

/// A number of connections.
fn number(setting: NonZeroU32) -> usize {
    usize::try_from(setting.get()).unwrap_or(usize::MAX)
}

/// The connection of one client, whose requests are answered by the router.
fn connection(
    builder: &http1::Builder,
    stream: TcpStream,
    address: IpAddr,
    router: Router,
    stall: Duration,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + use<> {
    // Answers are written as a whole; waiting for more would only delay them.
    drop(stream.set_nodelay(true));
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(stall));
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(Peer(address));
            Ok::<_, Infallible>(match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            })
        }
    });
    let stream = Lingering::new(Box::pin(stream));
    builder.serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::{Share, Shares};

    /// Whoever has an IPv6 network has 2^64 addresses.
    #[test]
    fn the_addresses_of_one_network_have_one_share() {
        let (shares, places) = (Arc::new(Shares::default()), Arc::new(Semaphore::new(10)));
        let take = |address: &str| {
            let permit = Arc::clone(&places).try_acquire_owned().unwrap();
            Share::take(&shares, address.parse().unwrap(), 2, permit)
        };
        let first = take("2001:db8:0:1::1");
        let second = take("2001:db8:0:1:ffff::2");
        assert!(first.is_some() && second.is_some());
        assert!(take("2001:db8:0:1::3").is_none());
        assert!(take("2001:db8:0:2::1").is_some() && take("192.0.2.1").is_some());
        drop(first);
        assert!(take("2001:db8:0:1::3").is_some());
        drop(second);
        assert!(shares.0.lock().unwrap().is_empty());
        assert_eq!(places.available_permits(), 10);
    }
}
