//! Pages for people that come in place of a package: of a portal, a proxy, or of a server that answers "not found" with success.
//!
//! Invariant: such a page says nothing about the package: it is neither the package nor another version of it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::FetchError;

/// What is said of it.
pub(crate) const IN_PLACE: &str = "a page came in place of the package";

/// What a page begins with, besides comments and the declaration of XML.
const BEGINS: [&str; 7] =
    ["<!doctype html", "<html", "<head", "<body", "<title", "<meta", "<script"];

/// Number of bytes that are looked at.
const SAMPLE: usize = 256;

/// Do these first bytes begin a page for people?
pub(crate) fn is_page(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SAMPLE)]).to_ascii_lowercase();
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some((opens, closes)) =
        [("<!--", "-->"), ("<?xml", "?>")].into_iter().find(|(opens, _)| rest.starts_with(opens))
    {
        // The beginning of a page may be all comment.
        let Some((_, after)) = rest.split_once(closes) else { return opens == "<!--" };
        rest = after.trim_start();
    }
    let is_name = |after: &str| after.starts_with(|next: char| next.is_ascii_alphanumeric());
    BEGINS.iter().filter_map(|begins| rest.strip_prefix(begins)).any(|after| !is_name(after))
}

/// The error that other bytes than the wanted ones came from `from`: `file` has them, if they were kept.
pub(crate) fn mismatch(
    from: String,
    expected: String,
    found: String,
    file: Option<File>,
) -> FetchError {
    let mut bytes = [0; SAMPLE];
    let start = file.as_ref().and_then(|file| file.read_at(&mut bytes, 0).ok()).unwrap_or(0);
    if is_page(&bytes[..start]) {
        let (problem, answered, given_up) = (IN_PLACE.to_owned(), true, None);
        return FetchError::Unreachable { url: from, problem, answered, given_up };
    }
    FetchError::Mismatch { from, expected, found, file }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_by_its_beginning() {
        let long = format!("<!-- {} -->", "x".repeat(1000));
        for page in [
            "<!DOCTYPE html><p>",
            "\n <HTML lang=en>",
            "\u{feff}<head>",
            "<!-- a --><!--b-->\n<html>",
            &long,
            "<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC",
            "<script>location=1</script>",
            "<meta http-equiv=refresh>",
        ] {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        for other in [
            "",
            "<",
            "<?xml version=\"1.0\"?><metalink>",
            "<?xml",
            "PK\u{3}\u{4}",
            "{}",
            "html",
            "<htm",
        ] {
            assert!(!is_page(other.as_bytes()), "{other}");
        }
    }
}
