//! What is counted and measured of the server, for Prometheus.
//!
//! Invariant: no label has what a client chose: neither keys nor paths, only routes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::app::App;

/// Upper bounds of the histogram of times, in seconds.
const TIMES: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// Time between two upkeeps of the histograms.
const UPKEEP: Duration = Duration::from_secs(5);

/// The server's metrics.
pub(crate) struct Measures {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Measures {
    pub(crate) fn new() -> Self {
        // Only an empty list of bounds is refused.
        let builder = PrometheusBuilder::new();
        let builder = builder.set_buckets(TIMES).unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// Puts what was measured into the histograms, again and again: until then, each measurement is kept by itself.
    pub(crate) async fn keep_small(&self) -> Infallible {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.handle.run_upkeep();
        }
    }

    /// Runs `work`, whose metrics are the server's.
    pub(crate) fn record(&self, work: impl FnOnce()) {
        metrics::with_local_recorder(&self.recorder, work);
    }

    /// Everything in the text form of Prometheus.
    pub(crate) fn rendered(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

/// Counts a request and takes the time until it is answered.
pub(crate) async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let began = Instant::now();
    let response = next.run(request).await;
    let (took, status) = (began.elapsed(), response.status().as_u16().to_string());
    app.measures.record(|| {
        let labels = [("route", route.clone()), ("method", method.clone()), ("status", status)];
        metrics::counter!("hashget_server_requests_total", &labels).increment(1);
        let labels = [("route", route), ("method", method)];
        metrics::histogram!("hashget_server_request_seconds", &labels).record(took);
    });
    response
}
