//! What a registry wants before it answers: the header `WWW-Authenticate`, as
//! <https://distribution.github.io/distribution/spec/auth/token/> describes it.
//!
//! Invariant: only what is understood as a whole is a challenge.

use url::Url;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token, which this URL gives.
    Token(String),
    /// The login itself.
    Login,
}

impl Challenge {
    /// Reads the header. `scope` is what a token is for if the registry does not say it.
    pub(super) fn parse(header: &str, scope: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Login);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let fields = fields(rest)?;
        let find = |name: &str| {
            let found = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let mut url = Url::parse(find("realm")?).ok()?;
        if let Some(service) = find("service") {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", find("scope").unwrap_or(scope));
        Some(Self::Token(url.into()))
    }
}

/// The fields of a challenge: `name="value"`, with commas between them.
fn fields(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    while !text.trim().is_empty() {
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        fields.push((name.trim().to_owned(), value.trim().to_owned()));
        text = rest.trim_start();
        text = text.strip_prefix(',').unwrap_or(text);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_where_tokens_are() {
        let own = "repository:p:pull";
        let token = |url: &str| Some(Challenge::Token(url.to_owned()));
        for (header, expected) in [
            (
                "Bearer realm=\"https://auth.example/token\",service=\"reg,1\",scope=\"repository:a/b:pull,push\"",
                token(
                    "https://auth.example/token?service=reg%2C1&scope=repository%3Aa%2Fb%3Apull%2Cpush",
                ),
            ),
            (
                "bearer realm=https://auth.example/t?x=1",
                token("https://auth.example/t?x=1&scope=repository%3Ap%3Apull"),
            ),
            ("Basic realm=\"registry\"", Some(Challenge::Login)),
            ("Basic", Some(Challenge::Login)),
            ("Bearer service=\"registry\"", None),
            ("Bearer realm=\"no url\"", None),
            ("Bearer realm=\"https://auth.example", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(header, own), expected, "{header}");
        }
    }
}
