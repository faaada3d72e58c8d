//! A stream that is closed with patience: what the other end still sends is read for a while, and dropped.
//!
//! Invariant: a client that is refused while it sends gets the answer. Closing at once would reset the connection, and the
//! answer with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long a closed stream reads on, at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it waits for more.
const QUIET: Duration = Duration::from_millis(300);
/// Bytes that are dropped at once.
const CHUNK: usize = 16 << 10;

/// Reads and writes through the stream inside.
pub(crate) struct Lingering<S> {
    inner: S,
    /// Set once nothing more is written: until when it waits for more, and when it ends in any case.
    closing: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl<S> Lingering<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, closing: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, closing } = &mut *self;
        if closing.is_none() {
            ready!(Pin::new(&mut *inner).poll_shutdown(context))?;
        }
        let (quiet, end) =
            closing.get_or_insert_with(|| (Box::pin(sleep(QUIET)), Instant::now() + PATIENCE));
        let mut bytes = [0; CHUNK];
        loop {
            if quiet.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut *inner).poll_read(context, &mut buffer)) {
                // A client that sends without end is not read without end.
                Ok(()) if !buffer.filled().is_empty() && Instant::now() < *end => {
                    quiet.as_mut().reset(Instant::now() + QUIET);
                }
                // The other end has closed, too, or is gone.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
