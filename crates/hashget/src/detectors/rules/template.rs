//! Templates of user rules: text with `{group}` placeholders.
//!
//! Invariant: a template names only groups that the rule's patterns define.

use std::collections::BTreeMap;

/// A checked template.
#[derive(Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Group(String),
}

impl Template {
    /// Parses `text`, whose groups must be among `groups`.
    ///
    /// # Errors
    /// What is wrong with it, as a message for users.
    pub(super) fn compile(text: &str, groups: &[String]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(start);
            let end = from.find('}').filter(|_| from.starts_with('{'));
            let end = end.ok_or_else(|| format!("\"{text}\" has a brace without its partner"))?;
            let group = &from[1..end];
            if !groups.iter().any(|known| known == group) {
                return Err(format!(
                    "\"{text}\" has {{{group}}}, but no pattern has a group (?<{group}>...); there {}",
                    match groups {
                        [] => "is none".to_owned(),
                        _ => format!("are: {}", groups.join(", ")),
                    }
                ));
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Group(group.to_owned()));
            rest = &from[end + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The text with the value of every group, unchanged.
    pub(super) fn fill(&self, values: &BTreeMap<String, String>) -> String {
        self.fill_with(values, str::to_owned)
    }

    /// The text with the value of every group, encoded so that it stays within its part of a URL.
    pub(super) fn fill_url(&self, values: &BTreeMap<String, String>) -> String {
        self.fill_with(values, percent_encoded)
    }

    fn fill_with(&self, values: &BTreeMap<String, String>, written: fn(&str) -> String) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Group(group) => {
                values.get(group).map_or_else(String::new, |value| written(value))
            }
        });
        parts.collect()
    }
}

/// Encodes all characters of `value` that could start another part of a URL. A `/` is kept, since a group may
/// match several folders.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'/' | b'+' | b':' | b'@' | b',' | b'=' | b'!' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, value: &str) -> Result<String, String> {
        let template = Template::compile(text, &["a".to_owned()])?;
        Ok(template.fill_url(&BTreeMap::from([("a".to_owned(), value.to_owned())])))
    }

    #[test]
    fn groups_are_filled_in() {
        assert_eq!(filled("x/{a}-{a}.zip", "1.2").unwrap(), "x/1.2-1.2.zip");
        assert_eq!(filled("plain", "1").unwrap(), "plain");
        assert_eq!(filled("{a}", "a b?c#d%e&\u{e9}").unwrap(), "a%20b%3Fc%23d%25e%26%C3%A9");
    }

    #[test]
    fn broken_templates_are_refused() {
        for text in ["{b}", "{a", "a}", "{}", "}{", "{a{a}}"] {
            let error = filled(text, "1").unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
