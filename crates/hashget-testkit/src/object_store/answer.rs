//! What the object store does and answers.
//!
//! Invariant: nothing is changed by a request that is refused.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use super::{Action, BUCKET, Fault, Lack, Object, Request, State, Upload, lock};

/// Objects, uploads and parts on a page of a list.
const PAGE: usize = 3;

/// When uploads begin: in the future, so that what began now is never old.
const NOW: &str = "2999-01-01T00:00:00.000Z";

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

fn plain(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Vec::new() }
}

fn xml(body: String) -> Answer {
    Answer {
        body: format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}").into_bytes(),
        ..plain(200)
    }
}

fn error(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>as told</Message></Error>");
    Answer { status, ..xml(body) }
}

/// What a request is for.
pub(super) fn action(request: &Request) -> Action {
    let asks = |name| request.query.contains_key(name);
    match request.method.as_str() {
        "HEAD" => Action::Head,
        "PUT" if asks("partNumber") => Action::Part,
        "PUT" => Action::Put,
        "POST" if asks("uploads") => Action::Begin,
        "POST" => Action::Complete,
        "DELETE" if asks("uploadId") => Action::Abort,
        "DELETE" => Action::Remove,
        _ if asks("uploadId") => Action::Parts,
        _ if asks("uploads") => Action::Uploads,
        _ if asks("list-type") => Action::List,
        _ => Action::Get,
    }
}

/// Does what was asked.
pub(super) fn answer(
    state: &State,
    action: Action,
    request: &Request,
    fault: Option<&Fault>,
) -> Answer {
    match fault {
        Some(Fault::Error(status, code)) => return error(*status, code),
        Some(Fault::ErrorInside(code)) => return Answer { status: 200, ..error(200, code) },
        _ => {}
    }
    let (bucket, key) = request.key.split_once('/').unwrap_or((&request.key, ""));
    if bucket != BUCKET {
        return error(404, "NoSuchBucket");
    }
    if let Some(refused) = unsigned(state, request) {
        return refused;
    }
    let reads = matches!(
        action,
        Action::Head | Action::Get | Action::List | Action::Uploads | Action::Parts
    );
    if reads && lock(&state.lacks).contains(&Lack::Reading) {
        return error(403, "AccessDenied");
    }
    let conditional = request.headers.contains_key("if-none-match");
    if conditional && lock(&state.lacks).contains(&Lack::Conditions) {
        return error(501, "NotImplemented");
    }
    if conditional && lock(&state.objects).contains_key(key) {
        return error(412, "PreconditionFailed");
    }
    let mut bytes = request.body.clone();
    let checksum = checksum(&bytes);
    if request.headers.get("x-amz-checksum-sha256").is_some_and(|told| *told != checksum) {
        return error(400, "BadDigest");
    }
    if let (Some(Fault::Corrupt), Some(byte)) = (fault, bytes.first_mut()) {
        *byte ^= 0xff;
    }
    let answer = match action {
        Action::Head | Action::Get => object(state, key, request),
        Action::Put => put(state, key, request, bytes, checksum),
        Action::Begin => begin(state, key, request),
        Action::Part => part(state, request, bytes, checksum),
        Action::Complete => complete(state, key, request),
        Action::Abort => abort(state, request),
        Action::Remove => remove(state, key),
        Action::List => list(state, request),
        Action::Uploads => uploads(state, request),
        Action::Parts => parts(state, request),
    };
    if let Some(Fault::Overtaken { bytes, is_declared }) = fault {
        lock(&state.objects).insert(key.to_owned(), anothers(bytes, *is_declared));
    }
    answer
}

/// An object that another hashget has made, which declares its digest, or another tool.
fn anothers(bytes: &[u8], is_declared: bool) -> Object {
    let digest = || ("x-amz-meta-sha256".to_owned(), hex::encode(Sha256::digest(bytes)));
    let headers: BTreeMap<_, _> = is_declared.then(digest).into_iter().collect();
    Object { bytes: bytes.to_vec(), checksum: checksum(bytes), headers }
}

fn checksum(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

/// The refusal of a request that is not signed, with the right key, for all headers that it must be signed for.
fn unsigned(state: &State, request: &Request) -> Option<Answer> {
    let credential = request.query.get("X-Amz-Credential");
    let signed = request.query.get("X-Amz-SignedHeaders").cloned().unwrap_or_default();
    let key = credential.and_then(|credential| credential.split('/').next());
    if key != Some(lock(&state.access).as_str()) {
        return Some(error(403, "InvalidAccessKeyId"));
    }
    let is_signed = |name: &str| signed.split(';').any(|signed| signed == name);
    let forgotten =
        request.headers.keys().any(|name| name.starts_with("x-amz-") && !is_signed(name));
    forgotten.then(|| error(403, "AccessDenied"))
}

fn kept(request: &Request) -> BTreeMap<String, String> {
    let of_object =
        |name: &str| name.starts_with("x-amz-meta-") || name.starts_with("x-amz-object-lock-");
    let headers = request.headers.iter().filter(|(name, _)| of_object(name));
    headers.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &hex::encode(Sha256::digest(bytes))[..32])
}

