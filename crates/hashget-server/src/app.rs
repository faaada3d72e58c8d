//! What all requests share, and the routes.
//!
//! Invariant: every route is behind the scope that it needs, except the page and the questions whether the server is well; calls of the
//! library, which block, run on threads that may.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, middleware};
use hashget::fetch::PoolFolder;
use hashget::hashdb::{KeysInMemory, LocalHashDb};
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
use crate::refusal::Refusal;
use crate::routes::operations::Size;
use crate::routes::{lookup, operations, packages, page, pool, published, python, submissions};
use crate::scope::Scope;
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
    pub(crate) uploads: Semaphore,
    pub(crate) hashdb: Arc<LocalHashDb>,
    pub(crate) keys: KeysInMemory,
    pub(crate) size: Size,
    pub(crate) server_db: Arc<ServerDb>,
    pub(crate) fetching: Fetching,
    pub(crate) gate: Gate,
    pub(crate) measures: Measures,
    pub(crate) clock: Clock,
    pub(crate) openapi: String,
}

impl App {
    /// The number of permits for uploads.
    pub(crate) fn uploads() -> Semaphore {
        Semaphore::new(UPLOADS)
    }
}

/// Asks the library: runs `work`, which may block, on a thread for that. A few of them run at once, and the others wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let _permit = CALLS.acquire().await.map_err(|error| Refusal::internal(&error))?;
    on_thread(work).await
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
    let seconds = std::time::Duration::from_secs;
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
            seconds(limits.request_seconds),
        ));
    let uploads = Router::new()
        .route("/pool/{*path}", axum::routing::put(pool::put))
        .merge(python::submitting())
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyDeadlineLayer::new(seconds(limits.upload_seconds)));
    quick
        .merge(behind(Scope::Submit, uploads))
        .fallback(operations::unknown)
        .layer(RequestBodyTimeoutLayer::new(seconds(limits.stall_seconds)))
        .layer(middleware::map_response(with_common_headers))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(Arc::clone(&app), measures::measure))
        .with_state(app)
}

/// What every answer says: the page is complete in itself, nothing is guessed or framed.
async fn with_common_headers(mut response: Response) -> Response {
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
