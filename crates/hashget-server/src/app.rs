//! What all requests share, and the routes.
//!
//! Invariant: every route is behind the scope that it needs, except the page and the questions whether the server is well; calls of the
//! library, which block, run on threads that may.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::HttpBody as _;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use hashget::fetch::PoolFolder;
use hashget::hashdb::{self, KeysInMemory, LocalHashDb};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::{RequestBodyDeadlineLayer, RequestBodyTimeoutLayer, TimeoutLayer};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::{self, Gate};
use crate::clock::Clock;
use crate::fetching::Fetching;
use crate::measures::{self, Measures};
use crate::refusal::{self, Refusal};
use crate::remembered::Remembered;
use crate::routes::{lookup, operations, packages, page, pool, published, python, submissions};
use crate::scope::Scope;
use crate::served_file::Caching;
use crate::server_db::ServerDb;
use crate::settings::Settings;

/// Uploads into the pool at once: each takes a thread.
const UPLOADS: usize = 64;

/// Calls of the library at once: as many as a HashDB keeps connections open for.
static CALLS: Semaphore = Semaphore::const_new(8);

/// What all requests share.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) published: PathBuf,
    pub(crate) pool_dir: PathBuf,
    pub(crate) pool: PoolFolder,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) hashdb: Arc<LocalHashDb>,
    pub(crate) keys: KeysInMemory,
    pub(crate) size: Remembered<hashdb::Status>,
    pub(crate) readiness: Remembered<()>,
    pub(crate) server_db: Arc<ServerDb>,
    pub(crate) fetching: Fetching,
    pub(crate) gate: Gate,
    pub(crate) measures: Measures,
    pub(crate) clock: Clock,
    pub(crate) openapi: String,
}

impl App {
    /// The number of permits for uploads.
    pub(crate) fn uploads() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(UPLOADS))
    }

    /// How long others may keep what never changes: those between the server and a client only if it is for everybody.
    pub(crate) fn caching(&self) -> Caching {
        if self.settings.anybody_may(Scope::Read) { Caching::Shared } else { Caching::Private }
    }
}

/// Asks the library: runs `work`, which may block, on a thread for that. A few of them run at once, and the others wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let permit = CALLS.acquire().await.map_err(|error| Refusal::internal(&error))?;
    // The thread goes on when nobody waits for it any more: it has the permit as long.
    on_thread(move || {
        let _permit = permit;
        work()
    })
    .await
}

/// Runs `work`, which may wait for a client, on a thread for that.
pub(crate) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refusal::internal(&error)),
    }
}

/// The routes that programs are told of, by the scope that they need.
fn described() -> [(Scope, OpenApiRouter<Arc<App>>); 3] {
    let read = OpenApiRouter::new()
        .routes(routes!(lookup::lookup))
        .routes(routes!(packages::package))
        .routes(routes!(packages::list))
        .routes(routes!(packages::search))
        .routes(routes!(operations::status))
        .routes(routes!(submissions::submission));
    let submit = OpenApiRouter::new().routes(routes!(submissions::submit));
    let admin = OpenApiRouter::new().routes(routes!(operations::metrics));
    [(Scope::Read, read), (Scope::Submit, submit), (Scope::Admin, admin)]
}

/// The description of the routes, as `/openapi.json` gives it.
pub(crate) fn openapi() -> String {
    let mut document = Document::openapi();
    for (_, routes) in described() {
        document.merge(routes.into_openapi());
    }
    document.to_json().unwrap_or_default()
}

/// All routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let limits = &app.settings.limits;
    let seconds = |number: u32| Duration::from_secs(number.into());
    let behind = |scope: Scope, routes: Router<Arc<App>>| {
        routes.route_layer(middleware::from_fn_with_state((Arc::clone(&app), scope), access::admit))
    };
    let mut all = Router::new();
    for (scope, routes) in described() {
        all = all.merge(behind(scope, routes.split_for_parts().0));
    }
    let files = Router::new()
        .route("/published/{*path}", get(published::file))
        .route("/pool/{*path}", get(pool::package))
        .merge(python::reading());
    let open = Router::new()
        .route("/", get(page::html))
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::js))
        .route("/icon.svg", get(page::icon))
        .route("/openapi.json", get(operations::openapi))
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz));
    let quick = all
        .merge(behind(Scope::Read, files))
        .merge(open)
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            seconds(limits.request_seconds.get()),
        ));
    let uploads = Router::new()
        .route("/pool/{*path}", axum::routing::put(pool::put))
        .merge(python::submitting())
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyDeadlineLayer::new(seconds(limits.upload_seconds.get())));
    quick
        .merge(behind(Scope::Submit, uploads))
        .fallback(operations::unknown)
        .layer(RequestBodyTimeoutLayer::new(seconds(limits.stall_seconds.get())))
        .layer(CatchPanicLayer::new())
        .layer(middleware::map_response(refusal::described))
        .layer(middleware::from_fn(with_common_headers))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), measures::measure))
        .with_state(app)
}

/// What every answer says: the page is complete in itself, nothing is guessed or framed. A client that was refused while it sent
/// something does not use the connection again.
async fn with_common_headers(request: Request, next: Next) -> Response {
    let has_body = !request.body().is_end_stream();
    let mut response = next.run(request).await;
    if has_body && (response.status().is_client_error() || response.status().is_server_error()) {
        // The body may not have been read to its end, and what is left of it is not the next request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let headers: [(HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What programs are told of the server as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "hashget-server",
        description = "What is in public packages, for many machines. Published HashDBs lie below /published/ and packages in /pool/sha256/, both with byte ranges.",
        license(name = "MIT OR Apache-2.0")
    ),
    security((), ("token" = [])),
    modifiers(&Tokens)
)]
struct Document;

/// Adds how tokens are sent.
struct Tokens;

impl utoipa::Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let components = document.components.get_or_insert_with(Default::default);
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", scheme);
    }
}

#[cfg(test)]
mod tests {
    use super::{CALLS, blocking};

    /// Whoever asks and goes away does not get more threads than others.
    #[test]
    fn a_call_that_nobody_waits_for_has_its_permit_until_it_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let before = CALLS.available_permits();
        runtime.block_on(async {
            let call = blocking(move || {
                begin.send(()).unwrap();
                // Until the other end is dropped.
                _ = ended.recv();
                Ok(())
            });
            tokio::select! {
                _ = call => panic!("it has not ended"),
                begun = begun => begun.unwrap(),
            }
        });
        assert_eq!(CALLS.available_permits(), before - 1);
        drop(end);
        // Waits for the thread.
        drop(runtime);
        assert_eq!(CALLS.available_permits(), before);
    }
}
