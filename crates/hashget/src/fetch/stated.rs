//! What the head of an answer says about the whole content at a URL: validators, and checksums.
//!
//! Invariant: a checksum is stated only where the header means the file itself, not the part that was sent, an encoded
//! form of it, or the pieces of an upload. Nothing here is proven: it is the server's word.

use ureq::http::HeaderMap;

use crate::model::{Algorithm, Checksum};

/// What a server says about the content at a URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stated {
    /// The `ETag`, as sent.
    pub etag: Option<String>,
    /// The `Last-Modified` date, as sent.
    pub last_modified: Option<String>,
    /// Checksums of the whole content, each once.
    pub checksums: Vec<Checksum>,
    /// An MD5 that may be that of the whole content, and may be something else: an `ETag` of 32 hex digits, or a
    /// `Content-MD5` beside a part.
    pub possible_md5: Option<Checksum>,
}

/// Headers that give one checksum in hex digits.
const HEX: &[(&str, Algorithm)] = &[
    ("x-checksum-md5", Algorithm::Md5),
    ("x-checksum-sha1", Algorithm::Sha1),
    ("x-checksum-sha256", Algorithm::Sha256),
];

/// Headers that give one checksum in base64.
const BASE64: &[(&str, Algorithm)] = &[
    ("x-ms-blob-content-md5", Algorithm::Md5),
    ("x-amz-checksum-sha1", Algorithm::Sha1),
    ("x-amz-checksum-sha256", Algorithm::Sha256),
];

impl Stated {
    /// What these headers say. `whole` tells whether the body is the whole content.
    pub(super) fn from_headers(headers: &HeaderMap, whole: bool) -> Self {
        let own = |name| text(headers, name).map(str::to_owned);
        let (etag, last_modified) = (own("etag"), own("last-modified"));
        let mut stated = Self { etag, last_modified, ..Self::default() };
        if !is_identity(headers, "content-encoding") {
            return stated;
        }
        let found = [of_one(headers), of_lists(headers)].concat();
        found.into_iter().for_each(|checksum| stated.add(checksum));
        let of_body = text(headers, "content-md5");
        let of_body = of_body.and_then(|value| Checksum::from_base64(Algorithm::Md5, value));
        match of_body {
            Some(md5) if whole => stated.add(md5),
            of_body => stated.possible_md5 = of_body.or_else(|| of_etag(&stated)),
        }
        stated
    }

    /// Adds what a redirect says about the content to which it leads.
    pub(super) fn add_redirect(&mut self, headers: &HeaderMap) {
        let linked = text(headers, "x-linked-etag").map(|tag| tag.trim_matches('"'));
        let sha256 = linked.and_then(|tag| Checksum::from_hex(Algorithm::Sha256, tag));
        sha256.into_iter().for_each(|checksum| self.add(checksum));
    }

    fn add(&mut self, checksum: Checksum) {
        if !self.checksums.contains(&checksum) {
            self.checksums.push(checksum);
        }
    }
}

/// Headers with one checksum each.
fn of_one(headers: &HeaderMap) -> Vec<Checksum> {
    let composite = text(headers, "x-amz-checksum-type")
        .is_some_and(|kind| !kind.eq_ignore_ascii_case("FULL_OBJECT"));
    let hex = HEX
        .iter()
        .filter_map(|(name, algorithm)| Checksum::from_hex(*algorithm, text(headers, name)?));
    let base64 = BASE64.iter().filter(|(name, _)| !composite || !name.starts_with("x-amz-"));
    let base64 = base64
        .filter_map(|(name, algorithm)| Checksum::from_base64(*algorithm, text(headers, name)?));
    let mut redirect = Stated::default();
    redirect.add_redirect(headers);
    hex.chain(base64).chain(redirect.checksums).collect()
}

/// Headers with a list of `ALGORITHM=VALUE`.
fn of_lists(headers: &HeaderMap) -> Vec<Checksum> {
    let mut names = vec!["digest", "repr-digest"];
    if is_identity(headers, "x-goog-stored-content-encoding") {
        names.push("x-goog-hash");
    }
    let values = names.into_iter().flat_map(|name| headers.get_all(name));
    let items = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    items
        .filter_map(|item| {
            let (name, value) = item.trim().split_once('=')?;
            let algorithm = match name.trim().to_ascii_lowercase().as_str() {
                "sha" => Algorithm::Sha1,
                name => Algorithm::named(&name.replacen("sha-", "sha", 1))?,
            };
            // Repr-Digest writes base64 between colons.
            Checksum::from_base64(algorithm, value.trim().trim_matches(':'))
        })
        .collect()
}

/// A strong `ETag` of exactly 32 hex digits. Several stores use the MD5, other servers do not.
fn of_etag(stated: &Stated) -> Option<Checksum> {
    let tag = stated.etag.as_deref()?.strip_prefix('"')?.strip_suffix('"')?;
    Checksum::from_hex(Algorithm::Md5, tag)
}

/// A header's value, if it is there once and is text.
fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

