//! pip's configuration, as Python's `configparser` reads it.
//!
//! Invariant: keys are compared in lower case and with dashes, as pip does; what is no key of a section is ignored.

use std::collections::BTreeMap;

/// Keys and values, by section.
pub(super) type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Reads `[SECTION]` and `KEY = VALUE` or `KEY: VALUE`. A value continues on lines that are indented more than its key; among
/// them may be comments and empty lines.
pub(super) fn read(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut section = String::new();
    // The key to which further lines belong, and how far it is indented.
    let mut open: Option<(String, usize)> = None;
    for line in text.lines() {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with(['#', ';']) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let keys = sections.entry(section.clone()).or_default();
        if let Some((key, of_key)) = &open
            && indent > *of_key
        {
            let value = keys.entry(key.clone()).or_default();
            value.push('\n');
            value.push_str(plain);
            continue;
        }
        open = None;
        if let Some(name) = plain.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = plain.split_once(['=', ':']) {
            let key = key.trim().to_lowercase().replace('_', "-");
            let key = key.trim_start_matches("--").to_owned();
            keys.insert(key.clone(), value.trim().to_owned());
            open = Some((key, indent));
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, section: &str, key: &str) -> Option<String> {
        read(text).get(section)?.get(key).cloned()
    }

    #[test]
    fn keys_and_values_are_those_of_configparser() {
        for (text, expected) in [
            ("[global]\nindex-url = a\n", "a"),
            ("[global]\nindex_url: a", "a"),
            ("[global]\r\nIndex-URL=a\r\n", "a"),
            ("[global]\nindex-url = b\nindex-url = a\n", "a"),
            ("[global]\nindex-url =\n    a\n", "\na"),
            ("[global]\nindex-url = a\n# index-url = b\n", "a"),
            ("[global]\nindex-url = a\n\n  # c\n\n  b\n", "a\nb"),
            ("  [global]\n  index-url = a\n  x = b\n", "a"),
            ("[global]\nindex-url = a:b=c\n[other]\nindex-url = d\n", "a:b=c"),
        ] {
            assert_eq!(value(text, "global", "index-url").as_deref(), Some(expected), "{text}");
        }
        for text in ["", "index-url = a", "[global", "[global]\nindex-url\n", "[]\n=\n:\n"] {
            assert_eq!(value(text, "global", "index-url"), None, "{text}");
        }
    }
}
