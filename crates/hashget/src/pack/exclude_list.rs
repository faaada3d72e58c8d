//! Exclude lists for other backup tools, in each tool's own syntax.
//!
//! Invariant: pure. A line matches exactly its one path, when the tool is run as `docs/cli.md` says; a path
//! that the syntax cannot express has no line.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::model::RelPath;

/// A backup tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// GNU tar: `tar -C DIR -X FILE -c .`.
    Tar,
    /// restic: `restic backup --exclude-file FILE DIR`.
    Restic,
    /// Borg: `cd DIR && borg create --exclude-from FILE REPOSITORY::NAME .`.
    Borg,
    /// rsync: `rsync -aHAX --from0 --exclude-from FILE DIR/ ...`.
    Rsync,
}

impl Tool {
    /// The line that excludes `path` of the tree at `top` (absolute), with its terminator. `None` if the
    /// tool's syntax cannot express the path.
    pub(super) fn line(self, top: &Path, path: &RelPath) -> Option<Vec<u8>> {
        let path = path.as_bytes();
        match self {
            Self::Tar => tar(path),
            Self::Restic => restic(top, path),
            Self::Borg => Some(borg(path)),
            Self::Rsync => Some(rsync(path)),
        }
    }
}

/// `bytes` with a backslash before each of `special`.
fn with_backslashes(bytes: &[u8], special: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(bytes.len() + 8);
    for byte in bytes {
        if special.contains(byte) {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

/// Glob patterns, one per line; trailing white space would be dropped. The `./` of `-c .` anchors them: no
/// path has it anywhere else.
fn tar(path: &[u8]) -> Option<Vec<u8>> {
    if path.contains(&b'\n') {
        return None;
    }
    let (last, before) = path.split_last()?;
    let mut line = b"./".to_vec();
    if matches!(last, b' ' | b'\t' | 0x0b | 0x0c | b'\r') {
        // A character class is a wildcard, and with wildcards tar works on characters, not bytes.
        std::str::from_utf8(path).ok()?;
        line.extend(with_backslashes(before, b"*?[\\"));
        line.extend([b'[', *last, b']']);
    } else {
        line.extend(with_backslashes(path, b"*?[\\"));
    }
    line.push(b'\n');
    Some(line)
}

/// Absolute patterns of Go's `filepath.Match`, one per line. `$` would start a variable, and trailing white
/// space would be dropped.
fn restic(top: &Path, path: &[u8]) -> Option<Vec<u8>> {
    let whole = [top.as_os_str().as_bytes(), b"/", path].concat();
    if whole.contains(&b'\n') {
        return None;
    }
    let mut line = Vec::with_capacity(whole.len() + 8);
    let end = whole.utf8_chunks().last()?;
    let space = end.valid().chars().next_back().filter(|last| last.is_whitespace());
    let space = space.filter(|_| end.invalid().is_empty());
    let length = space.map_or(0, char::len_utf8);
    for &byte in &whole[..whole.len() - length] {
        match byte {
            b'*' | b'?' | b'[' | b'\\' => line.extend([b'\\', byte]),
            b'$' => line.extend(b"$$"),
            _ => line.push(byte),
        }
    }
    if let Some(space) = space {
        line.extend(format!("[{space}]").as_bytes());
    }
    line.push(b'\n');
    Some(line)
}

/// The exact path (`pf:`) if a line can hold it; otherwise a regular expression that matches only it.
fn borg(path: &[u8]) -> Vec<u8> {
    let plain = std::str::from_utf8(path).ok().filter(|text| {
        text.trim() == *text
            && !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
    });
    if let Some(text) = plain {
        return format!("pf:{text}\n").into_bytes();
    }
    let mut line = String::from("re:^");
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_ascii_alphanumeric() || matches!(character, '/' | '_') {
                line.push(character);
            } else {
                line.push_str(&format!("\\U{:08x}", u32::from(character)));
            }
        }
        for byte in chunk.invalid() {
            // As Python represents bytes that are not UTF-8.
            line.push_str(&format!("\\udc{byte:02x}"));
        }
    }
    line.push_str("\\Z\n");
    line.into_bytes()
}

/// Patterns anchored by a `/`, each terminated by a NUL (`--from0`). A backslash escapes only in patterns
/// that contain a wildcard.
fn rsync(path: &[u8]) -> Vec<u8> {
    let mut line = b"/".to_vec();
    if path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
        line.extend(with_backslashes(path, b"*?[\\"));
    } else {
        line.extend(path);
    }
    line.push(0);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tool: Tool, path: &[u8]) -> Option<String> {
        let line = tool.line(Path::new("/srv/$x"), &RelPath::new(path).unwrap());
        line.map(|line| String::from_utf8_lossy(&line).into_owned())
    }

    #[test]
    fn each_tool_has_its_own_quoting() {
        let all = |path: &[u8]| {
            [Tool::Tar, Tool::Restic, Tool::Borg, Tool::Rsync].map(|tool| line(tool, path))
        };
        let some = |lines: [&str; 4]| lines.map(|line| Some(line.to_owned()));
        assert_eq!(all(b"a/b"), some(["./a/b\n", "/srv/$$x/a/b\n", "pf:a/b\n", "/a/b\0"]));
        assert_eq!(
            all(b"a*[b]\\c"),
            some([
                "./a\\*\\[b]\\\\c\n",
                "/srv/$$x/a\\*\\[b]\\\\c\n",
                "pf:a*[b]\\c\n",
                "/a\\*\\[b]\\\\c\0"
            ])
        );
        assert_eq!(all(b"a\\b")[3].as_deref(), Some("/a\\b\0"));
        assert_eq!(
            all(b" a "),
            some(["./ a[ ]\n", "/srv/$$x/ a[ ]\n", "re:^\\U00000020a\\U00000020\\Z\n", "/ a \0"])
        );
        let [tar, restic, borg, rsync] = all(b"a\nb");
        assert_eq!((tar, restic), (None, None));
        assert_eq!(
            (borg.as_deref(), rsync.as_deref()),
            (Some("re:^a\\U0000000ab\\Z\n"), Some("/a\nb\0"))
        );
        assert_eq!(all(b"\xff")[2].as_deref(), Some("re:^\\udcff\\Z\n"));
        assert_eq!(all(b"\xff ")[0], None);
    }
}
