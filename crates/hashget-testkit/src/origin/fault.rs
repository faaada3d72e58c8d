//! The ways in which a server misbehaves.
//!
//! Invariant: a fault describes what the client sees on the wire, not how it should react.

/// One way to misbehave. Byte counts start at the beginning of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No fault; for scripts in which only later requests fail.
    None,
    /// Answers with this status and a short text.
    Status(u16),
    /// Answers with this status and `Retry-After: SECONDS`.
    RetryAfter(u16, u64),
    /// Answers with this status and this text as `Retry-After`.
    RetryAfterText(u16, String),
    /// Announces the whole body and closes the connection after this many bytes.
    Truncate(u64),
    /// Announces and sends only the first bytes of the content, this many.
    Short(u64),
    /// Announces and sends the content with this many extra bytes at its end.
    Long(u64),
    /// Changes the byte at this offset of the content.
    Corrupt(u64),
    /// Serves other bytes of the same length.
    Other,
    /// Redirects (302) to this location.
    RedirectTo(String),
    /// Redirects to itself.
    RedirectLoop,
    /// Redirects to a longer URL each time.
    RedirectForEver,
    /// Accepts the request and never responds.
    Hang,
    /// Sends the head and this many bytes, then nothing more, without closing the connection.
    Stall(u64),
    /// Closes the connection instead of answering.
    Drop,
    /// Sends one byte every 20 ms.
    Slow,
    /// Sends neither `ETag` nor `Last-Modified`.
    NoEtag,
    /// Sends `Last-Modified` but no `ETag`.
    OnlyLastModified,
    /// Sends this date as `Last-Modified`.
    PublishedAt(String),
    /// Ignores `Range`: the whole content with status 200.
    NoRange,
    /// Announces no length, and closes the connection at the end of the body.
    NoLength,
    /// Announces no length, and sends the body in chunks.
    Chunked,
    /// As `NoLength`, but followed by zeros without end.
    Endless,
    /// Announces a body of this many bytes, and sends the content.
    ClaimLength(u64),
    /// Answers a `Range` from one byte earlier than requested, with a matching `Content-Range`.
    WrongContentRange,
    /// Answers a `Range` with the right bytes but the wrong offset in `Content-Range`.
    LyingContentRange,
    /// Serves another version of the content, with another `ETag`, and ignores `If-Range`.
    ChangeEtagMidway,
    /// Sends `Content-Encoding: gzip`.
    Encoded,
    /// Responds with bytes that are not HTTP.
    Garbage,
}
