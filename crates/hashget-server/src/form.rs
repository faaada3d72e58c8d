//! The body of a form, of which little is kept in memory.
//!
//! Invariant: a form whose head, or whatever else is between two fields, goes on and on ends with an error.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Error;
use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::Stream;

/// Bytes that may come between two fields.
const MOST: usize = 64 << 10;

/// Counts the bytes that came since the reader of the form last made something of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unread(Arc<AtomicUsize>);

impl Unread {
    /// The reader got a part of a field, or a field.
    pub(crate) fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Have so many bytes come for nothing that the form was ended?
    pub(crate) fn is_too_much(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MOST
    }

    /// The same body, which ends with an error once it is too much.
    pub(crate) fn bounded(&self, body: Body) -> Body {
        let (body, unread) = (body.into_data_stream(), self.clone());
        Body::from_stream(Bounded { body, unread, has_given: false })
    }
}

struct Bounded {
    body: BodyDataStream,
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
        let next = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            self.unread.0.fetch_add(piece.len(), Ordering::Relaxed);
            self.has_given = true;
        }
        next
    }
}
