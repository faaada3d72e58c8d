//! The names of entries that Rock Ridge does not name.
//!
//! Invariant: what is accepted as a name is one component of a path.

/// The longest name in bytes. File systems end at 255; attributes could make up names of megabytes.
const LONGEST: usize = 1024;

/// A name of plain ISO 9660: without the first version, and without the dot behind a name that has no extension.
pub(super) fn plain(stored: &[u8]) -> &[u8] {
    let name = cut(stored, b";1");
    cut(name, b".")
}

/// A name of Joliet: UTF-16, the upper byte first, without the first version.
///
/// # Errors
/// It is no UTF-16.
pub(super) fn joliet(stored: &[u8]) -> Result<Vec<u8>, &'static str> {
    let name = cut(stored, b"\0;\x001");
    let (units, rest) = name.as_chunks::<2>();
    let name = char::decode_utf16(units.iter().copied().map(u16::from_be_bytes));
    let name = name.collect::<Result<String, _>>().ok().filter(|_| rest.is_empty());
    name.map(String::into_bytes).ok_or("its name is not UTF-16")
}

/// Without `end`, if something is left then.
fn cut<'n>(name: &'n [u8], end: &[u8]) -> &'n [u8] {
    name.strip_suffix(end).filter(|name| !name.is_empty()).unwrap_or(name)
}

/// Is `name` one component of a path?
///
/// # Errors
/// Why not.
pub(super) fn check(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" => Err("its name is empty"),
        b"." | b".." => Err("its name is that of a folder itself or of the one above"),
        name if name.contains(&b'/') => Err("its name has a slash"),
        name if name.contains(&0) => Err("it has a NUL byte"),
        name if name.len() > LONGEST => Err("its name is longer than 1024 bytes"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_dots_are_cut() {
        for (stored, name) in [
            (&b"README.TXT;1"[..], &b"README.TXT"[..]),
            (b"README.;1", b"README"),
            (b"FOLDER", b"FOLDER"),
            (b"A.TXT;2", b"A.TXT;2"),
            (b";1", b";1"),
            (b".", b"."),
        ] {
            assert_eq!(plain(stored), name);
        }
        let utf_16 =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
        for (stored, name) in [("caf\u{e9} \u{1f980};1", "caf\u{e9} \u{1f980}"), ("a.", "a.")] {
            assert_eq!(joliet(&utf_16(stored)).unwrap(), name.as_bytes());
        }
        for wrong in [&b"\0a\0"[..], b"\xd8\0\0a"] {
            assert!(joliet(wrong).is_err());
        }
    }
}
