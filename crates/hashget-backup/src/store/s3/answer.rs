//! What an object store answers: its XML.
//!
//! Invariant: elements are found by their local names, since stores differ in namespaces; what is missing where something
//! depends on it is an error.

use percent_encoding::percent_decode_str;
use roxmltree::{Document, Node};

/// What an error of the store says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Refusal {
    /// Its code, such as `AccessDenied`.
    pub(super) code: String,
    /// The text for a person.
    pub(super) message: String,
}

/// One page of a list of objects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Key and size of each object.
    pub(super) objects: Vec<(String, u64)>,
    /// What the next page begins with, if there is one.
    pub(super) next: Option<String>,
}

/// A part of an upload that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// From 1 on.
    pub(super) number: usize,
    /// What the store calls its contents.
    pub(super) etag: String,
    /// Its size in bytes.
    pub(super) bytes: u64,
    /// Its SHA-256 in base64, if the store keeps it.
    pub(super) sha256: Option<String>,
}

/// An upload in parts that is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    /// The key of the object that it is for.
    pub(super) key: String,
    /// Its number.
    pub(super) id: String,
    /// When it began, in seconds since 1970.
    pub(super) began: Option<i64>,
}

fn named<'n, 'd: 'n>(
    node: Node<'n, 'd>,
    name: &'static str,
) -> impl Iterator<Item = Node<'n, 'd>> + 'n {
    node.children().filter(move |child| child.tag_name().name() == name)
}

fn text(node: Node<'_, '_>, name: &'static str) -> Option<String> {
    named(node, name).next()?.text().map(str::to_owned)
}

fn parsed<T>(
    body: &[u8],
    read: impl FnOnce(Node<'_, '_>) -> Result<T, String>,
) -> Result<T, String> {
    let wrong = |problem: String| format!("its answer makes no sense: {problem}");
    let body = str::from_utf8(body).map_err(|_| wrong("it is no text".to_owned()))?;
    let document = Document::parse(body.trim_start()).map_err(|error| wrong(error.to_string()))?;
    read(document.root_element()).map_err(wrong)
}

/// The error that a body tells, if it is one.
pub(super) fn refusal(body: &[u8]) -> Option<Refusal> {
    let read = |root: Node<'_, '_>| {
        let node = match root.tag_name().name() {
            "Error" => root,
            // Some wrap it.
            "ErrorResponse" => named(root, "Error").next().ok_or("no Error")?,
            _ => return Ok(None),
        };
        let told = |name| text(node, name).unwrap_or_default();
        Ok(Some(Refusal { code: told("Code"), message: told("Message") }))
    };
    parsed(body, read).ok().flatten()
}

/// A page of objects.
pub(super) fn page(body: &[u8]) -> Result<Page, String> {
    parsed(body, |root| {
        let is_encoded = text(root, "EncodingType").as_deref() == Some("url");
        let key = |node| {
            let key = text(node, "Key").ok_or("an object without a key")?;
            if is_encoded { decoded(&key) } else { Ok(key) }
        };
        let object = |node| {
            let size = text(node, "Size").and_then(|size| size.parse().ok());
            Ok((key(node)?, size.ok_or("an object without a size")?))
        };
        let objects = named(root, "Contents").map(object).collect::<Result<_, String>>()?;
        let next = match text(root, "IsTruncated").as_deref() {
            Some("true") => {
                let token = text(root, "NextContinuationToken");
                Some(token.ok_or("a list that goes on, but not where")?)
            }
            _ => None,
        };
        Ok(Page { objects, next })
    })
}

/// A key as it is, of one that is encoded as a part of a form is.
fn decoded(key: &str) -> Result<String, String> {
    let key = key.replace('+', " ");
    let decoded = percent_decode_str(&key).decode_utf8().map_err(|_| "a key that is no text")?;
    Ok(decoded.into_owned())
}

