//! Paragraphs of `Field: value` lines, as dpkg and apt write them (deb822).
//!
//! Invariant: one paragraph is in memory at a time, and at most [`MAX_BYTES`] of it. Damage affects only the
//! paragraph that has it; reading continues with the next one.

use std::io::{self, BufRead};

/// Size limit of one paragraph; the rest of a larger one is discarded, and it counts as damaged.
const MAX_BYTES: usize = 4 << 20;

/// What is wrong with a paragraph whose last line has no end.
const CUT_OFF: &str = "the file ends in the middle of it";

/// One paragraph.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Paragraph {
    fields: Vec<(String, String)>,
    /// The number of its first line, from 1.
    pub(crate) line: u64,
    /// What is wrong with it.
    pub(crate) damage: Option<String>,
}

impl Paragraph {
    /// The value of a field, ignoring the case of its name; continuation lines follow after newlines.
    /// Trimmed; `None` if the field is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(found.1.trim()).filter(|value| !value.is_empty())
    }

    /// What is wrong with it for a reader that uses only these fields: the end of a file can only have cut off
    /// the last one.
    pub(crate) fn damage_of(&self, fields: &[&str]) -> Option<&str> {
        let damage = self.damage.as_deref()?;
        let is_used = |(last, _): &(String, String)| {
            fields.iter().any(|field| field.eq_ignore_ascii_case(last))
        };
        let is_harmless = damage == CUT_OFF && !self.fields.last().is_some_and(is_used);
        (!is_harmless).then_some(damage)
    }

    fn add(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            match self.fields.last_mut() {
                Some((_, value)) => {
                    value.push('\n');
                    value.push_str(&text);
                }
                None => self.damaged("it begins with a further line of a field"),
            }
            return;
        }
        match text.split_once(':') {
            Some((name, value)) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                if self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                    self.damaged("it has a field twice");
                }
                self.fields.push((name.to_owned(), value.to_owned()));
            }
            _ => self.damaged("it has a line that is no \"Field: value\""),
        }
    }

    fn damaged(&mut self, problem: &str) {
        self.damage.get_or_insert_with(|| problem.to_owned());
    }
}

/// Reads paragraphs.
pub(crate) struct Paragraphs<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Paragraphs<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0 }
    }

    /// The underlying reader.
    pub(crate) fn into_inner(self) -> R {
        self.reader
    }

    /// The next paragraph; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Paragraph>> {
        self.next_if(|_| true)
    }

    /// The next paragraph whose first line `wanted` accepts; the others are skipped quickly.
    pub(crate) fn next_if(
        &mut self,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<Paragraph>> {
        let mut paragraph: Option<Paragraph> = None;
        let mut skipping = false;
        let mut bytes = 0;
        loop {
            self.line.clear();
            if self.reader.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(paragraph);
            }
            self.number += 1;
            let whole = self.line.last() == Some(&b'\n');
            let line = self.line.trim_ascii_end();
            if line.is_empty() {
                skipping = false;
                if paragraph.is_some() {
                    return Ok(paragraph);
                }
                continue;
            }
            if skipping || line.starts_with(b"#") {
                continue;
            }
            if paragraph.is_none() && !wanted(line) {
                skipping = true;
                continue;
            }
            let paragraph = paragraph
                .get_or_insert_with(|| Paragraph { line: self.number, ..Paragraph::default() });
            bytes += line.len();
            if bytes > MAX_BYTES {
                paragraph.damaged("it is too long to be one");
                continue;
            }
            paragraph.add(line);
            if !whole {
                paragraph.damaged(CUT_OFF);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<Paragraph> {
        let mut paragraphs = Paragraphs::new(text);
        std::iter::from_fn(|| paragraphs.next().unwrap()).collect()
    }

    #[test]
    fn fields_have_further_lines_and_any_case() {
        let found = all(b"\n\nPackage: a\nDescription: one\n two\n .\n\tthree\nempty:\r\n\n\n\
            # remark\npackage:b\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("PACKAGE"), Some("a"));
        assert_eq!(found[0].get("description"), Some("one\n two\n .\n\tthree"));
        assert_eq!(found[0].get("empty"), None);
        assert_eq!(found[0].line, 3);
        assert_eq!(found[1].get("Package"), Some("b"));
        assert!(found.iter().all(|paragraph| paragraph.damage.is_none()));
    }

    #[test]
    fn damage_stays_with_its_paragraph() {
        let found = all(b" lost\n\nno field\n\nA: 1\nA: 2\n\nGood: 1\n\nPackage: cut of");
        let damaged: Vec<bool> = found.iter().map(|found| found.damage.is_some()).collect();
        assert_eq!(damaged, [true, true, true, false, true]);
        let mut long = b"A: ".to_vec();
        long.extend(vec![b'x'; MAX_BYTES]);
        long.extend(b"\n\nB: 1\n");
        let found = all(&long);
        assert!(found[0].damage.is_some());
        assert_eq!(found[1].get("B"), Some("1"));
    }

    #[test]
    fn the_end_of_a_file_cuts_off_the_last_field_alone() {
        let found = &all(b"Package: a\nVersion: 1.2")[0];
        assert_eq!(found.damage_of(&["package"]), None);
        assert_eq!(found.damage_of(&["package", "version"]), Some(CUT_OFF));
        let twice = &all(b"A: 1\nA: 2\nB: 3")[0];
        assert!(twice.damage_of(&["A"]).is_some_and(|damage| damage != CUT_OFF));
    }

    #[test]
    fn unwanted_paragraphs_are_passed_over() {
        let text: &[u8] = b"Package: a\nX: 1\n\nPackage: b\nX: 2\n\nPackage: c\nX: 3\n";
        let mut paragraphs = Paragraphs::new(text);
        let found = paragraphs.next_if(|line| line == b"Package: b").unwrap().unwrap();
        assert_eq!(found.get("X"), Some("2"));
        assert_eq!(paragraphs.next_if(|line| line == b"Package: b").unwrap(), None);
    }
}
