//! Numbers and foreign texts as people read them.
//!
//! Invariant: what [`safe`] returns moves no cursor and starts no line.

use humansize::{BINARY, format_size};

/// Bytes, as `1.50 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    format_size(bytes, BINARY)
}

/// `1 file`, `12,345 files`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", if number == 1 { one } else { many })
}

/// How many times smaller `small` is than `large`: `1,234 times`.
pub(crate) fn ratio(large: u64, small: u64) -> String {
    let small = small.max(1);
    let (whole, tenth) = (large / small, large % small * 10 / small);
    if whole < 10 { format!("{whole}.{tenth} times") } else { counted(whole, "time", "times") }
}

/// The day of a time in seconds since 1970, UTC.
pub(crate) fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "unknown".to_owned(),
        |time| time.to_zoned(jiff::tz::TimeZone::UTC).date().to_string(),
    )
}

/// The text with every character that could move a terminal made visible. Text that was made safe
/// before stays as it is.
pub(crate) fn safe(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_agree_with_their_noun() {
        assert_eq!(counted(1, "file", "files"), "1 file");
        assert_eq!(counted(0, "file", "files"), "0 files");
        assert_eq!(counted(999, "file", "files"), "999 files");
        assert_eq!(counted(1_234_567, "file", "files"), "1,234,567 files");
    }

    #[test]
    fn ratios_have_a_digit_where_it_counts() {
        assert_eq!(ratio(15, 10), "1.5 times");
        assert_eq!(ratio(10_000, 8), "1,250 times");
        assert_eq!(ratio(5, 0), "5.0 times");
    }

    #[test]
    fn days_are_utc_and_nonsense_is_unknown() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(1_709_164_800 - 1), "2024-02-28");
        assert_eq!(day(i64::MAX), "unknown");
    }

    #[test]
    fn nothing_that_moves_a_terminal_is_left_and_safe_text_stays() {
        assert_eq!(safe("a\x1b[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(safe("caf\u{e9} \\x1b"), "caf\u{e9} \\x1b");
    }
}
