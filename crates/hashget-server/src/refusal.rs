//! What a client is told when it does not get what it asked for.
//!
//! Invariant: the text names no path of this machine; what went wrong inside is logged, and the client is only told that something did.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hashget::fetch::PoolError;
use hashget::hashdb::HashDbError;
use hashget::wording::one_line;
use serde::Serialize;
use utoipa::ToSchema;

use crate::server_db::ServerDbError;

/// What a client is told of an error that is the server's.
const INTERNAL: &str = "the server failed; its log says why";

/// The body of every answer that is an error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What is wrong, and what to do.
    pub(crate) error: String,
}

/// An answer that is an error.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: String,
    retry_after: Option<u64>,
}

impl Refusal {
    /// An error with this status and text.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), retry_after: None }
    }

    /// The request makes no sense.
    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// There is no such thing.
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} is not known here"))
    }

    /// Too much at once: come back after these seconds.
    pub(crate) fn later(status: StatusCode, error: impl Into<String>, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(status, error) }
    }

    /// Something failed in the server.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = one_line(error), "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL)
    }

    /// The server's disk is full.
    pub(crate) fn full(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = one_line(error), "the disk is full");
        let problem = "the server's disk is full: nothing was kept";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Problem { error: self.error })).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"hashget-server\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Bytes of an explanation that some layer gives as text.
const EXPLANATION: usize = 4096;

/// The same answer; if it is an error that some layer gave, with the body that errors have here.
pub(crate) async fn described(response: Response) -> Response {
    let status = response.status();
    let is_json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    let is_described = response.headers().get(header::CONTENT_TYPE).is_some_and(is_json);
    if is_described || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, EXPLANATION).await.unwrap_or_default();
    let error = match (status, std::str::from_utf8(&said)) {
        (_, _) if status.is_server_error() => INTERNAL.to_owned(),
        (StatusCode::REQUEST_TIMEOUT, _) => {
            "the request took too long: ask for less at once".to_owned()
        }
        (StatusCode::METHOD_NOT_ALLOWED, _) => {
            "this address has other methods: /openapi.json lists the routes".to_owned()
        }
        (_, Ok(said)) if !said.is_empty() => said.to_owned(),
        (_, _) => status.to_string(),
    };
    let (described, body) = Json(Problem { error }).into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(described.headers);
    Response::from_parts(parts, body)
}

impl From<HashDbError> for Refusal {
    fn from(error: HashDbError) -> Self {
        Self::internal(&error)
    }
}

impl From<ServerDbError> for Refusal {
    fn from(error: ServerDbError) -> Self {
        if error.is_full() { Self::full(&error) } else { Self::internal(&error) }
    }
}

impl From<PoolError> for Refusal {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Different { expected, found } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("the bytes have sha256 {found}, but the address says {expected}"),
            ),
            PoolError::Disk { ref error, .. } if is_full(error) => Self::full(error),
            error => Self::internal(&error),
        }
    }
}

/// Is there no room, on the disk or in a quota?
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
