//! How errors read: system errors in plain words, and nothing twice.
//!
//! Invariant: what a text names stays named; only the numbers of system errors, and what was just said, are left out.

use std::error::Error;

/// An error and its causes, as a person reads them: outermost first, each text once, system errors in plain words.
pub fn messages(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let mut text = plain(&cause.to_string());
        for said in &messages {
            text = without_urls_of(said, &text);
        }
        // A layer that quotes its cause has said it all.
        if messages.last().is_none_or(|last| !last.ends_with(&text)) {
            messages.push(text);
        }
        next = cause.source();
    }
    messages
}

/// The same on one line.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    messages(error).join(": ")
}

/// How fs-err begins the texts of its errors, and what a person would say.
const PHRASES: [(&str, &str); 20] = [
    ("query resolved metadata", "read"),
    ("query raw metadata", "read"),
    ("query metadata", "read"),
    ("check file existence", "read"),
    ("canonicalize path", "find"),
    ("open file", "open"),
    ("create file", "create"),
    ("create directory", "create the folder"),
    ("read directory", "read the folder"),
    ("remove file", "remove"),
    ("remove directory", "remove the folder"),
    ("read symbolic link", "read the link"),
    ("read from file", "read"),
    ("write to file", "write"),
    ("flush file", "write"),
    ("sync file", "write"),
    ("seek in file", "read"),
    ("set permissions for file", "set the mode of"),
    ("set modified time for file", "set the time of"),
    ("lock", "lock"),
];

/// A text in which system errors are worded as a person would: "cannot read PATH: no such file or directory", not
/// "failed to query resolved metadata `PATH`: No such file or directory (os error 2)".
pub fn plain(text: &str) -> String {
    let mut text = without_numbers(text);
    for (theirs, ours) in PHRASES {
        let start = format!("failed to {theirs} `");
        while let Some(position) = text.find(&start) {
            let path = position + start.len();
            let Some(length) = text[path..].find("`: ").or_else(|| text[path..].rfind('`')) else {
                break;
            };
            text.replace_range(path + length..=path + length, "");
            text.replace_range(position..path, &format!("cannot {ours} "));
        }
    }
    text
}

/// The text without " (os error N)"; the system's words before that begin with a small letter.
fn without_numbers(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find(" (os error ") {
        let Some(length) = text[start..].find(')') else { break };
        text.replace_range(start..=start + length, "");
        // The words begin the text, or follow a colon or a bracket.
        let after = |mark: &str| text[..start].rfind(mark).map_or(0, |found| found + mark.len());
        let begin = after(": ").max(after("("));
        if let Some(first) = text[begin..].chars().next() {
            text.replace_range(begin..begin + first.len_utf8(), &first.to_lowercase().to_string());
        }
    }
    text
}

/// The texts of several errors, each without the URLs that those before it have named.
pub(crate) fn several(errors: &[impl ToString]) -> String {
    errors.iter().fold(String::new(), |said, error| {
        let text = without_urls_of(&said, &error.to_string());
        if said.is_empty() { text } else { format!("{said}; {text}") }
    })
}

/// `text` without the URLs that its reader has just read in `before`.
pub(crate) fn without_urls_of(before: &str, text: &str) -> String {
    let mut text = text.to_owned();
    for word in before.split_whitespace().filter(|word| word.contains("://")) {
        let url = word.trim_end_matches([':', ',', ';', '.', ')']);
        for (said, shorter) in [
            (format!("cannot fetch {url}: "), String::new()),
            (format!("does not have {url}"), "does not have it".to_owned()),
            (format!("will not fetch {url}: "), "will not fetch it: ".to_owned()),
            (
                format!("cannot keep what was fetched from {url}"),
                "cannot keep what was fetched".to_owned(),
            ),
        ] {
            text = text.replace(&said, &shorter);
        }
        if let Some(rest) = text.strip_prefix(&format!("{url} ")) {
            text = rest.to_owned();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, rest) = texts.split_first().expect("at least one");
        let source = (!rest.is_empty()).then(|| Box::new(layers(rest)));
        Layer { text, source }
    }

    #[test]
    fn system_errors_are_worded_plainly() {
        let missing = fs_err::metadata("/does/not/exist").unwrap_err().to_string();
        assert_eq!(plain(&missing), "cannot read /does/not/exist: no such file or directory");
        let full = std::io::Error::from_raw_os_error(28).to_string();
        assert_eq!(plain(&full), "no space left on device");
        assert_eq!(
            plain(&format!("not kept ({full}): {missing}")),
            "not kept (no space left on device): cannot read /does/not/exist: no such file or directory"
        );
        assert_eq!(plain("Any text: Else"), "Any text: Else");
        assert_eq!(plain("failed to open file `a` b`"), "cannot open a` b");
        assert_eq!(plain("é (os error 1"), "é (os error 1");
    }

    #[test]
    fn a_text_that_repeats_its_cause_is_said_once() {
        assert_eq!(messages(&layers(&["a: b", "b", "c"])), ["a: b", "c"]);
        assert_eq!(one_line(&layers(&["a", "b"])), "a: b");
    }

    #[test]
    fn several_errors_name_their_url_once() {
        let found =
            several(&["cannot fetch http://h.example/a: 1", "cannot fetch http://h.example/a: 2"]);
        assert_eq!(found, "cannot fetch http://h.example/a: 1; 2");
    }

    #[test]
    fn a_url_is_named_once() {
        let found = messages(&layers(&[
            "cannot get x from https://h.example/a",
            "cannot fetch https://h.example/a: HTTP 500",
        ]));
        assert_eq!(found, ["cannot get x from https://h.example/a", "HTTP 500"]);
        let found = messages(&layers(&[
            "cannot index https://h.example/a",
            "2 sources failed: a pool does not have https://h.example/a; \
             cannot fetch https://m.example/a: HTTP 500",
        ]));
        let expected =
            "2 sources failed: a pool does not have it; cannot fetch https://m.example/a: HTTP 500";
        assert_eq!(found[1], expected);
    }
}
