//! The ways in which a server misbehaves.
//!
//! Invariant: a fault says what the client sees on the wire, never what it should make of it.

/// One way to misbehave. Numbers of bytes count from the start of the body that is being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No fault: for a script in which only later requests fail.
    None,
    /// Answers with this status and a short text.
    Status(u16),
    /// Answers with this status and `Retry-After: SECONDS`.
    RetryAfter(u16, u64),
    /// Answers with this status and this text as `Retry-After`.
    RetryAfterText(u16, String),
    /// Announces the whole body and closes the connection after so many bytes.
    Truncate(u64),
    /// Announces and sends only so many bytes of the content, as if it had no more.
    Short(u64),
    /// Announces and sends the content with so many more bytes at its end.
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
    /// Takes the request and never answers.
    Hang,
    /// Sends the head and so many bytes, then nothing more, without closing.
    Stall(u64),
    /// Closes the connection instead of answering.
    Drop,
    /// Sends one byte every 20 ms.
    Slow,
    /// Sends neither `ETag` nor `Last-Modified`.
    NoEtag,
    /// Sends `Last-Modified` but no `ETag`.
    OnlyLastModified,
    /// Ignores `Range`: the whole content with status 200.
    NoRange,
    /// Announces no length, and closes the connection at the end of the body.
    NoLength,
    /// Announces no length, and sends the body in chunks.
    Chunked,
    /// As `NoLength`, but zeros follow for ever.
    Endless,
    /// Announces a body of so many bytes in all, and sends what it has.
    ClaimLength(u64),
    /// Answers a `Range` with the bytes from one earlier than asked for, and says so.
    WrongContentRange,
    /// Answers a `Range` with the right part but claims another place in `Content-Range`.
    LyingContentRange,
    /// Has another version of the content, with another `ETag`, and ignores `If-Range`.
    ChangeEtagMidway,
    /// Says `Content-Encoding: gzip`.
    Encoded,
    /// Answers with bytes that are no HTTP.
    Garbage,
}
