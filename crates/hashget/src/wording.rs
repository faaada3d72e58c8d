//! How errors read: system errors in plain words, and nothing twice.
//!
//! Invariant: what a text names stays as it is. Only the complete text of a system error is reworded (the system's own words
//! for a number, and that number), and what was just said is left out.

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
        let mut from = 0;
        while let Some(found) = text[from..].find(&start) {
            let position = from + found;
            let path = position + start.len();
            from = path;
            if !begins_an_error(&text[..position]) {
                continue;
            }
            let Some(length) = text[path..].find("`: ").or_else(|| text[path..].rfind('`')) else {
                break;
            };
            text.replace_range(path + length..=path + length, "");
            text.replace_range(position..path, &format!("cannot {ours} "));
            from = position;
        }
    }
    text
}

/// The text without " (os error N)" after the system's words for N, which begin with a small letter.
fn without_numbers(text: &str) -> String {
    const MARK: &str = " (os error ";
    let (mut done, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(MARK) {
        let (before, number) = (&rest[..start], &rest[start + MARK.len()..]);
        let length = number.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = number.split_at(length);
        let words = number.parse().ok().map(words_of).unwrap_or_default();
        let after = after.strip_prefix(')').filter(|after| ends_an_error(after));
        match (after, before.strip_suffix(&*words)) {
            (Some(after), Some(before))
                if !words.is_empty() && begins_an_error(&format!("{done}{before}")) =>
            {
                done.push_str(before);
                let mut letters = words.chars();
                done.extend(letters.next().into_iter().flat_map(char::to_lowercase));
                done.push_str(letters.as_str());
                rest = after;
            }
            _ => {
                done.push_str(&rest[..start + MARK.len()]);
                rest = &rest[start + MARK.len()..];
            }
        }
    }
    done + rest
}

/// The system's words for the error with this number.
fn words_of(number: i32) -> String {
    let text = std::io::Error::from_raw_os_error(number).to_string();
    text.strip_suffix(&format!(" (os error {number})")).unwrap_or_default().to_owned()
}

/// Can the text of an error begin after `before`?
fn begins_an_error(before: &str) -> bool {
    before.is_empty() || [": ", "; ", "("].iter().any(|end| before.ends_with(end))
}

/// Can the text of an error end before `after`?
fn ends_an_error(after: &str) -> bool {
    after.is_empty() || after.starts_with([';', ')', ',', ':', ' '])
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

/// The end of a list of names of which `more` further ones are not named: ` and 3 more`, or nothing.
pub fn and_more(more: usize) -> String {
    if more > 0 { format!(" and {more} more") } else { String::new() }
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
        assert_eq!(
            plain(&format!("{full}; {full}: x")),
            "no space left on device; no space left on device: x"
        );
    }

    #[test]
    fn names_are_never_changed() {
        let missing = "No such file or directory";
        for name in [
            "Log (os error 5).txt".to_owned(),
            "See: Log (os error 5)".to_owned(),
            "Input/output error (os error 28)".to_owned(),
            format!("my {missing} (os error 2)"),
            format!("{missing} (os error 2).txt"),
            "(os error 2)".to_owned(),
            " (os error 99999999999)".to_owned(),
            "a failed to open file `b`".to_owned(),
        ] {
            assert_eq!(plain(&name), name);
            let error = std::io::Error::from_raw_os_error(2);
            let message = format!("Archived without {name}: {error}");
            assert_eq!(
                plain(&message),
                format!("Archived without {name}: no such file or directory")
            );
        }
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
