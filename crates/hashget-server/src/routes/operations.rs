//! How the server does: status, metrics, health, and what its routes are.
//!
//! Invariant: who asks whether the server is well needs no token.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use hashget::hashdb::HashDbWriter as _;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::{App, blocking};
use crate::refusal::{Problem, Refusal};
use crate::server_db::Counts;

/// How long the size of the HashDB is remembered: counting takes a second for each ten million files.
pub(crate) const SIZE: Duration = Duration::from_secs(60);
/// How long it is remembered that the server is ready: asking waits for the disk, and needs no token.
pub(crate) const READINESS: Duration = Duration::from_secs(1);

/// How the server does.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The server's version.
    version: &'static str,
    /// Packages that are known.
    packages: u64,
    /// Distinct files and packages that can be looked up.
    digests: u64,
    /// Size of all known packages, in bytes.
    package_bytes: u64,
    /// Size of the HashDB on the disk, in bytes.
    disk_bytes: u64,
    /// Submissions.
    submissions: Counts,
}

async fn status_of(app: &Arc<App>) -> Result<Status, Refusal> {
    let hashdb = Arc::clone(&app.hashdb);
    let known = app.size.get(move || Ok(hashdb.status()?)).await?;
    let app = Arc::clone(app);
    blocking(move || {
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            packages: known.packages,
            digests: known.digests,
            package_bytes: known.package_bytes,
            disk_bytes: known.disk_bytes,
            submissions: app.server_db.counts()?,
        })
    })
    .await
}

/// How the server does.
#[utoipa::path(get, path = "/v1/status", tag = "server", responses((status = 200, body = Status)))]
pub(crate) async fn status(State(app): State<Arc<App>>) -> Result<Json<Status>, Refusal> {
    status_of(&app).await.map(Json)
}

/// Metrics in the text form of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "server",
    responses((status = 200, body = String), (status = 403, body = Problem))
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Refusal> {
    let status = status_of(&app).await?;
    #[allow(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
    let number = |number: u64| number as f64;
    app.measures.record(|| {
        metrics::gauge!("hashget_server_packages").set(number(status.packages));
        metrics::gauge!("hashget_server_digests").set(number(status.digests));
        metrics::gauge!("hashget_server_hashdb_bytes").set(number(status.disk_bytes));
        let counts = status.submissions;
        for (state, count) in [
            ("waiting", counts.waiting),
            ("seen", counts.seen),
            ("published", counts.published),
            ("moves", counts.moves),
            ("failed", counts.failed),
        ] {
            metrics::gauge!("hashget_server_submissions", "state" => state).set(number(count));
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, app.measures.rendered()))
}

/// The description of the routes for programs.
pub(crate) async fn openapi(State(app): State<Arc<App>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi.clone())
}

/// The process works.
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// The folder can be read and written to.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Refusal> {
    let (server_db, hashdb) = (Arc::clone(&app.server_db), Arc::clone(&app.hashdb));
    let ask = move || {
        server_db.check()?;
        if !hashdb.is_writable() {
            let problem = "hashdb.sqlite cannot be written to";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, problem));
        }
        Ok(hashdb.try_writing()?)
    };
    app.readiness.get(ask).await.map(|()| "ready\n")
}

/// There is no such route.
pub(crate) async fn unknown() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing here: /openapi.json lists the routes")
}
