//! Patterns whose paths lead through symbolic links.
//!
//! Invariant: a pattern without wildcards matches the path that it is, whatever that path consists of; a link at its
//! end is not followed, unless a `/` is behind it.

use std::path::{Path, PathBuf};

/// The characters that mean something else than themselves.
const SPECIAL: [char; 8] = ['*', '?', '[', ']', '{', '}', ',', '\\'];

/// A glob that matches only this path.
pub fn literally(path: &str) -> String {
    let mut glob = String::with_capacity(path.len());
    for character in path.chars() {
        if SPECIAL.contains(&character) {
            glob.push('\\');
        }
        glob.push(character);
    }
    glob
}

/// The same pattern for the path behind the symbolic links in `pattern`, an absolute path; `None` if there are none
/// before the first wildcard.
pub(super) fn through_links(pattern: &str) -> Option<String> {
    let trimmed = pattern.trim_end_matches('/');
    let names: Vec<&str> = trimmed.split('/').skip(1).collect();
    let plain: Vec<String> = names.iter().map_while(|name| unescaped(name)).collect();
    // The last name is the entry itself.
    let is_followed = plain.len() < names.len() || trimmed.len() < pattern.len();
    let followed = if is_followed { plain.len() } else { plain.len().checked_sub(1)? };
    let folder: PathBuf = Path::new("/").join(plain[..followed].iter().collect::<PathBuf>());
    let real = real_path(&folder).filter(|real| *real != folder)?;
    let mut glob = literally(real.to_str()?.trim_end_matches('/'));
    for name in &names[followed..] {
        glob.push('/');
        glob.push_str(name);
    }
    Some(glob)
}

/// The name that a part of a pattern stands for, if it has no wildcards.
fn unescaped(part: &str) -> Option<String> {
    let mut name = String::with_capacity(part.len());
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?),
            '*' | '?' | '[' | '{' => return None,
            _ => name.push(character),
        }
    }
    Some(name)
}

/// The real path of a folder, of which the last names need not exist.
fn real_path(folder: &Path) -> Option<PathBuf> {
    let above = folder.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let (above, real) = above?;
    Some(real.join(folder.strip_prefix(above).ok()?))
}
