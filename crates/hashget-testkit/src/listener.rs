//! A server on a loopback port: connections are accepted, each in a thread of its own, until the listener is dropped.
//!
//! Invariant: nothing keeps running after that, and no connection stays open.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A test that panicked must not hide its own message behind a poisoned lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Is a server to stop?
#[derive(Default)]
pub(crate) struct Stopping(AtomicBool);

impl Stopping {
    /// Whoever waits for something looks here from time to time.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Accepts connections until it is dropped.
pub(crate) struct Listener {
    address: SocketAddr,
    stopping: Arc<Stopping>,
    acceptor: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens on a free port of 127.0.0.1. Each connection, which sends without delay, is passed to `serve` with what connections share; an
    /// error there means that the client is gone. `stopping` has begun once the listener is dropped.
    pub(crate) fn start<S: Send + Sync + 'static>(
        shared: &Arc<S>,
        stopping: &Arc<Stopping>,
        serve: fn(&TcpStream, &S) -> io::Result<()>,
    ) -> Self {
        let of_all = Arc::clone(shared);
        let serve = move |stream: TcpStream| {
            stream.set_nodelay(true)?;
            serve(&stream, &of_all)
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stopping, shared) = (Arc::clone(stopping), Arc::clone(stopping));
        let acceptor = std::thread::spawn(move || accept(&listener, &Arc::new(serve), &shared));
        Self { address, stopping, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopping.0.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then sees that it should stop.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

/// Accepts connections until it is to stop, then closes them all.
fn accept<S>(listener: &TcpListener, serve: &Arc<S>, stopping: &Stopping)
where
    S: Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
{
    let (mut connections, mut threads) = (Vec::new(), Vec::new());
    for stream in listener.incoming() {
        if stopping.has_begun() {
            break;
        }
        let Ok(stream) = stream else { continue };
        connections.extend(stream.try_clone());
        let serve = Arc::clone(serve);
        threads.push(std::thread::spawn(move || drop(serve(stream))));
    }
    for stream in connections {
        drop(stream.shutdown(Shutdown::Both));
    }
    threads.into_iter().for_each(|thread| drop(thread.join()));
}