fn is_identity(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(name).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ureq::http::{HeaderName, HeaderValue};

    use super::*;

    fn checksum(algorithm: Algorithm) -> Checksum {
        let mut hasher = algorithm.hasher();
        hasher.update(b"abc");
        hasher.finish()
    }

    fn hex(algorithm: Algorithm) -> String {
        hex::encode(checksum(algorithm).as_bytes())
    }

    fn base64(algorithm: Algorithm) -> String {
        STANDARD.encode(checksum(algorithm).as_bytes())
    }

    fn headers(pairs: &[(&str, String)]) -> HeaderMap {
        let pair = |(name, value): &(&str, String)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut map = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn every_way_to_state_a_checksum_is_read() {
        use Algorithm::{Md5, Sha1, Sha256, Sha512};
        let table: [(&str, String, Algorithm); 15] = [
            ("x-checksum-md5", hex(Md5), Md5),
            ("X-Checksum-Sha1", hex(Sha1).to_uppercase(), Sha1),
            ("X-Checksum-Sha256", hex(Sha256), Sha256),
            ("content-md5", base64(Md5), Md5),
            ("x-ms-blob-content-md5", base64(Md5), Md5),
            ("x-amz-checksum-sha1", base64(Sha1), Sha1),
            ("x-amz-checksum-sha256", base64(Sha256), Sha256),
            ("x-linked-etag", format!("\"{}\"", hex(Sha256)), Sha256),
            ("x-linked-etag", hex(Sha256), Sha256),
            ("x-goog-hash", format!("crc32c=n03x6A==,md5={}", base64(Md5)), Md5),
            ("digest", format!("SHA-256={}", base64(Sha256)), Sha256),
            ("digest", format!("md5={}", base64(Md5)), Md5),
            ("digest", format!("unixsum=30637, SHA={}", base64(Sha1)), Sha1),
            ("repr-digest", format!("sha-512=:{}:", base64(Sha512)), Sha512),
            ("repr-digest", format!("sha-256=:{}:, md5=:x:", base64(Sha256)), Sha256),
        ];
        for (name, value, algorithm) in table {
            let stated = Stated::from_headers(&headers(&[(name, value.clone())]), true);
            assert_eq!(stated.checksums, [checksum(algorithm)], "{name}: {value}");
            assert_eq!(stated.possible_md5, None, "{name}: {value}");
        }
    }

    #[test]
    fn what_means_something_else_is_not_taken_for_a_checksum() {
        use Algorithm::{Md5, Sha1, Sha256};
        let table: [&[(&str, String)]; 12] = [
            &[("x-checksum-md5", "nonsense".to_owned())],
            &[("x-checksum-sha1", hex(Md5))],
            &[("x-linked-etag", format!("\"{}\"", hex(Sha1)))],
            // Of several uploads together.
            &[("x-amz-checksum-sha256", format!("{}-3", base64(Sha256)))],
            &[
                ("x-amz-checksum-sha256", base64(Sha256)),
                ("x-amz-checksum-type", "COMPOSITE".to_owned()),
            ],
            // Of an encoded form.
            &[("x-checksum-sha256", hex(Sha256)), ("content-encoding", "gzip".to_owned())],
            &[
                ("x-goog-hash", format!("md5={}", base64(Md5))),
                ("x-goog-stored-content-encoding", "gzip".to_owned()),
            ],
            // Of the part that was sent.
            &[("content-digest", format!("sha-256=:{}:", base64(Sha256)))],
            &[("etag", format!("W/\"{}\"", hex(Md5)))],
            &[("etag", format!("\"{}-5\"", hex(Md5)))],
            &[("etag", format!("\"{}\"", hex(Sha1)))],
            &[("x-checksum-md5", hex(Md5)), ("x-checksum-md5", hex(Md5))],
        ];
        for pairs in table {
            let stated = Stated::from_headers(&headers(pairs), true);
            assert_eq!((stated.checksums, stated.possible_md5), (vec![], None), "{pairs:?}");
        }
    }

    #[test]
    fn an_md5_that_may_be_another_is_marked_so() {
        let md5 = Some(checksum(Algorithm::Md5));
        let tag = format!("\"{}\"", hex(Algorithm::Md5));
        let stated = Stated::from_headers(&headers(&[("etag", tag.clone())]), true);
        assert_eq!((&stated.possible_md5, &stated.checksums), (&md5, &vec![]));
        assert_eq!(stated.etag, Some(tag));
        let part = headers(&[("content-md5", base64(Algorithm::Md5))]);
        let stated = Stated::from_headers(&part, false);
        assert_eq!((stated.possible_md5, stated.checksums), (md5, vec![]));
    }

    #[test]
    fn a_redirect_says_what_it_leads_to_and_each_checksum_is_there_once() {
        let tag = ("x-linked-etag", format!("\"{}\"", hex(Algorithm::Sha256)));
        let mut stated =
            Stated::from_headers(&headers(&[("x-checksum-sha256", hex(Algorithm::Sha256))]), true);
        stated.add_redirect(&headers(&[tag, ("x-checksum-sha1", hex(Algorithm::Sha1))]));
        assert_eq!(stated.checksums, [checksum(Algorithm::Sha256)]);
    }
}