/// The parts that an upload has, and the number after which the next page begins.
pub(super) fn parts(body: &[u8]) -> Result<(Vec<Part>, Option<String>), String> {
    parsed(body, |root| {
        let part = |node| {
            let number = |name| text(node, name).and_then(|number| number.parse::<u64>().ok());
            Some(Part {
                number: usize::try_from(number("PartNumber")?).ok()?,
                etag: text(node, "ETag")?,
                bytes: number("Size")?,
                sha256: text(node, "ChecksumSHA256"),
            })
        };
        let found: Option<Vec<Part>> = named(root, "Part").map(part).collect();
        let is_cut = text(root, "IsTruncated").as_deref() == Some("true");
        let next = text(root, "NextPartNumberMarker").filter(|_| is_cut);
        Ok((found.ok_or("a part without number, ETag or size")?, next))
    })
}

/// The uploads that are not complete, and the key and number after which the next page begins.
type Uploads = (Vec<Upload>, Option<(String, String)>);

/// A page of uploads.
pub(super) fn uploads(body: &[u8]) -> Result<Uploads, String> {
    parsed(body, |root| {
        let upload = |node| {
            let began =
                text(node, "Initiated").and_then(|time| time.parse::<jiff::Timestamp>().ok());
            Some(Upload {
                key: text(node, "Key")?,
                id: text(node, "UploadId")?,
                began: began.map(jiff::Timestamp::as_second),
            })
        };
        let found: Option<Vec<Upload>> = named(root, "Upload").map(upload).collect();
        let is_cut = text(root, "IsTruncated").as_deref() == Some("true");
        let next = text(root, "NextKeyMarker").zip(text(root, "NextUploadIdMarker"));
        Ok((found.ok_or("an upload without key or number")?, next.filter(|_| is_cut)))
    })
}

/// The number of an upload that has begun.
pub(super) fn upload_id(body: &[u8]) -> Result<String, String> {
    parsed(body, |root| text(root, "UploadId").ok_or_else(|| "an upload without number".to_owned()))
}

/// The request that makes one object of all parts, which are in order.
pub(super) fn completion(parts: &[Part]) -> String {
    let mut body =
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
    for Part { number, etag, sha256, .. } in parts {
        let etag = etag.replace('&', "&amp;").replace('<', "&lt;");
        body += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>");
        if let Some(sha256) = sha256 {
            body += &format!("<ChecksumSHA256>{sha256}</ChecksumSHA256>");
        }
        body += "</Part>";
    }
    body + "</CompleteMultipartUpload>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_whatever_wraps_it() {
        let plain =
            b"<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>wait</Message></Error>";
        let expected = Refusal { code: "SlowDown".to_owned(), message: "wait".to_owned() };
        assert_eq!(refusal(plain), Some(expected.clone()));
        let wrapped = b"  \n<ErrorResponse xmlns=\"urn:x\"><Error><Code>SlowDown</Code><Message>wait</Message></Error></ErrorResponse>";
        assert_eq!(refusal(wrapped), Some(expected));
        for other in [&b"<html>503</html>"[..], b"", b"\xff", b"<CompleteMultipartUploadResult/>"] {
            assert_eq!(refusal(other), None);
        }
    }

    #[test]
    fn a_list_that_is_cut_says_where_it_goes_on_or_is_an_error() {
        let list = |rest: &str| {
            let object = "<Contents><Key>a%2Bb+c</Key><Size>3</Size></Contents>";
            page(format!("<ListBucketResult>{object}{rest}</ListBucketResult>").as_bytes())
        };
        assert_eq!(list("").unwrap().objects, [("a%2Bb+c".to_owned(), 3)]);
        assert_eq!(list("<EncodingType>url</EncodingType>").unwrap().objects[0].0, "a+b c");
        let cut = "<IsTruncated>true</IsTruncated>";
        assert!(list(cut).unwrap_err().contains("goes on"));
        let token = format!("{cut}<NextContinuationToken>t</NextContinuationToken>");
        assert_eq!(list(&token).unwrap().next.as_deref(), Some("t"));
        assert!(page(b"<ListBucketResult><Contents/></ListBucketResult>").is_err());
    }
}
