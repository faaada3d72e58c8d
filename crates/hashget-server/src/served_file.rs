//! A file as an answer: whole, or a range of its bytes.
//!
//! Invariant: what is sent comes from the one file that was opened; a range lies within its size.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hashget::model::RelPath;
use hashget::tree::TreeRoot;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use crate::refusal::Refusal;

/// Bytes that are read from a file at once.
const CHUNK: usize = 64 << 10;

/// How long others may keep a file without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// For ever, for everybody: it never changes.
    Shared,
    /// For ever, for the client alone: it never changes, but not everybody may read it.
    Private,
    /// They ask each time whether it has changed.
    Ask,
}

/// A regular file, open.
pub(crate) struct ServedFile {
    file: File,
    size: u64,
    etag: String,
    modified: i64,
}

impl ServedFile {
    /// Opens the regular file `path` below `folder`. No link is followed. `None` if there is none.
    pub(crate) fn open(folder: &Path, path: &RelPath) -> io::Result<Option<Self>> {
        let opened = TreeRoot::open(folder).and_then(|root| root.open_file(path));
        let file = match opened {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = file.metadata()?;
        if !found.is_file() {
            return Ok(None);
        }
        let (size, modified) = (found.len(), found.mtime());
        let etag = format!("\"{:x}-{size:x}-{modified:x}.{:x}\"", found.ino(), found.mtime_nsec());
        Ok(Some(Self { file, size, etag, modified }))
    }

    /// With another entity tag, which must be one of these bytes alone.
    pub(crate) fn with_etag(self, tag: &str) -> Self {
        Self { etag: format!("\"{tag}\""), ..self }
    }

    /// The answer to a request with these headers.
    pub(crate) async fn answer(
        self,
        asked: &HeaderMap,
        kind: &'static str,
        caching: Caching,
    ) -> Result<Response, Refusal> {
        if is_named(asked, header::IF_NONE_MATCH, &self.etag) {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            self.describe(response.headers_mut(), caching)?;
            return Ok(response);
        }
        let is_current =
            !asked.contains_key(header::IF_RANGE) || is_named(asked, header::IF_RANGE, &self.etag);
        let range = asked.get(header::RANGE).and_then(|range| range.to_str().ok());
        let part = range.filter(|_| is_current).map_or(Part::Whole, |text| part(text, self.size));
        let (first, count, status) = match part {
            Part::Whole => (0, self.size, StatusCode::OK),
            Part::Range { first, last } => (first, last - first + 1, StatusCode::PARTIAL_CONTENT),
            Part::Beyond => {
                let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
                let range = value(&format!("bytes */{}", self.size))?;
                response.headers_mut().insert(header::CONTENT_RANGE, range);
                return Ok(response);
            }
        };
        let mut headers = HeaderMap::new();
        self.describe(&mut headers, caching)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(count));
        if let Part::Range { first, last } = part {
            let range = value(&format!("bytes {first}-{last}/{}", self.size))?;
            headers.insert(header::CONTENT_RANGE, range);
        }
        let mut file = tokio::fs::File::from_std(self.file);
        file.seek(io::SeekFrom::Start(first)).await.map_err(|error| Refusal::internal(&error))?;
        let body = Body::from_stream(ReaderStream::with_capacity(file.take(count), CHUNK));
        Ok((status, headers, body).into_response())
    }

    fn describe(&self, headers: &mut HeaderMap, caching: Caching) -> Result<(), Refusal> {
        headers.insert(header::ETAG, value(&self.etag)?);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let since = std::time::Duration::from_secs(u64::try_from(self.modified).unwrap_or(0));
        let modified = httpdate::fmt_http_date(std::time::UNIX_EPOCH + since);
        headers.insert(header::LAST_MODIFIED, value(&modified)?);
        let caching = match caching {
            Caching::Shared => "public, max-age=31536000, immutable",
            Caching::Private => "private, max-age=31536000, immutable",
            Caching::Ask => "no-cache",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        Ok(())
    }
}

fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|error| Refusal::internal(&error))
}

/// Does this header name the entity tag, alone or in a list?
fn is_named(headers: &HeaderMap, name: header::HeaderName, etag: &str) -> bool {
    let tags = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|list| list.split(',')).any(|tag| tag.trim() == etag)
}

/// Nothing is there that may be served: also a link (`ELOOP`, or `EXDEV` on the way), a socket (`ENXIO`), a name that is too long.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    use rustix::io::Errno;
    matches!(error.kind(), InvalidFilename | NotADirectory | NotFound | PermissionDenied)
        || matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NXIO | Errno::XDEV))
}

/// Which part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the byte `first` to the byte `last`, both included.
    Range {
        first: u64,
        last: u64,
    },
    /// Nothing of it is in the file.
    Beyond,
}

/// The part that the value of a `Range` header asks for. What is no single range of bytes is answered with the whole file, as
/// RFC 9110 allows.
fn part(text: &str, size: u64) -> Part {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Part::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // One that is too large for the type is larger than any file.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (number(first.trim()), number(last.trim())) {
        (None, Some(count)) if first.trim().is_empty() => match count.min(size) {
            0 => Part::Beyond,
            count => Part::Range { first: size - count, last: size - 1 },
        },
        (Some(first), None) if last.trim().is_empty() => {
            if first < size {
                Part::Range { first, last: size - 1 }
            } else {
                Part::Beyond
            }
        }
        (Some(first), Some(last)) if first <= last => {
            if first < size {
                Part::Range { first, last: last.min(size - 1) }
            } else {
                Part::Beyond
            }
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, part};

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let range = |first, last| Part::Range { first, last };
        for (text, size, expected) in [
            ("bytes=0-9", 100, range(0, 9)),
            ("bytes=90-", 100, range(90, 99)),
            ("bytes=-10", 100, range(90, 99)),
            ("bytes=-1000", 100, range(0, 99)),
            ("bytes=0-1000", 100, range(0, 99)),
            ("bytes=99-99", 100, range(99, 99)),
            ("bytes=100-", 100, Part::Beyond),
            ("bytes=-0", 100, Part::Beyond),
            ("bytes=0-0", 0, Part::Beyond),
            ("bytes=-5", 0, Part::Beyond),
            ("bytes=99999999999999999999999-", 100, Part::Beyond),
            ("bytes=9-1", 100, Part::Whole),
            ("bytes=0-1,5-6", 100, Part::Whole),
            ("bytes=+1-2", 100, Part::Whole),
            ("bytes=a-b", 100, Part::Whole),
            ("bytes=-", 100, Part::Whole),
            ("lines=0-1", 100, Part::Whole),
            ("", 100, Part::Whole),
        ] {
            assert_eq!(part(text, size), expected, "{text} of {size}");
        }
    }
}
