//! Which URLs may be used for a package: those that anybody can fetch, and that keep giving the same bytes.
//!
//! Invariant: what [`public_url`] returns is an absolute `http` or `https` URL with a host, without
//! credentials, query and fragment; its errors repeat neither a password nor a query.

use url::Url;

use super::moving::is_moving;

/// Why a text is not the URL of a public package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPublic {
    /// It is not an absolute URL.
    #[error("\"{text}\" is not a URL ({problem}): expected http://HOST/PATH or https://HOST/PATH")]
    NotAUrl {
        /// The text, safe for a terminal.
        text: String,
        /// The parser's message.
        problem: String,
    },
    /// Packages cannot be fetched with its scheme.
    #[error("its scheme is \"{scheme}\": expected http or https")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// It has a user name or a password: it would be written into every manifest.
    #[error("it has a user name or password in it: a package must be public")]
    Credentials,
    /// It has a query, which may be a secret, or may expire.
    #[error(
        "it has a query (\"?...\"), which may contain a token or expire: expected a permanent URL"
    )]
    Query,
    /// It refers to a part of the package.
    #[error("it has a fragment (\"#...\"): expected the URL of the whole package")]
    Fragment,
    /// Its form says that it gives other bytes with each release or commit.
    #[error("{url} gives other bytes from time to time: expected the URL of one version")]
    Moves {
        /// The URL.
        url: String,
    },
}

/// `text` as the URL of a public package, normalised so that URLs can be compared (host in lower case, no
/// default port, special characters percent-encoded).
///
/// # Errors
/// See [`NotPublic`].
pub fn public_url(text: &str) -> Result<String, NotPublic> {
    let url = checked(text)?;
    // Even an empty query is part of a URL: with and without it, servers may answer differently.
    if url.query().is_some() {
        return Err(NotPublic::Query);
    }
    Ok(url.into())
}

/// Like [`public_url`], for a URL that a file of the tree names literally: one that [moves](is_moving) is refused.
///
/// # Errors
/// See [`NotPublic`].
pub(super) fn permanent_url(text: &str) -> Result<String, NotPublic> {
    let url = public_url(text)?;
    if is_moving(&url) { Err(NotPublic::Moves { url: shown(&url) }) } else { Ok(url) }
}

/// Like [`permanent_url`], for a URL with a fragment that only describes the package: its digest or its name, as the
/// clients of npm and Python write them. Returns the fragment, too.
///
/// # Errors
/// See [`NotPublic`]; a fragment that selects a part of the package is refused.
pub(super) fn described_url(text: &str) -> Result<(String, Option<&str>), NotPublic> {
    let (url, fragment) = text.split_once('#').map_or((text, None), |(a, b)| (a, Some(b)));
    let selects = |part: &str| part.starts_with("subdirectory=");
    if fragment.is_some_and(|fragment| fragment.split('&').any(selects)) {
        return Err(NotPublic::Fragment);
    }
    Ok((permanent_url(url)?, fragment))
}

/// The URL of a page of a public index. hashget itself writes its query, and the page's URL is recorded nowhere.
///
/// # Errors
/// See [`NotPublic`].
pub(super) fn page_url(text: &str) -> Result<String, NotPublic> {
    checked(text).map(String::from)
}

/// What the URL of a package and that of a page have in common.
fn checked(text: &str) -> Result<Url, NotPublic> {
    let url = Url::parse(text).map_err(|error| NotPublic::NotAUrl {
        text: crate::model::escaped(without_secrets(text).as_bytes()),
        problem: error.to_string(),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NotPublic::Scheme { scheme: url.scheme().to_owned() });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(NotPublic::Credentials);
    }
    if url.fragment().is_some() {
        return Err(NotPublic::Fragment);
    }
    Ok(url)
}

/// Text as part of a URL's path: `/` is kept; all other characters are encoded unless they are safe
/// everywhere.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            quoted.push(char::from(byte));
        } else {
            quoted.push_str(&format!("%{byte:02X}"));
        }
    }
    quoted
}

fn shown(url: &str) -> String {
    crate::model::escaped(url.as_bytes())
}

/// The part of an invalid URL that may be shown: anything before an `@` could be a password, and anything after a `?`
/// a token.
fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or(text);
    match text.rfind('@') {
        Some(at) => format!("...{}", &text[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_come_out_in_one_form() {
        for (text, url) in [
            ("https://EXAMPLE.org:443/a", "https://example.org/a"),
            ("http://example.org", "http://example.org/"),
            ("https://example.org/a b", "https://example.org/a%20b"),
        ] {
            assert_eq!(public_url(text).unwrap(), url);
        }
        assert_eq!(page_url("https://example.org/a?x=1").unwrap(), "https://example.org/a?x=1");
    }

    #[test]
    fn anything_else_is_refused_and_no_secret_is_told() {
        for text in [
            "",
            "example.org/a",
            "file:///etc/passwd",
            "ftp://example.org/a",
            "data:text/plain,x",
            "http://",
            "https://user:secret@example.org/a",
            "https://user@example.org/a",
            "https://user:secret@example.org:port/a",
            "https://example.org:port/a?token=secret",
            "https://example.org/a?token=secret",
            "https://example.org/a?",
            "https://example.org/a#part",
        ] {
            let error = public_url(text).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_fragment_may_describe_the_package_but_not_select_a_part() {
        let url = "https://example.org/a-1.tgz";
        for fragment in ["0123abcd", "sha256=00", "egg=a", ""] {
            let text = format!("{url}#{fragment}");
            assert_eq!(described_url(&text), Ok((url.to_owned(), Some(fragment))));
        }
        assert_eq!(described_url(url), Ok((url.to_owned(), None)));
        for text in ["#egg=a&subdirectory=b", "?x#y", "#subdirectory=b"] {
            assert!(described_url(&format!("{url}{text}")).is_err(), "{text}");
        }
        let moving = described_url("https://example.org/latest/a.tgz#sha256=00");
        assert!(matches!(moving, Err(NotPublic::Moves { .. })));
    }
}
