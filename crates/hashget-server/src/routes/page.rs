//! The page for people: one document, one style, one script, one icon.
//!
//! Invariant: the page asks this server only, and shows what it gets as text, never as markup.

use axum::http::header;
use axum::response::IntoResponse;

/// A part of the page, which a browser asks for again when the server may have changed.
fn part(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text)
}

pub(crate) async fn html() -> impl IntoResponse {
    part("text/html; charset=utf-8", include_str!("../../page/page.html"))
}

pub(crate) async fn css() -> impl IntoResponse {
    part("text/css; charset=utf-8", include_str!("../../page/page.css"))
}

pub(crate) async fn js() -> impl IntoResponse {
    part("text/javascript; charset=utf-8", include_str!("../../page/page.js"))
}

pub(crate) async fn icon() -> impl IntoResponse {
    part("image/svg+xml", include_str!("../../page/icon.svg"))
}
