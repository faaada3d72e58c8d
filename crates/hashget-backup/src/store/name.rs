//! Names of files in stores.
//!
//! Invariant: a name that passes is one file in every store, is seen by `list`, and leaves room for a temporary name.

use super::StoreError;

/// The longest name in bytes: file systems take 255, and temporary names are longer.
const LONGEST: usize = 220;

/// Ends the name of a file that is not complete.
pub(super) const UNFINISHED: &str = ".part";

/// A name that a file of a store can have.
///
/// # Errors
/// [`StoreError::BadName`].
pub(super) fn check_name(name: &str) -> Result<(), StoreError> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.starts_with('.') {
        "it begins with a dot, as temporary files do"
    } else if name.contains(['/', '\\']) {
        // Some stores take either for the end of a folder's name.
        "it has a slash or a backslash in it"
    } else if name.chars().any(char::is_control) {
        "it has a control character in it"
    } else if name.len() > LONGEST {
        "it has more than 220 bytes"
    } else {
        return Ok(());
    };
    Err(StoreError::BadName { name: name.to_owned(), problem })
}

/// Does a store list files of this name?
pub(super) fn is_listed(name: &str) -> bool {
    check_name(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_file_or_a_hidden_one_are_refused() {
        for name in ["web1_system_2026-11-27T023000Z.tar.zst.age", "a b", "ü%2F+&?#'\"", "a..b"] {
            assert!(is_listed(name), "{name}");
        }
        for name in ["", ".", "..", ".a.part", "a/b", "/", "a\\b", "a\0b", "a\nb", &"n".repeat(221)]
        {
            let error = check_name(name).unwrap_err();
            assert!(matches!(error, StoreError::BadName { .. }), "{name}");
        }
    }
}