fn object(state: &State, key: &str, request: &Request) -> Answer {
    let Some(object) = lock(&state.objects).get(key).cloned() else {
        return error(404, "NoSuchKey");
    };
    let mut answer = plain(200);
    let mut header = |name: &str, value: String| answer.headers.push((name.to_owned(), value));
    let etag = etag(&object.bytes);
    if request.headers.get("if-match").is_some_and(|wanted| *wanted != etag) {
        return error(412, "PreconditionFailed");
    }
    header("etag", etag);
    object.headers.iter().for_each(|(name, value)| header(name, value.clone()));
    let tells = !lock(&state.lacks).contains(&Lack::Checksums);
    if tells && request.headers.contains_key("x-amz-checksum-mode") && !object.checksum.is_empty() {
        header("x-amz-checksum-sha256", object.checksum.clone());
    }
    let total = object.bytes.len();
    let range = request.headers.get("range").and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
    });
    match range {
        Some((first, _)) if first >= total => return error(416, "InvalidRange"),
        Some((first, last)) => {
            let last = last.min(total - 1);
            header("content-range", format!("bytes {first}-{last}/{total}"));
            answer.status = 206;
            answer.body = object.bytes[first..=last].to_vec();
        }
        None => answer.body = object.bytes,
    }
    let length = answer.body.len().to_string();
    answer.headers.push(("content-length".to_owned(), length));
    answer
}

fn put(state: &State, key: &str, request: &Request, bytes: Vec<u8>, checksum: String) -> Answer {
    let headers = kept(request);
    if headers.keys().any(|name| name.starts_with("x-amz-object-lock-"))
        && !request.headers.contains_key("x-amz-checksum-sha256")
    {
        return error(400, "InvalidRequest");
    }
    let mut answer = plain(200);
    answer.headers.push(("etag".to_owned(), etag(&bytes)));
    if !lock(&state.lacks).contains(&Lack::Checksums) {
        answer.headers.push(("x-amz-checksum-sha256".to_owned(), checksum.clone()));
    }
    // What the store computes of what it has, unless it is damaged on the disk.
    lock(&state.objects)
        .insert(key.to_owned(), Object { checksum: self::checksum(&bytes), bytes, headers });
    answer
}

fn begin(state: &State, key: &str, request: &Request) -> Answer {
    let mut uploads = lock(&state.uploads);
    let id = format!("upload-{}", uploads.len() + lock(&state.log).len());
    let (key, headers, initiated) = (key.to_owned(), kept(request), NOW.to_owned());
    uploads.insert(id.clone(), Upload { key, headers, initiated, parts: BTreeMap::new() });
    xml(format!(
        "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
    ))
}

fn part(state: &State, request: &Request, bytes: Vec<u8>, checksum: String) -> Answer {
    let number = request.query.get("partNumber").and_then(|number| number.parse().ok());
    let mut uploads = lock(&state.uploads);
    let upload = request.query.get("uploadId").and_then(|id| uploads.get_mut(id));
    let (Some(number), Some(upload)) = (number, upload) else {
        return error(404, "NoSuchUpload");
    };
    let mut answer = plain(200);
    answer.headers.push(("etag".to_owned(), etag(&bytes)));
    upload.parts.insert(number, (bytes, checksum));
    answer
}

/// The values of an element that has no other ones in it.
fn values<'b>(body: &'b str, name: &str) -> Vec<&'b str> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    body.split(&start).skip(1).filter_map(|rest| rest.split(&end).next()).collect()
}

fn complete(state: &State, key: &str, request: &Request) -> Answer {
    let mut uploads = lock(&state.uploads);
    let Some(id) = request.query.get("uploadId").filter(|id| uploads.contains_key(*id)) else {
        return error(404, "NoSuchUpload");
    };
    let upload = uploads[id].clone();
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let (numbers, etags) = (values(&body, "PartNumber"), values(&body, "ETag"));
    let sums = values(&body, "ChecksumSHA256");
    let (mut bytes, mut digests) = (Vec::new(), Vec::new());
    for ((number, told), sum) in numbers.iter().zip(&etags).zip(&sums) {
        let part = number.parse().ok().and_then(|number: u32| upload.parts.get(&number));
        let Some((part, checksum)) =
            part.filter(|(part, known)| etag(part) == *told && known == sum)
        else {
            return error(400, "InvalidPart");
        };
        bytes.extend(part);
        digests.extend(STANDARD.decode(checksum).unwrap_or_default());
    }
    if numbers.is_empty() || numbers.len() != sums.len() {
        return error(400, "MalformedXML");
    }
    uploads.remove(id);
    let checksum = format!("{}-{}", checksum(&digests), numbers.len());
    lock(&state.objects)
        .insert(key.to_owned(), Object { bytes, checksum, headers: upload.headers });
    xml("<CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ETag>\"x\"</ETag></CompleteMultipartUploadResult>".to_owned())
}

