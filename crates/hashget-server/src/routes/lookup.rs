//! `POST /v1/lookup`: which packages hold these files?
//!
//! Invariant: what is asked is never logged or kept.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hashget::hashdb::{CutKey, Holder, KeysInMemory, LocalHashDb};
use hashget::model::Digest;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::app::{App, blocking};
use crate::refusal::{Problem, Refusal};

/// Keys and digests of one request.
const MOST: usize = 65_536;
/// Packages that a key is answered with.
const MOST_OF_A_KEY: u32 = 16;

/// A key or a digest as it was sent: most are taken as they lie in the body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
struct Text<'b>(#[serde(borrow)] Cow<'b, str>);

/// The question.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lookup<'b> {
    /// The first 48 bits of SHA-256 digests, as 12 hex digits each.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>)]
    keys: Vec<Text<'b>>,
    /// Whole SHA-256 digests, as 64 hex digits each.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>)]
    digests: Vec<Text<'b>>,
}

/// What is known, by what was asked.
type Holders<'b> = Vec<(Text<'b>, Vec<Digest>)>;

/// The answer. What is not in it is not known.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Found<'b> {
    /// For each key that is known, the digests of up to 16 packages that may hold it.
    #[serde(serialize_with = "as_map")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    keys: Holders<'b>,
    /// The same for whole digests.
    #[serde(serialize_with = "as_map")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    digests: Holders<'b>,
}

fn as_map<S: Serializer>(holders: &Holders<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(holders.iter().map(|(text, packages)| (text, packages)))
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
pub(crate) async fn lookup(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Refusal> {
    blocking(move || {
        let asked: Lookup<'_> = serde_json::from_slice(&body)
            .map_err(|error| Refusal::bad(format!("the body is not a look-up: {error}")))?;
        let number = asked.keys.len() + asked.digests.len();
        if number > MOST {
            let problem = format!("{number} keys: at most {MOST} can be asked at once");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, problem));
        }
        let found = Found {
            keys: cut(&app.keys, asked.keys)?,
            digests: whole(&app.hashdb, asked.digests)?,
        };
        app.measures.record(|| {
            let known = found.keys.len() + found.digests.len();
            let known = u64::try_from(known).unwrap_or(u64::MAX);
            let asked = u64::try_from(number).unwrap_or(u64::MAX);
            metrics::counter!("hashget_server_keys_asked_total").increment(asked);
            metrics::counter!("hashget_server_keys_found_total").increment(known);
        });
        // Here, and not where all clients are served: an answer may be of some megabytes.
        let json = serde_json::to_vec(&found).map_err(|error| Refusal::internal(&error))?;
        let json_type = HeaderValue::from_static("application/json");
        Ok(([(header::CONTENT_TYPE, json_type)], json).into_response())
    })
    .await
}

fn parsed<'b, T: std::str::FromStr + Ord>(
    texts: Vec<Text<'b>>,
) -> Result<(Vec<T>, Vec<Text<'b>>), Refusal>
where
    T::Err: ToString,
{
    let parsed = texts.into_iter().map(|text| match text.0.parse() {
        Ok(key) => Ok((key, text)),
        Err(error) => Err(Refusal::bad(T::Err::to_string(&error))),
    });
    let mut parsed = parsed.collect::<Result<Vec<(T, Text<'b>)>, Refusal>>()?;
    // Neighbours lie on the same pages.
    parsed.sort_unstable();
    parsed.dedup();
    Ok(parsed.into_iter().unzip())
}

fn cut<'b>(table: &KeysInMemory, texts: Vec<Text<'b>>) -> Result<Holders<'b>, Refusal> {
    let (keys, texts) = parsed::<CutKey>(texts)?;
    let found = table.find(&keys)?;
    Ok(texts.into_iter().zip(found).filter(|(_, packages)| !packages.is_empty()).collect())
}

fn whole<'b>(hashdb: &LocalHashDb, texts: Vec<Text<'b>>) -> Result<Holders<'b>, Refusal> {
    let (digests, texts) = parsed::<Digest>(texts)?;
    let found = hashdb.holders(&digests, MOST_OF_A_KEY)?;
    let packages = |holders: Vec<Holder>| holders.iter().map(|holder| holder.sha256).collect();
    let known = texts.into_iter().zip(found).filter(|(_, holders)| !holders.is_empty());
    Ok(known.map(|(text, holders)| (text, packages(holders))).collect())
}
