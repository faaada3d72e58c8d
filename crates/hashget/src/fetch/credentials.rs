//! Logins for the pools and mirrors of the configuration.
//!
//! Invariant: a login is sent to its own host only, over https or to this machine, and only where the configuration names
//! the place. It is in no message, record or file that hashget writes.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fetch_url::FetchUrl;

/// Logins by host: `example.org`, or `example.org:8080` for a single port.
#[derive(Clone, Default)]
pub struct Credentials {
    /// The values of the header `Authorization`.
    hosts: BTreeMap<String, String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.hosts.keys()).finish()
    }
}

impl Credentials {
    /// Adds a bearer token for a host. `false` if it is empty, or has characters that no token has.
    #[must_use]
    pub fn add_token(&mut self, host: &str, token: &str) -> bool {
        let token = token.trim();
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if is_token {
            self.hosts.insert(host.to_ascii_lowercase(), format!("Bearer {token}"));
        }
        is_token
    }

    /// Adds the machines of a netrc file for which nothing is known yet. The entry `default`, which is for any host, is
    /// ignored, and so are macros.
    pub fn add_netrc(&mut self, text: &str) {
        for (host, login, password) in machines(text) {
            let basic = STANDARD.encode(format!("{login}:{password}"));
            self.hosts.entry(host.to_ascii_lowercase()).or_insert(format!("Basic {basic}"));
        }
    }

    /// Is there a login for the host of `target`?
    pub(super) fn is_for(&self, target: &FetchUrl) -> bool {
        target.names().iter().any(|name| self.hosts.contains_key(name))
    }

    /// The header for a request to `target`, which the configuration names.
    pub(super) fn authorization(&self, target: &FetchUrl) -> Option<&str> {
        let is_safe = target.is_secure() || target.is_loopback();
        let names = target.names();
        let found = names.iter().find_map(|name| self.hosts.get(name)).filter(|_| is_safe);
        found.map(String::as_str)
    }
}

/// Host, login and password of each complete entry.
fn machines(text: &str) -> Vec<(String, String, String)> {
    let mut words = words(text).into_iter();
    let mut machines: Vec<(String, Option<String>, Option<String>)> = Vec::new();
    let mut is_default = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "default" => is_default = true,
            "machine" => {
                is_default = false;
                machines.extend(words.next().map(|host| (host, None, None)));
            }
            "login" | "password" | "account" => {
                let value = words.next();
                if let Some((_, login, password)) = machines.last_mut().filter(|_| !is_default) {
                    match word.as_str() {
                        "login" => *login = value,
                        "password" => *password = value,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let complete = |(host, login, password): (String, Option<String>, Option<String>)| {
        Some((host, login?, password?))
    };
    machines.into_iter().filter_map(complete).collect()
}

/// The words of a netrc file, without comments and macros. A word may be quoted, with `\` before a character that means
/// itself.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        if in_macro {
            in_macro = !line.trim().is_empty();
            continue;
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with('#') {
            let (word, after) = next_word(rest);
            in_macro = word == "macdef";
            if in_macro {
                break;
            }
            words.push(word);
            rest = after.trim_start();
        }
    }
    words
}

/// The first word, and what follows it.
fn next_word(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
        return (word.to_owned(), rest);
    };
    let (mut word, mut characters) = (String::new(), quoted.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => word.extend(characters.next()),
            character => word.push(character),
        }
    }
    (word, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(netrc: &str) -> Credentials {
        let mut credentials = Credentials::default();
        credentials.add_netrc(netrc);
        credentials
    }

    fn sent(credentials: &Credentials, url: &str) -> Option<String> {
        let target = FetchUrl::parse(url).unwrap();
        let value = credentials.authorization(&target)?;
        let basic = STANDARD.decode(value.strip_prefix("Basic ")?).unwrap();
        Some(String::from_utf8(basic).unwrap())
    }

    #[test]
    fn a_netrc_file_is_read_as_other_programs_read_it() {
        let table = [
            ("machine a.example login u password p", Some("u:p")),
            ("machine a.example\n  login u\n  password p\n", Some("u:p")),
            ("# machine\nmachine A.example password p login u account x", Some("u:p")),
            ("machine a.example login \"a b\" password \"p\\\"q\"", Some("a b:p\"q")),
            ("machine a.example login u password #p", Some("u:")),
            ("machine b.example login u password p", None),
            ("machine a.example login u", None),
            ("default login u password p", None),
            ("machine a.example login u password p\ndefault login v password q", Some("u:p")),
            (
                "macdef init\nmachine a.example login v password q\n\nmachine a.example login u password p",
                Some("u:p"),
            ),
            ("machine", None),
            ("", None),
        ];
        for (netrc, expected) in table {
            let found = sent(&of(netrc), "https://a.example/pool");
            match netrc.contains("#p") {
                // A password may begin with a hash sign only in quotation marks.
                true => assert_eq!(found, None),
                false => assert_eq!(found.as_deref(), expected, "{netrc}"),
            }
        }
    }

    #[test]
    fn a_login_goes_to_its_host_over_a_safe_way_only() {
        let credentials = of("machine a.example login u password p\n\
             machine 127.0.0.1 login u password p\nmachine b.example:8443 login u password p");
        for (url, is_sent) in [
            ("https://a.example/", true),
            ("https://A.EXAMPLE:8443/", true),
            ("http://a.example/", false),
            ("https://sub.a.example/", false),
            ("https://a.example.evil/", false),
            ("http://127.0.0.1:8080/", true),
            ("https://b.example:8443/", true),
            ("https://b.example/", false),
        ] {
            assert_eq!(sent(&credentials, url).is_some(), is_sent, "{url}");
        }
    }

    #[test]
    fn a_token_is_one_word_and_wins_over_netrc() {
        let mut credentials = Credentials::default();
        for bad in ["", " \n", "two words", "a\r\nb: c", "ü"] {
            assert!(!credentials.add_token("a.example", bad), "{bad:?}");
        }
        assert!(credentials.add_token("A.example", " t0ken\n"));
        credentials.add_netrc("machine a.example login u password p");
        let target = FetchUrl::parse("https://a.example/").unwrap();
        assert_eq!(credentials.authorization(&target), Some("Bearer t0ken"));
        assert_eq!(format!("{credentials:?}"), "{\"a.example\"}");
    }
}