fn abort(state: &State, request: &Request) -> Answer {
    let id = request.query.get("uploadId").cloned().unwrap_or_default();
    match lock(&state.uploads).remove(&id) {
        Some(_) => plain(204),
        None => error(404, "NoSuchUpload"),
    }
}

fn remove(state: &State, key: &str) -> Answer {
    let mut objects = lock(&state.objects);
    let locked = |object: &Object| object.header("x-amz-object-lock-mode") == Some("COMPLIANCE");
    if objects.get(key).is_some_and(locked) {
        return error(403, "AccessDenied");
    }
    objects.remove(key);
    plain(204)
}

fn encoded(key: &str) -> String {
    utf8_percent_encode(key, NON_ALPHANUMERIC).to_string().replace("%20", "+").replace("%2F", "/")
}

fn list(state: &State, request: &Request) -> Answer {
    let prefix = request.query.get("prefix").cloned().unwrap_or_default();
    let after = request.query.get("continuation-token").and_then(|token| hex::decode(token).ok());
    let after = String::from_utf8(after.unwrap_or_default()).unwrap_or_default();
    let objects = lock(&state.objects);
    let delimiter = request.query.get("delimiter");
    let is_alone =
        |name: &str| delimiter.is_none_or(|delimiter| !name.contains(delimiter.as_str()));
    let of_folder = |key: &str| key.strip_prefix(&prefix).is_some_and(is_alone);
    let found: Vec<_> = objects.iter().filter(|(key, _)| of_folder(key) && **key > after).collect();
    let mut body = "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>".to_owned();
    for (key, object) in found.iter().take(PAGE) {
        let (key, size) = (encoded(key), object.bytes.len());
        body += &format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>");
    }
    body += &format!("<IsTruncated>{}</IsTruncated>", found.len() > PAGE);
    if let Some((last, _)) = found.get(PAGE - 1).filter(|_| found.len() > PAGE) {
        body += &format!("<NextContinuationToken>{}</NextContinuationToken>", hex::encode(last));
    }
    xml(body + "</ListBucketResult>")
}

fn uploads(state: &State, request: &Request) -> Answer {
    let prefix = request.query.get("prefix").cloned().unwrap_or_default();
    let after = request.query.get("upload-id-marker").cloned().unwrap_or_default();
    let uploads = lock(&state.uploads);
    let found: Vec<_> = uploads
        .iter()
        .filter(|(id, upload)| upload.key.starts_with(&prefix) && **id > after)
        .collect();
    let mut body = "<ListMultipartUploadsResult>".to_owned();
    for (id, Upload { key, initiated, .. }) in found.iter().take(PAGE) {
        body += &format!(
            "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{initiated}</Initiated></Upload>"
        );
    }
    if let Some((last, upload)) = found.get(PAGE - 1).filter(|_| found.len() > PAGE) {
        body += &format!(
            "<IsTruncated>true</IsTruncated><NextKeyMarker>{}</NextKeyMarker>",
            upload.key
        );
        body += &format!("<NextUploadIdMarker>{last}</NextUploadIdMarker>");
    }
    xml(body + "</ListMultipartUploadsResult>")
}

fn parts(state: &State, request: &Request) -> Answer {
    let uploads = lock(&state.uploads);
    let Some(upload) = request.query.get("uploadId").and_then(|id| uploads.get(id)) else {
        return error(404, "NoSuchUpload");
    };
    let after = request.query.get("part-number-marker").and_then(|number| number.parse().ok());
    let found: Vec<_> = upload
        .parts
        .iter()
        .filter(|(number, _)| after.is_none_or(|after: u32| **number > after))
        .collect();
    let mut body = "<ListPartsResult>".to_owned();
    for (number, (bytes, checksum)) in found.iter().take(PAGE) {
        let (etag, size) = (etag(bytes), bytes.len());
        body += &format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>{size}</Size>"
        );
        body += &format!("<ChecksumSHA256>{checksum}</ChecksumSHA256></Part>");
    }
    if let Some((last, _)) = found.get(PAGE - 1).filter(|_| found.len() > PAGE) {
        body += &format!(
            "<IsTruncated>true</IsTruncated><NextPartNumberMarker>{last}</NextPartNumberMarker>"
        );
    }
    xml(body + "</ListPartsResult>")
}
