//! `/pool/`: packages by their digest, as `--pool http://HOST/pool` asks for them.
//!
//! Invariant: a package has its address once it is whole, has the digest that the address says, and is on the disk.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use futures_util::TryStreamExt as _;
use hashget::fetch::{ManagedPool as _, PoolError, place_in_pool};
use hashget::model::{Digest, RelPath};
use hashget::monitor::Silent;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::app::{App, blocking, on_thread};
use crate::refusal::Refusal;
use crate::served_file::ServedFile;

/// Seconds after which it is worth trying again when too many upload.
const LATER: u64 = 30;

/// The digest in an address: `sha256/ab/cd/ef/REST`.
fn digest_of(path: &str) -> Option<Digest> {
    let digits = path.strip_prefix("sha256/")?;
    let sha256: Digest = digits.replace('/', "").parse().ok()?;
    (place_in_pool(&sha256) == path).then_some(sha256)
}

/// A package of the pool.
pub(crate) async fn package(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let not_found = || Refusal::not_found("this package");
    let sha256 = digest_of(&path).ok_or_else(not_found)?;
    let path = RelPath::new(path).map_err(|_| not_found())?;
    let folder = app.pool_dir.clone();
    let opened = blocking(move || {
        ServedFile::open(&folder, &path).map_err(|error| Refusal::internal(&error))
    });
    let served = opened.await?.ok_or_else(not_found)?.with_etag(&sha256.to_string());
    served.answer(&headers, "application/octet-stream", app.caching()).await
}

/// Puts a package into the pool.
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let sha256 = digest_of(&path).ok_or_else(|| {
        Refusal::bad("packages lie at /pool/sha256/ab/cd/ef/REST, by their SHA-256")
    })?;
    let most = app.settings.limits.upload_bytes;
    let stated = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let stated: Option<u64> = stated.and_then(|text| text.parse().ok());
    if stated.is_some_and(|size| size > most) {
        return Err(too_large(most));
    }
    let Ok(permit) = Arc::clone(&app.uploads).try_acquire_owned() else {
        let problem = "too many uploads at once: come back later";
        return Err(Refusal::later(StatusCode::SERVICE_UNAVAILABLE, problem, LATER));
    };
    let body = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    // The bridge needs the runtime of this thread.
    let mut reader = SyncIoBridge::new(body);
    on_thread(move || {
        let _permit = permit;
        if app.pool.has(&sha256, stated, &Silent)? {
            return Ok(StatusCode::OK);
        }
        let mut content = Bounded { inner: &mut reader, left: most, broken: None };
        match app.pool.keep(&mut content, Some(sha256)) {
            Ok(_) => Ok(StatusCode::CREATED),
            Err(error) => Err(refusal(error, content.broken, most)),
        }
    })
    .await
}

fn too_large(most: u64) -> Refusal {
    let problem = format!("at most {most} bytes can be put into this pool");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, problem)
}

/// What the client is told when its package was not kept.
fn refusal(error: PoolError, broken: Option<Broken>, most: u64) -> Refusal {
    match broken {
        Some(Broken::TooLarge) => too_large(most),
        Some(Broken::Client) => {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "the upload broke off, or was too slow")
        }
        None => error.into(),
    }
}

/// Why an upload did not end.
#[derive(Debug, Clone, Copy)]
enum Broken {
    TooLarge,
    Client,
}

/// Fails once more than `left` bytes come, and remembers whether it was the client that failed, not the disk.
struct Bounded<R> {
    inner: R,
    left: u64,
    broken: Option<Broken>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).inspect_err(|_| self.broken = Some(Broken::Client))?;
        match self.left.checked_sub(u64::try_from(count).unwrap_or(u64::MAX)) {
            Some(left) => self.left = left,
            None => {
                self.broken = Some(Broken::TooLarge);
                return Err(io::Error::other("too many bytes"));
            }
        }
        Ok(count)
    }
}
