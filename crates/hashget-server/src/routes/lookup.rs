//! `POST /v1/lookup`: which packages hold these files?
//!
//! Invariant: what is asked is never logged or kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use hashget::hashdb::{CutKey, Holder, KeysInMemory, LocalHashDb};
use hashget::model::Digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::{App, blocking};
use crate::refusal::{Problem, Refusal};

/// Keys and digests of one request.
const MOST: usize = 65_536;
/// Packages that a key is answered with.
const MOST_OF_A_KEY: u32 = 16;

/// The question.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lookup {
    /// The first 48 bits of SHA-256 digests, as 12 hex digits each.
    keys: Vec<String>,
    /// Whole SHA-256 digests, as 64 hex digits each.
    digests: Vec<String>,
}

/// The answer. What is not in it is not known.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found {
    /// For each key that is known, the digests of up to 16 packages that may hold it.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    keys: BTreeMap<String, Vec<Digest>>,
    /// The same for whole digests.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    digests: BTreeMap<String, Vec<Digest>>,
}

/// Which packages hold these files?
///
/// Up to 65,536 keys and digests. An answer is a hint: whoever relies on a package reads its list and compares whole digests.
#[utoipa::path(
    post,
    path = "/v1/lookup",
    tag = "packages",
    request_body = Lookup,
    responses(
        (status = 200, body = Found),
        (status = 400, description = "a key is not one", body = Problem),
        (status = 413, description = "more than 65,536, or too many bytes", body = Problem),
    )
)]
pub(crate) async fn lookup(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Found>, Refusal> {
    blocking(move || {
        let asked: Lookup = serde_json::from_slice(&body)
            .map_err(|error| Refusal::bad(format!("the body is not a look-up: {error}")))?;
        let number = asked.keys.len() + asked.digests.len();
        if number > MOST {
            let problem = format!("{number} keys: at most {MOST} can be asked at once");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, problem));
        }
        let keys = cut(&app.keys, asked.keys)?;
        let digests = whole(&app.hashdb, asked.digests)?;
        app.measures.record(|| {
            let found = u64::try_from(keys.len() + digests.len()).unwrap_or(u64::MAX);
            let asked = u64::try_from(number).unwrap_or(u64::MAX);
            metrics::counter!("hashget_server_keys_asked_total").increment(asked);
            metrics::counter!("hashget_server_keys_found_total").increment(found);
        });
        Ok(Json(Found { keys, digests }))
    })
    .await
}

fn parsed<T: std::str::FromStr + Ord>(texts: Vec<String>) -> Result<Vec<(T, String)>, Refusal>
where
    T::Err: ToString,
{
    let parsed = texts.into_iter().map(|text| match text.parse() {
        Ok(key) => Ok((key, text)),
        Err(error) => Err(Refusal::bad(T::Err::to_string(&error))),
    });
    let mut parsed = parsed.collect::<Result<Vec<(T, String)>, Refusal>>()?;
    // Neighbours lie on the same pages.
    parsed.sort_unstable();
    parsed.dedup();
    Ok(parsed)
}

fn cut(table: &KeysInMemory, texts: Vec<String>) -> Result<BTreeMap<String, Vec<Digest>>, Refusal> {
    let (keys, texts): (Vec<CutKey>, Vec<String>) = parsed::<CutKey>(texts)?.into_iter().unzip();
    let found = table.find(&keys)?;
    Ok(texts.into_iter().zip(found).filter(|(_, packages)| !packages.is_empty()).collect())
}

fn whole(
    hashdb: &LocalHashDb,
    texts: Vec<String>,
) -> Result<BTreeMap<String, Vec<Digest>>, Refusal> {
    let (digests, texts): (Vec<Digest>, Vec<String>) = parsed::<Digest>(texts)?.into_iter().unzip();
    let found = hashdb.holders(&digests, MOST_OF_A_KEY)?;
    let packages = |holders: Vec<Holder>| holders.iter().map(|holder| holder.sha256).collect();
    let known = texts.into_iter().zip(found).filter(|(_, holders)| !holders.is_empty());
    Ok(known.map(|(text, holders)| (text, packages(holders))).collect())
}
