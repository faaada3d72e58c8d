//! `/v1/submissions`: URLs that somebody wants to be known.
//!
//! Invariant: what is answered with 202 is on the disk.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::app::{App, blocking};
use crate::refusal::{Problem, Refusal};
use crate::server_db::{Accepted, Submission};

/// URLs of one request.
const MOST: usize = 1_000;
/// Bytes of a URL.
const LONGEST: usize = 4_096;
/// Seconds after which it is worth trying again when too many wait.
const LATER: u64 = 600;

/// What is submitted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Submit {
    /// Up to 1,000 permanent public URLs of packages.
    urls: Vec<String>,
}

/// What was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Submitted {
    /// In the order of the URLs.
    submissions: Vec<Submission>,
}

/// The URL as it is kept, if packages may have it.
fn checked(url: &str) -> Result<String, Refusal> {
    let shown = hashget::fetch::shown(url);
    let bad = |problem: &str| Refusal::bad(format!("{shown}: {problem}"));
    if url.len() > LONGEST {
        return Err(Refusal::bad(format!("a URL is longer than {LONGEST} bytes")));
    }
    let mut parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(bad("expected an http or https URL"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(bad("a URL with a login is not public"));
    }
    parsed.set_fragment(None);
    Ok(parsed.into())
}

/// Keeps submissions, and wakes whoever fetches them.
pub(crate) async fn accept(app: Arc<App>, urls: Vec<String>) -> Result<Vec<Submission>, Refusal> {
    if urls.len() > MOST {
        let problem = format!("{} URLs: at most {MOST} can be submitted at once", urls.len());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, problem));
    }
    let urls = urls.iter().map(|url| checked(url)).collect::<Result<Vec<_>, _>>()?;
    blocking(move || {
        let most = app.settings.limits.waiting_submissions;
        match app.server_db.submit(&urls, most, app.clock.now())? {
            Accepted::All(kept) => {
                app.fetching.wake();
                Ok(kept)
            }
            Accepted::TooMany => {
                let problem = "too many submissions are waiting: come back later";
                Err(Refusal::later(StatusCode::SERVICE_UNAVAILABLE, problem, LATER))
            }
        }
    })
    .await
}

/// Submits URLs: the server fetches and reads the packages itself.
#[utoipa::path(
    post,
    path = "/v1/submissions",
    tag = "submissions",
    request_body = Submit,
    responses(
        (status = 202, body = Submitted),
        (status = 400, description = "a URL is not one that can be public", body = Problem),
        (status = 503, description = "too many are waiting", body = Problem),
        (status = 507, description = "the disk is full: nothing was kept", body = Problem),
    )
)]
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<(StatusCode, Json<Submitted>), Refusal> {
    let Submit { urls } = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad(format!("the body is not a submission: {error}")))?;
    let submissions = accept(app, urls).await?;
    Ok((StatusCode::ACCEPTED, Json(Submitted { submissions })))
}

/// What became of a submission.
#[utoipa::path(
    get,
    path = "/v1/submissions/{id}",
    tag = "submissions",
    params(("id" = i64, Path, description = "its number")),
    responses((status = 200, body = Submission), (status = 404, body = Problem))
)]
pub(crate) async fn submission(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Submission>, Refusal> {
    let id: i64 = id.parse().map_err(|_| Refusal::not_found("this submission"))?;
    blocking(move || {
        let found = app.server_db.submission(id)?;
        found.map(Json).ok_or_else(|| Refusal::not_found("this submission"))
    })
    .await
}
