//! The body of a form, of which little is kept in memory.
//!
//! Invariant: a form ends with an error once more of it has come than is in fields that were read, and a bit: its head may
//! go on and on, or have fields without end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::Error;
use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::Stream;

/// Bytes that may have come and not been in a field: heads, and what was not read yet.
const MOST: usize = 256 << 10;
/// Bytes that the reader gets at once. It gets more for each field, however many it has already: this lets a form have 32 small
/// fields before a large one.
const PIECE: usize = 4 << 10;

/// Counts the bytes that came, less those that the reader has found in fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread(Arc<AtomicUsize>);

impl Unread {
    /// The reader found so many bytes in a field.
    pub(crate) fn read(&self, bytes: usize) {
        // Never more than have come.
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Have so many bytes come for nothing that the form was ended?
    pub(crate) fn is_too_much(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MOST
    }

    /// The same body, which ends with an error once it is too much.
    pub(crate) fn bounded(&self, body: Body) -> Body {
        let (body, unread) = (body.into_data_stream(), self.clone());
        Body::from_stream(Bounded { body, rest: Bytes::new(), unread, has_given: false })
    }
}

struct Bounded {
    body: BodyDataStream,
    /// What has come of the body and was not given yet.
    rest: Bytes,
    unread: Unread,
    has_given: bool,
}

impl Stream for Bounded {
    type Item = Result<Bytes, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        // The reader takes what there is before it looks at any of it: it is given one piece at a time.
        if std::mem::take(&mut self.has_given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.unread.is_too_much() {
            return Poll::Ready(Some(Err(Error::new("a form without fields"))));
        }
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(rest)) => self.rest = rest,
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.unread.0.fetch_add(length, Ordering::Relaxed);
        self.has_given = true;
        Poll::Ready(Some(Ok(piece)))
    }
}
