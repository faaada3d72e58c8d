//! Scalars of a YAML file, with the keys above them.
//!
//! Invariant: the file is read event by event and aliases are never followed, so that memory use does not
//! exceed the size of the file; nesting deeper than [`MAX_DEPTH`] is an error.

use saphyr_parser::{Event, Parser};

/// The key of the items of a sequence.
pub(super) const ITEM: &str = "-";

/// Limit on nested mappings and sequences.
const MAX_DEPTH: usize = 64;

/// A mapping or sequence that has not ended yet.
struct Open {
    kind: Kind,
    /// Is it in the position of a key?
    is_key: bool,
}

enum Kind {
    Sequence,
    Mapping(Key),
}

enum Key {
    /// The next node is a key.
    Expected,
    /// The next node is the value of this key.
    Named(String),
    /// The next node is the value of a key that is not a scalar.
    Other,
}

/// Passes each mapping (as `None`) and each scalar value to `found`, with the keys above it. The contents of
/// sequences are skipped.
///
/// # Errors
/// What is wrong with the text; everything before the error was passed on.
pub(super) fn read(text: &str, found: &mut dyn FnMut(&[&str], Option<&str>)) -> Result<(), String> {
    read_events(text, false, found)
}

/// Like [`read`], with the contents of sequences, for which the key is [`ITEM`].
///
/// # Errors
/// What is wrong with the text; everything before the error was passed on.
pub(super) fn read_with_lists(
    text: &str,
    found: &mut dyn FnMut(&[&str], Option<&str>),
) -> Result<(), String> {
    read_events(text, true, found)
}

fn read_events(
    text: &str,
    with_lists: bool,
    found: &mut dyn FnMut(&[&str], Option<&str>),
) -> Result<(), String> {
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| format!("it is not YAML: {error}"))?;
        let key = match open.last_mut() {
            Some(Open { kind: Kind::Mapping(key @ Key::Expected), .. }) => Some(key),
            _ => None,
        };
        match event {
            Event::Scalar(value, ..) => match key {
                Some(key) => *key = Key::Named(value.into_owned()),
                None => {
                    hand_over(&open, with_lists, Some(&value), found);
                    end_value(&mut open);
                }
            },
            Event::Alias(_) => match key {
                Some(key) => *key = Key::Other,
                None => end_value(&mut open),
            },
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let is_key = key.is_some();
                let is_mapping = matches!(event, Event::MappingStart(..));
                if is_mapping && !is_key {
                    hand_over(&open, with_lists, None, found);
                }
                let kind = if is_mapping { Kind::Mapping(Key::Expected) } else { Kind::Sequence };
                open.push(Open { kind, is_key });
                if open.len() > MAX_DEPTH {
                    return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
                }
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let ended = open.pop();
                if ended.is_some_and(|ended| ended.is_key) {
                    if let Some(Open { kind: Kind::Mapping(key), .. }) = open.last_mut() {
                        *key = Key::Other;
                    }
                } else {
                    end_value(&mut open);
                }
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }
    Ok(())
}

/// Passes on a value, unless there is a sequence above it that is not wanted, or a key that is not a scalar.
fn hand_over(
    open: &[Open],
    with_lists: bool,
    value: Option<&str>,
    found: &mut dyn FnMut(&[&str], Option<&str>),
) {
    let keys: Option<Vec<&str>> = open
        .iter()
        .map(|open| match &open.kind {
            Kind::Mapping(Key::Named(key)) if !open.is_key => Some(&**key),
            Kind::Sequence if with_lists && !open.is_key => Some(ITEM),
            _ => None,
        })
        .collect();
    if let Some(keys) = keys {
        found(&keys, value);
    }
}

/// Ends a value: the next node of its mapping is a key.
fn end_value(open: &mut [Open]) {
    if let Some(Open { kind: Kind::Mapping(key), .. }) = open.last_mut() {
        *key = Key::Expected;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (Vec<String>, Result<(), String>) {
        let mut lines = Vec::new();
        let outcome = read(text, &mut |keys, value| {
            lines.push(format!("{}={}", keys.join("/"), value.unwrap_or("{}")));
        });
        (lines, outcome)
    }

    #[test]
    fn scalars_come_with_their_keys() {
        let text = "a: 1\nb: {c: 'x: y', \"d\": }\nlist: [{e: 2}, 3]\n? [k]\n: {f: 4}\n? {g: 5}\n: 6\n\
                    anchor: &x {h: 7}\nalias: *x\n---\nsecond: >-\n  two\n  lines\n";
        let (lines, outcome) = shown(text);
        assert_eq!(outcome, Ok(()));
        let expected = [
            "={}",
            "a=1",
            "b={}",
            "b/c=x: y",
            "b/d=",
            "anchor={}",
            "anchor/h=7",
            "={}",
            "second=two lines",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn lists_are_read_where_they_are_wanted() {
        let mut found = Vec::new();
        let text = ":a: [x, \"y\"]\nb:\n  - z   # own\n  - {c: 1}\n? [k]\n: [no]\n";
        let outcome = read_with_lists(text, &mut |keys, value| {
            found.extend(value.map(|value| format!("{}={value}", keys.join("/"))));
        });
        assert_eq!(outcome, Ok(()));
        assert_eq!(found, [":a/-=x", ":a/-=y", "b/-=z", "b/-/c=1"]);
    }

    #[test]
    fn hostile_files_cost_little() {
        // Aliases of aliases: a billion nodes if they were followed.
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let alias = format!("*a{}", level - 1);
            laughs += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
        }
        let (lines, outcome) = shown(&laughs);
        assert_eq!((lines.len(), outcome), (1, Ok(())));
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("? ", ""), ("- ", "")] {
            let deep = open.repeat(20_000) + &close.repeat(20_000);
            assert!(shown(&deep).1.is_err(), "{open}");
        }
        let indented: String =
            (0..2000).map(|depth| format!("{}k:\n", " ".repeat(depth))).collect();
        assert!(shown(&indented).1.unwrap_err().contains("nested deeper"));
        let long = format!("a: {}\n{}", "x".repeat(1 << 18), "k: 'v'\n".repeat(10_000));
        assert_eq!(shown(&long).0.len(), 10_002);
        for nonsense in
            ["\0", "a: b: c", "*x", "%YAML 9.9\n", "'", "\"\\x", "a: &", "!<", "|9\n", "}"]
        {
            let _ = shown(nonsense);
        }
    }
}
