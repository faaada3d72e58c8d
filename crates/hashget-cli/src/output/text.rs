//! Numbers, dates and untrusted text in the form shown to users.
//!
//! Invariant: the result of [`safe`] cannot move the cursor or start a line, and that of [`without_logins`] has no URL with a
//! password.

pub(crate) use hashget::model::counted;
use hashget::model::{Kind, display_name, effective_mode};
use humansize::{BINARY, format_size};

/// Bytes, as `1.50 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    format_size(bytes, BINARY)
}

/// The factor by which `small` is smaller than `large`: `1,234 times`.
pub(crate) fn ratio(large: u64, small: u64) -> String {
    let small = small.max(1);
    let (whole, tenth) = (large / small, large % small * 10 / small);
    if whole < 10 { format!("{whole}.{tenth} times") } else { counted(whole, "time", "times") }
}

/// The name of a package in messages: its own name followed by its URL, if it has a name (`signatures`, each
/// as `TYPE:VALUE`); otherwise only the URL.
pub(crate) fn named_package(signatures: &[String], url: &str) -> String {
    match signatures.is_empty() {
        true => safe(url),
        false => format!("{} ({})", safe(display_name(signatures, url)), safe(url)),
    }
}

/// The day of a time in seconds since 1970, UTC.
pub(crate) fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "unknown".to_owned(),
        |time| time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(),
    )
}

/// A time in seconds since 1970, UTC: `2024-02-28 23:59`, or with seconds.
pub(crate) fn moment(seconds: i64, with_seconds: bool) -> String {
    let Ok(time) = jiff::Timestamp::from_second(seconds) else { return "unknown".to_owned() };
    let time = jiff::tz::Offset::UTC.to_datetime(time);
    // Lists have a line for each of a million entries: no format is interpreted.
    let mut text = format!("{} {:02}:{:02}", time.date(), time.hour(), time.minute());
    if with_seconds {
        text += &format!(":{:02}", time.second());
    }
    text
}

/// The type and the permissions of an entry, as `ls -l` shows them: `-rwxr-xr-x`.
pub(crate) fn mode_letters(kind: &Kind, mode: u32) -> String {
    let mode = effective_mode(kind, mode);
    let kind = match kind {
        Kind::File { .. } => '-',
        Kind::Directory => 'd',
        Kind::Symlink { .. } => 'l',
        Kind::HardLink { .. } => 'h',
        Kind::CharDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
        Kind::Fifo => 'p',
        Kind::Socket => 's',
    };
    let mut letters = String::from(kind);
    // The set-user-ID, set-group-ID and sticky bits are shown where execution is.
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        letters.push(if bits & 4 > 0 { 'r' } else { '-' });
        letters.push(if bits & 2 > 0 { 'w' } else { '-' });
        letters.push(match (mode & special > 0, bits & 1 > 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    letters
}

/// The text with every character that could control a terminal made visible. Safe text is unchanged.
pub(crate) fn safe(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let hidden = matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if character.is_control() || hidden {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The text with `...` for the user name and password of each URL in it, as somebody may have given them on the command line.
pub(crate) fn without_logins(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        shown.push_str(before);
        let ends = |letter: char| letter.is_whitespace() || letter.is_control();
        let word = &url[..url.find(ends).unwrap_or(url.len())];
        let host = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
        // What seems to be a port and is no number is a password with a slash in it.
        let port =
            host.rsplit_once(':').map_or("", |(_, port)| port.trim_end_matches(['\'', '"', ']']));
        let has_port = port.bytes().all(|byte| byte.is_ascii_hexdigit());
        let login = if host.contains('@') || has_port { host } else { word };
        rest = match login.rfind('@') {
            Some(at) => {
                shown.push_str("...");
                &url[at..]
            }
            None => url,
        };
    }
    shown.push_str(rest);
    shown
}

/// The text with neither logins nor queries of URLs in it: for what is kept, or sent to others.
pub(crate) fn without_secrets(text: &str) -> String {
    let text = without_logins(text);
    let (mut shown, mut rest) = (String::with_capacity(text.len()), &*text);
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        let ends = |letter: char| {
            letter.is_whitespace()
                || letter.is_control()
                || matches!(letter, '"' | '\'' | ')' | '>')
        };
        let word = &url[..url.find(ends).unwrap_or(url.len())];
        shown.push_str(before);
        match word.find(['?', '#']) {
            Some(query) => {
                shown.push_str(&word[..query]);
                shown.push_str("?...");
            }
            None => shown.push_str(word),
        }
        rest = &url[word.len()..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_have_a_digit_where_it_counts() {
        assert_eq!(ratio(15, 10), "1.5 times");
        assert_eq!(ratio(10_000, 8), "1,250 times");
        assert_eq!(ratio(5, 0), "5.0 times");
    }

    #[test]
    fn a_package_is_named_before_its_url() {
        let (url, signatures) = ("https://example.org/file/0a1b", ["deb:vim_9.0_amd64".to_owned()]);
        assert_eq!(named_package(&signatures, url), format!("vim_9.0_amd64 ({url})"));
        assert_eq!(named_package(&[], url), url);
    }

    #[test]
    fn days_are_utc_and_nonsense_is_unknown() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(1_709_164_800 - 1), "2024-02-28");
        assert_eq!(day(i64::MAX), "unknown");
    }

    #[test]
    fn modes_and_times_are_as_ls_shows_them() {
        for (mode, letters) in [
            (0o644, "-rw-r--r--"),
            (0o4755, "-rwsr-xr-x"),
            (0o2640, "-rw-r-S---"),
            (0o1777, "-rwxrwxrwt"),
        ] {
            assert_eq!(mode_letters(&Kind::File { size: 1 }, mode), letters);
        }
        assert_eq!(mode_letters(&Kind::Symlink { target: b"x"[..].into() }, 0), "lrwxrwxrwx");
        assert_eq!(moment(1_709_164_799, false), "2024-02-28 23:59");
        assert_eq!(moment(1_709_164_799, true), "2024-02-28 23:59:59");
        assert_eq!(moment(i64::MAX, true), "unknown");
    }

    #[test]
    fn nothing_that_moves_a_terminal_is_left_and_safe_text_stays() {
        assert_eq!(safe("a\x1b[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(safe("caf\u{e9} \\x1b"), "caf\u{e9} \\x1b");
    }
    #[test]
    fn a_password_is_not_shown_wherever_a_url_stands() {
        for (text, shown) in [
            ("'https://u:secret@h.example/a' for", "'https://...@h.example/a' for"),
            (
                "http://secret@h:80/@s/a and http://:secret@[::1]/",
                "http://...@h:80/@s/a and http://...@[::1]/",
            ),
            ("ftp://u:sec@ret@h", "ftp://...@h"),
            ("http://u:sec/ret@h/b c@d", "http://...@h/b c@d"),
            (
                "http://h/@scope/a@1 http://[::1]:8080/@s",
                "http://h/@scope/a@1 http://[::1]:8080/@s",
            ),
            ("u@h, ://, http://", "u@h, ://, http://"),
        ] {
            assert_eq!(without_logins(text), shown);
        }
    }
}
