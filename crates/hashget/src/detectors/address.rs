//! Which URLs may be used for a package: those that anybody can fetch.
//!
//! Invariant: what [`public_url`] returns is an absolute `http` or `https` URL with a host, without
//! credentials and without a fragment; its errors never repeat a password.

use url::Url;

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
    /// It refers to a part of the package.
    #[error("it has a fragment (\"#...\"): expected the URL of the whole package")]
    Fragment,
}

/// `text` as the URL of a public package, normalised so that URLs can be compared (host in lower case, no
/// default port, special characters percent-encoded).
///
/// # Errors
/// See [`NotPublic`].
pub fn public_url(text: &str) -> Result<String, NotPublic> {
    let url = Url::parse(text).map_err(|error| NotPublic::NotAUrl {
        text: crate::model::escaped(hide_credentials(text).as_bytes()),
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
    Ok(url.into())
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

/// The part of an invalid URL that may be shown: anything before an `@` could be a password.
fn hide_credentials(text: &str) -> String {
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
            ("https://example.org/a b?x=1", "https://example.org/a%20b?x=1"),
        ] {
            assert_eq!(public_url(text).unwrap(), url);
        }
    }

    #[test]
    fn anything_else_is_refused_and_no_password_is_told() {
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
            "https://example.org/a#part",
        ] {
            let error = public_url(text).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
