//! The connections of clients: how many, and how long each may take.
//!
//! Invariant: a client that sends or takes nothing is gone after a bounded time, and no address has more than its share of the connections.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
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

use crate::access::Peer;
use crate::lingering::Lingering;
use crate::settings::Settings;

/// Bytes of a request's head, at most.
const HEAD: usize = 64 << 10;
/// How long requests that are underway may take when the server stops.
const GRACE: Duration = Duration::from_secs(20);
/// Pause after a connection could not be accepted, because there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections by address.
#[derive(Default)]
struct Shares(Mutex<HashMap<IpAddr, usize>>);

/// A place among the connections of an address.
struct Share {
    shares: Arc<Shares>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Share {
    /// `None` if the address has `most` connections already.
    fn take(
        shares: &Arc<Shares>,
        address: IpAddr,
        most: usize,
        permit: OwnedSemaphorePermit,
    ) -> Option<Self> {
        let mut counts = shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self { shares: Arc::clone(shares), address, _permit: permit })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
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
    let places = Arc::new(Semaphore::new(limits.connections));
    let (shares, graceful) = (Arc::new(Shares::default()), GracefulShutdown::new());
    let stall = Duration::from_secs(limits.stall_seconds);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    builder.header_read_timeout(Duration::from_secs(limits.head_seconds)).max_header_size(HEAD);
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
        let most = if is_proxy { usize::MAX } else { limits.connections_per_address };
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
