//! `/published/`: folders of immutable files, as they lie on the disk.
//!
//! Invariant: only regular files below the folder are served, by no link, and none whose name or folder begins with a dot.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use hashget::model::RelPath;

use crate::app::{App, blocking};
use crate::refusal::Refusal;
use crate::served_file::{Caching, ServedFile};

/// The name of files that change: the newest state of what is published.
const CHANGING: &[u8] = b"checkpoint";

/// A file of what is published.
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let not_found = || Refusal::not_found("this file");
    let path = RelPath::new(path).map_err(|_| not_found())?;
    if path.components().any(|name| name.starts_with(b".")) || path.is_root() {
        return Err(not_found());
    }
    let is_changing = path.file_name() == CHANGING;
    let kind = match path.file_name().rsplit(|byte| *byte == b'.').next() {
        Some(b"json") => "application/json",
        Some(b"txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let folder = app.published.clone();
    let opened = blocking(move || {
        ServedFile::open(&folder, &path).map_err(|error| Refusal::internal(&error))
    });
    let served = opened.await?.ok_or_else(not_found)?;
    let caching = if is_changing { Caching::Ask } else { app.caching() };
    served.answer(&headers, kind, caching).await
}
